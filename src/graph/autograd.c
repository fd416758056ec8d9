/* The backward pass, by reverse order of tensors, with recomputation of checkpointed blocks.
 *
 * Tensors are numbered in order of creation and every user of a tensor makes a later one, so that
 * walking the numbers downwards meets a tensor when its gradient is complete. Frozen leaves need no
 * gradient, and rules ask before they emit, so nothing is computed or kept for them. */
#include "base/log.h"
#include "graph/rewrite.h"
#include "ops/build.h"

struct backward {
    struct dlm_graph *g;
    int num;                    /* tensors of the forward graph */
    size_t num_nodes;           /* nodes of the forward graph */
    struct dlm_tensor **grads;  /* [num], by tensor index */
    struct dlm_tensor **copies; /* [num]: what stands for a tensor in the backward pass */
    struct dlm_tensor **slices; /* [num]: the first slice of a tensor that has a gradient */
    struct dlm_tensor **next;   /* [num]: the next slice of the same tensor, further up */
    int recomputed;             /* lowest block whose copies are made */
    bool checkpoint;
};

static void accumulate(struct backward *b, struct dlm_tensor *t, struct dlm_tensor *grad)
{
    if (!grad || !t->needs_grad)
        return;
    struct dlm_tensor **sum = &b->grads[t->index];
    *sum = *sum ? dlm_add(b->g, *sum, grad) : grad;
}

/* True when slices from `first` on lie along one dimension, one behind the other; *covers: they
 * leave no gap in the parent. */
static bool are_disjoint(const struct backward *b, const struct dlm_tensor *first, bool *covers)
{
    int64_t len = 0;

    for (const struct dlm_tensor *v = first; v; v = b->next[v->index]) {
        len += v->desc.shape[v->view_dim];
        for (const struct dlm_tensor *w = b->next[v->index]; w; w = b->next[w->index])
            if (w->view_dim != v->view_dim ||
                (w->view_begin < v->view_begin + v->desc.shape[v->view_dim] &&
                 v->view_begin < w->view_begin + w->desc.shape[w->view_dim]))
                return false;
    }
    *covers = len == first->parent->desc.shape[first->view_dim];
    return true;
}

/* The buffer of the parent's shape, if gradients of all slices were written into it, each into its
 * own. */
static struct dlm_tensor *common_buffer(const struct backward *b, const struct dlm_tensor *first)
{
    struct dlm_tensor *whole = NULL;

    for (const struct dlm_tensor *v = first; v; v = b->next[v->index]) {
        const struct dlm_tensor *grad = b->grads[v->index], *into = grad->parent;
        if (grad->view != DLM_VIEW_ALIAS || into->view != DLM_VIEW_SLICE ||
            into->view_dim != v->view_dim || into->view_begin != v->view_begin ||
            (whole && into->parent != whole) ||
            !dlm_desc_same_shape(&into->parent->desc, &v->parent->desc) ||
            !dlm_desc_same_shape(&into->desc, &v->desc))
            return NULL;
        whole = into->parent;
    }
    return whole;
}

/* Adds the gradient of slices from `first` on, their sizes not in each other's way, to their
 * parent's: in one buffer, with zeros where no slice is. num: of the slices. */
static void join_slices(struct backward *b, struct dlm_tensor *first, bool covers, int num)
{
    struct dlm_tensor *p = first->parent;
    struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, p->desc.ndim, p->desc.shape);
    struct dlm_tensor *whole = covers ? common_buffer(b, first) : NULL;
    struct dlm_tensor **parts = dlm_alloc_array(b->g->ctx, (size_t)num, sizeof(*parts));
    const bool is_written = whole != NULL;
    int n = 0;

    if (!parts) {
        dlm_graph_fail(b->g, DLM_ERR_MEMORY);
        return;
    }
    if (!whole)
        whole = dlm_graph_buffer(b->g, &desc);
    if (!covers)
        whole = dlm_fill_into(b->g, whole, 0.0f);
    for (struct dlm_tensor *v = first; v && n < num; v = b->next[v->index]) {
        struct dlm_tensor *grad = b->grads[v->index];
        struct dlm_tensor *part = is_written ? NULL
                                             : dlm_view_slice(b->g, whole, v->view_dim,
                                                              v->view_begin,
                                                              v->desc.shape[v->view_dim]);
        parts[n++] = is_written ? grad : dlm_copy_into(b->g, grad, part);
    }
    /* the parts were written into whole's storage: it is read after them */
    accumulate(b, p, dlm_graph_join(b->g, whole, parts, n, first->view_dim));
    dlm_free(parts);
}

