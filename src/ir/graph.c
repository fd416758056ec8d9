/* Graph objects: leaves, nodes, views. */
#include "ir/graph.h"

#include "base/log.h"

enum dlm_status dlm_graph_create(struct dlm_ctx *ctx, struct dlm_graph **out)
{
    *out = dlm_alloc(ctx, sizeof(**out));
    if (!*out)
        return DLM_ERR_MEMORY;
    (*out)->ctx = ctx;
    return DLM_OK;
}

void dlm_graph_destroy(struct dlm_graph **graph)
{
    struct dlm_graph *g = graph ? *graph : NULL;

    if (!g)
        return;
    dlm_arena_finish(&g->arena);
    dlm_free(g->tensors);
    dlm_free(g->nodes);
    dlm_free(g);
    *graph = NULL;
}

enum dlm_status dlm_graph_status(const struct dlm_graph *graph)
{
    return graph->status;
}

void dlm_graph_fail(struct dlm_graph *g, enum dlm_status status)
{
    if (!g->status)
        g->status = status;
}

void dlm_graph_mark(struct dlm_graph *graph)
{
    graph->block++;
}

static struct dlm_tensor *new_tensor(struct dlm_graph *g, const struct dlm_desc *desc)
{
    size_t bytes, len = 1;

    if (g->status)
        return NULL;
    for (int i = 0; i < desc->ndim; i++)
        if (desc->shape[i] <= 0 || !dlm_mul_size(len, (size_t)desc->shape[i], &len)) {
            dlm_graph_fail(g, dlm_fail(g->ctx, DLM_ERR_INVALID, "a tensor's shape is impossible"));
            return NULL;
        }
    if (len > INT64_MAX / 16 || !dlm_dtype_bytes(desc->dtype, (int64_t)len, &bytes)) {
        dlm_graph_fail(g, dlm_fail(g->ctx, DLM_ERR_INVALID,
                                   "a tensor is too large, or no whole number of %s blocks",
                                   dlm_dtype_name(desc->dtype)));
        return NULL;
    }
    struct dlm_tensor *t = dlm_arena_alloc(g->ctx, &g->arena, sizeof(*t));
    if (!t || !dlm_grow(g->ctx, &g->tensors, &g->cap_tensors, g->num_tensors, sizeof(t))) {
        dlm_graph_fail(g, DLM_ERR_MEMORY);
        return NULL;
    }
    t->desc = *desc;
    t->base = t;
    t->index = (int)g->num_tensors; /* graphs have thousands of tensors */
    t->block = g->block;
    g->tensors[g->num_tensors++] = t;
    return t;
}

struct dlm_tensor *dlm_graph_leaf(struct dlm_graph *graph, enum dlm_tensor_role role,
                                  const char *name, const struct dlm_desc *desc)
{
    struct dlm_tensor *t = new_tensor(graph, desc);

    if (!t)
        return NULL;
    t->role = role;
    t->name = name;
    t->needs_grad = role == DLM_ROLE_PARAM;
    return t;
}

struct dlm_tensor *dlm_graph_view(struct dlm_graph *graph, struct dlm_tensor *t,
                                  enum dlm_view_kind kind, const struct dlm_desc *desc,
                                  int64_t offset)
{
    if (!t)
        return NULL;
    struct dlm_tensor *v = new_tensor(graph, desc);
    if (!v)
        return NULL;
    v->base = t->base;
    v->view = kind;
    v->parent = t;
    v->offset = offset;
    v->desc.lead = dlm_tensor_lead(v, DLM_ALIGN_BYTES);
    v->role = t->role;
    v->name = t->name;
    v->needs_grad = t->needs_grad;
    v->producer = t->producer;
    v->is_kept = t->is_kept;
    return v;
}

static struct dlm_node *new_node(struct dlm_graph *g, const struct dlm_op *op,
                                 const union dlm_attrs *attrs, struct dlm_tensor *const *inputs,
                                 int num_inputs, struct dlm_desc *outputs)
{
    struct dlm_desc descs[DLM_MAX_INPUTS];

    if (g->status)
        return NULL;
    for (int i = 0; i < DLM_MAX_INPUTS; i++)
        if (i < num_inputs && inputs[i])
            descs[i] = inputs[i]->desc;
        else
            descs[i] = (struct dlm_desc){.dtype = DLM_DTYPE_COUNT, .ndim = 1};
    struct dlm_node *node = dlm_arena_alloc(g->ctx, &g->arena, sizeof(*node));
    if (!node || !dlm_grow(g->ctx, &g->nodes, &g->cap_nodes, g->num_nodes, sizeof(node))) {
        dlm_graph_fail(g, DLM_ERR_MEMORY);
        return NULL;
    }
    if (attrs)
        node->attrs = *attrs;
    enum dlm_status st = op->infer(g->ctx, &node->attrs, descs, outputs);
    if (st) {
        dlm_graph_fail(g, st);
        return NULL;
    }
    node->op = op;
    node->num_inputs = num_inputs;
    while (node->num_outputs < op->num_outputs &&
           !dlm_desc_is_absent(&outputs[node->num_outputs]))
        node->num_outputs++;
    for (int i = 0; i < num_inputs; i++)
        node->inputs[i] = inputs[i];
    node->block = g->block;
    return node;
}

