/* matmul on GPUs without local memory, where barriers and shared tiles are slow: register tiles of
 * a lane, or of a subgroup. */
#include "ops/matmul_impl.h"

enum { A, B };

static bool has_vector_kernels(const struct dlm_lowering *l)
{
    return l->caps->bits & DLM_CAP_VECTOR_TILES;
}

enum dlm_status dlm_matmul_pack_a(struct dlm_lowering *l, struct dlm_matmul_params *p,
                                  struct dlm_operand *packed)
{
    struct dlm_matmul_params pack = *p;

    /* an operand that repeats is stored once */
    pack.batch0 = p->a_stride[0] ? p->batch0 : 1;
    pack.batch1 = p->a_stride[1] ? p->batch1 : 1;
    pack.splits = 1;
    pack.flags &= DLM_MATMUL_A_BF16 | DLM_MATMUL_A_F16;
    const size_t rows = (size_t)pack.batch0 * pack.batch1 * p->m;
    const size_t runs = (p->k + DLM_MATMUL_PACK_RUN - 1) / DLM_MATMUL_PACK_RUN;
    p->a_lead = 0;
    p->a_stride[0] = p->a_stride[0] ? pack.batch1 * p->m * p->k : 0;
    p->a_stride[1] = p->a_stride[1] ? p->m * p->k : 0;
    p->a_stride[2] = p->k;
    p->a_stride[3] = 1;
    p->flags &= ~(DLM_MATMUL_A_BF16 | DLM_MATMUL_A_F16);
    *packed = dlm_lower_temp(l, rows * p->k * sizeof(float));
    struct dlm_kernel_call call = {
        .kernel = "matmul_pack",
        .args = {DLM_INPUT(A), *packed},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {(uint32_t)((rows * runs + 63) / 64)},
    };
    return dlm_lower_call(l, &call, &pack, sizeof(pack));
}

static struct dlm_matmul_tiling choose_tiling(const struct dlm_lowering *l,
                                              const struct dlm_matmul_params *p)
{
    const uint32_t lanes_n = DLM_MATMUL_ANY_LANES_N(p->m, p->n);

    if (has_vector_kernels(l) && dlm_matmul_is_a_along_k(p) && dlm_matmul_is_b_along_k(p))
        return (struct dlm_matmul_tiling){"matmul_k_*_nolocal", DLM_MATMUL_TILE_K,
                                          DLM_MATMUL_TILE_K, false};
    if (has_vector_kernels(l) && dlm_matmul_is_b_along_n(p))
        return (struct dlm_matmul_tiling){"matmul_n_*_nolocal", DLM_MATMUL_TILE_NM,
                                          DLM_MATMUL_TILE_NN, false};
    return (struct dlm_matmul_tiling){"matmul_*_nolocal", DLM_MATMUL_ANY_PER * (64u / lanes_n),
                                      DLM_MATMUL_ANY_PER * lanes_n, false};
}

/* The kernel whose subgroups share loads, four elements each; .kernel NULL: an operand does not lie
 * so, or the device has no subgroups. */
static struct dlm_matmul_tiling choose_subgroup(const struct dlm_lowering *l,
                                                const struct dlm_matmul_params *p)
{
    const uint32_t a = p->a_lead | p->a_stride[0] | p->a_stride[1];
    const uint32_t b = p->b_lead | p->b_stride[0] | p->b_stride[1];
    const bool rounds = p->flags & (DLM_MATMUL_A_BF16 | DLM_MATMUL_A_F16);
    const bool a_along_k = dlm_matmul_is_a_along_k(p) && (a | p->a_stride[2]) % 4 == 0;
    const bool a_along_m = p->a_stride[2] == 1 && (a | p->a_stride[3] | p->m) % 4 == 0;
    const bool b_along_k = dlm_matmul_is_b_along_k(p) && (b | p->b_stride[3]) % 4 == 0;
    const bool b_along_n = dlm_matmul_is_b_along_n(p) && (b | p->b_stride[2] | p->n) % 4 == 0;
    struct dlm_matmul_tiling t = {.tile_m = DLM_MATMUL_SUBGROUP_TILE_M(p->m),
                                  .tile_n = DLM_MATMUL_SUBGROUP_TILE_N(p->m),
                                  .split_unit = 8};

    if (!(l->caps->bits & DLM_CAP_SUBGROUP))
        return t;
    if (a_along_k && p->k % 8 == 0 && (b_along_k || b_along_n))
        t.kernel = b_along_k ? "matmul_kk_*_subgroup" : "matmul_kn_*_subgroup";
    else if (a_along_m && b_along_n && l->inputs[B].dtype == DLM_DTYPE_F32 && !rounds)
        t.kernel = "matmul_mn_*_subgroup";
    return t;
}

enum dlm_status dlm_matmul_lower_nolocal(struct dlm_lowering *l, struct dlm_matmul_params *p)
{
    struct dlm_operand a = DLM_INPUT(A);
    enum dlm_status st = DLM_OK;

    const struct dlm_matmul_tiling shared = choose_subgroup(l, p);
    if (shared.kernel)
        return dlm_matmul_lower_tiles(l, &shared, p, a);
    /* an element of a is read too often to be rounded each time */
    if (p->flags & (DLM_MATMUL_A_BF16 | DLM_MATMUL_A_F16) ||
        (has_vector_kernels(l) && dlm_matmul_is_b_along_k(p) && !dlm_matmul_is_b_along_n(p) &&
         !dlm_matmul_is_a_along_k(p)))
        st = dlm_matmul_pack_a(l, p, &a);
    if (st)
        return st;
    const struct dlm_matmul_tiling t = choose_tiling(l, p);
    return dlm_matmul_lower_tiles(l, &t, p, a);
}
