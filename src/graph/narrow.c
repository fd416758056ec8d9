/* Saved activations in the precision policy's type.
 *
 * A node of the gradient reads what the forward pass left, or what a checkpointed block computed
 * anew. From its last use there to its first use here a tensor only waits, and waits in 16 bits:
 * its f32 memory is free for others meanwhile. Repetition reads f32, as the forward pass did, so
 * that gradients do not depend on what is computed anew. */
#include "base/log.h"
#include "graph/rewrite.h"
#include "ops/build.h"

enum { MIN_LEN = 4096 }; /* below, a copy costs more than it frees */

/* A base tensor between the two passes. */
struct saved {
    int64_t last;  /* node of the forward pass that touches it last; -1: none */
    int64_t first; /* node of the gradient that touches it first; -1: none */
    bool is_fixed; /* cannot be narrowed */
    struct dlm_tensor *narrow, *wide;
};

struct narrowing {
    struct dlm_graph *g;
    enum dlm_dtype dtype;
    struct saved *saved; /* by tensor index */
};

static bool is_gradient(const struct dlm_graph *g, const struct dlm_node *node)
{
    return node->block == g->backward_block && !node->is_recompute;
}

static struct saved *saved_of(const struct narrowing *n, const struct dlm_tensor *t)
{
    return &n->saved[t->base->index];
}

static void see_forward(struct saved *s, int64_t at)
{
    s->last = at;
    s->is_fixed |= s->first >= 0;
}

static void see_gradient(struct saved *s, int64_t at)
{
    if (s->first < 0)
        s->first = at;
}

static void survey_node(struct narrowing *n, const struct dlm_node *node, int64_t at)
{
    const uint32_t exact = node->op->exact_inputs;
    const bool in_gradient = is_gradient(n->g, node);

    for (int i = 0; i < node->num_inputs; i++) {
        if (!node->inputs[i])
            continue;
        struct saved *s = saved_of(n, node->inputs[i]);
        if (in_gradient)
            see_gradient(s, at);
        else
            see_forward(s, at);
        s->is_fixed |= in_gradient && (exact >> i & 1);
    }
    for (int i = 0; i < node->num_outputs; i++) {
        struct saved *s = saved_of(n, node->outputs[i]);
        if (in_gradient)
            s->is_fixed = true;
        else
            see_forward(s, at);
        s->is_fixed |= node->outputs[i]->is_output;
    }
}

static void survey(struct narrowing *n)
{
    const struct dlm_graph *g = n->g;

    for (size_t i = 0; i < g->num_tensors; i++) {
        const struct dlm_tensor *t = g->tensors[i];
        const int64_t len = dlm_desc_len(&t->desc);
        n->saved[i] = (struct saved){.last = -1, .first = -1};
        n->saved[i].is_fixed = t->base != t || t->role != DLM_ROLE_TEMP || t->is_output ||
                               t->is_exact || t->desc.dtype != DLM_DTYPE_F32 ||
                               !dlm_desc_is_contiguous(&t->desc) || len < MIN_LEN ||
                               len % 2; /* two elements share a word */
    }
    for (size_t i = 0; i < g->num_nodes; i++)
        survey_node(n, g->nodes[i], (int64_t)i);
    for (size_t i = 0; i < g->num_tensors; i++)
        n->saved[i].is_fixed |= n->saved[i].last < 0 || n->saved[i].first < 0;
}

/* t as a view of other, a copy of its base. */
static struct dlm_tensor *same_view(struct dlm_graph *g, const struct dlm_tensor *t,
                                    struct dlm_tensor *other)
{
    struct dlm_desc desc = t->desc;

    if (!other || t->base == t)
        return other;
    desc.dtype = other->desc.dtype;
    return dlm_graph_view(g, other, t->view, &desc, t->offset);
}

/* True when the node takes all that it may take in 16 bits from narrow copies. */
static bool reads_half(const struct narrowing *n, const struct dlm_node *node, uint32_t half)
{
    for (int i = 0; i < node->num_inputs; i++) {
        const struct dlm_tensor *t = node->inputs[i];
        if ((half >> i & 1) && (!t || saved_of(n, t)->is_fixed))
            return false;
    }
    return half != 0;
}

/* Points a node of the gradient to the copies, and emits the wide ones that are not there yet. */
static void rebind(struct narrowing *n, struct dlm_node *node)
{
    const uint32_t may_half = node->op->half_inputs;
    const uint32_t half = reads_half(n, node, may_half) ? may_half : 0;

    for (int i = 0; i < node->num_inputs; i++) {
        const struct dlm_tensor *t = node->inputs[i];
        struct saved *s = t ? saved_of(n, t) : NULL;
        const bool is_half = half >> i & 1;
        if (!s || s->is_fixed)
            continue;
        if (!is_half && !s->wide)
            s->wide = dlm_copy(n->g, s->narrow, DLM_DTYPE_F32);
        node->inputs[i] = same_view(n->g, t, is_half ? s->narrow : s->wide);
    }
}

/* Emits the narrow copy of t if `node`, number `at`, was the last to use it before it waits. */
static void narrow_one(struct narrowing *n, struct dlm_tensor *t, const struct dlm_node *node,
                       int64_t at)
{
    struct saved *s = t ? saved_of(n, t) : NULL;

    if (!s || s->is_fixed || s->last != at || s->narrow)
        return;
    s->narrow = dlm_copy(n->g, t->base, n->dtype);
    if (!s->narrow)
        return;
    s->narrow->producer->block = node->block;
    s->narrow->producer->is_recompute = node->is_recompute;
}

static void narrow_after(struct narrowing *n, const struct dlm_node *node, int64_t at)
{
    for (int i = 0; i < node->num_inputs; i++)
        narrow_one(n, node->inputs[i], node, at);
    for (int i = 0; i < node->num_outputs; i++)
        narrow_one(n, node->outputs[i], node, at);
}

static bool append(struct dlm_graph *g, struct dlm_node *node)
{
    if (!dlm_grow(g->ctx, &g->nodes, &g->cap_nodes, g->num_nodes, sizeof(node))) {
        dlm_graph_fail(g, DLM_ERR_MEMORY);
        return false;
    }
    g->nodes[g->num_nodes++] = node;
    return true;
}

/* Lists the nodes anew, with the copies between them. */
static void rewrite(struct narrowing *n)
{
    struct dlm_graph *g = n->g;
    struct dlm_node **nodes = g->nodes;
    const size_t num = g->num_nodes;

    g->nodes = NULL;
    g->num_nodes = g->cap_nodes = 0;
    for (size_t i = 0; i < num && !g->status; i++) {
        struct dlm_node *node = nodes[i];
        const bool in_gradient = is_gradient(g, node);
        if (in_gradient)
            rebind(n, node);
        if (!append(g, node))
            break;
        if (!in_gradient)
            narrow_after(n, node, (int64_t)i);
    }
    dlm_free(nodes);
}

enum dlm_status dlm_graph_narrow_saved(struct dlm_graph *graph, enum dlm_dtype dtype)
{
    struct narrowing n = {.g = graph, .dtype = dtype};

    if (graph->status || dtype == DLM_DTYPE_F32 || !graph->backward_block)
        return graph->status;
    n.saved = dlm_alloc_array(graph->ctx, graph->num_tensors + 1, sizeof(*n.saved));
    if (!n.saved)
        return DLM_ERR_MEMORY;
    survey(&n);
    rewrite(&n);
    dlm_free(n.saved);
    return graph->status;
}
