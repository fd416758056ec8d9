/* The plan: kernel calls in order, and an offset for every temporary by lifetime. It is made from
 * shapes alone, before a weight is read, and is the memory estimate. */
#ifndef DLM_GRAPH_PLAN_H
#define DLM_GRAPH_PLAN_H

#include "ir/graph.h"
#include "ops/lower.h"

#define DLM_MAX_ARENAS 16

/* Memory that one kernel call's temporary or one base tensor takes in the arenas. */
struct dlm_place {
    int arena; /* -1: not planned (a leaf, or never used) */
    size_t offset, bytes;
    int first, last; /* calls between which it lives, inclusive */
};

struct dlm_planned_call {
    const struct dlm_node *node;
    struct dlm_kernel_call call;
    int first_temp; /* index in temps of the node's temporary 0 */
};

struct dlm_plan {
    struct dlm_ctx *ctx;
    const struct dlm_graph *graph; /* borrowed */
    struct dlm_planned_call *calls;
    size_t num_calls, cap_calls;
    struct dlm_place *tensors; /* [graph->num_tensors], by index of the base */
    struct dlm_place *temps;
    size_t num_temps, cap_temps;
    size_t arena_bytes[DLM_MAX_ARENAS];
    int num_arenas;
};

/* Lowers every node for the device and places the temporaries in arenas no larger than its largest
 * buffer. Borrows graph. DLM_ERR_UNSUPPORTED names the op, dtype and missing capability. */
enum dlm_status dlm_plan_create(struct dlm_ctx *ctx, struct dlm_plan **out,
                                const struct dlm_graph *graph,
                                const struct dlm_device *device) DLM_CHECK_RESULT;
void dlm_plan_destroy(struct dlm_plan **plan);

/* Bytes of all arenas. */
size_t dlm_plan_bytes(const struct dlm_plan *plan);

/* The most private memory that a worker of the CPU needs for one of its calls. */
size_t dlm_plan_scratch_bytes(const struct dlm_plan *plan);

/* Bytes of the leaves of one role in the graph. */
size_t dlm_graph_role_bytes(const struct dlm_graph *graph, enum dlm_tensor_role role);

/* Lets the placements of `places` that overlap in time not overlap in memory: first fit, largest
 * first. limit: bytes of an arena. Exposed for its test. */
enum dlm_status dlm_plan_pack(struct dlm_ctx *ctx, struct dlm_place **places, size_t num,
                              size_t limit, size_t *arena_bytes, int *num_arenas) DLM_CHECK_RESULT;

#endif
