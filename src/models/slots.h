/* Slots: device memory that the host writes or that lives across runs - step inputs, KV caches,
 * tokens. Several graphs may have leaves of one slot.
 *
 * The small inputs of a step lie one behind the other in the step buffer, of which the host keeps a
 * copy: it is filled through dlm_slot_data() and written to the device at once. Large inputs
 * (pixels, features) and state have memory of their own. */
#ifndef DLM_MODELS_SLOTS_H
#define DLM_MODELS_SLOTS_H

#include "ir/graph.h"

struct dlm_slot {
    const char *name; /* borrowed */
    struct dlm_desc desc;
    enum dlm_tensor_role role; /* DLM_ROLE_INPUT or DLM_ROLE_STATE */
    struct dlm_storage storage;
    bool is_shared;  /* storage is another set's */
    bool is_in_step; /* storage is a part of the step buffer */
    uint8_t *data;   /* the host's copy of it */
};

/* All zero with device set is a valid empty set. */
struct dlm_slots {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_slot **list;
    size_t num, cap;
    struct dlm_buffer *step; /* [step_bytes] or more */
    uint8_t *step_data;      /* [step_bytes] or more */
    size_t step_bytes;
    bool is_step_shared; /* both are another set's */
};

/* Declare a slot with memory of its own, or an input in the step buffer; no memory yet. NULL after
 * logging. Owned by slots. */
struct dlm_slot *dlm_slots_add(struct dlm_slots *slots, enum dlm_tensor_role role, const char *name,
                               enum dlm_dtype dtype, int ndim, const int64_t *shape);
struct dlm_slot *dlm_slots_add_step(struct dlm_slots *slots, const char *name, enum dlm_dtype dtype,
                                    int ndim, const int64_t *shape);

/* The slot as a leaf of a graph. slot may be NULL (gives NULL). */
struct dlm_tensor *dlm_slot_leaf(struct dlm_graph *g, const struct dlm_slot *slot);

/* Gives slots the memory of those of the same name and type in `from`, where it is large enough,
 * and its step buffer with the host's copy: for sets of which one runs at a time, and writes all of
 * its step first. from is allocated; it lives longer. */
void dlm_slots_share(struct dlm_slots *slots, const struct dlm_slots *from);

/* Memory for every slot that has none, zeroed. */
enum dlm_status dlm_slots_alloc(struct dlm_slots *slots) DLM_CHECK_RESULT;
void dlm_slots_finish(struct dlm_slots *slots);

/* Bytes of all slots, and of those of one role. */
size_t dlm_slots_bytes(const struct dlm_slots *slots);
size_t dlm_slots_role_bytes(const struct dlm_slots *slots, enum dlm_tensor_role role);

/* What slots with memory of their own take of this process's: see struct
 * dlm_device_caps.host_page_bytes. */
uint64_t dlm_slots_host_bytes(const struct dlm_slots *slots, size_t host_page_bytes);

/* The host's copy of a slot of the step buffer, from dlm_slots_alloc() on; zeros at first. The
 * whole copy goes to the device with dlm_slots_write_step(), which waits for no earlier work. */
void *dlm_slot_data(const struct dlm_slot *slot);
enum dlm_status dlm_slots_write_step(struct dlm_slots *slots) DLM_CHECK_RESULT;

/* Host copies of a slot with memory of its own, from its start or from `offset` bytes on; within
 * the slot. */
enum dlm_status dlm_slot_write(struct dlm_slot *slot, const void *data,
                               size_t bytes) DLM_CHECK_RESULT;
enum dlm_status dlm_slot_write_at(struct dlm_slot *slot, size_t offset, const void *data,
                                  size_t bytes) DLM_CHECK_RESULT;
enum dlm_status dlm_slot_read(struct dlm_slot *slot, void *data, size_t bytes) DLM_CHECK_RESULT;

#endif
