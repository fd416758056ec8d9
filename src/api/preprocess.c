/* `dlm preprocess`: pixel_values of one image, as a numpy archive. */
#include "dlm/preprocess.h"

#include "api/base_model.h"
#include "api/image_size.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "images/npz.h"
#include "models/model.h"
#include "registry/registry.h"

static enum dlm_status write_pixels(const struct dlm_model *m, const struct dlm_image *image,
                                    const char *name, const char *out)
{
    const struct dlm_image_size size = {image->width, image->height, {name, 0}};
    struct dlm_ctx *ctx = m->ctx;
    struct dlm_image_plan plan;

    enum dlm_status st = m->family->plan_image(ctx, m, &size, &plan);
    if (st)
        return st;
    const struct dlm_pixel_shape *shape = &plan.pixels;
    struct dlm_npz_array array = {.num_dims = 4,
                                  .shape = {shape->num, 3, shape->height, shape->width}};
    array.data = dlm_alloc_array(ctx, dlm_pixels_len(shape), sizeof(float));
    st = array.data ? dlm_preprocess(ctx, &m->processor, image, shape, array.data)
                    : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_npz_write_f32(ctx, out, "pixel_values", &array);
    dlm_npz_array_finish(&array);
    return st;
}

enum dlm_status dlm_preprocess_image(struct dlm_ctx *ctx,
                                     const struct dlm_preprocess_params *params)
{
    struct dlm_base base = {0};
    struct dlm_model *model = NULL;
    struct dlm_image image = {0};
    enum dlm_status st;

    DLM_REQUIRE(ctx, params->base && params->image && params->out);
    st = dlm_base_resolve_files(ctx, &base, params->base, params->mmproj, NULL);
    if (!st)
        st = dlm_base_read_model(ctx, &model, &base);
    if (!st)
        st = dlm_image_size_choose(model, &base, params->image_size);
    if (!st)
        st = dlm_image_load(ctx, &image, params->image);
    if (!st)
        st = write_pixels(model, &image, params->image, params->out);
done:
    dlm_image_finish(&image);
    dlm_model_destroy(&model);
    dlm_base_finish(&base);
    return st;
}
