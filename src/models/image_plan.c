/* Plans of files. */
#include "models/image_plan.h"

#include "models/model.h"

#define USUAL_SIDE 672 /* of a square image, where the processor sets no size */

size_t dlm_image_plan_features_len(const struct dlm_model *m, const struct dlm_image_plan *plan)
{
    return (size_t)plan->patches * (size_t)m->tower.width;
}

enum dlm_status dlm_image_plan_file(const struct dlm_model *m, const char *path,
                                    struct dlm_image_name name,
                                    struct dlm_image_plan *plan)
{
    struct dlm_image_size size = {.name = name};
    enum dlm_status st = DLM_OK;

    if (!m->family->has_one_image_size)
        st = dlm_image_read_size(m->ctx, path, name, &size.width, &size.height);
    return st ? st : m->family->plan_image(m->ctx, m, &size, plan);
}

enum dlm_status dlm_image_plan_source(const struct dlm_model *m,
                                      const struct dlm_image_source *source,
                                      struct dlm_image_plan *plan)
{
    struct dlm_image_source head = *source;
    struct dlm_image image = {0};
    enum dlm_status st = DLM_OK;

    head.size_only = true;
    if (!m->family->has_one_image_size)
        st = dlm_image_decode(m->ctx, &image, &head);
    const struct dlm_image_size size = {
        .width = image.width, .height = image.height,
        .name = {source->name, source->line}};
    dlm_image_finish(&image);
    return st ? st : m->family->plan_image(m->ctx, m, &size, plan);
}

enum dlm_status dlm_image_plan_usual(const struct dlm_model *m, struct dlm_image_plan *plan)
{
    const struct dlm_processor *p = &m->processor;
    const bool is_free = p->size_rule == DLM_SIZE_AREA && !p->pinned;
    const struct dlm_image_size size = {.width = is_free ? USUAL_SIDE : p->width,
                                        .height = is_free ? USUAL_SIDE : p->height,
                                        .name = {"an image", 0}};

    return m->family->plan_image(m->ctx, m, &size, plan);
}
