/* Linear layers with slabs and adapters. */
#include "models/linear.h"
#include "models/precision.h"

enum dlm_status dlm_linear_declare(const struct dlm_weight_scope *scope, struct dlm_linear *l,
                                   const char *name, int64_t out, int64_t in, bool has_bias)
{
    const struct dlm_weight_scope own = dlm_weight_scope_below(scope, "%s", name);

    l->path = dlm_strdup(scope->weights->ctx, own.path);
    if (!l->path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_weights_add_matrix(&own, "weight", out, in, &l->weight);
    return st || !has_bias ? st : dlm_weights_add_vector(&own, "bias", out, &l->bias);
}

void dlm_linear_finish(struct dlm_linear *l)
{
    dlm_free(l->path);
    l->path = NULL;
}

enum dlm_status dlm_linear_list_add(struct dlm_ctx *ctx, struct dlm_linear_list *list,
                                    struct dlm_linear *l)
{
    if (!dlm_grow(ctx, &list->items, &list->cap, list->num, sizeof(l)))
        return DLM_ERR_MEMORY;
    list->items[list->num++] = l;
    return DLM_OK;
}

void dlm_linear_list_finish(struct dlm_linear_list *list)
{
    dlm_free(list->items);
    *list = (struct dlm_linear_list){0};
}

struct dlm_tensor *dlm_weight_product(struct dlm_build *b, const struct dlm_weight *w,
                                      struct dlm_tensor *x, struct dlm_tensor *bias, float alpha)
{
    const struct dlm_matmul_attrs attrs = {.alpha = alpha,
                                           .round = dlm_precision_operand(b->policy, w->dtype)};
    const union dlm_attrs node_attrs = {.matmul = attrs};

    if (!x)
        return NULL;
    if (w->num_slabs == 1)
        return dlm_matmul(b->g, x, dlm_view_transpose(b->g, dlm_weight_leaf(b->g, w, 0)), NULL,
                          bias, &attrs);
    struct dlm_tensor **parts =
        dlm_arena_alloc(b->g->ctx, &b->g->arena, (size_t)w->num_slabs * sizeof(*parts));
    struct dlm_desc desc =
        dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){dlm_desc_rows(&x->desc), w->rows});
    struct dlm_tensor *out = dlm_graph_buffer(b->g, &desc);
    for (int s = 0; parts && s < w->num_slabs; s++) {
        struct dlm_tensor *leaf = dlm_weight_leaf(b->g, w, s);
        struct dlm_tensor *inputs[] = {x, dlm_view_transpose(b->g, leaf)};
        parts[s] = dlm_graph_emit_into(
            b->g, &dlm_op_matmul, &node_attrs, inputs, 2,
            dlm_view_slice(b->g, out, 1, w->slabs[s].row0, w->slabs[s].rows));
    }
    out = parts ? dlm_graph_join(b->g, out, parts, w->num_slabs, 1) : NULL;
    return bias ? dlm_add(b->g, out, bias) : out;
}

/* on * scaling * B (A dropout(x)), added to y. */
static struct dlm_tensor *add_adapter(struct dlm_build *b, const struct dlm_lora_module *m,
                                      struct dlm_tensor *x, struct dlm_tensor *y)
{
    const struct dlm_matmul_attrs exact = {0};
    struct dlm_tensor *la = dlm_lora_leaf_a(b->g, m, b->for_training);
    struct dlm_tensor *lb = dlm_lora_leaf_b(b->g, m, b->for_training);

    if (x && b->rng && b->row_ids && b->lora->params.dropout > 0) {
        const int64_t rows = b->all_rows ? b->all_rows : x->desc.shape[0];
        /* rows of a pass are far below 2^32 */
        struct dlm_dropout_attrs attrs = {
            .p = b->lora->params.dropout, .module = m->hash,
            .rows_per_batch = (uint32_t)(rows / b->row_ids->desc.shape[0]),
            .first_row = (uint32_t)b->first_row};
        x = dlm_dropout(b->g, x, b->rng, b->row_ids, &attrs);
    }
    struct dlm_tensor *u = dlm_matmul(b->g, x, dlm_view_transpose(b->g, la), NULL, NULL, &exact);
    u = dlm_scale(b->g, u, m->scaling, b->adapter_on);
    if (u)
        u->is_exact = true; /* adapters are f32 throughout */
    return dlm_add(b->g, y,
                   dlm_matmul(b->g, u, dlm_view_transpose(b->g, lb), NULL, NULL, &exact));
}

struct dlm_tensor *dlm_linear_build(struct dlm_build *b, const struct dlm_linear *l,
                                    struct dlm_tensor *x, struct dlm_tensor *addend)
{
    const struct dlm_lora_module *m = dlm_lora_find(b->lora, l->path);
    struct dlm_tensor *bias = l->bias ? dlm_weight_leaf(b->g, l->bias, 0) : NULL;
    struct dlm_tensor *y = dlm_weight_product(b, l->weight, x, bias, 1);

    if (addend)
        y = dlm_add(b->g, y, addend);
    return m ? add_adapter(b, m, x, y) : y;
}
