/* What the broadcasting ops share: result shape and 4-d parameters. */
#ifndef DLM_OPS_BROADCAST_H
#define DLM_OPS_BROADCAST_H

#include "ops/op.h"

/* The NumPy broadcast of a and b as a contiguous f32 tensor; false when they do not broadcast. */
bool dlm_broadcast_shape(const struct dlm_desc *a, const struct dlm_desc *b, struct dlm_desc *out);

/* Shape and strides of d, aligned to the right in four dimensions and broadcast to `to` (0 strides
 * where d has length 1). shape may be NULL. */
void dlm_broadcast_strides(const struct dlm_desc *d, const struct dlm_desc *to, uint32_t shape[4],
                           uint32_t stride[4]);

/* Makes one dimension of two wherever all the tensors run through them without a gap, so that
 * kernels walk in long runs; merged dimensions move to the right. strides: [num] arrays of 4. */
void dlm_merge_dims(uint32_t shape[4], uint32_t *const *strides, int num);

/* Gives t the shape of `to`, repeating what has length 1: for C references. */
void dlm_host_expand(struct dlm_host_tensor *t, const struct dlm_desc *to);

/* Shape rule of out = f(x, y): f32 inputs that broadcast. */
enum dlm_status dlm_broadcast_infer(struct dlm_ctx *ctx, const char *op, const struct dlm_desc *in,
                                    struct dlm_desc *out) DLM_CHECK_RESULT;

/* C reference of out = f(x, y). */
void dlm_broadcast_reference(const struct dlm_reference_call *call, double (*f)(double, double));

/* Lowers out = kernel(x, y) with struct dlm_broadcast_params. */
enum dlm_status dlm_broadcast_lower(struct dlm_lowering *l, const char *kernel);

/* Number of work-groups for n elements. */
uint32_t dlm_elem_groups(int64_t n);

/* Lowers an elementwise kernel over contiguous tensors of one length: inputs in order, output 0,
 * struct dlm_map_params. */
enum dlm_status dlm_map_lower(struct dlm_lowering *l, const char *kernel, uint32_t kind,
                              float factor);

#endif
