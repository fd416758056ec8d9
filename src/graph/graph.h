/* A graph: nodes in order of execution over tensors with inferred shapes. Built once (ops/build.h),
 * differentiated, fused, planned, and made a program.
 *
 * Order is meaning: nodes run as if one after the other, so that in-place ops and views of shared
 * storage are well defined. */
#ifndef DLM_GRAPH_GRAPH_H
#define DLM_GRAPH_GRAPH_H

#include "ops/build.h"

/* What a tensor's memory is, and the class under which the plan counts it. */
enum dlm_tensor_role {
    DLM_ROLE_TEMP,    /* planned by lifetime */
    DLM_ROLE_WEIGHT,  /* bound to a weight store's buffer */
    DLM_ROLE_PARAM,   /* trainable, a view of the flat parameters */
    DLM_ROLE_STATE,   /* lives across runs: gradients, moments, KV cache, features */
    DLM_ROLE_INPUT,   /* written by the host before a run */
    DLM_ROLE_COUNT
};

/* How a view came from its parent: what the backward pass must undo. */
enum dlm_view_kind {
    DLM_VIEW_NONE, /* not a view */
    DLM_VIEW_RESHAPE,
    DLM_VIEW_TRANSPOSE, /* of the last two dimensions */
    DLM_VIEW_SLICE,
    DLM_VIEW_EXPAND,
    DLM_VIEW_ALIAS, /* the result of an op that wrote in place */
    DLM_VIEW_JOIN,  /* a buffer whose slices were written by several nodes */
};

/* Device memory of a leaf. Whoever owns it fills it in before the program is made. */
struct dlm_storage {
    struct dlm_buffer *buffer;
    size_t offset; /* a multiple of DLM_ALIGN_BYTES */
};

struct dlm_tensor {
    struct dlm_desc desc;      /* lead: for the coarsest device, see dlm_tensor_lead() */
    struct dlm_tensor *base;   /* owner of the storage; itself unless a view */
    int64_t offset;            /* view: elements from the base's start */
    enum dlm_view_kind view;
    struct dlm_tensor *parent; /* view: the tensor it was made from */
    struct dlm_tensor **parts; /* JOIN: the slices, along view_dim */
    int num_parts;
    int view_dim;              /* SLICE, JOIN */
    int64_t view_begin;        /* SLICE */
    int block;                 /* checkpoint block it was made in */
    enum dlm_tensor_role role; /* of the base */
    const char *name;          /* leaves: borrowed until the graph goes; else NULL */
    bool needs_grad;
    bool is_kept;              /* not recomputed by a checkpointed block: stays in memory */
    bool is_output;            /* read by the host after a run: lives to the end */
    bool is_exact;             /* base: stays in its type while it waits for the backward pass */
    struct dlm_tensor *grad;   /* PARAM: state tensor that its gradient is added to */
    struct dlm_node *producer; /* NULL for leaves and views */
    int index;                 /* position in the graph's list */
    const struct dlm_storage *storage; /* of leaves, which are not planned */
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

/* Adds a leaf. name is borrowed until the graph is destroyed. */
struct dlm_tensor *dlm_graph_leaf(struct dlm_graph *graph, enum dlm_tensor_role role,
                                  const char *name, const struct dlm_desc *desc);

/* The same storage as t seen through desc, `offset` elements into t's base. */
struct dlm_tensor *dlm_graph_view(struct dlm_graph *graph, struct dlm_tensor *t,
                                  enum dlm_view_kind kind, const struct dlm_desc *desc,
                                  int64_t offset);

/* Says where a leaf lies. storage is borrowed until the graph is destroyed. */
void dlm_tensor_bind(struct dlm_tensor *t, const struct dlm_storage *storage);

/* Uninitialised memory of the plan, to be written in slices (dlm_graph_emit_into, then
 * dlm_graph_join). */
struct dlm_tensor *dlm_graph_buffer(struct dlm_graph *graph, const struct dlm_desc *desc);

/* The buffer as one tensor, once its parts are written: parts follow each other along dim and
 * cover it. Gradients flow back to the parts. */
struct dlm_tensor *dlm_graph_join(struct dlm_graph *graph, struct dlm_tensor *buffer,
                                  struct dlm_tensor *const *parts, int num_parts, int dim);

/* Starts a new checkpoint block: one per transformer block. */
void dlm_graph_mark(struct dlm_graph *graph);

/* Replaces groups of forward nodes by fused ops: a bias or an addend into its matmul, an activation
 * and a product into a gated activation. Call before dlm_graph_backward(). */
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
 * Left alone: tensors marked is_exact, inputs that their op names exact (of norms, softmax,
 * scores), and what the backward pass writes to. Nothing is done for f32. Call after
 * dlm_graph_backward() and, lest it keep alive what nobody needs, after dlm_graph_prune(). */
enum dlm_status dlm_graph_narrow_saved(struct dlm_graph *graph,
                                       enum dlm_dtype dtype) DLM_CHECK_RESULT;

/* Elements between the device's last possible binding offset before a view and its element 0. */
int64_t dlm_tensor_lead(const struct dlm_tensor *t, const struct dlm_device_caps *caps);

/* Bytes of a base tensor's storage. */
size_t dlm_tensor_bytes(const struct dlm_tensor *t);

#endif
