/* Fusion of known groups. A group is fused only where its inner result has no other user; the fused
 * node takes the place of the last node of the group, when all its inputs are there. */
#include "base/log.h"
#include "graph/rewrite.h"
#include "ops/op_list.h"

struct uses {
    int *count; /* by tensor index: nodes that read it, plus views of it that matter */
};

static enum dlm_status count_uses(struct dlm_graph *g, struct uses *u)
{
    u->count = dlm_alloc_array(g->ctx, g->num_tensors + 1, sizeof(*u->count));
    if (!u->count)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < g->num_nodes; i++)
        for (int k = 0; k < g->nodes[i]->num_inputs; k++)
            if (g->nodes[i]->inputs[k])
                u->count[g->nodes[i]->inputs[k]->index]++;
    for (size_t i = g->num_tensors; i-- > 0;) { /* views come behind what they are of */
        const struct dlm_tensor *t = g->tensors[i];
        const bool is_written = t->view == DLM_VIEW_ALIAS || t->view == DLM_VIEW_JOIN;
        if (t->parent && (is_written || u->count[i] || t->is_output || t->is_kept))
            u->count[t->parent->index]++;
    }
    return DLM_OK;
}

/* The node that makes t when t is its only result, used once, and not wanted by anybody else. */
static struct dlm_node *sole_producer(const struct uses *u, struct dlm_tensor *t,
                                      const struct dlm_op *op)
{
    if (!t || t->view != DLM_VIEW_NONE || !t->producer || t->producer->op != op ||
        u->count[t->index] != 1 || t->is_output || t->is_kept)
        return NULL;
    return t->producer;
}

static bool writes_input_of(const struct dlm_node *writer, const struct dlm_node *reader)
{
    for (int o = 0; o < writer->num_outputs; o++)
        for (int i = 0; i < reader->num_inputs; i++)
            if (reader->inputs[i] && reader->inputs[i]->base == writer->outputs[o]->base)
                return true;
    return false;
}

/* True when `inner` may run as late as at position `at`: nothing between writes what it reads. */
static bool can_move(const struct dlm_graph *g, const struct dlm_node *inner, size_t at)
{
    for (size_t i = at; i-- > 0 && g->nodes[i] != inner;)
        if (writes_input_of(g->nodes[i], inner))
            return false;
    return true;
}

static bool is_plain(const struct dlm_tensor *t)
{
    return t && t->desc.dtype == DLM_DTYPE_F32;
}

/* add(matmul(a, b), c) -> matmul(a, b, c); a [N] addend becomes the bias. */
static bool fuse_add(const struct dlm_graph *g, size_t at, const struct uses *u,
                     struct dlm_node **gone)
{
    struct dlm_node *add = g->nodes[at];

    for (int side = 0; side < 2; side++) {
        struct dlm_tensor *product = add->inputs[side], *other = add->inputs[1 - side];
        struct dlm_node *m = sole_producer(u, product, &dlm_op_matmul);
        if (!m || !is_plain(other) || m->block != add->block || !can_move(g, m, at) ||
            !dlm_desc_same_shape(&product->desc, &add->outputs[0]->desc))
            continue;
        const int64_t n = dlm_desc_cols(&product->desc);
        bool is_bias = other->desc.ndim == 1 && other->desc.shape[0] == n &&
                       other->desc.stride[0] == 1 && !other->desc.lead && product->desc.ndim > 1;
        bool is_addend = dlm_desc_same_shape(&other->desc, &product->desc) &&
                         other->desc.stride[other->desc.ndim - 1] == 1;
        int slot = is_bias ? 3 : 2;
        if ((!is_bias && !is_addend) || (m->num_inputs > slot && m->inputs[slot]))
            continue;
        struct dlm_node fused = *m;
        for (int i = fused.num_inputs; i <= slot; i++)
            fused.inputs[i] = NULL;
        fused.num_inputs = DLM_MAX(fused.num_inputs, slot + 1);
        fused.inputs[slot] = other;
        fused.outputs[0] = add->outputs[0];
        fused.block = add->block;
        fused.is_recompute = add->is_recompute;
        *add = fused;
        *gone = m;
        return true;
    }
    return false;
}

/* copy(matmul(a, b)) into a part of a buffer -> matmul(a, b) into it */
static bool fuse_copy(const struct dlm_graph *g, size_t at, const struct uses *u,
                      struct dlm_node **gone)
{
    struct dlm_node *copy = g->nodes[at];
    struct dlm_tensor *to = copy->outputs[0];
    struct dlm_node *m = sole_producer(u, copy->inputs[0], &dlm_op_matmul);

    if (!m || !is_plain(to) || to->view != DLM_VIEW_ALIAS || m->block != copy->block ||
        !can_move(g, m, at) || to->desc.stride[to->desc.ndim - 1] != 1 ||
        writes_input_of(copy, m))
        return false;
    struct dlm_node fused = *m;
    fused.outputs[0] = to;
    fused.is_recompute = copy->is_recompute;
    *copy = fused;
    *gone = m;
    return true;
}

/* mul(activation(gate), up) -> gated_activation(gate, up) */
static bool fuse_gate(const struct dlm_graph *g, size_t at, const struct uses *u,
                      struct dlm_node **gone)
{
    struct dlm_node *mul = g->nodes[at];

    for (int side = 0; side < 2; side++) {
        struct dlm_node *act = sole_producer(u, mul->inputs[side], &dlm_op_activation);
        struct dlm_tensor *up = mul->inputs[1 - side];
        if (!act || act->block != mul->block || !can_move(g, act, at) ||
            !dlm_desc_same_shape(&up->desc, &act->inputs[0]->desc) ||
            !dlm_desc_is_contiguous(&up->desc))
            continue;
        mul->op = &dlm_op_gated_activation;
        mul->attrs = act->attrs;
        mul->inputs[0] = act->inputs[0];
        mul->inputs[1] = up;
        *gone = act;
        return true;
    }
    return false;
}

static void drop_node(struct dlm_graph *g, const struct dlm_node *gone)
{
    size_t kept = 0;

    for (size_t i = 0; i < g->num_nodes; i++)
        if (g->nodes[i] != gone)
            g->nodes[kept++] = g->nodes[i];
    g->num_nodes = kept;
}

enum dlm_status dlm_graph_fuse(struct dlm_graph *graph)
{
    struct uses u = {0};

    if (graph->status)
        return graph->status;
    enum dlm_status st = count_uses(graph, &u);
    for (size_t i = 0; !st && i < graph->num_nodes; i++) {
        struct dlm_node *n = graph->nodes[i], *gone = NULL;
        bool fused = (n->op == &dlm_op_add && fuse_add(graph, i, &u, &gone)) ||
                     (n->op == &dlm_op_copy && fuse_copy(graph, i, &u, &gone)) ||
                     (n->op == &dlm_op_mul && fuse_gate(graph, i, &u, &gone));
        if (!fused)
            continue;
        for (int k = 0; k < gone->num_outputs; k++)
            gone->outputs[k]->producer = NULL;
        drop_node(graph, gone);
        i--; /* the list moved up by one; the fused node may fuse again further on */
    }
    dlm_free(u.count);
    return st;
}
