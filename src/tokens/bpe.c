/* Byte pair encoding of one piece: a linked list of symbols, and a heap of the pairs that merge,
 * lowest rank first and leftmost among equals. */
#include "tokens/bpe.h"

#include <string.h>

#include "base/log.h"
#include "tokens/unicode.h"

void dlm_bpe_scratch_finish(struct dlm_bpe_scratch *s)
{
    dlm_free(s->symbols);
    dlm_free(s->heap);
    dlm_str_finish(&s->affixed);
    memset(s, 0, sizeof(*s));
}

static enum dlm_status add_symbol(struct dlm_ctx *ctx, struct dlm_bpe_scratch *s, int32_t id)
{
    if (!dlm_grow(ctx, &s->symbols, &s->cap, s->len, sizeof(*s->symbols)))
        return DLM_ERR_MEMORY;
    if (s->len >= INT32_MAX - 1)
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot tokenize: over %d symbols", INT32_MAX);
    int32_t at = (int32_t)s->len;
    s->symbols[s->len++] = (struct dlm_bpe_symbol){id, at - 1, at + 1};
    return DLM_OK;
}

/* Adds a symbol for each byte of an unknown character; *done is false if a byte has no token. */
static enum dlm_status add_bytes(struct dlm_ctx *ctx, const struct dlm_bpe *bpe,
                                 struct dlm_bpe_scratch *s, const char *text, size_t len,
                                 bool *done)
{
    *done = false;
    for (size_t i = 0; i < len; i++) {
        if (bpe->byte_ids[(uint8_t)text[i]] < 0)
            return DLM_OK;
    }
    *done = true;
    enum dlm_status st = DLM_OK;
    for (size_t i = 0; !st && i < len; i++)
        st = add_symbol(ctx, s, bpe->byte_ids[(uint8_t)text[i]]);
    return st;
}

/* The character at *text as the vocabulary spells it here: with prefix and suffix, if any. */
static enum dlm_status affix(struct dlm_ctx *ctx, const struct dlm_bpe *bpe,
                             struct dlm_bpe_scratch *s, bool is_first, bool is_last,
                             const char **text, size_t *len)
{
    bool prefix = !is_first && bpe->prefix.len, suffix = is_last && bpe->suffix.len;
    if (!prefix && !suffix)
        return DLM_OK;
    s->affixed.len = 0;
    enum dlm_status st = DLM_OK;
    if (prefix)
        st = dlm_str_append(ctx, &s->affixed, bpe->prefix.data, bpe->prefix.len);
    if (!st)
        st = dlm_str_append(ctx, &s->affixed, *text, *len);
    if (!st && suffix)
        st = dlm_str_append(ctx, &s->affixed, bpe->suffix.data, bpe->suffix.len);
    *text = s->affixed.data;
    *len = s->affixed.len;
    return st;
}

/* One symbol a character. An unk is held back until a known character follows, so that several can
 * fuse; byte tokens do not end that wait, which is the library's order. */
static enum dlm_status add_symbols(struct dlm_ctx *ctx, const struct dlm_bpe *bpe,
                                   struct dlm_bpe_scratch *s, const char *text, size_t len)
{
    bool unk_waits = false;
    enum dlm_status st = DLM_OK;
    s->len = 0;
    for (size_t i = 0, bytes; i < len; i += bytes) {
        bytes = dlm_unicode_lead_bytes(text[i]);
        const char *c = text + i;
        size_t c_len = bytes;
        st = affix(ctx, bpe, s, !i, i + bytes == len, &c, &c_len);
        if (st)
            return st;
        int32_t id = dlm_vocab_find(&bpe->vocab, c, c_len);
        if (id < 0 && bpe->byte_fallback) {
            bool done = false;
            st = add_bytes(ctx, bpe, s, c, c_len, &done);
            if (st)
                return st;
            if (done)
                continue;
        }
        if (id < 0 && bpe->unk_is_missing)
            return dlm_fail(ctx, DLM_ERR_INVALID,
                            "cannot tokenize '%.*s': not in the vocabulary, and neither is the "
                            "unknown token",
                            (int)DLM_MIN(bytes, 4u), text + i);
        if (id < 0 && bpe->unk_id < 0)
            continue;
        if (unk_waits && (id >= 0 || !bpe->fuse_unk))
            st = add_symbol(ctx, s, bpe->unk_id);
        if (!st && id >= 0)
            st = add_symbol(ctx, s, id);
        if (st)
            return st;
        unk_waits = id < 0;
    }
    return unk_waits ? add_symbol(ctx, s, bpe->unk_id) : DLM_OK;
}

