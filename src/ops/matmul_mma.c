/* matmul by matrix units (DLM_CAP_MATRIX_*): operands of 16 bits, sums of f32. a is rounded and
 * padded once, then tiles are made of whole fragments. */
#include "ops/matmul_impl.h"

enum { A, B };

/* A work-group's tile, and what of it a subgroup makes. */
struct tile {
    uint32_t m, n, sub_m, sub_n;
};

static const struct tile tiles[DLM_MATMUL_TILE_COUNT] = {
    [DLM_MATMUL_TILE_MMA_32X32] = {32, 32, 16, 16},
    [DLM_MATMUL_TILE_MMA_64X64] = {64, 64, 32, 32},
    [DLM_MATMUL_TILE_MMA_128X128] = {128, 128, 32, 64},
};

/* Two slices of both operands, rows 16 bytes apart from whole ones, and a fragment a subgroup. */
static size_t shared_bytes(const struct tile *t)
{
    const size_t row = DLM_MATMUL_MMA_SLICE * 2 + 16, fragment = 16 * 16 * 4;

    return 2 * (t->m + t->n) * row + t->m / t->sub_m * (t->n / t->sub_n) * fragment;
}

/* Rows or columns of b are contiguous, and 16 bytes of them are 16 bytes in memory. */
static bool is_b_in_chunks(const struct dlm_matmul_params *p)
{
    const uint32_t all = p->b_lead | p->b_stride[0] | p->b_stride[1];

    if (p->b_stride[2] == 1)
        return !((all | p->b_stride[3] | p->k) % 8);
    return p->b_stride[3] == 1 && !((all | p->b_stride[2] | p->n) % 8);
}

/* Units of f16 do bf16, too, where there are none of bf16. */
static bool has_units(const struct dlm_lowering *l, enum dlm_dtype type)
{
    const uint32_t f16 = DLM_CAP_MATRIX_F16, bf16 = DLM_CAP_MATRIX_BF16;

    return l->caps->bits & (type == DLM_DTYPE_F16 ? f16 : f16 | bf16);
}

static bool is_scaled(const struct dlm_lowering *l)
{
    return l->inputs[B].dtype == DLM_DTYPE_BF16 && !(l->caps->bits & DLM_CAP_MATRIX_BF16);
}

bool dlm_matmul_is_for_mma(const struct dlm_lowering *l, const struct dlm_matmul_params *p,
                           enum dlm_matmul_tile tile)
{
    const enum dlm_dtype round = l->attrs->matmul.round, type = l->inputs[B].dtype;

    return (type == DLM_DTYPE_F16 || type == DLM_DTYPE_BF16) && round == type &&
           has_units(l, type) && p->k >= DLM_MATMUL_MMA_SLICE && is_b_in_chunks(p) &&
           (l->caps->bits & DLM_CAP_SPECS || tile == DLM_MATMUL_TILE_MMA_64X64) &&
           shared_bytes(&tiles[tile]) <= l->caps->shared_bytes;
}

/* a as a contiguous temporary of the units' type: whole slices of k, whole tiles of m, zeros past
 * both; where it is scaled, with the scales of its rows. */
static enum dlm_status pack(struct dlm_lowering *l, const struct tile *t,
                            struct dlm_matmul_params *p, struct dlm_operand *packed,
                            struct dlm_operand *scales)
{
    const uint32_t slice = DLM_MATMUL_MMA_SLICE;
    struct dlm_matmul_pack_params pack = {
        .m = p->m,
        .k = p->k,
        .batch0 = p->a_stride[0] ? p->batch0 : 1, /* what repeats is stored once */
        .batch1 = p->a_stride[1] ? p->batch1 : 1,
        .a_lead = p->a_lead,
        .rows = (p->m + t->m - 1) / t->m * t->m,
        .cols = (p->k + slice - 1) / slice * slice,
    };
    const uint64_t matrix = (uint64_t)pack.rows * pack.cols;
    const uint64_t rows = (uint64_t)pack.rows * pack.batch0 * pack.batch1;
    const uint64_t len = rows * pack.cols;

    if (len > UINT32_MAX)
        return dlm_lower_unsupported(l, "packed operand of that size");
    memcpy(pack.a_stride, p->a_stride, sizeof(pack.a_stride));
    p->a_lead = 0;
    p->a_stride[0] = p->a_stride[0] ? pack.batch1 * (uint32_t)matrix : 0;
    p->a_stride[1] = p->a_stride[1] ? (uint32_t)matrix : 0;
    p->a_stride[2] = pack.cols;
    p->a_stride[3] = 1;
    *packed = dlm_lower_temp(l, (size_t)len * 2);
    struct dlm_kernel_call call = {
        .kernel = "matmul_mma_pack_bf16_f16",
        .args = {DLM_INPUT(A), *packed},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {(uint32_t)((len / 8 + 63) / 64)},
    };
    if (is_scaled(l)) {
        *scales = dlm_lower_temp(l, (size_t)rows * 4);
        call.args[call.num_args] = *scales;
        call.writes |= 1u << call.num_args++;
        call.groups[0] = (uint32_t)rows;
    } else {
        dlm_kernel_for(&call, "matmul_mma_pack_*", &l->inputs[B].dtype);
    }
    return dlm_lower_call(l, &call, &pack, sizeof(pack));
}

/* The largest magnitudes of parts of b. */
static enum dlm_status find_maxima(struct dlm_lowering *l, const struct dlm_matmul_params *p,
                                   struct dlm_operand *maxima)
{
    const bool is_along_k = p->b_stride[2] == 1;
    const struct dlm_matmul_max_params max = {
        .batch0 = p->b_stride[0] ? p->batch0 : 1,
        .batch1 = p->b_stride[1] ? p->batch1 : 1,
        .rows = is_along_k ? p->n : p->k,
        .chunks = (is_along_k ? p->k : p->n) / 8,
        .b_lead = p->b_lead,
        .b_stride = {p->b_stride[0], p->b_stride[1], p->b_stride[is_along_k ? 3 : 2]},
    };

    *maxima = dlm_lower_temp(l, DLM_MATMUL_MMA_MAXIMA * 4);
    const struct dlm_kernel_call call = {
        .kernel = "matmul_mma_max",
        .args = {DLM_INPUT(B), *maxima},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {DLM_MATMUL_MMA_MAXIMA},
        .work = (uint64_t)max.batch0 * max.batch1 * max.rows * max.chunks * 8,
    };
    return dlm_lower_call(l, &call, &max, sizeof(max));
}

enum dlm_status dlm_matmul_lower_mma(struct dlm_lowering *l, struct dlm_matmul_params *p,
                                     enum dlm_matmul_tile tile)
{
    const struct tile *t = &tiles[tile];
    struct dlm_matmul_tiling tiling = {
        .kernel = is_scaled(l) ? "matmul_mma_*_f16" : "matmul_mma_*",
        .tile_m = t->m,
        .tile_n = t->n,
        .split_unit = DLM_MATMUL_MMA_SLICE,
        .specs = {t->m, t->n, t->sub_m, t->sub_n, p->b_stride[2] == 1 ? 0 : 1},
        .num_specs = 5,
        .subgroups = t->m / t->sub_m * (t->n / t->sub_n),
    };
    struct dlm_operand packed;

    enum dlm_status st = pack(l, t, p, &packed, &tiling.more[0]);
    if (!st && is_scaled(l)) {
        tiling.num_more = 2;
        st = find_maxima(l, p, &tiling.more[1]);
    }
    return st ? st : dlm_matmul_lower_tiles(l, &tiling, p, packed);
}
