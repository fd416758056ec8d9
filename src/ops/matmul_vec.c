/* matmul on GPUs for few rows, as of one decoded token: kernels whose lanes run along k. */
#include "ops/matmul_impl.h"

enum { A };

bool dlm_matmul_is_for_vec(const struct dlm_lowering *l, const struct dlm_matmul_params *p)
{
    return !(l->caps->bits & DLM_CAP_NO_LOCAL) && p->m <= DLM_MATVEC_ROWS &&
           dlm_matmul_is_a_along_k(p) && dlm_matmul_is_b_along_k(p);
}

/* Every column of b starts at a multiple of 8 elements, 16 bytes or more, and ends at one. */
static bool has_wide_columns(const struct dlm_matmul_params *p)
{
    return (p->b_lead | p->b_stride[0] | p->b_stride[1] | p->b_stride[3] | p->k) % 8 == 0;
}

enum dlm_status dlm_matmul_lower_vec(struct dlm_lowering *l, struct dlm_matmul_params *p)
{
    const struct dlm_matmul_tiling t = {
        .kernel = !has_wide_columns(p) ? "matvec_any_*" : p->m == 1 ? "matvec_*" : "matvec_8_*",
        .tile_m = DLM_MATVEC_ROWS,
        .tile_n = DLM_MATVEC_COLS,
        .split_unit = 512, /* a step of the kernels for several rows */
        .can_fold = true,
    };

    return dlm_matmul_lower_tiles(l, &t, p, DLM_INPUT(A));
}