static void sift_down(uint64_t *heap, size_t len, size_t i)
{
    uint64_t key = heap[i];
    for (size_t child = 2 * i + 1; child < len; child = 2 * i + 1) {
        if (child + 1 < len && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= key)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
}

static void sift_up(uint64_t *heap, size_t i)
{
    uint64_t key = heap[i];
    while (i && heap[(i - 1) / 2] > key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = key;
}

/* Appends the merge of the symbol at `left` with its next one to the heap's array, if there is one;
 * *added tells. */
static enum dlm_status queue_pair(struct dlm_ctx *ctx, const struct dlm_bpe *bpe,
                                  struct dlm_bpe_scratch *s, int32_t left, bool *added)
{
    const struct dlm_bpe_symbol *symbol = &s->symbols[left];
    *added = false;
    if ((size_t)symbol->next >= s->len)
        return DLM_OK;
    const struct dlm_merge *merge =
        dlm_merges_find(&bpe->merges, symbol->id, s->symbols[symbol->next].id);
    if (!merge)
        return DLM_OK;
    if (!dlm_grow(ctx, &s->heap, &s->heap_cap, s->heap_len, sizeof(*s->heap)))
        return DLM_ERR_MEMORY;
    s->heap[s->heap_len++] = (uint64_t)merge->rank << 32 | (uint32_t)left;
    *added = true;
    return DLM_OK;
}

static enum dlm_status push_pair(struct dlm_ctx *ctx, const struct dlm_bpe *bpe,
                                 struct dlm_bpe_scratch *s, int32_t left)
{
    bool added = false;
    enum dlm_status st = queue_pair(ctx, bpe, s, left, &added);
    if (added)
        sift_up(s->heap, s->heap_len - 1);
    return st;
}

static enum dlm_status merge_symbols(struct dlm_ctx *ctx, const struct dlm_bpe *bpe,
                                     struct dlm_bpe_scratch *s)
{
    enum dlm_status st = DLM_OK;
    bool added = false;
    s->heap_len = 0;
    for (size_t i = 0; !st && i + 1 < s->len; i++)
        st = queue_pair(ctx, bpe, s, (int32_t)i, &added);
    for (size_t i = s->heap_len / 2; i-- > 0;)
        sift_down(s->heap, s->heap_len, i);
    while (!st && s->heap_len) {
        uint64_t top = s->heap[0];
        s->heap[0] = s->heap[--s->heap_len];
        if (s->heap_len)
            sift_down(s->heap, s->heap_len, 0);
        int32_t at = (int32_t)(uint32_t)top;
        struct dlm_bpe_symbol *left = &s->symbols[at];
        if (left->id < 0 || (size_t)left->next >= s->len)
            continue;
        struct dlm_bpe_symbol *right = &s->symbols[left->next];
        const struct dlm_merge *merge = dlm_merges_find(&bpe->merges, left->id, right->id);
        /* One of the two may have been merged with another neighbour meanwhile. */
        if (!merge || merge->rank != top >> 32)
            continue;
        left->id = merge->merged;
        left->next = right->next;
        right->id = -1;
        if ((size_t)left->next < s->len)
            s->symbols[left->next].prev = at;
        if (left->prev >= 0)
            st = push_pair(ctx, bpe, s, left->prev);
        if (!st)
            st = push_pair(ctx, bpe, s, at);
    }
    return st;
}

enum dlm_status dlm_bpe_encode(struct dlm_ctx *ctx, const struct dlm_bpe *bpe,
                               struct dlm_bpe_scratch *s, const char *text, size_t len,
                               struct dlm_ids *out)
{
    if (bpe->ignore_merges) {
        int32_t id = dlm_vocab_find(&bpe->vocab, text, len);
        if (id >= 0)
            return dlm_ids_append(ctx, out, id);
    }
    enum dlm_status st = add_symbols(ctx, bpe, s, text, len);
    if (!st)
        st = merge_symbols(ctx, bpe, s);
    for (size_t i = 0; !st && i < s->len; i = (size_t)s->symbols[i].next)
        st = dlm_ids_append(ctx, out, s->symbols[i].id);
    return st;
}
