/* Slots. */
#include "models/slots.h"

#include <string.h>

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

struct dlm_tensor *dlm_slot_leaf(struct dlm_graph *g, const struct dlm_slot *slot)
{
    if (!slot)
        return NULL;
    struct dlm_tensor *t = dlm_graph_leaf(g, slot->role, slot->name, &slot->desc);
    dlm_tensor_bind(t, &slot->storage);
    return t;
}

enum dlm_status dlm_slots_alloc(struct dlm_slots *slots)
{
    for (size_t i = 0; i < slots->num; i++) {
        struct dlm_slot *s = slots->list[i];
        if (s->storage.buffer)
            continue;
        enum dlm_status st = dlm_buffer_create(slots->device, &s->storage.buffer, slot_bytes(s));
        if (!st)
            st = dlm_buffer_fill(s->storage.buffer, 0, slot_bytes(s), 0);
        if (st)
            return st;
    }
    return DLM_OK;
}

void dlm_slots_share(struct dlm_slots *slots, const struct dlm_slots *from)
{
    for (size_t i = 0; i < slots->num; i++) {
        struct dlm_slot *s = slots->list[i];
        for (size_t k = 0; k < from->num && !s->storage.buffer; k++) {
            const struct dlm_slot *f = from->list[k];
            if (strcmp(s->name, f->name) || s->desc.dtype != f->desc.dtype ||
                s->role != f->role || slot_bytes(s) > slot_bytes(f))
                continue;
            s->storage = f->storage;
            s->is_shared = true;
        }
    }
}

size_t dlm_slots_role_bytes(const struct dlm_slots *slots, enum dlm_tensor_role role)
{
    size_t bytes = 0;

    for (size_t i = 0; i < slots->num; i++)
        bytes += slots->list[i]->role == role ? slot_bytes(slots->list[i]) : 0;
    return bytes;
}

size_t dlm_slots_bytes(const struct dlm_slots *slots)
{
    return dlm_slots_role_bytes(slots, DLM_ROLE_INPUT) +
           dlm_slots_role_bytes(slots, DLM_ROLE_STATE);
}

void dlm_slots_finish(struct dlm_slots *slots)
{
    for (size_t i = 0; i < slots->num; i++) {
        if (!slots->list[i]->is_shared)
            dlm_buffer_destroy(&slots->list[i]->storage.buffer);
        dlm_free(slots->list[i]);
    }
    dlm_free(slots->list);
    slots->list = NULL;
    slots->num = slots->cap = 0;
}

enum dlm_status dlm_slot_write(struct dlm_slot *slot, const void *data, size_t bytes)
{
    return dlm_buffer_write(slot->storage.buffer, slot->storage.offset, data, bytes);
}

enum dlm_status dlm_slot_read(struct dlm_slot *slot, void *data, size_t bytes)
{
    return dlm_buffer_read(slot->storage.buffer, slot->storage.offset, data, bytes);
}
