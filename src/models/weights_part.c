/* The tensors of a file that a weight is made of: which, where, and their elements as f32. */
#include "models/weights_impl.h"

const struct dlm_weight_part *dlm_weight_find_part(const struct dlm_weight *w, int64_t at)
{
    const struct dlm_weight_part *part = w->parts;

    while (at >= part->begin + part->len)
        part++;
    return part;
}

const uint8_t *dlm_weight_part_source(const struct dlm_weight_part *part, int64_t at)
{
    return part->source->data + dlm_dtype_size(part->source->dtype, at - part->begin);
}

/* Numbers of no meaning and a weight's size: uniform in +-0.025, a cheap hash of the place. */
static void fill_random(float *out, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        uint32_t h = ((uint32_t)i + seed) * 0x9e3779b9u;
        h = (h ^ h >> 15) * 0x85ebca6bu;
        out[i] = (float)(int32_t)(h ^ h >> 13) * 0x1p-31f * 0.025f;
    }
}

bool dlm_weight_part_to_f32(const struct dlm_weight *w, const struct dlm_weight_part *part,
                            int64_t at, int64_t len, float *out)
{
    if (!part->source) /* any 32 bits will do */
        fill_random(out, (size_t)len, (uint32_t)(at / w->cols * 7919 + w->rows));
    else if (part->bnb)
        dlm_quant_view_to_f32(&part->bnb->view, at - part->begin, len, out);
    else
        return dlm_dtype_to_f32(part->source->dtype, dlm_weight_part_source(part, at), out,
                                (size_t)len);
    return true;
}
