/* A model's frozen weights: declared from config.json, counted by the plan, then loaded into the
 * one resident form that their device has. */
#ifndef DLM_MODELS_WEIGHTS_H
#define DLM_MODELS_WEIGHTS_H

#include "ir/graph.h"
#include "weights/checkpoint.h"
#include "weights/names.h"

enum dlm_weight_kind {
    DLM_WEIGHT_MATRIX, /* operand of matmul or embedding [rows, cols]; may be split in row slabs */
    DLM_WEIGHT_VECTOR, /* norms, biases, positions: f32, whole */
};

/* Rows [row0, row0 + rows) of a matrix, as one tensor of the graph. */
struct dlm_weight_slab {
    int64_t row0, rows;
    struct dlm_storage storage;
};

struct dlm_weight {
    char *name; /* canonical, as the family declares it */
    enum dlm_weight_kind kind;
    int64_t rows, cols;   /* a vector: 1 row, or the rows of a table of positions */
    enum dlm_dtype dtype; /* resident */
    enum dlm_layout layout;
    const struct dlm_tensor_info *source; /* NULL: random weights (bench) */
    int num_slabs;
    struct dlm_weight_slab *slabs;
};

struct dlm_weights {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    enum dlm_dtype policy;
    struct dlm_checkpoint *checkpoint; /* NULL: random weights */
    char **names; /* canonical names of the checkpoint's tensors, by their index */
    struct dlm_weight **list;
    size_t num, cap;
};

/* ckpt NULL: weights are random numbers of the right shapes, for bench. map makes the checkpoint's
 * names canonical. Borrows device; takes ckpt (also on failure). */
enum dlm_status dlm_weights_create(struct dlm_ctx *ctx, struct dlm_weights **out,
                                   struct dlm_device *device, enum dlm_dtype policy,
                                   struct dlm_checkpoint *ckpt,
                                   const struct dlm_name_map *map) DLM_CHECK_RESULT;
void dlm_weights_destroy(struct dlm_weights **weights);

/* Declares a weight: finds it in the checkpoint, checks its shape ([rows, cols], [cols] for one
 * row, or more dimensions whose product is cols), chooses type, layout and slabs. *out is owned by
 * weights. */
enum dlm_status dlm_weights_add(struct dlm_weights *weights, enum dlm_weight_kind kind,
                                const char *name, int64_t rows, int64_t cols,
                                struct dlm_weight **out) DLM_CHECK_RESULT;

/* Whether the checkpoint has a tensor of this canonical name. */
bool dlm_weights_has(const struct dlm_weights *weights, const char *name);

/* Bytes that all declared weights take on the device. */
size_t dlm_weights_bytes(const struct dlm_weights *weights);
/* The same for those whose name starts with `prefix`. */
size_t dlm_weights_bytes_below(const struct dlm_weights *weights, const char *prefix);

/* Allocates and fills every declared weight whose name starts with `prefix` ("" all). Weights that
 * are loaded already stay. The files' pages are dropped as they are read. */
enum dlm_status dlm_weights_load(struct dlm_weights *weights, const char *prefix) DLM_CHECK_RESULT;

/* Frees the device memory of what dlm_weights_load() loaded; no program may use it any more. */
void dlm_weights_unload(struct dlm_weights *weights, const char *prefix);

/* The leaf of a slab in a graph; made anew for each graph. */
struct dlm_tensor *dlm_weight_leaf(struct dlm_graph *graph, const struct dlm_weight *weight,
                                   int slab);

#endif
