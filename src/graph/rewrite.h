/* What is done to a whole graph before it is planned: it is fused, differentiated, pruned, and its
 * saved activations are narrowed. */
#ifndef DLM_GRAPH_REWRITE_H
#define DLM_GRAPH_REWRITE_H

#include "ir/graph.h"

/* Replaces groups of nodes by fused ops: a bias or an addend into its matmul, a matmul into the
 * part of a buffer that it is copied to, an activation and a product into a gated activation. Call
 * before dlm_graph_backward(), and once more after it and dlm_graph_prune(). */
enum dlm_status dlm_graph_fuse(struct dlm_graph *graph) DLM_CHECK_RESULT;

/* Appends the backward pass: outputs[i] has gradient grads[i]. The gradient of every PARAM leaf is
 * added to its ->grad tensor. checkpoint: recompute each block's interior instead of keeping it.
 * DLM_ERR_UNSUPPORTED names an op that has no gradient. */
enum dlm_status dlm_graph_backward(struct dlm_graph *graph, struct dlm_tensor *const *outputs,
                                   struct dlm_tensor *const *grads, int num,
                                   bool checkpoint) DLM_CHECK_RESULT;

/* Drops the nodes that no output, state or parameter depends on. */
enum dlm_status dlm_graph_prune(struct dlm_graph *graph) DLM_CHECK_RESULT;

/* What waits for the backward pass waits as dtype: a large f32 temporary is narrowed after its last
 * use in the forward pass (or in its repetition), and widened before its first use in the gradient.
 * Left alone: tensors marked is_exact, inputs that their op names exact (of norms and scores), and
 * what the backward pass writes to. Nothing is done for f32. Call after dlm_graph_backward() and,
 * lest it keep alive what nobody needs, after dlm_graph_prune(). */
enum dlm_status dlm_graph_narrow_saved(struct dlm_graph *graph,
                                       enum dlm_dtype dtype) DLM_CHECK_RESULT;

#endif
