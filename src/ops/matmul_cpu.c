/* matmul on the CPU: weights in panel form, and operands with any strides. */
#include "kernels/matmul_general.h"
#include "ops/copy.h"
#include "ops/matmul_impl.h"

enum { A, B, C, BIAS };

/* Bindings a, b, out, then c and bias where there are: the CPU kernels' order. */
static void bind_addends(const struct dlm_lowering *l, struct dlm_kernel_call *call)
{
    if (dlm_matmul_has_c(l))
        call->args[call->num_args++] = DLM_INPUT(C);
    if (dlm_matmul_has_bias(l))
        call->args[call->num_args++] = DLM_INPUT(BIAS);
}

/* How a product with a packed weight is computed. */
enum panel_engine {
    ENGINE_F32,
    ENGINE_AVX512_BF16,
    ENGINE_AMX_BF16,
    ENGINE_NEON_BF16,
    NUM_ENGINES,
};

static enum panel_engine choose_engine(const struct dlm_lowering *l, bool is_vec)
{
    const enum dlm_dtype b = l->inputs[B].dtype;

    if (is_vec || (b != DLM_DTYPE_BF16 && !dlm_dtype_is_quant(b)) ||
        l->attrs->matmul.round != DLM_DTYPE_BF16)
        return ENGINE_F32;
    if (l->caps->bits & DLM_CAP_AMX_BF16)
        return ENGINE_AMX_BF16;
    if (l->caps->bits & DLM_CAP_NEON_BF16)
        return ENGINE_NEON_BF16;
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

enum dlm_status dlm_matmul_lower_panel(struct dlm_lowering *l)
{
    static const char *const fwd[NUM_ENGINES] = {
        "matmul_panel_fwd_*", "matmul_panel_fwd_*_avx512bf16", "matmul_panel_fwd_*_amx",
        "matmul_panel_fwd_*_neonbf16"};
    static const char *const bwd[NUM_ENGINES] = {
        "matmul_panel_bwd_*", "matmul_panel_bwd_*_avx512bf16", "matmul_panel_bwd_*_amx",
        "matmul_panel_bwd_*_neonbf16"};
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
        .c_stride = dlm_matmul_has_c(l) ? (uint32_t)l->inputs[C].stride[0] : 0,
        .flags = dlm_matmul_addend_flags(l),
        .round_x = panel_round(l->attrs->matmul.round),
        .alpha = (float)dlm_matmul_alpha(l->attrs),
    };
    const bool is_vec = !is_bwd && p.m <= DLM_MATMUL_VEC_ROWS;
    const enum panel_engine engine = choose_engine(l, is_vec);
    struct dlm_operand x = DLM_INPUT(A);
    enum dlm_status st = DLM_OK;
    if (!is_vec)
        st = round_rows(l, p, is_bwd ? p.n : p.k, engine != ENGINE_F32, &x);
    if (st)
        return st;
    if (is_vec)
        dlm_matmul_share_vec(&p, b->dtype, l->caps->num_units);
    else
        dlm_matmul_share(&p, is_bwd, l->caps->num_units);
    struct dlm_kernel_call call = {
        .args = {x, DLM_INPUT(B), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {dlm_matmul_panel_items(&p)},
        .work = (uint64_t)p.m * p.n * p.k,
        .scratch_bytes =
            is_vec ? dlm_matmul_vec_scratch(&p) : dlm_matmul_panel_scratch(&p, is_bwd),
    };
    dlm_kernel_for(&call, is_vec ? "matmul_panel_vec_*" : is_bwd ? bwd[engine] : fwd[engine],
                   &b->dtype);
    bind_addends(l, &call);
    return dlm_lower_call(l, &call, &p, sizeof(p));
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
enum dlm_status dlm_matmul_lower_general(struct dlm_lowering *l)
{
    struct dlm_operand a = DLM_INPUT(A);
    if (l->attrs->matmul.round != DLM_DTYPE_F32) {
        enum dlm_status st = round_operand(l, &a);
        if (st)
            return st;
        l->inputs[A] = dlm_desc_make(DLM_DTYPE_F32, l->inputs[A].ndim, l->inputs[A].shape);
    }
    const struct dlm_matmul_params s = dlm_matmul_make_params(l);
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
        .flags = dlm_matmul_addend_flags(l),
        .alpha = s.alpha,
    };
    dlm_matmul_general_share(&p, l->caps->num_units);
    struct dlm_kernel_call call = {
        .kernel = "matmul_general",
        .args = {a, DLM_INPUT(B), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {dlm_matmul_general_items(&p)},
        .work = dlm_matmul_work(&s),
        .scratch_bytes = dlm_matmul_general_scratch(&p),
    };
    bind_addends(l, &call);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}
