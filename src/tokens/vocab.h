/* Flat tables of a tokenizer: strings with ids, and ranked merges of two ids. */
#ifndef DLM_TOKENS_VOCAB_H
#define DLM_TOKENS_VOCAB_H

#include <stdint.h>

#include "base/str.h"

/* Strings, each with a number, in one arena, found by open addressing. All zero is valid. */
struct dlm_vocab {
    struct dlm_str arena; /* every string with its NUL */
    struct dlm_vocab_entry {
        uint32_t offset, len;
        int32_t id;
    } *entries;
    size_t len, cap;
    struct dlm_vocab_slot {
        uint32_t entry; /* + 1, 0 is free */
        uint32_t hash;  /* spares a look at most entries that are not it */
    } *slots;
    size_t num_slots; /* a power of two */
};

void dlm_vocab_finish(struct dlm_vocab *v);

/* Makes room for len entries in the hash table. */
enum dlm_status dlm_vocab_reserve(struct dlm_ctx *ctx, struct dlm_vocab *v,
                                  size_t len) DLM_CHECK_RESULT;
/* Sets the number of a string, adding it if it is new. */
enum dlm_status dlm_vocab_set(struct dlm_ctx *ctx, struct dlm_vocab *v, const char *text,
                              size_t len, int32_t id) DLM_CHECK_RESULT;
/* The number of text[0..len), -1 if it is not there. */
int32_t dlm_vocab_find(const struct dlm_vocab *v, const char *text, size_t len);

static inline const char *dlm_vocab_text(const struct dlm_vocab *v, size_t entry)
{
    return v->arena.data + v->entries[entry].offset;
}

/* (left, right) -> (rank, merged id); a smaller rank merges first, and of equal ones the leftmost
 * pair. All zero is valid. */
struct dlm_merges {
    struct dlm_merge {
        int32_t left, right, merged;
        uint32_t rank; /* + 1, 0 is a free slot */
    } *slots;
    size_t num_slots; /* a power of two */
    size_t len;       /* merges added */
};

void dlm_merges_finish(struct dlm_merges *m);
/* Makes room for len merges. */
enum dlm_status dlm_merges_reserve(struct dlm_ctx *ctx, struct dlm_merges *m,
                                   size_t len) DLM_CHECK_RESULT;
/* Adds a merge; a pair that is there already gets this rank, which is below 2^32 - 1. */
enum dlm_status dlm_merges_add(struct dlm_ctx *ctx, struct dlm_merges *m, int32_t left,
                               int32_t right, int32_t merged, size_t rank) DLM_CHECK_RESULT;
/* The merge of a pair, NULL if it does not merge. */
const struct dlm_merge *dlm_merges_find(const struct dlm_merges *m, int32_t left, int32_t right);

#endif
