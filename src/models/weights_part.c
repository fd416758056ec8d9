/* The tensors of a file that a weight is made of: which, where, and their elements as f32. */
#include "gguf/blocks.h"
#include "models/weights_impl.h"

const struct dlm_weight_part *dlm_weight_find_part(const struct dlm_weight *w, int64_t at)
{
    const struct dlm_weight_part *part = w->parts;

    while (at >= part->begin + part->len)
        part++;
    return part;
}

enum dlm_dtype dlm_weight_part_saved(const struct dlm_weight_part *part)
{
    if (part->bnb)
        return part->bnb->view.dtype;
    return part->source && dlm_dtype_is_quant(part->source->dtype) ? part->source->dtype
                                                                   : DLM_DTYPE_F32;
}

/* The file's row that is row `row` here, where the halves of each `head` rows are interleaved. */
static int64_t file_row(int64_t row, int64_t head)
{
    const int64_t in = row % head, half = head / 2;

    return row - in + (in < half ? 2 * in : 2 * (in - half) + 1);
}

const uint8_t *dlm_weight_part_source(const struct dlm_weight_part *part, int64_t at)
{
    const struct dlm_tensor_info *t = part->source;
    int64_t element = at - part->begin;

    if (!t->form)
        return t->data + dlm_dtype_size(t->dtype, element);
    const int64_t cols = part->len / t->shape[0], row = element / cols;
    const int64_t lies = t->form->head_rows ? file_row(row, t->form->head_rows) : row;
    const size_t row_bytes = t->bytes / (size_t)t->shape[0];
    const uint8_t *begin = t->data + (size_t)lies * row_bytes;
    return t->form->block_type < 0 ? begin + dlm_dtype_size(t->dtype, element % cols) : begin;
}

int64_t dlm_weight_part_run(const struct dlm_weight_part *part, int64_t at, int64_t len)
{
    const struct dlm_tensor_info *t = part->source;

    if (!t || !t->form || !t->form->head_rows)
        return len;
    const int64_t cols = part->len / t->shape[0];
    return DLM_MIN(cols - (at - part->begin) % cols, len);
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

/* Elements that lie one behind the other in the file. */
static bool run_to_f32(const struct dlm_weight_part *part, int64_t at, int64_t len, float *out)
{
    const struct dlm_tensor_info *t = part->source;
    const uint8_t *data = dlm_weight_part_source(part, at);

    if (!t->form || t->form->block_type < 0)
        return dlm_dtype_to_f32(t->dtype, data, out, (size_t)len);
    dlm_ggml_dequantize((enum dlm_ggml_type)t->form->block_type, data, len, out);
    return true;
}

bool dlm_weight_part_to_f32(const struct dlm_weight *w, const struct dlm_weight_part *part,
                            int64_t at, int64_t len, float *out)
{
    bool ok = true;

    if (!part->source) { /* any 32 bits will do */
        fill_random(out, (size_t)len, (uint32_t)(at / w->cols * 7919 + w->rows));
        return true;
    }
    if (part->bnb) {
        dlm_quant_view_to_f32(&part->bnb->view, at - part->begin, len, out);
        return true;
    }
    for (int64_t i = 0, n; ok && i < len; i += n) {
        n = dlm_weight_part_run(part, at + i, len - i);
        ok = run_to_f32(part, at + i, n, out + i);
    }
    return ok;
}