static bool any_needs_grad(const struct dlm_node *node)
{
    for (int i = 0; i < node->num_inputs; i++)
        if (dlm_tensor_needs_grad(node->inputs[i]))
            return true;
    return false;
}

/* Gives the node its outputs and appends it. into: existing tensors for the first num_into. */
static struct dlm_tensor *finish_node(struct dlm_graph *g, struct dlm_node *node,
                                      const struct dlm_desc *descs,
                                      struct dlm_tensor *const *into, int num_into)
{
    const struct dlm_op *op = node->op;

    for (int i = 0; i < node->num_outputs; i++) {
        struct dlm_tensor *source = i < num_into ? into[i] : NULL;
        if (!source && op->alias[i])
            source = node->inputs[op->alias[i] - 1];
        struct dlm_tensor *t;
        if (source) /* a new name for the same memory, so that readers come after this node */
            t = dlm_graph_view(g, source, DLM_VIEW_ALIAS, &source->desc, source->offset);
        else
            t = new_tensor(g, &descs[i]);
        if (!t)
            return NULL;
        t->producer = node;
        t->needs_grad = any_needs_grad(node);
        node->outputs[i] = t;
    }
    g->nodes[g->num_nodes++] = node;
    return node->outputs[0];
}

struct dlm_tensor *dlm_graph_emit(struct dlm_graph *g, const struct dlm_op *op,
                                  const union dlm_attrs *attrs, struct dlm_tensor *const *inputs,
                                  int num_inputs, struct dlm_tensor **outputs)
{
    struct dlm_desc descs[DLM_MAX_OUTPUTS];
    struct dlm_node *node = new_node(g, op, attrs, inputs, num_inputs, descs);

    if (!node || !finish_node(g, node, descs, NULL, 0))
        return NULL;
    for (int i = 0; outputs && i < node->num_outputs; i++)
        outputs[i] = node->outputs[i];
    return node->outputs[0];
}

static struct dlm_tensor *emit_into(struct dlm_graph *g, const struct dlm_op *op,
                                    const union dlm_attrs *attrs, struct dlm_tensor *const *inputs,
                                    int num_inputs, struct dlm_tensor *const *into, int num_into)
{
    struct dlm_desc descs[DLM_MAX_OUTPUTS];

    for (int i = 0; i < num_into; i++)
        if (!into[i])
            return NULL;
    struct dlm_node *node = new_node(g, op, attrs, inputs, num_inputs, descs);
    if (!node)
        return NULL;
    for (int i = 0; i < num_into; i++)
        if (!dlm_desc_same_shape(&descs[i], &into[i]->desc) ||
            descs[i].dtype != into[i]->desc.dtype) {
            dlm_graph_fail(g, dlm_infer_fail(g->ctx, op->name,
                                             "the destination must have the result's shape and "
                                             "dtype", &into[i]->desc));
            return NULL;
        }
    return finish_node(g, node, descs, into, num_into);
}

struct dlm_tensor *dlm_graph_emit_into(struct dlm_graph *g, const struct dlm_op *op,
                                       const union dlm_attrs *attrs,
                                       struct dlm_tensor *const *inputs, int num_inputs,
                                       struct dlm_tensor *into)
{
    return emit_into(g, op, attrs, inputs, num_inputs, &into, 1);
}

bool dlm_graph_emit_into_all(struct dlm_graph *g, const struct dlm_op *op,
                             const union dlm_attrs *attrs, struct dlm_tensor *const *inputs,
                             int num_inputs, struct dlm_tensor *const *into,
                             struct dlm_tensor **outputs)
{
    if (!emit_into(g, op, attrs, inputs, num_inputs, into, op->num_outputs))
        return false;
    for (int i = 0; i < op->num_outputs; i++)
        outputs[i] = dlm_graph_last_output(g, i);
    return true;
}

struct dlm_tensor *dlm_graph_last_output(struct dlm_graph *g, int index)
{
    return g->status ? NULL : g->nodes[g->num_nodes - 1]->outputs[index];
}

struct dlm_tensor *dlm_graph_buffer(struct dlm_graph *graph, const struct dlm_desc *desc)
{
    return new_tensor(graph, desc);
}

struct dlm_tensor *dlm_graph_join(struct dlm_graph *graph, struct dlm_tensor *buffer,
                                  struct dlm_tensor *const *parts, int num_parts, int dim)
{
    if (!buffer || graph->status)
        return NULL;
    struct dlm_tensor **list =
        dlm_arena_alloc(graph->ctx, &graph->arena, (size_t)num_parts * sizeof(*list));
    struct dlm_tensor *t =
        dlm_graph_view(graph, buffer, DLM_VIEW_JOIN, &buffer->desc, buffer->offset);
    if (!list || !t) {
        dlm_graph_fail(graph, DLM_ERR_MEMORY);
        return NULL;
    }
    for (int i = 0; i < num_parts; i++) {
        if (!parts[i])
            return NULL;
        list[i] = parts[i];
        t->needs_grad |= parts[i]->needs_grad;
    }
    t->parts = list;
    t->num_parts = num_parts;
    t->view_dim = dim;
    t->producer = list[num_parts - 1]->producer;
    return t;
}
