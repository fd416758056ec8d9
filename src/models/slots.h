/* Slots: small pieces of device memory that the host writes or that live across runs - step inputs,
 * KV caches, tokens. Several graphs may have leaves of one slot. */
#ifndef DLM_MODELS_SLOTS_H
#define DLM_MODELS_SLOTS_H

#include "ir/graph.h"

struct dlm_slot {
    const char *name; /* borrowed */
    struct dlm_desc desc;
    enum dlm_tensor_role role; /* DLM_ROLE_INPUT or DLM_ROLE_STATE */
    struct dlm_storage storage;
    bool is_shared; /* storage is another set's */
};

/* All zero with device set is a valid empty set. */
struct dlm_slots {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_slot **list;
    size_t num, cap;
};

/* Declares a slot; no memory yet. NULL after logging. Owned by slots. */
struct dlm_slot *dlm_slots_add(struct dlm_slots *slots, enum dlm_tensor_role role, const char *name,
                               enum dlm_dtype dtype, int ndim, const int64_t *shape);

/* The slot as a leaf of a graph. slot may be NULL (gives NULL). */
struct dlm_tensor *dlm_slot_leaf(struct dlm_graph *g, const struct dlm_slot *slot);

/* Gives slots the memory of those of the same name and type in `from`, where it is large enough:
 * sets of which one runs at a time. from is allocated, and is finished last. */
void dlm_slots_share(struct dlm_slots *slots, const struct dlm_slots *from);

/* Memory for every slot that has none, zeroed. */
enum dlm_status dlm_slots_alloc(struct dlm_slots *slots) DLM_CHECK_RESULT;
/* Bytes of all slots, and of those of one role. */
size_t dlm_slots_bytes(const struct dlm_slots *slots);
size_t dlm_slots_role_bytes(const struct dlm_slots *slots, enum dlm_tensor_role role);
void dlm_slots_finish(struct dlm_slots *slots);

/* Host copies from the slot's start; bytes at most the slot's. */
enum dlm_status dlm_slot_write(struct dlm_slot *slot, const void *data,
                               size_t bytes) DLM_CHECK_RESULT;
enum dlm_status dlm_slot_read(struct dlm_slot *slot, void *data, size_t bytes) DLM_CHECK_RESULT;

#endif
