/* matmul in register tiles of f32 on GPUs whose kernels take constants: how operands are loaded, by
 * how they lie. */
#include "ops/matmul_impl.h"

enum { A, B };

/* A work-group's tile, and what of it a lane makes. */
struct tile {
    uint32_t m, n, lane_m, lane_n;
};

static const struct tile tiles[DLM_MATMUL_TILE_COUNT] = {
    [DLM_MATMUL_TILE_32X32] = {32, 32, 4, 4},
    [DLM_MATMUL_TILE_64X64] = {64, 64, 8, 4},
    [DLM_MATMUL_TILE_128X64] = {128, 64, 8, 8},
};

/* Along k, or along rows of a (columns of b): where 8 elements are contiguous and all begin at
 * multiples of 8. Else none. */
static uint32_t find_along(uint32_t lead, const uint32_t stride[4], int k_dim, int row_dim,
                           uint32_t k, uint32_t rows)
{
    const uint32_t batch = lead | stride[0] | stride[1];

    if (stride[k_dim] == 1 && !((batch | stride[row_dim] | k) % 8))
        return DLM_MATMUL_ALONG_K;
    if (stride[row_dim] == 1 && !((batch | stride[k_dim] | rows) % 8))
        return DLM_MATMUL_ALONG_ROWS;
    return DLM_MATMUL_ALONG_NONE;
}

enum dlm_status dlm_matmul_lower_tile(struct dlm_lowering *l, struct dlm_matmul_params *p,
                                      enum dlm_matmul_tile tile)
{
    const struct tile *t = &tiles[tile];
    const struct dlm_matmul_tiling tiling = {
        .kernel = "matmul_tile_*",
        .tile_m = t->m,
        .tile_n = t->n,
        .split_unit = DLM_MATMUL_TILE_SLICE,
        .specs = {t->m / t->lane_m * (t->n / t->lane_n), t->m, t->n, t->lane_m, t->lane_n,
                  find_along(p->a_lead, p->a_stride, 3, 2, p->k, p->m),
                  find_along(p->b_lead, p->b_stride, 2, 3, p->k, p->n)},
        .num_specs = 7,
    };

    return dlm_matmul_lower_tiles(l, &tiling, p, DLM_INPUT(A));
}
