/* Choosing how large images are made. */
#include "api/image_size.h"

#include "base/log.h"

/* The family's one size. */
static enum dlm_status check_fixed(const struct dlm_model *m, const struct dlm_base *base,
                                   int64_t asked)
{
    const struct dlm_processor *p = &m->processor;

    if (asked <= 0 || (asked == p->height && asked == p->width))
        return DLM_OK;
    return dlm_fail(m->ctx, DLM_ERR_INVALID, "cannot make images %lld x %lld: '%s' takes images of "
                    "%d x %d alone", (long long)asked, (long long)asked, base->key, p->width,
                    p->height);
}

static enum dlm_status check_side(const struct dlm_model *m, const struct dlm_base *base,
                                  int64_t asked)
{
    const bool is_longest = m->processor.size_rule == DLM_SIZE_LONGEST;
    const int64_t step = is_longest ? 1 : (int64_t)m->processor.patch * m->processor.merge;

    if (asked >= step && asked <= DLM_PROCESSOR_MAX_SIZE && asked % step == 0)
        return DLM_OK;
    if (is_longest)
        return dlm_fail(m->ctx, DLM_ERR_INVALID, "cannot make images of at most %lld pixels a "
                        "side: '%s' takes up to %d", (long long)asked, base->key,
                        DLM_PROCESSOR_MAX_SIZE);
    return dlm_fail(m->ctx, DLM_ERR_INVALID, "cannot make images %lld x %lld: sides of '%s' are "
                    "multiples of %lld, up to %d", (long long)asked, (long long)asked, base->key,
                    (long long)step, DLM_PROCESSOR_MAX_SIZE);
}

enum dlm_status dlm_image_size_choose(struct dlm_model *m, const struct dlm_base *base,
                                      int64_t asked)
{
    struct dlm_processor *p = &m->processor;
    int64_t side = p->pinned;
    enum dlm_status st = DLM_OK;

    if (p->size_rule == DLM_SIZE_FIXED)
        return check_fixed(m, base, asked);
    if (!side && p->size_rule == DLM_SIZE_AREA && base->row)
        side = base->row->target_height;
    if (asked == DLM_IMAGE_SIZE_PINNED && !side) {
        st = dlm_fail(m->ctx, DLM_ERR_INVALID, "'%s' has no pinned image size", base->key);
        dlm_log(m->ctx, DLM_LOG_HINT, "name one in pixels, or 'native'");
        return st;
    }
    if (asked == DLM_IMAGE_SIZE_NATIVE) {
        side = 0;
    } else if (asked > 0) {
        st = check_side(m, base, asked);
        side = asked;
    }
    p->pinned = (int)side; /* at most DLM_PROCESSOR_MAX_SIZE */
    m->tower.max_patches = dlm_processor_max_patches(p);
    return st;
}

int64_t dlm_image_size_of(const struct dlm_model *m)
{
    if (m->processor.size_rule == DLM_SIZE_FIXED)
        return DLM_IMAGE_SIZE_BASE;
    return m->processor.pinned ? m->processor.pinned : DLM_IMAGE_SIZE_NATIVE;
}
