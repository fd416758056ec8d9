/* Tensors of a graph: what they are, where they lie, and how a view came from its parent. */
#ifndef DLM_IR_TENSOR_H
#define DLM_IR_TENSOR_H

#include "backend/backend.h"
#include "ir/desc.h"

struct dlm_node;

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
    DLM_VIEW_PERMUTE,
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
    int order[DLM_MAX_DIMS];   /* PERMUTE: dimension i is the parent's dimension order[i] */
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

bool dlm_tensor_needs_grad(const struct dlm_tensor *t); /* false for NULL */

/* Says where a leaf lies. storage is borrowed until the graph is destroyed. */
void dlm_tensor_bind(struct dlm_tensor *t, const struct dlm_storage *storage);

/* Elements between the last possible binding offset before a view and its element 0, where bindings
 * begin at multiples of align_bytes. */
int64_t dlm_tensor_lead(const struct dlm_tensor *t, size_t align_bytes);

/* Bytes of a base tensor's storage. */
size_t dlm_tensor_bytes(const struct dlm_tensor *t);

#endif
