/* What the broadcasting ops share: result shape and the walk through strided tensors. */
#ifndef DLM_OPS_BROADCAST_H
#define DLM_OPS_BROADCAST_H

#include "ops/op.h"

/* The NumPy broadcast of a and b as a contiguous f32 tensor; false when they do not broadcast. */
bool dlm_broadcast_shape(const struct dlm_desc *a, const struct dlm_desc *b, struct dlm_desc *out);

/* How kernels walk through up to three tensors of one shape. A call knows four dimensions; what is
 * left of them is one call an iteration. */
struct dlm_walk {
    int num;                          /* tensors */
    uint32_t shape[DLM_MAX_DIMS];     /* aligned to the right */
    uint32_t stride[3][DLM_MAX_DIMS]; /* of each tensor; 0 repeats */
};

/* Walks through tensors, each broadcast to the shape of `to`. Two dimensions become one wherever
 * all the tensors run through them without a gap, so that kernels walk in long runs. */
void dlm_walk_init(struct dlm_walk *walk, const struct dlm_desc *to,
                   const struct dlm_desc *const *tensors, int num);

/* Iterations over the dimensions left of the last four. */
uint32_t dlm_walk_outer(const struct dlm_walk *walk);

/* Elements of tensor i before iteration `at` of those. */
uint32_t dlm_walk_offset(const struct dlm_walk *walk, int i, uint32_t at);

/* The last four dimensions as kernels take them; shape may be NULL. */
void dlm_walk_inner(const struct dlm_walk *walk, int i, uint32_t shape[4], uint32_t stride[4]);

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

/* Lowers an elementwise kernel over contiguous tensors of one length: inputs in order, outputs,
 * struct dlm_map_params. A star in kernel stands for the type of input 0. */
enum dlm_status dlm_map_lower(struct dlm_lowering *l, const char *kernel, uint32_t kind,
                              float factor);

#endif
