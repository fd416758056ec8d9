/* Many strings at once: a byte trie that finds the longest one at a place. */
#ifndef DLM_TOKENS_TRIE_H
#define DLM_TOKENS_TRIE_H

#include <stdint.h>

#include "base/mem.h"

/* All zero is a valid empty trie. Edges are one flat hash table. */
struct dlm_trie {
    int32_t *values; /* [num_nodes] what ends at the node, -1 for nothing; node 0 is the root */
    size_t num_nodes, cap;
    struct dlm_trie_edge {
        uint32_t key; /* node * 256 + byte + 1, 0 is free */
        uint32_t child;
    } *edges;
    size_t num_slots; /* a power of two */
    bool starts[256]; /* bytes that some string begins with */
};

void dlm_trie_finish(struct dlm_trie *t);

/* Sets the value (>= 0, or -1 to take the string out) of text[0..len), len > 0. */
enum dlm_status dlm_trie_set(struct dlm_ctx *ctx, struct dlm_trie *t, const char *text, size_t len,
                             int32_t value) DLM_CHECK_RESULT;

/* Finds the leftmost match at or after *start, and the longest there: returns its value and sets
 * *start and *end; -1 if there is none. */
int32_t dlm_trie_find(const struct dlm_trie *t, const char *text, size_t len, size_t *start,
                      size_t *end);

#endif
