/* A byte trie. Strings are added and taken out one at a time at the cost of their length, and a
 * search costs at most the longest string for each place where one begins. */
#include "tokens/trie.h"

#include <string.h>

#include "base/log.h"

enum { MAX_NODES = (1 << 24) - 1 }; /* so that a key fits in 32 bits */

void dlm_trie_finish(struct dlm_trie *t)
{
    dlm_free(t->values);
    dlm_free(t->edges);
    memset(t, 0, sizeof(*t));
}

/* The slot of an edge, or the free one where it belongs. */
static size_t edge_slot(const struct dlm_trie_edge *edges, size_t num_slots, uint32_t key)
{
    size_t at = (key * 0x9E3779B1u >> 7) & (num_slots - 1);
    while (edges[at].key && edges[at].key != key)
        at = (at + 1) & (num_slots - 1);
    return at;
}

/* Keeps the table at most half full: every node but the root has one edge. */
static enum dlm_status make_room(struct dlm_ctx *ctx, struct dlm_trie *t)
{
    if (t->num_nodes * 2 < t->num_slots)
        return DLM_OK;
    size_t n = t->num_slots ? t->num_slots * 2 : 64;
    struct dlm_trie_edge *edges = dlm_alloc_array(ctx, n, sizeof(*edges));
    if (!edges)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < t->num_slots; i++) {
        if (t->edges[i].key)
            edges[edge_slot(edges, n, t->edges[i].key)] = t->edges[i];
    }
    dlm_free(t->edges);
    t->edges = edges;
    t->num_slots = n;
    return DLM_OK;
}

static enum dlm_status add_node(struct dlm_ctx *ctx, struct dlm_trie *t)
{
    enum dlm_status st = make_room(ctx, t);
    if (st)
        return st;
    if (t->num_nodes >= MAX_NODES)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "added tokens of over %d bytes", MAX_NODES);
    if (!dlm_grow(ctx, &t->values, &t->cap, t->num_nodes, sizeof(*t->values)))
        return DLM_ERR_MEMORY;
    t->values[t->num_nodes++] = -1;
    return DLM_OK;
}

enum dlm_status dlm_trie_set(struct dlm_ctx *ctx, struct dlm_trie *t, const char *text, size_t len,
                             int32_t value)
{
    uint32_t node = 0;
    enum dlm_status st = t->num_nodes ? DLM_OK : add_node(ctx, t);
    for (size_t i = 0; !st && i < len; i++) {
        uint32_t key = node * 256 + (uint8_t)text[i] + 1;
        size_t at = edge_slot(t->edges, t->num_slots, key);
        if (!t->edges[at].key) {
            st = add_node(ctx, t);
            if (st)
                break;
            at = edge_slot(t->edges, t->num_slots, key); /* the table may have grown */
            t->edges[at] = (struct dlm_trie_edge){key, (uint32_t)t->num_nodes - 1};
        }
        node = t->edges[at].child;
    }
    if (st)
        return st;
    t->values[node] = value;
    t->starts[(uint8_t)*text] = true;
    return DLM_OK;
}

int32_t dlm_trie_find(const struct dlm_trie *t, const char *text, size_t len, size_t *start,
                      size_t *end)
{
    for (size_t i = *start; i < len; i++) {
        int32_t best = -1;
        if (!t->starts[(uint8_t)text[i]])
            continue;
        uint32_t node = 0;
        for (size_t k = i; k < len; k++) {
            uint32_t key = node * 256 + (uint8_t)text[k] + 1;
            size_t at = edge_slot(t->edges, t->num_slots, key);
            if (!t->edges[at].key)
                break;
            node = t->edges[at].child;
            if (t->values[node] >= 0) {
                best = t->values[node];
                *start = i;
                *end = k + 1;
            }
        }
        if (best >= 0)
            return best;
    }
    return -1;
}
