/* matmul on GPUs: products by the engine that is chosen, and the kernels with tiles of fixed size
 * in shared memory. */
#include "ops/matmul_library.h"
#include "ops/matmul_tiles.h"

enum { A, B };

static enum dlm_status lower_fixed(struct dlm_lowering *l, struct dlm_matmul_params *p,
                                   enum dlm_matmul_tile tile)
{
    const bool is_small = tile == DLM_MATMUL_TILE_32X32;
    const uint32_t side = is_small ? DLM_MATMUL_SMALL_TILE : DLM_MATMUL_TILE;
    const struct dlm_matmul_tiling t = {
        .kernel = is_small ? "matmul_small_*" : "matmul_*",
        .tile_m = side,
        .tile_n = side,
        .split_unit = 16, /* a slice of k in shared memory; keeps wide loads aligned */
    };

    return dlm_matmul_lower_tiles(l, &t, p, DLM_INPUT(A));
}

uint32_t dlm_matmul_possible_tiles(const struct dlm_lowering *l,
                                   const struct dlm_matmul_params *p)
{
    uint32_t tiles = 1u << DLM_MATMUL_TILE_NOLOCAL | 1u << DLM_MATMUL_TILE_32X32 |
                     1u << DLM_MATMUL_TILE_64X64;

    if (dlm_matmul_is_for_vec(l, p))
        tiles |= 1u << DLM_MATMUL_TILE_VEC;
    if (l->caps->bits & DLM_CAP_SPECS)
        tiles |= 1u << DLM_MATMUL_TILE_128X64;
    for (uint32_t t = DLM_MATMUL_TILE_MMA_32X32; t <= DLM_MATMUL_TILE_MMA_128X128; t++)
        if (dlm_matmul_is_for_mma(l, p, (enum dlm_matmul_tile)t))
            tiles |= 1u << t;
    if (dlm_matmul_is_for_library(l, p))
        tiles |= 1u << DLM_MATMUL_TILE_LIBRARY;
    return tiles;
}

enum dlm_status dlm_matmul_lower_gpu(struct dlm_lowering *l)
{
    struct dlm_matmul_params p = dlm_matmul_make_params(l);

    const enum dlm_matmul_tile tile =
        dlm_matmul_choose_tile(l->caps, &p, l->inputs[B].dtype, dlm_matmul_possible_tiles(l, &p));
    switch (tile) {
    case DLM_MATMUL_TILE_VEC:
        return dlm_matmul_lower_vec(l, &p);
    case DLM_MATMUL_TILE_NOLOCAL:
        return dlm_matmul_lower_nolocal(l, &p);
    case DLM_MATMUL_TILE_32X32:
    case DLM_MATMUL_TILE_64X64:
    case DLM_MATMUL_TILE_128X64:
        return l->caps->bits & DLM_CAP_SPECS ? dlm_matmul_lower_tile(l, &p, tile)
                                             : lower_fixed(l, &p, tile);
    case DLM_MATMUL_TILE_LIBRARY:
        return dlm_matmul_lower_library(l, &p);
    default:
        return dlm_matmul_lower_mma(l, &p, tile);
    }
}
