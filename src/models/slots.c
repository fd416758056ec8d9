/* Slots and the step buffer. */
#include "models/slots.h"

#include <string.h>

/* Parts of the step buffer begin at multiples of a cache line, or of what the device wants. */
#define STEP_ALIGN_BYTES 64

static size_t slot_bytes(const struct dlm_slot *s)
{
    size_t bytes = 0;

    (void)dlm_dtype_bytes(s->desc.dtype, dlm_desc_len(&s->desc), &bytes); /* checked when added */
    return (bytes + 3) / 4 * 4;
}

struct dlm_slot *dlm_slots_add(struct dlm_slots *slots, enum dlm_tensor_role role, const char *name,
                               enum dlm_dtype dtype, int ndim, const int64_t *shape)
{
    struct dlm_slot *s = dlm_alloc(slots->ctx, sizeof(*s));

    if (!s)
        return NULL;
    if (!dlm_grow(slots->ctx, &slots->list, &slots->cap, slots->num, sizeof(s))) {
        dlm_free(s);
        return NULL;
    }
    s->name = name;
    s->role = role;
    s->desc = dlm_desc_make(dtype, ndim, shape);
    slots->list[slots->num++] = s;
    return s;
}

struct dlm_slot *dlm_slots_add_step(struct dlm_slots *slots, const char *name, enum dlm_dtype dtype,
                                    int ndim, const int64_t *shape)
{
    struct dlm_slot *s = dlm_slots_add(slots, DLM_ROLE_INPUT, name, dtype, ndim, shape);
    const size_t align =
        DLM_MAX(dlm_device_get_caps(slots->device)->align_bytes, (size_t)STEP_ALIGN_BYTES);

    if (!s)
        return NULL;
    s->is_in_step = true;
    s->storage.offset = slots->step_bytes;
    slots->step_bytes += (slot_bytes(s) + align - 1) / align * align;
    return s;
}

struct dlm_tensor *dlm_slot_leaf(struct dlm_graph *g, const struct dlm_slot *slot)
{
    if (!slot)
        return NULL;
    struct dlm_tensor *t = dlm_graph_leaf(g, slot->role, slot->name, &slot->desc);
    dlm_tensor_bind(t, &slot->storage);
    return t;
}

static enum dlm_status make_zeros(struct dlm_device *device, struct dlm_buffer **buffer,
                                  size_t bytes)
{
    enum dlm_status st = dlm_buffer_create(device, buffer, bytes);

    return st ? st : dlm_buffer_fill(*buffer, 0, bytes, 0);
}

static enum dlm_status alloc_step(struct dlm_slots *slots)
{
    enum dlm_status st = DLM_OK;

    if (!slots->step_bytes)
        return DLM_OK;
    if (!slots->step)
        st = make_zeros(slots->device, &slots->step, slots->step_bytes);
    if (!st && !slots->step_data)
        slots->step_data = dlm_alloc(slots->ctx, slots->step_bytes);
    if (!st && !slots->step_data)
        st = DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < slots->num; i++) {
        struct dlm_slot *s = slots->list[i];
        if (!s->is_in_step)
            continue;
        s->storage.buffer = slots->step;
        s->data = slots->step_data + s->storage.offset;
    }
    return st;
}

enum dlm_status dlm_slots_alloc(struct dlm_slots *slots)
{
    enum dlm_status st = alloc_step(slots);

    for (size_t i = 0; !st && i < slots->num; i++) {
        struct dlm_slot *s = slots->list[i];
        if (!s->storage.buffer)
            st = make_zeros(slots->device, &s->storage.buffer, slot_bytes(s));
    }
    return st;
}

/* Takes the memory of the slot of `from` that can stand for s, if there is one. */
static void share_slot(struct dlm_slot *s, const struct dlm_slots *from)
{
    for (size_t k = 0; k < from->num && !s->storage.buffer; k++) {
        const struct dlm_slot *f = from->list[k];
        if (f->is_in_step || strcmp(s->name, f->name) || s->desc.dtype != f->desc.dtype ||
            s->role != f->role || slot_bytes(s) > slot_bytes(f))
            continue;
        s->storage = f->storage;
        s->is_shared = true;
    }
}

void dlm_slots_share(struct dlm_slots *slots, const struct dlm_slots *from)
{
    if (!slots->step && slots->step_bytes <= from->step_bytes) {
        slots->step = from->step;
        slots->step_data = from->step_data;
        slots->is_step_shared = true;
    }
    for (size_t i = 0; i < slots->num; i++)
        if (!slots->list[i]->is_in_step)
            share_slot(slots->list[i], from);
}

void dlm_slots_finish(struct dlm_slots *slots)
{
    for (size_t i = 0; i < slots->num; i++) {
        struct dlm_slot *s = slots->list[i];
        if (!s->is_shared && !s->is_in_step)
            dlm_buffer_destroy(&s->storage.buffer);
        dlm_free(s);
    }
    if (!slots->is_step_shared) {
        dlm_buffer_destroy(&slots->step);
        dlm_free(slots->step_data);
    }
    dlm_free(slots->list);
    *slots = (struct dlm_slots){.ctx = slots->ctx, .device = slots->device};
}

size_t dlm_slots_role_bytes(const struct dlm_slots *slots, enum dlm_tensor_role role)
{
    size_t bytes = role == DLM_ROLE_INPUT ? slots->step_bytes : 0;

    for (size_t i = 0; i < slots->num; i++)
        if (slots->list[i]->role == role && !slots->list[i]->is_in_step)
            bytes += slot_bytes(slots->list[i]);
    return bytes;
}

size_t dlm_slots_bytes(const struct dlm_slots *slots)
{
    return dlm_slots_role_bytes(slots, DLM_ROLE_INPUT) +
           dlm_slots_role_bytes(slots, DLM_ROLE_STATE);
}

uint64_t dlm_slots_host_bytes(const struct dlm_slots *slots, size_t host_page_bytes)
{
    uint64_t bytes = slots->step_bytes + dlm_host_bytes(host_page_bytes, slots->step_bytes);

    for (size_t i = 0; i < slots->num; i++)
        if (!slots->list[i]->is_in_step)
            bytes += dlm_host_bytes(host_page_bytes, slot_bytes(slots->list[i]));
    return bytes;
}

void *dlm_slot_data(const struct dlm_slot *slot)
{
    return slot->data;
}

enum dlm_status dlm_slots_write_step(struct dlm_slots *slots)
{
    return slots->step_bytes
               ? dlm_buffer_write(slots->step, 0, slots->step_data, slots->step_bytes)
               : DLM_OK;
}

enum dlm_status dlm_slot_write_at(struct dlm_slot *slot, size_t offset, const void *data,
                                  size_t bytes)
{
    return dlm_buffer_write(slot->storage.buffer, slot->storage.offset + offset, data, bytes);
}

enum dlm_status dlm_slot_write(struct dlm_slot *slot, const void *data, size_t bytes)
{
    return dlm_slot_write_at(slot, 0, data, bytes);
}

enum dlm_status dlm_slot_read(struct dlm_slot *slot, void *data, size_t bytes)
{
    return dlm_buffer_read(slot->storage.buffer, slot->storage.offset, data, bytes);
}