/* Adds what the slices of t give to its gradient, once all of theirs are complete. */
static void add_slices(struct backward *b, const struct dlm_tensor *t)
{
    struct dlm_tensor *first = b->slices[t->index];
    bool covers = false;
    int num = 0;

    if (!first)
        return;
    for (const struct dlm_tensor *v = first; v; v = b->next[v->index])
        num++;
    if (are_disjoint(b, first, &covers)) {
        join_slices(b, first, covers, num);
        return;
    }
    for (struct dlm_tensor *v = first, *next; v; v = next) {
        next = b->next[v->index];
        b->next[v->index] = NULL;
        join_slices(b, v, false, 1);
    }
}

/* t, or a copy of it where it has gaps. */
static struct dlm_tensor *contiguous(struct backward *b, struct dlm_tensor *t)
{
    if (!t)
        return NULL;
    struct dlm_desc d = t->desc;
    d.lead = 0;
    return dlm_desc_is_contiguous(&d) ? t : dlm_copy(b->g, t, DLM_DTYPE_F32);
}

static void backward_view(struct backward *b, struct dlm_tensor *v, struct dlm_tensor *grad)
{
    struct dlm_tensor *p = v->parent;

    switch (v->view) {
    case DLM_VIEW_RESHAPE:
        accumulate(b, p,
                   dlm_view_reshape(b->g, contiguous(b, grad), p->desc.ndim, p->desc.shape));
        break;
    case DLM_VIEW_PERMUTE:
        accumulate(b, p, dlm_view_unpermute(b->g, grad, v->order));
        break;
    case DLM_VIEW_SLICE: /* see add_slices() */
        b->next[v->index] = b->slices[p->index];
        b->slices[p->index] = v;
        break;
    case DLM_VIEW_EXPAND:
        accumulate(b, p, dlm_reduce_to(b->g, grad, &p->desc));
        break;
    case DLM_VIEW_JOIN:
        for (int i = 0, at = 0; i < v->num_parts; i++) {
            int64_t len = v->parts[i]->desc.shape[v->view_dim];
            accumulate(b, v->parts[i], dlm_view_slice(b->g, grad, v->view_dim, at, len));
            at += (int)len; /* within one tensor dimension */
        }
        break;
    case DLM_VIEW_NONE:
    case DLM_VIEW_ALIAS:
        break;
    }
}

/* The tensor that stands for t in the backward pass. */
static struct dlm_tensor *stand_in(struct backward *b, struct dlm_tensor *t)
{
    return t && t->index < b->num && b->copies[t->index] ? b->copies[t->index] : t;
}

static struct dlm_tensor *copy_view(struct backward *b, const struct dlm_tensor *v)
{
    struct dlm_tensor *p = stand_in(b, v->parent);

    switch (v->view) {
    case DLM_VIEW_RESHAPE:
        return dlm_view_reshape(b->g, p, v->desc.ndim, v->desc.shape);
    case DLM_VIEW_PERMUTE:
        return dlm_view_permute(b->g, p, v->order);
    case DLM_VIEW_SLICE:
        return dlm_view_slice(b->g, p, v->view_dim, v->view_begin, v->desc.shape[v->view_dim]);
    case DLM_VIEW_EXPAND:
        return dlm_view_expand(b->g, p, v->desc.ndim, v->desc.shape);
    case DLM_VIEW_JOIN: {
        struct dlm_tensor **parts =
            dlm_alloc_array(b->g->ctx, (size_t)v->num_parts, sizeof(struct dlm_tensor *));
        if (!parts) {
            dlm_graph_fail(b->g, DLM_ERR_MEMORY);
            return NULL;
        }
        for (int i = 0; i < v->num_parts; i++)
            parts[i] = stand_in(b, v->parts[i]);
        struct dlm_tensor *joined = dlm_graph_join(b->g, p, parts, v->num_parts, v->view_dim);
        dlm_free(parts);
        return joined;
    }
    case DLM_VIEW_NONE:
    case DLM_VIEW_ALIAS:
        break;
    }
    return NULL;
}

/* Emits the node once more on the copies of its inputs. */
static void copy_node(struct backward *b, const struct dlm_node *node)
{
    struct dlm_tensor *inputs[DLM_MAX_INPUTS], *outputs[DLM_MAX_OUTPUTS];
    const struct dlm_tensor *first = node->outputs[0];

    for (int i = 0; i < node->num_inputs; i++)
        inputs[i] = stand_in(b, node->inputs[i]);
    if (first->view == DLM_VIEW_ALIAS && !node->op->alias[0])
        outputs[0] = dlm_graph_emit_into(b->g, node->op, &node->attrs, inputs, node->num_inputs,
                                         stand_in(b, first->parent));
    else
        dlm_graph_emit(b->g, node->op, &node->attrs, inputs, node->num_inputs, outputs);
    if (b->g->status)
        return;
    b->g->nodes[b->g->num_nodes - 1]->is_recompute = true;
    for (int i = 0; i < node->num_outputs; i++)
        if (!node->outputs[i]->is_kept)
            b->copies[node->outputs[i]->index] = outputs[i];
}

/* Makes the copies of a block: what its backward rules will read. Copies that none reads are
 * pruned later. */
