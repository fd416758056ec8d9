/* matmul on GPUs: who makes a product, and the kernels with tiles in shared memory. */
#include "ops/matmul_impl.h"
#include "ops/matmul_library.h"

enum { A };

static struct dlm_matmul_tiling choose_tiling(const struct dlm_matmul_params *p)
{
    const bool is_small = p->m <= DLM_MATMUL_SMALL_TILE || p->n <= DLM_MATMUL_SMALL_TILE;
    const uint32_t tile = is_small ? DLM_MATMUL_SMALL_TILE : DLM_MATMUL_TILE;

    return (struct dlm_matmul_tiling){
        .kernel = is_small ? "matmul_small_*" : "matmul_*",
        .tile_m = tile,
        .tile_n = tile,
        .split_unit = 16, /* a slice of k in shared memory; keeps wide loads aligned */
    };
}

enum dlm_status dlm_matmul_lower_gpu(struct dlm_lowering *l)
{
    struct dlm_matmul_params p = dlm_matmul_make_params(l);

    if (dlm_matmul_is_for_library(l, &p))
        return dlm_matmul_lower_library(l, &p);
    if (dlm_matmul_is_for_vec(l, &p))
        return dlm_matmul_lower_vec(l, &p);
    if (dlm_matmul_is_for_mma(l, &p))
        return dlm_matmul_lower_mma(l, &p);
    if (l->caps->bits & DLM_CAP_NO_LOCAL)
        return dlm_matmul_lower_nolocal(l, &p);
    if (l->caps->bits & DLM_CAP_SPECS)
        return dlm_matmul_lower_tile(l, &p);
    const struct dlm_matmul_tiling t = choose_tiling(&p);
    return dlm_matmul_lower_tiles(l, &t, &p, DLM_INPUT(A));
}
