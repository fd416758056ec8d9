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
 * b may be a whole weight in 4 to 8 bits (base/quant.h), W [N, K] with rows of whole blocks or its
 * transpose: then its values are rounded as a is, as bitsandbytes' are (linear4bit). A kernel that
 * multiplies in f32 may leave them as they are, which is nearer to the weight: rounding each would
 * be work, where a block's sum can be multiplied by its scale once.
 *
 * A weight in panel form is 2-d: a view of it is either W^T (forward) or W (backward). */
#include "ops/broadcast.h"
#include "ops/matmul_impl.h"

enum { A, B, C, BIAS };

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

/* A weight in blocks, or its transpose, each row of whole blocks. */
static bool is_whole_quant(const struct dlm_desc *b)
{
    const int along = b->ndim == 2 && b->stride[1] == 1 && b->stride[0] != 1;
    size_t bytes;

    return b->ndim == 2 && b->stride[along] == 1 && b->stride[!along] == b->shape[along] &&
           dlm_dtype_bytes(b->dtype, b->shape[along], &bytes);
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
    if (dlm_dtype_is_quant(in[B].dtype) ? !is_whole_quant(&in[B])
                                        : !dlm_dtype_is_float(in[B].dtype) || in[B].ndim < 2 ||
                                              in[B].ndim > 4)
        return dlm_infer_fail(ctx, "matmul", "b must be f32, f16 or bf16, two to four dimensions, "
                              "or a whole quantised weight", &in[B]);
    dlm_matmul_as_4d(&in[A], a, unused);
    dlm_matmul_as_4d(&in[B], b, unused);
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

static void matmul_reference(const struct dlm_reference_call *call)
{
    struct dlm_host_tensor a = call->inputs[A], b = call->inputs[B];
    const struct dlm_host_tensor *c = &call->inputs[C], *bias = &call->inputs[BIAS];
    const struct dlm_desc *out = &call->outputs[0].desc;
    const int64_t k_len = dlm_desc_cols(&a.desc), n_len = dlm_desc_cols(out);
    const int64_t m_len = out->shape[out->ndim - 2];
    const enum dlm_dtype b_round =
        dlm_dtype_is_quant(b.desc.dtype) ? call->attrs->matmul.round : DLM_DTYPE_F32;
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
                   rounded(dlm_host_get_flat(&b, (batch * k_len + k) * n_len + n), b_round);
        sum *= dlm_matmul_alpha(call->attrs);
        if (!dlm_desc_is_absent(&c->desc))
            sum += dlm_host_get_flat(c, i);
        if (!dlm_desc_is_absent(&bias->desc))
            sum += dlm_host_get_flat(bias, n);
        dlm_host_set_flat(&call->outputs[0], i, sum);
    }
}

static enum dlm_status matmul_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    const bool is_quant = dlm_dtype_is_quant(l->inputs[B].dtype);
    if (l->inputs[B].layout == DLM_LAYOUT_PANEL)
        return dlm_matmul_lower_panel(l);
    if (l->caps->bits & DLM_CAP_BLOCK_ITEMS)
        return is_quant ? dlm_lower_unsupported(l, "quantised weight that is not in panels")
                        : dlm_matmul_lower_general(l);
    return is_quant ? dlm_matmul_lower_quant_gpu(l) : dlm_matmul_lower_gpu(l);
}

/* alpha a^T dy; of a transposed b as the transpose of alpha dy^T a, which is the gradient of what b
 * is a view of, without gaps. */
static struct dlm_tensor *b_gradient(struct dlm_graph *g, struct dlm_tensor *a,
                                     struct dlm_tensor *b, struct dlm_tensor *dy,
                                     const struct dlm_matmul_attrs *attrs)
{
    if (b->view != DLM_VIEW_PERMUTE || b->desc.ndim != 2 || a->desc.ndim != 2)
        return dlm_reduce_to(
            g, dlm_matmul(g, dlm_view_transpose(g, a), dy, NULL, NULL, attrs), &b->desc);
    return dlm_view_transpose(
        g, dlm_matmul(g, dlm_view_transpose(g, dy), a, NULL, NULL, attrs));
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
        input_grads[B] = b_gradient(g, in[A], in[B], grads[0], &exact);
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
