/* Open-addressing hash tables with linear probing, at most two thirds full. */
#include "tokens/vocab.h"

#include <string.h>

#include "base/log.h"

/* Eight bytes at a time, multiply and fold; the strings are a few bytes long. */
static uint64_t hash_text(const char *text, size_t len)
{
    const uint64_t k = 0x9E3779B97F4A7C15u;
    uint64_t h = (uint64_t)len * k;
    while (len) {
        uint64_t word = 0;
        size_t n = DLM_MIN(len, sizeof(word));
        memcpy(&word, text, n);
        h = (h ^ word) * k;
        h ^= h >> 29;
        text += n;
        len -= n;
    }
    return h ^ h >> 32;
}

static size_t hash_pair(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    return (size_t)(h ^ h >> 31);
}

/* The number of slots for len entries, 0 if that is too many to count in 32 bits. */
static size_t slots_for(size_t len)
{
    size_t n = 16;
    while (n < UINT32_MAX && n / 3 * 2 < len + 1)
        n *= 2;
    return n < UINT32_MAX ? n : 0;
}

void dlm_vocab_finish(struct dlm_vocab *v)
{
    dlm_str_finish(&v->arena);
    dlm_free(v->entries);
    dlm_free(v->slots);
    memset(v, 0, sizeof(*v));
}

enum dlm_status dlm_vocab_reserve(struct dlm_ctx *ctx, struct dlm_vocab *v, size_t len)
{
    size_t n = slots_for(len);
    if (n && n <= v->num_slots)
        return DLM_OK;
    struct dlm_vocab_slot *slots = n ? dlm_alloc_array(ctx, n, sizeof(*slots)) : NULL;
    if (!slots)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < v->len; i++) {
        uint64_t hash = hash_text(dlm_vocab_text(v, i), v->entries[i].len);
        size_t at = (size_t)hash & (n - 1);
        while (slots[at].entry)
            at = (at + 1) & (n - 1);
        slots[at] = (struct dlm_vocab_slot){(uint32_t)i + 1, (uint32_t)(hash >> 32)};
    }
    dlm_free(v->slots);
    v->slots = slots;
    v->num_slots = n;
    return DLM_OK;
}

/* The slot that holds text, or the free one where it belongs. */
static struct dlm_vocab_slot *vocab_slot(const struct dlm_vocab *v, const char *text, size_t len,
                                         uint64_t hash)
{
    size_t at = (size_t)hash & (v->num_slots - 1);
    for (;; at = (at + 1) & (v->num_slots - 1)) {
        struct dlm_vocab_slot *slot = &v->slots[at];
        if (!slot->entry)
            return slot;
        if (slot->hash == (uint32_t)(hash >> 32) && v->entries[slot->entry - 1].len == len &&
            !memcmp(dlm_vocab_text(v, slot->entry - 1), text, len))
            return slot;
    }
}

int32_t dlm_vocab_find(const struct dlm_vocab *v, const char *text, size_t len)
{
    if (!v->num_slots)
        return -1;
    const struct dlm_vocab_slot *slot = vocab_slot(v, text, len, hash_text(text, len));
    return slot->entry ? v->entries[slot->entry - 1].id : -1;
}

enum dlm_status dlm_vocab_set(struct dlm_ctx *ctx, struct dlm_vocab *v, const char *text,
                              size_t len, int32_t id)
{
    enum dlm_status st = dlm_vocab_reserve(ctx, v, v->len + 1);
    if (st)
        return st;
    uint64_t hash = hash_text(text, len);
    struct dlm_vocab_slot *slot = vocab_slot(v, text, len, hash);
    if (slot->entry) {
        v->entries[slot->entry - 1].id = id;
        return DLM_OK;
    }
    size_t offset = v->arena.len;
    if (len > UINT32_MAX || offset > UINT32_MAX)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "a vocabulary of over 4 GiB is not supported");
    if (!dlm_grow(ctx, &v->entries, &v->cap, v->len, sizeof(*v->entries)))
        return DLM_ERR_MEMORY;
    st = dlm_str_append(ctx, &v->arena, text, len);
    if (!st)
        st = dlm_str_append(ctx, &v->arena, "", 1);
    if (st) {
        v->arena.len = offset;
        return st;
    }
    v->entries[v->len] = (struct dlm_vocab_entry){(uint32_t)offset, (uint32_t)len, id};
    *slot = (struct dlm_vocab_slot){(uint32_t)++v->len, (uint32_t)(hash >> 32)};
    return DLM_OK;
}

void dlm_merges_finish(struct dlm_merges *m)
{
    dlm_free(m->slots);
    memset(m, 0, sizeof(*m));
}

/* The slot that holds the pair, or the free one where it belongs. */
static struct dlm_merge *merge_slot(struct dlm_merge *slots, size_t num_slots, int32_t left,
                                    int32_t right)
{
    size_t at = hash_pair(left, right) & (num_slots - 1);
    while (slots[at].rank && (slots[at].left != left || slots[at].right != right))
        at = (at + 1) & (num_slots - 1);
    return &slots[at];
}

enum dlm_status dlm_merges_reserve(struct dlm_ctx *ctx, struct dlm_merges *m, size_t len)
{
    size_t n = slots_for(len);
    if (n && n <= m->num_slots)
        return DLM_OK;
    struct dlm_merge *slots = n ? dlm_alloc_array(ctx, n, sizeof(*slots)) : NULL;
    if (!slots)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < m->num_slots; i++) {
        const struct dlm_merge *old = &m->slots[i];
        if (old->rank)
            *merge_slot(slots, n, old->left, old->right) = *old;
    }
    dlm_free(m->slots);
    m->slots = slots;
    m->num_slots = n;
    return DLM_OK;
}

enum dlm_status dlm_merges_add(struct dlm_ctx *ctx, struct dlm_merges *m, int32_t left,
                               int32_t right, int32_t merged, size_t rank)
{
    enum dlm_status st = dlm_merges_reserve(ctx, m, m->len + 1);
    if (st)
        return st;
    *merge_slot(m->slots, m->num_slots, left, right) =
        (struct dlm_merge){left, right, merged, (uint32_t)rank + 1};
    m->len++;
    return DLM_OK;
}

const struct dlm_merge *dlm_merges_find(const struct dlm_merges *m, int32_t left, int32_t right)
{
    if (!m->num_slots)
        return NULL;
    const struct dlm_merge *merge = merge_slot(m->slots, m->num_slots, left, right);
    return merge->rank ? merge : NULL;
}
