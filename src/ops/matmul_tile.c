/* matmul in register tiles of f32 on GPUs whose kernels take constants: the tile by shape, and how
 * operands are loaded by how they lie. */
#include "ops/matmul_impl.h"

enum { A, B };

/* A work-group's tile, and what of it a lane makes. */
struct tile {
    uint32_t m, n, lane_m, lane_n;
};

static const struct tile tiles[] = {
    {128, 64, 8, 8},
    {64, 64, 8, 4},
    {32, 32, 4, 4},
};

static uint64_t count_tiles(const struct dlm_matmul_params *p, const struct tile *t)
{
    return ((uint64_t)p->m + t->m - 1) / t->m * (((uint64_t)p->n + t->n - 1) / t->n) *
           p->batch0 * p->batch1;
}

/* The largest tile that the result fills, and of which there are enough for all compute units. */
static const struct tile *choose_tile(const struct dlm_lowering *l,
                                      const struct dlm_matmul_params *p)
{
    const struct tile *small = &tiles[DLM_ARRAY_LEN(tiles) - 1];

    for (const struct tile *t = tiles; t < small; t++) {
        if (p->m > t->m / 2 && p->n > t->n / 2 && count_tiles(p, t) >= l->caps->num_units)
            return t;
    }
    return p->m > small->m && p->n > small->n ? small - 1 : small;
}

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

enum dlm_status dlm_matmul_lower_tile(struct dlm_lowering *l, struct dlm_matmul_params *p)
{
    const struct tile *t = choose_tile(l, p);
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
