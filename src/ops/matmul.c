/* Matrix product with everything that belongs to a linear layer:
 *
 *     out[.., m, n] = alpha sum_k round(a[.., m, k]) b[.., k, n]  (+ c[.., m, n]) (+ bias[n])
 *
 * a f32 [.., M, K]; b f32|f16|bf16 [.., K, N], both with any strides: a transpose is a view, so the
 * weight of torch.nn.Linear, W [N, K], enters as its transposed view. Up to two batch dimensions
 * broadcast. c f32 [.., M, N] with contiguous columns and bias f32 [N] are optional. round is the
 * precision policy's operand type for a (attrs.round); sums are f32. Agrees with torch.matmul and
 * torch.nn.functional.linear.
 *
 * A weight in panel form is 2-d: a view of it is either W^T (forward) or W (backward). */
#include "kernels/matmul_general.h"
#include "ops/broadcast.h"
#include "ops/copy.h"
#include "ops/matmul_library.h"

enum { A, B, C, BIAS };

/* d seen as [batch0, batch1, rows, cols]. */
static void as_4d(const struct dlm_desc *d, int64_t shape[4], uint32_t stride[4])
{
    for (int i = 0; i < 4; i++) {
        int from = i - (4 - d->ndim);
        shape[i] = from < 0 ? 1 : d->shape[from];
        stride[i] = from < 0 || d->shape[from] == 1 ? 0 : (uint32_t)d->stride[from];
    }
    /* rows and columns keep their stride even when there is one: kernels test it */
    for (int i = 2; i < 4 && d->ndim >= 2; i++)
        stride[i] = (uint32_t)d->stride[i - (4 - d->ndim)];
}

static enum dlm_status infer_addends(struct dlm_ctx *ctx, const struct dlm_desc *in,
                                     const struct dlm_desc *out)
{
    const struct dlm_desc *c = &in[C], *bias = &in[BIAS];

    if (!dlm_desc_is_absent(c) && (c->dtype != DLM_DTYPE_F32 || !dlm_desc_same_shape(c, out) ||
                                   (c->stride[c->ndim - 1] != 1 && c->shape[c->ndim - 1] != 1)))
        return dlm_infer_fail(ctx, "matmul", "c must be f32 with the result's shape", c);
    if (!dlm_desc_is_absent(bias) && (bias->dtype != DLM_DTYPE_F32 || bias->ndim != 1 ||
                                      bias->shape[0] != out->shape[out->ndim - 1] ||
                                      !dlm_desc_is_contiguous(bias)))
        return dlm_infer_fail(ctx, "matmul", "bias must be f32 [N]", bias);
    return DLM_OK;
}

static enum dlm_status matmul_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                    const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    int64_t a[4], b[4], shape[4];
    uint32_t unused[4];

    if (in[A].dtype != DLM_DTYPE_F32 || in[A].ndim < 2 || in[A].ndim > 4 ||
        in[A].layout != DLM_LAYOUT_STRIDED)
        return dlm_infer_fail(ctx, "matmul", "a must be f32 with two to four dimensions", &in[A]);
    if (!dlm_dtype_is_float(in[B].dtype) || in[B].ndim < 2 || in[B].ndim > 4)
        return dlm_infer_fail(ctx, "matmul", "b must be f32, f16 or bf16, two to four dimensions",
                              &in[B]);
    as_4d(&in[A], a, unused);
    as_4d(&in[B], b, unused);
    if (a[3] != b[2])
        return dlm_infer_fail(ctx, "matmul", "b must have as many rows as a has columns", &in[B]);
    for (int i = 0; i < 2; i++) {
        if (a[i] != b[i] && a[i] != 1 && b[i] != 1)
            return dlm_infer_fail(ctx, "matmul", "the batch dimensions must broadcast", &in[B]);
        shape[i] = DLM_MAX(a[i], b[i]);
    }
    shape[2] = a[2];
    shape[3] = b[3];
    int ndim = DLM_MAX(in[A].ndim, in[B].ndim);
    out[0] = dlm_desc_make(DLM_DTYPE_F32, ndim, shape + 4 - ndim);
    return infer_addends(ctx, in, &out[0]);
}

