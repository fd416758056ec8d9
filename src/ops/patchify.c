/* Images as rows of patches: the unfold of a convolution whose stride is its kernel size
 * (torch.nn.Conv2d(kernel_size=p, stride=p) is then a matmul with the weight as [out, C*p*p]).
 *
 *     out[(b * H/p + i) * W/p + j][(c * p + y) * p + x] = pixels[b][c][i*p + y][j*p + x]
 *
 * pixels f32 [B, C, H, W] contiguous; out f32 [B * H/p * W/p, C * p * p]. Rows and columns that do
 * not fill a patch are left out, as the convolution leaves them. */
#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status patchify_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                      const struct dlm_desc *in, struct dlm_desc *out)
{
    const int64_t p = attrs->patchify.patch;

    enum dlm_status st = dlm_infer_plain(ctx, "patchify", "pixels", &in[0]);
    if (!st && (in[0].ndim != 4 || p < 1 || in[0].shape[2] < p || in[0].shape[3] < p))
        st = dlm_infer_fail(ctx, "patchify", "pixels must be [B, C, H, W], at least a patch",
                            &in[0]);
    if (!st)
        out[0] = dlm_desc_make(
            DLM_DTYPE_F32, 2,
            (int64_t[]){in[0].shape[0] * (in[0].shape[2] / p) * (in[0].shape[3] / p),
                        in[0].shape[1] * p * p});
    return st;
}

static void patchify_reference(const struct dlm_reference_call *call)
{
    const int64_t *s = call->inputs[0].desc.shape, p = call->attrs->patchify.patch;
    const int64_t high = s[2] / p, wide = s[3] / p, cols = s[1] * p * p;

    for (int64_t r = 0; r < s[0] * high * wide; r++)
        for (int64_t k = 0; k < cols; k++) {
            int64_t b = r / (high * wide), i = r / wide % high, j = r % wide;
            int64_t c = k / (p * p), y = k / p % p, x = k % p;
            int64_t at = ((b * s[1] + c) * s[2] + i * p + y) * s[3] + j * p + x;
            dlm_host_set_flat(&call->outputs[0], r * cols + k,
                              dlm_host_get_flat(&call->inputs[0], at));
        }
}

static enum dlm_status patchify_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_patchify_params p = {
        .batch = (uint32_t)l->inputs[0].shape[0],
        .channels = (uint32_t)l->inputs[0].shape[1],
        .height = (uint32_t)l->inputs[0].shape[2],
        .width = (uint32_t)l->inputs[0].shape[3],
        .patch = l->attrs->patchify.patch,
    };
    struct dlm_kernel_call call = {
        .kernel = "patchify",
        .args = {DLM_INPUT(0), DLM_OUTPUT(0)},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {(uint32_t)l->outputs[0].shape[0]}, /* a patch each */
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

const struct dlm_op dlm_op_patchify = {
    .name = "patchify",
    .num_inputs = 1,
    .num_outputs = 1,
    .infer = patchify_infer,
    .reference = patchify_reference,
    .lower = patchify_lower,
};

struct dlm_tensor *dlm_patchify(struct dlm_graph *g, struct dlm_tensor *pixels, uint32_t patch)
{
    if (!pixels)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_patchify, &(union dlm_attrs){.patchify = {patch}},
                          (struct dlm_tensor *[]){pixels}, 1, NULL);
}
