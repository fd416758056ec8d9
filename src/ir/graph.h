/* A graph: nodes in order of execution over tensors with inferred shapes. Built once, by the
 * builders of ops/build.h; rewritten (graph/rewrite.h), planned, and made a program.
 *
 * Order is meaning: nodes run as if one after the other, so that in-place ops and views of shared
 * storage are well defined. */
#ifndef DLM_IR_GRAPH_H
#define DLM_IR_GRAPH_H

#include "base/mem.h"
#include "ir/op.h"
#include "ir/tensor.h"

/* A node as a backward rule sees it. */
struct dlm_node {
    const struct dlm_op *op;
    union dlm_attrs attrs;
    int num_inputs, num_outputs;
    struct dlm_tensor *inputs[DLM_MAX_INPUTS]; /* NULL: absent */
    struct dlm_tensor *outputs[DLM_MAX_OUTPUTS];
    int block;         /* checkpoint block it belongs to */
    bool is_recompute; /* made by the backward pass of a checkpointed block */
};

struct dlm_graph {
    struct dlm_ctx *ctx;
    enum dlm_status status;
    struct dlm_arena arena;
    struct dlm_tensor **tensors;
    size_t num_tensors, cap_tensors;
    struct dlm_node **nodes;
    size_t num_nodes, cap_nodes;
    int block;          /* current checkpoint block */
    int backward_block; /* block of the backward pass's nodes; 0: there is none yet */
};

enum dlm_status dlm_graph_create(struct dlm_ctx *ctx, struct dlm_graph **out) DLM_CHECK_RESULT;
void dlm_graph_destroy(struct dlm_graph **graph);
enum dlm_status dlm_graph_status(const struct dlm_graph *graph) DLM_CHECK_RESULT;

/* Marks the graph as failed, unless it is already. */
void dlm_graph_fail(struct dlm_graph *g, enum dlm_status status);

/* Appends a node; outputs (may be NULL) receives all results. Returns the first one. */
struct dlm_tensor *dlm_graph_emit(struct dlm_graph *g, const struct dlm_op *op,
                                  const union dlm_attrs *attrs, struct dlm_tensor *const *inputs,
                                  int num_inputs, struct dlm_tensor **outputs);

/* As above, with output 0 written into an existing tensor (of the inferred shape and dtype). */
struct dlm_tensor *dlm_graph_emit_into(struct dlm_graph *g, const struct dlm_op *op,
                                       const union dlm_attrs *attrs,
                                       struct dlm_tensor *const *inputs, int num_inputs,
                                       struct dlm_tensor *into);

/* The same of every output: into, outputs [num_outputs]. */
bool dlm_graph_emit_into_all(struct dlm_graph *g, const struct dlm_op *op,
                             const union dlm_attrs *attrs, struct dlm_tensor *const *inputs,
                             int num_inputs, struct dlm_tensor *const *into,
                             struct dlm_tensor **outputs);

/* Output `index` of the node appended last. */
struct dlm_tensor *dlm_graph_last_output(struct dlm_graph *g, int index);

/* Adds a leaf. name is borrowed until the graph is destroyed. */
struct dlm_tensor *dlm_graph_leaf(struct dlm_graph *graph, enum dlm_tensor_role role,
                                  const char *name, const struct dlm_desc *desc);

/* The same storage as t seen through desc, `offset` elements into t's base. */
struct dlm_tensor *dlm_graph_view(struct dlm_graph *graph, struct dlm_tensor *t,
                                  enum dlm_view_kind kind, const struct dlm_desc *desc,
                                  int64_t offset);

/* Uninitialised memory of the plan, to be written in slices (dlm_graph_emit_into, then
 * dlm_graph_join). */
struct dlm_tensor *dlm_graph_buffer(struct dlm_graph *graph, const struct dlm_desc *desc);

/* The buffer as one tensor, once its parts are written: parts follow each other along dim and
 * cover it. Gradients flow back to the parts. */
struct dlm_tensor *dlm_graph_join(struct dlm_graph *graph, struct dlm_tensor *buffer,
                                  struct dlm_tensor *const *parts, int num_parts, int dim);

/* Starts a new checkpoint block: one per transformer block. */
void dlm_graph_mark(struct dlm_graph *graph);

#endif
