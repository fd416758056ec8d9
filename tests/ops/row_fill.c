/* Inputs of op rows, made from a seed, and rows as matrix units take them. */
#include "base/rng.h"
#include "harness.h"
#include "tests/quant_form.h"

/* The same numbers, in blocks. */
static void fill_quant(const struct row_input *in, const struct dlm_desc *desc, uint8_t *data,
                       uint64_t seed)
{
    const struct dlm_desc wide = dlm_desc_make(DLM_DTYPE_F32, desc->ndim, desc->shape);
    float *numbers = calloc((size_t)dlm_desc_len(desc), sizeof(*numbers));

    row_fill_host(in, &wide, numbers, seed);
    make_quant_form(desc->dtype, numbers, dlm_desc_len(desc), data);
    free(numbers);
}

void row_fill_host(const struct row_input *in, const struct dlm_desc *desc, void *data,
                   uint64_t seed)
{
    struct dlm_host_tensor t = {*desc, data};
    struct dlm_rng rng;
    double scale = in->scale != 0 ? in->scale : 1;

    if (dlm_dtype_is_quant(desc->dtype)) {
        fill_quant(in, desc, data, seed);
        return;
    }
    dlm_rng_init(&rng, seed, 0);
    for (int64_t i = 0; i < dlm_desc_len(desc); i++) {
        double u = dlm_rng_uniform(&rng), v = dlm_rng_uniform(&rng);
        double normal = sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
        double value = 0;
        switch (in->fill) {
        case FILL_NORMAL:
            value = normal * scale;
            break;
        case FILL_UNIFORM:
            value = u * scale;
            break;
        case FILL_CONST:
            value = in->scale;
            break;
        case FILL_IDS:
            value = floor(u * in->max);
            break;
        case FILL_EXTREME:
            value = (v < 0.5 ? -1 : 1) * (u < 0.2 ? 0 : u < 0.3 ? 1e-40 : pow(10, 60 * v - 30)) *
                    scale;
            break;
        case FILL_DATA_F32:
            value = ((const float *)in->data)[i % in->data_len];
            break;
        case FILL_DATA_I32:
            value = ((const int32_t *)in->data)[i % in->data_len];
            break;
        }
        dlm_host_set_flat(&t, i, value);
    }
}

bool row_is_attention(const struct op_row *row)
{
    return row->op == &dlm_op_attention || row->op == &dlm_op_attention_backward;
}

bool row_has_local_variant(const struct op_row *row)
{
    return row->op == &dlm_op_matmul || row_is_attention(row) || row->op == &dlm_op_cross_entropy ||
           row->op == &dlm_op_select || row->op == &dlm_op_rms_norm ||
           row->op == &dlm_op_rms_norm_backward || row->op == &dlm_op_layer_norm ||
           row->op == &dlm_op_layer_norm_backward;
}

bool row_is_small(const struct op_row *row)
{
    const int64_t max_elems = 100000;
    int64_t elems = 0;

    for (int i = 0; i < row->num_inputs; i++) {
        int64_t len = row->inputs[i].ndim ? 1 : 0;
        for (int d = 0; d < row->inputs[i].ndim; d++)
            len *= row->inputs[i].shape[d];
        elems = DLM_MAX(elems, len);
    }
    return elems <= max_elems;
}

bool row_has_matrix_units(const struct op_row *row, uint32_t caps)
{
    return row_is_attention(row) ? caps & DLM_CAP_MATRIX_ATTENTION
                                 : row->op == &dlm_op_matmul && caps & DLM_CAPS_MATRIX;
}

bool row_has_tile(const struct dlm_device_caps *caps, enum dlm_matmul_tile tile)
{
    const bool is_matrix = tile >= DLM_MATMUL_TILE_MMA_32X32;

    if (is_matrix && !(caps->bits & DLM_CAPS_MATRIX))
        return false;
    if (tile == DLM_MATMUL_TILE_MMA_128X128 && caps->shared_bytes < 48 << 10)
        return false;
    return caps->bits & DLM_CAP_SPECS || tile <= DLM_MATMUL_TILE_64X64 ||
           tile == DLM_MATMUL_TILE_MMA_64X64;
}

struct op_row row_for_matrix_units(struct op_row row)
{
    if (row_is_attention(&row)) {
        row.attrs.attention.round = DLM_DTYPE_BF16;
        row.tolerance = TOL_PRODUCT_16;
    }
    return row;
}