static void recompute_block(struct backward *b, int block)
{
    for (int i = 0; i < b->num && !b->g->status; i++) {
        struct dlm_tensor *t = b->g->tensors[i];
        if (t->block != block || t->is_kept || b->copies[i])
            continue;
        if (t->view == DLM_VIEW_NONE && !t->producer && t->role == DLM_ROLE_TEMP)
            b->copies[i] = dlm_graph_buffer(b->g, &t->desc);
        else if (t->producer && (t->view == DLM_VIEW_NONE || t->view == DLM_VIEW_ALIAS)) {
            if (t->producer->outputs[0] == t)
                copy_node(b, t->producer);
        } else if (t->view != DLM_VIEW_NONE && stand_in(b, t->parent) != t->parent)
            b->copies[i] = copy_view(b, t);
        if (b->copies[i])
            b->copies[i]->base->is_exact |= t->base->is_exact;
    }
}

static void backward_node(struct backward *b, const struct dlm_node *node)
{
    struct dlm_tensor *grads[DLM_MAX_OUTPUTS] = {0}, *input_grads[DLM_MAX_INPUTS] = {0};
    struct dlm_node seen = *node;
    bool has_grad = false;

    for (int i = 0; i < node->num_outputs; i++) {
        grads[i] = b->grads[node->outputs[i]->index];
        has_grad |= grads[i] != NULL;
        if (grads[i] && !node->op->reads_strided_grads &&
            !dlm_desc_is_contiguous(&grads[i]->desc))
            grads[i] = dlm_copy(b->g, grads[i], DLM_DTYPE_F32);
        seen.outputs[i] = stand_in(b, node->outputs[i]);
    }
    if (!has_grad || !node->outputs[0]->needs_grad)
        return;
    if (!node->op->backward) {
        dlm_graph_fail(b->g, dlm_fail(b->g->ctx, DLM_ERR_UNSUPPORTED,
                                      "op '%s' has no gradient", node->op->name));
        return;
    }
    for (int i = 0; i < node->num_inputs; i++)
        seen.inputs[i] = stand_in(b, node->inputs[i]);
    node->op->backward(b->g, &seen, grads, input_grads);
    for (int i = 0; i < node->num_inputs; i++)
        if (node->inputs[i])
            accumulate(b, node->inputs[i], input_grads[i]);
}

static void add_to_param(struct backward *b, struct dlm_tensor *param, struct dlm_tensor *grad)
{
    if (param->grad)
        dlm_graph_emit_into(b->g, &dlm_op_add, NULL,
                            (struct dlm_tensor *[]){param->grad, grad}, 2, param->grad);
}

static void walk(struct backward *b)
{
    for (int i = b->num - 1; i >= 0 && !b->g->status; i--) {
        struct dlm_tensor *t = b->g->tensors[i];
        add_slices(b, t);
        struct dlm_tensor *grad = b->grads[i];
        bool is_output = t->producer && t->producer->outputs[0] == t;
        if (!grad && !is_output)
            continue;
        if (b->checkpoint && t->producer && t->block < b->recomputed) {
            b->recomputed = t->block;
            recompute_block(b, t->block);
        }
        if (is_output)
            backward_node(b, t->producer);
        else if (t->view != DLM_VIEW_NONE)
            backward_view(b, t, grad);
        else if (t->role == DLM_ROLE_PARAM)
            add_to_param(b, t, grad);
    }
}

enum dlm_status dlm_graph_backward(struct dlm_graph *graph, struct dlm_tensor *const *outputs,
                                   struct dlm_tensor *const *grads, int num, bool checkpoint)
{
    struct backward b = {
        .g = graph,
        .num = (int)graph->num_tensors,
        .num_nodes = graph->num_nodes,
        .recomputed = graph->block, /* the last block is still in memory */
        .checkpoint = checkpoint,
    };

    if (graph->status)
        return graph->status;
    b.grads = dlm_alloc_array(graph->ctx, graph->num_tensors, sizeof(*b.grads));
    b.copies = dlm_alloc_array(graph->ctx, graph->num_tensors, sizeof(*b.copies));
    b.slices = dlm_alloc_array(graph->ctx, graph->num_tensors, sizeof(*b.slices));
    b.next = dlm_alloc_array(graph->ctx, graph->num_tensors, sizeof(*b.next));
    if (!b.grads || !b.copies || !b.slices || !b.next) {
        dlm_graph_fail(graph, DLM_ERR_MEMORY);
        goto done;
    }
    for (int i = 0; i < num; i++)
        if (outputs[i] && grads[i]) {
            grads[i]->base->is_exact = true; /* a gradient, wherever it was computed */
            accumulate(&b, outputs[i], grads[i]);
        }
    graph->backward_block = ++graph->block;
    walk(&b);
done:
    dlm_free(b.grads);
    dlm_free(b.copies);
    dlm_free(b.slices);
    dlm_free(b.next);
    return graph->status;
}
