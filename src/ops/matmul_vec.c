/* matmul on GPUs for few rows, as of one decoded token: kernels whose lanes run along k. */
#include "ops/matmul_impl.h"

enum { A };

bool dlm_matmul_is_for_vec(const struct dlm_lowering *l, const struct dlm_matmul_params *p)
{
    return !(l->caps->bits & DLM_CAP_NO_LOCAL) && p->m <= DLM_MATVEC_ROWS &&
           dlm_matmul_is_a_along_k(p) && dlm_matmul_is_b_along_k(p);
}

enum dlm_status dlm_matmul_lower_vec(struct dlm_lowering *l, struct dlm_matmul_params *p)
{
    const struct dlm_matmul_tiling t = {"matvec_*", DLM_MATVEC_ROWS, DLM_MATVEC_COLS, true};

    return dlm_matmul_lower_tiles(l, &t, p, DLM_INPUT(A));
}