static double rounded(double x, enum dlm_dtype round)
{
    float f = (float)x;

    if (round == DLM_DTYPE_BF16)
        return dlm_bf16_to_f32(dlm_f32_to_bf16(f));
    return round == DLM_DTYPE_F16 ? dlm_f16_to_f32(dlm_f32_to_f16(f)) : x;
}

static double alpha_of(const union dlm_attrs *attrs)
{
    return attrs->matmul.alpha != 0 ? attrs->matmul.alpha : 1;
}

static void matmul_reference(const struct dlm_reference_call *call)
{
    struct dlm_host_tensor a = call->inputs[A], b = call->inputs[B];
    const struct dlm_host_tensor *c = &call->inputs[C], *bias = &call->inputs[BIAS];
    const struct dlm_desc *out = &call->outputs[0].desc;
    const int64_t k_len = dlm_desc_cols(&a.desc), n_len = dlm_desc_cols(out);
    const int64_t m_len = out->shape[out->ndim - 2];
    struct dlm_desc a_to = *out, b_to = *out;

    a_to.shape[out->ndim - 1] = k_len;
    b_to.shape[out->ndim - 2] = k_len;
    dlm_host_expand(&a, &a_to);
    dlm_host_expand(&b, &b_to);
    for (int64_t i = 0; i < dlm_desc_len(out); i++) {
        int64_t batch = i / (m_len * n_len), m = i / n_len % m_len, n = i % n_len;
        double sum = 0;
        for (int64_t k = 0; k < k_len; k++)
            sum += rounded(dlm_host_get_flat(&a, (batch * m_len + m) * k_len + k),
                           call->attrs->matmul.round) *
                   dlm_host_get_flat(&b, (batch * k_len + k) * n_len + n);
        sum *= alpha_of(call->attrs);
        if (!dlm_desc_is_absent(&c->desc))
            sum += dlm_host_get_flat(c, i);
        if (!dlm_desc_is_absent(&bias->desc))
            sum += dlm_host_get_flat(bias, n);
        dlm_host_set_flat(&call->outputs[0], i, sum);
    }
}

static bool has_c(const struct dlm_lowering *l)
{
    return !dlm_desc_is_absent(&l->inputs[C]);
}

static bool has_bias(const struct dlm_lowering *l)
{
    return !dlm_desc_is_absent(&l->inputs[BIAS]);
}

static uint32_t addend_flags(const struct dlm_lowering *l)
{
    return (has_c(l) ? DLM_MATMUL_HAS_C : 0) | (has_bias(l) ? DLM_MATMUL_HAS_BIAS : 0);
}

/* Bindings a, b, out, then c and bias where there are: the CPU kernels' order. */
static void bind_addends(const struct dlm_lowering *l, struct dlm_kernel_call *call)
{
    if (has_c(l))
        call->args[call->num_args++] = DLM_INPUT(C);
    if (has_bias(l))
        call->args[call->num_args++] = DLM_INPUT(BIAS);
}

/* How a product with a packed weight is computed. */
enum panel_engine { ENGINE_F32, ENGINE_AVX512_BF16, ENGINE_AMX_BF16, NUM_ENGINES };

static enum panel_engine choose_engine(const struct dlm_lowering *l, bool is_vec)
{
    if (is_vec || l->inputs[B].dtype != DLM_DTYPE_BF16 ||
        l->attrs->matmul.round != DLM_DTYPE_BF16)
        return ENGINE_F32;
    if (l->caps->bits & DLM_CAP_AMX_BF16)
        return ENGINE_AMX_BF16;
    return l->caps->bits & DLM_CAP_AVX512_BF16 ? ENGINE_AVX512_BF16 : ENGINE_F32;
}

/* x rounded and laid out once, as the panel kernels like it best. */
static enum dlm_status round_rows(struct dlm_lowering *l, struct dlm_matmul_panel_params p,
                                  uint32_t depth, bool is_bf16, struct dlm_operand *rows)
{
    const size_t elem_bytes = is_bf16 ? 2 : 4;

    *rows = dlm_lower_temp(l, dlm_matmul_round_bytes(p.m, depth, elem_bytes));
    p.k = depth;
    p.flags = is_bf16 ? 0 : DLM_MATMUL_ROUND_F32;
    struct dlm_kernel_call call = {
        .kernel = "matmul_panel_round",
        .args = {DLM_INPUT(A), *rows},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {dlm_matmul_round_items(&p)},
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static uint32_t panel_round(enum dlm_dtype round)
{
    if (round == DLM_DTYPE_BF16)
        return DLM_MATMUL_ROUND_BF16;
    return round == DLM_DTYPE_F16 ? DLM_MATMUL_ROUND_F16 : DLM_MATMUL_ROUND_NONE;
}

static enum dlm_status lower_panel(struct dlm_lowering *l)
{
    static const char *const fwd[NUM_ENGINES] = {
        "matmul_panel_fwd_*", "matmul_panel_fwd_*_avx512bf16", "matmul_panel_fwd_*_amx"};
    static const char *const bwd[NUM_ENGINES] = {
        "matmul_panel_bwd_*", "matmul_panel_bwd_*_avx512bf16", "matmul_panel_bwd_*_amx"};
    const struct dlm_desc *a = &l->inputs[A], *b = &l->inputs[B], *out = &l->outputs[0];
    const bool is_bwd = b->stride[1] == 1 && b->stride[0] != 1;

    if (a->ndim != 2 || (a->stride[1] != 1 && a->shape[1] != 1))
        return dlm_lower_unsupported(l, "packed weight with a batched or transposed operand");
    struct dlm_matmul_panel_params p = {
        .m = (uint32_t)a->shape[0],
        .n = (uint32_t)b->shape[is_bwd ? 0 : 1],
        .k = (uint32_t)b->shape[is_bwd ? 1 : 0],
        .x_stride = (uint32_t)a->stride[0],
        .y_stride = (uint32_t)out->stride[0],
        .c_stride = has_c(l) ? (uint32_t)l->inputs[C].stride[0] : 0,
        .flags = addend_flags(l),
        .round_x = panel_round(l->attrs->matmul.round),
        .alpha = (float)alpha_of(l->attrs),
    };
    const bool is_vec = !is_bwd && p.m <= DLM_MATMUL_VEC_ROWS;
    const enum panel_engine engine = choose_engine(l, is_vec);
    struct dlm_operand x = DLM_INPUT(A);
    enum dlm_status st = DLM_OK;
    if (!is_vec)
        st = round_rows(l, p, is_bwd ? p.n : p.k, engine != ENGINE_F32, &x);
    if (st)
        return st;
    struct dlm_kernel_call call = {
        .args = {x, DLM_INPUT(B), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {is_vec ? dlm_matmul_vec_items(&p) : dlm_matmul_panel_items(&p, is_bwd)},
        .work = (uint64_t)p.m * p.n * p.k,
        .scratch_bytes =
            is_vec ? dlm_matmul_vec_scratch(&p) : dlm_matmul_panel_scratch(&p, is_bwd),
    };
    dlm_kernel_for(&call, is_vec ? "matmul_panel_vec_*" : is_bwd ? bwd[engine] : fwd[engine],
                   &b->dtype);
    bind_addends(l, &call);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

/* Strides of the operands for the kernels with any strides. */
static struct dlm_matmul_params make_params(const struct dlm_lowering *l)
{
    int64_t a[4], b[4], out[4], c[4];
    uint32_t out_stride[4];
    struct dlm_matmul_params p = {
        .alpha = (float)alpha_of(l->attrs),
        .flags = addend_flags(l) |
                 (l->attrs->matmul.round == DLM_DTYPE_BF16 ? DLM_MATMUL_A_BF16 : 0) |
                 (l->attrs->matmul.round == DLM_DTYPE_F16 ? DLM_MATMUL_A_F16 : 0),
        .a_lead = (uint32_t)l->inputs[A].lead,
        .b_lead = (uint32_t)l->inputs[B].lead,
        .out_lead = (uint32_t)l->outputs[0].lead,
    };

    as_4d(&l->inputs[A], a, p.a_stride);
    as_4d(&l->inputs[B], b, p.b_stride);
    as_4d(&l->outputs[0], out, out_stride);
    memcpy(p.out_stride, out_stride, sizeof(p.out_stride));
    if (has_c(l)) {
        as_4d(&l->inputs[C], c, p.c_stride);
        p.c_lead = (uint32_t)l->inputs[C].lead;
    }
    p.batch0 = (uint32_t)out[0];
    p.batch1 = (uint32_t)out[1];
    p.m = (uint32_t)out[2];
    p.n = (uint32_t)out[3];
    p.k = (uint32_t)a[3];
    return p;
}

static uint64_t product_work(const struct dlm_matmul_params *p)
{
    return (uint64_t)p->batch0 * p->batch1 * p->m * p->n * p->k;
}

/* a rounded to 16 bit and widened again, as a contiguous temporary: for the kernel with any
 * strides, which has no rounding of its own because weights are packed wherever it exists. */
static enum dlm_status round_operand(struct dlm_lowering *l, struct dlm_operand *rounded_a)
{
    const struct dlm_desc *a = &l->inputs[A];
    const struct dlm_desc narrow = dlm_desc_make(l->attrs->matmul.round, a->ndim, a->shape);
    const struct dlm_desc wide = dlm_desc_make(DLM_DTYPE_F32, a->ndim, a->shape);
    const int64_t len = dlm_desc_len(a);
    const struct dlm_operand half = dlm_lower_temp(l, dlm_dtype_size(narrow.dtype, len) + 4);

    *rounded_a = dlm_lower_temp(l, dlm_dtype_size(wide.dtype, len));
    enum dlm_status st = dlm_lower_copy(l, a, DLM_INPUT(A), &narrow, half);
    return st ? st : dlm_lower_copy(l, &narrow, half, &wide, *rounded_a);
}

/* The CPU's kernel for any strides. Its bindings start at element 0. */
static enum dlm_status lower_general(struct dlm_lowering *l)
{
    struct dlm_operand a = DLM_INPUT(A);
    if (l->attrs->matmul.round != DLM_DTYPE_F32) {
        enum dlm_status st = round_operand(l, &a);
        if (st)
            return st;
        l->inputs[A] = dlm_desc_make(DLM_DTYPE_F32, l->inputs[A].ndim, l->inputs[A].shape);
    }
    const struct dlm_matmul_params s = make_params(l);
    struct dlm_matmul_general_params p = {
        .m = s.m, .n = s.n, .k = s.k,
        .a_m = s.a_stride[2], .a_k = s.a_stride[3],
        .b_k = s.b_stride[2], .b_n = s.b_stride[3],
        .y_m = s.out_stride[2], .c_m = s.c_stride[2],
        .batch = {s.batch0, s.batch1},
        .a_batch = {s.a_stride[0], s.a_stride[1]},
        .b_batch = {s.b_stride[0], s.b_stride[1]},
        .y_batch = {s.out_stride[0], s.out_stride[1]},
        .c_batch = {s.c_stride[0], s.c_stride[1]},
        .b_dtype = l->inputs[B].dtype,
        .flags = addend_flags(l),
        .alpha = s.alpha,
    };
    struct dlm_kernel_call call = {
        .kernel = "matmul_general",
        .args = {a, DLM_INPUT(B), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {dlm_matmul_general_items(&p)},
        .work = product_work(&s),
        .scratch_bytes = dlm_matmul_general_scratch(&p),
    };
    bind_addends(l, &call);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

/* A kernel for operands with any strides on GPUs, and its grid. */
struct tiling {
    const char *kernel; /* pattern, by b's type */
    uint32_t tile_m, tile_n;
    bool can_fold; /* the kernel knows a one-dimensional grid that was folded */
};

/* Neighbours along k (n) are neighbours in memory. */
static bool is_a_along_k(const struct dlm_matmul_params *p)
{
    return p->a_stride[3] == 1 || p->k == 1;
}

static bool is_b_along_k(const struct dlm_matmul_params *p)
{
    return p->b_stride[2] == 1 || p->k == 1;
}

static bool is_b_along_n(const struct dlm_matmul_params *p)
{
    return p->b_stride[3] == 1 || p->n == 1;
}

static bool has_vector_kernels(const struct dlm_lowering *l)
{
    return l->caps->bits & DLM_CAP_NO_LOCAL && l->caps->bits & DLM_CAP_VECTOR_TILES;
}

static struct tiling choose_tiling(const struct dlm_lowering *l, const struct dlm_matmul_params *p)
{
    const bool is_along_k = is_a_along_k(p) && is_b_along_k(p);
    const uint32_t any_lanes_n = DLM_MATMUL_ANY_LANES_N(p->m, p->n);

    if (has_vector_kernels(l) && is_along_k)
        return (struct tiling){"matmul_k_*_nolocal", DLM_MATMUL_TILE_K, DLM_MATMUL_TILE_K, false};
    if (has_vector_kernels(l) && is_b_along_n(p))
        return (struct tiling){"matmul_n_*_nolocal", DLM_MATMUL_TILE_NM, DLM_MATMUL_TILE_NN, false};
    if (l->caps->bits & DLM_CAP_NO_LOCAL)
        return (struct tiling){"matmul_*_nolocal", DLM_MATMUL_ANY_PER * (64u / any_lanes_n),
                               DLM_MATMUL_ANY_PER * any_lanes_n, false};
    if (p->m <= DLM_MATVEC_ROWS && is_along_k)
        return (struct tiling){"matvec_*", DLM_MATVEC_ROWS, DLM_MATVEC_COLS, true};
    if (p->m <= DLM_MATMUL_SMALL_TILE || p->n <= DLM_MATMUL_SMALL_TILE)
        return (struct tiling){"matmul_small_*", DLM_MATMUL_SMALL_TILE, DLM_MATMUL_SMALL_TILE,
                               false};
    return (struct tiling){"matmul_*", DLM_MATMUL_TILE, DLM_MATMUL_TILE, false};
}

/* a, rounded, as a contiguous temporary: for the kernels that read every element of a often. */
static enum dlm_status pack_operand(struct dlm_lowering *l, struct dlm_matmul_params *p,
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

/* Long sums of few tiles leave most of a GPU idle: those are cut into parts. By shape alone, so
 * that the order of a sum is the same on every device of a kind. */
static void choose_splits(struct dlm_matmul_params *p, uint64_t tiles)
{
    enum { MIN_K = 1024, MIN_PART = 256, WANTED_TILES = 128, MAX_SPLITS = 16 };

    p->splits = 1;
    if (p->k >= MIN_K && tiles <= WANTED_TILES / 2) {
        const uint64_t splits = DLM_MIN(WANTED_TILES / tiles, (uint64_t)(p->k / MIN_PART));
        p->splits = (uint32_t)DLM_MIN(splits, (uint64_t)MAX_SPLITS);
    }
    p->split_k = (p->k + p->splits - 1) / p->splits;
    p->splits = (p->k + p->split_k - 1) / p->split_k;
}

/* The product in parts, each a slice of the call's grid, then their sum. */
static enum dlm_status lower_split(struct dlm_lowering *l, struct dlm_kernel_call *call,
                                   const struct dlm_matmul_params *p)
{
    enum { ARG_A, ARG_C = 2, ARG_BIAS, ARG_OUT };
    const uint32_t len = p->batch0 * p->batch1 * p->m * p->n; /* the result's: fits */
    const struct dlm_operand partial =
        dlm_lower_temp(l, sizeof(float) * (size_t)len * p->splits);
    struct dlm_matmul_params part = *p, finish = *p;

    part.flags &= ~(DLM_MATMUL_HAS_C | DLM_MATMUL_HAS_BIAS);
    part.alpha = 1;
    part.out_lead = 0;
    part.out_stride[0] = p->batch1 * p->m * p->n;
    part.out_stride[1] = p->m * p->n;
    part.out_stride[2] = p->n;
    part.split_stride = finish.split_stride = len;
    finish.flags &= DLM_MATMUL_HAS_C | DLM_MATMUL_HAS_BIAS;
    struct dlm_kernel_call sum = {
        .kernel = "matmul_finish",
        .args = {partial, call->args[ARG_C], call->args[ARG_BIAS], call->args[ARG_OUT]},
        .num_args = 4,
        .writes = 1u << 3,
        .groups = {dlm_elem_groups(len)},
    };
    call->args[ARG_C] = call->args[ARG_BIAS] = call->args[ARG_A];
    call->args[ARG_OUT] = partial;
    call->groups[2] *= p->splits;
    enum dlm_status st = dlm_lower_call(l, call, &part, sizeof(part));
    return st ? st : dlm_lower_call(l, &sum, &finish, sizeof(finish));
}

/* Bindings a, b, c, bias (a where they are absent), out. */
static enum dlm_status lower_product(struct dlm_lowering *l)
{
    const uint32_t rounds = DLM_MATMUL_A_BF16 | DLM_MATMUL_A_F16;
    struct dlm_matmul_params p = make_params(l);
    struct dlm_operand a = DLM_INPUT(A);
    enum dlm_status st = DLM_OK;

    if (dlm_matmul_is_for_library(l, &p))
        return dlm_matmul_lower_library(l, &p);
    /* without local memory an element of a is read too often to be rounded each time */
    if (l->caps->bits & DLM_CAP_NO_LOCAL &&
        (p.flags & rounds ||
         (has_vector_kernels(l) && is_b_along_k(&p) && !is_b_along_n(&p) && !is_a_along_k(&p))))
        st = pack_operand(l, &p, &a);
    if (st)
        return st;
    const struct tiling t = choose_tiling(l, &p);
    struct dlm_kernel_call call = {
        .args = {a, DLM_INPUT(B), has_c(l) ? DLM_INPUT(C) : a, has_bias(l) ? DLM_INPUT(BIAS) : a,
                 DLM_OUTPUT(0)},
        .num_args = 5,
        .writes = 1u << 4,
        .groups = {(p.n + t.tile_n - 1) / t.tile_n, (p.m + t.tile_m - 1) / t.tile_m,
                   p.batch0 * p.batch1},
        .work = product_work(&p),
    };
    dlm_kernel_for(&call, t.kernel, &l->inputs[B].dtype);
    choose_splits(&p, (uint64_t)call.groups[0] * call.groups[1] * call.groups[2]);
    const uint32_t most = l->caps->max_groups; /* beyond, one dimension would be folded into two */
    if ((call.groups[0] > most && !(t.can_fold && call.groups[2] == 1)) ||
        call.groups[1] > most || (uint64_t)call.groups[2] * p.splits > most)
        return dlm_lower_unsupported(l, "grid of that size");
    if (p.splits > 1)
        return lower_split(l, &call, &p);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static enum dlm_status matmul_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    if (l->inputs[B].layout == DLM_LAYOUT_PANEL)
        return lower_panel(l);
    if (l->caps->bits & DLM_CAP_BLOCK_ITEMS)
        return lower_general(l);
    return lower_product(l);
}

/* da = alpha dy b^T, db = alpha a^T dy, dc = dy, dbias = the column sums of dy. */
static void matmul_backward(struct dlm_graph *g, const struct dlm_node *node,
                            struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    struct dlm_tensor *const *in = node->inputs;
    struct dlm_matmul_attrs exact = {.alpha = node->attrs.matmul.alpha};

    if (dlm_tensor_needs_grad(in[A]))
        input_grads[A] = dlm_reduce_to(g,
                                       dlm_matmul(g, grads[0], dlm_view_transpose(g, in[B]), NULL,
                                                  NULL, &node->attrs.matmul),
                                       &in[A]->desc);
    if (dlm_tensor_needs_grad(in[B]))
        input_grads[B] = dlm_reduce_to(
            g, dlm_matmul(g, dlm_view_transpose(g, in[A]), grads[0], NULL, NULL, &exact),
            &in[B]->desc);
    if (node->num_inputs > C && dlm_tensor_needs_grad(in[C]))
        input_grads[C] = grads[0];
    if (node->num_inputs > BIAS && dlm_tensor_needs_grad(in[BIAS]))
        input_grads[BIAS] = dlm_reduce_to(g, grads[0], &in[BIAS]->desc);
}

const struct dlm_op dlm_op_matmul = {
    .name = "matmul",
    .num_inputs = 4,
    .num_outputs = 1,
    .infer = matmul_infer,
    .reference = matmul_reference,
    .lower = matmul_lower,
    .backward = matmul_backward,
    .reads_strided_grads = true,
};

struct dlm_tensor *dlm_matmul(struct dlm_graph *g, struct dlm_tensor *a, struct dlm_tensor *b,
                              struct dlm_tensor *c, struct dlm_tensor *bias,
                              const struct dlm_matmul_attrs *attrs)
{
    if (!a || !b)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_matmul, &(union dlm_attrs){.matmul = *attrs},
                          (struct dlm_tensor *[]){a, b, c, bias}, 4, NULL);
}
