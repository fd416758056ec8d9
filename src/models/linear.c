/* Linear layers with slabs and adapters. */
#include "models/linear.h"

#include <assert.h>
#include <stdio.h>

#include "models/precision.h"

/* The tensors of siblings that are their weights (or biases). */
struct rows {
    char names[DLM_MAX_SIBLINGS][96]; /* families' own names, far shorter */
    struct dlm_weight_piece pieces[DLM_MAX_SIBLINGS];
};

static void name_rows(const struct dlm_siblings *s, const char *what, struct rows *r)
{
    for (int i = 0; i < s->num; i++) {
        char *name = r->names[i];
        const int len = snprintf(name, sizeof(r->names[i]), "%s.%s", s->list[i].name, what);
        assert(len > 0 && (size_t)len < sizeof(r->names[i]));
        (void)len; /* with assertions off */
        r->pieces[i] = (struct dlm_weight_piece){name, s->list[i].out};
    }
}

/* One weight, and one bias, of all siblings. */
static enum dlm_status declare_together(const struct dlm_weight_scope *scope,
                                        const struct dlm_siblings *s, int64_t in, bool has_bias)
{
    struct dlm_weight *weight = NULL, *bias = NULL;
    struct rows rows;
    int64_t row0 = 0;

    name_rows(s, "weight", &rows);
    enum dlm_status st = dlm_weights_join_matrix(scope, rows.pieces, s->num, in, &weight);
    name_rows(s, "bias", &rows);
    if (!st && has_bias)
        st = dlm_weights_join_vector(scope, rows.pieces, s->num, &bias);
    for (int i = 0; i < s->num; i++) {
        struct dlm_linear *l = s->list[i].linear;
        l->weight = weight;
        l->bias = bias;
        l->row0 = row0;
        row0 += l->out;
    }
    return st;
}

enum dlm_status dlm_siblings_declare(const struct dlm_weight_scope *scope,
                                     const struct dlm_siblings *siblings, int64_t in,
                                     bool has_bias)
{
    enum dlm_status st = DLM_OK;
    struct rows rows;

    for (int i = 0; i < siblings->num; i++) {
        struct dlm_linear *l = siblings->list[i].linear;
        const struct dlm_weight_scope own =
            dlm_weight_scope_below(scope, "%s", siblings->list[i].name);
        l->path = dlm_strdup(scope->weights->ctx, own.path);
        l->out = siblings->list[i].out;
        if (!l->path)
            return DLM_ERR_MEMORY;
    }
    name_rows(siblings, "weight", &rows);
    if (dlm_weights_can_join(scope, rows.pieces, siblings->num))
        return declare_together(scope, siblings, in, has_bias);
    for (int i = 0; !st && i < siblings->num; i++) {
        struct dlm_siblings alone = {.num = 1, .list = {siblings->list[i]}};
        st = declare_together(scope, &alone, in, has_bias);
    }
    return st;
}

enum dlm_status dlm_linear_declare(const struct dlm_weight_scope *scope, struct dlm_linear *l,
                                   const char *name, int64_t out, int64_t in, bool has_bias)
{
    const struct dlm_siblings alone = {.num = 1, .list = {{l, name, out}}};

    return dlm_siblings_declare(scope, &alone, in, has_bias);
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

/* Columns [begin, begin + len) of t, if there is one. */
static struct dlm_tensor *columns(struct dlm_build *b, struct dlm_tensor *t, int64_t begin,
                                  int64_t len)
{
    return t ? dlm_view_slice(b->g, t, 1, begin, len) : NULL;
}

struct dlm_tensor *dlm_weight_product(struct dlm_build *b, const struct dlm_weight *w,
                                      struct dlm_tensor *x, struct dlm_tensor *bias,
                                      struct dlm_tensor *addend, float alpha)
{
    const struct dlm_matmul_attrs attrs = {.alpha = alpha,
                                           .round = dlm_precision_operand(b->policy, w->dtype)};
    const union dlm_attrs node_attrs = {.matmul = attrs};

    if (!x)
        return NULL;
    if (w->num_slabs == 1)
        return dlm_matmul(b->g, x, dlm_view_transpose(b->g, dlm_weight_leaf(b->g, w, 0)), addend,
                          bias, &attrs);
    struct dlm_tensor **parts =
        dlm_arena_alloc(b->g->ctx, &b->g->arena, (size_t)w->num_slabs * sizeof(*parts));
    struct dlm_desc desc =
        dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){dlm_desc_rows(&x->desc), w->rows});
    struct dlm_tensor *out = dlm_graph_buffer(b->g, &desc);
    for (int s = 0; parts && s < w->num_slabs; s++) {
        const struct dlm_weight_slab *slab = &w->slabs[s];
        struct dlm_tensor *leaf = dlm_weight_leaf(b->g, w, s);
        struct dlm_tensor *inputs[] = {x, dlm_view_transpose(b->g, leaf),
                                       columns(b, addend, slab->row0, slab->rows)};
        parts[s] = dlm_graph_emit_into(b->g, &dlm_op_matmul, &node_attrs, inputs, 3,
                                       columns(b, out, slab->row0, slab->rows));
    }
    out = parts ? dlm_graph_join(b->g, out, parts, w->num_slabs, 1) : NULL;
    return bias ? dlm_add(b->g, out, bias) : out;
}

static struct dlm_tensor *drop(struct dlm_build *b, const struct dlm_lora_module *m,
                               struct dlm_tensor *x)
{
    const int64_t rows = b->all_rows ? b->all_rows : x->desc.shape[0];
    /* rows of a pass are far below 2^32 */
    struct dlm_dropout_attrs attrs = {
        .p = b->lora->params.dropout, .module = m->hash,
        .rows_per_batch = (uint32_t)(rows / b->row_ids->desc.shape[0]),
        .first_row = (uint32_t)b->first_row};

    return dlm_dropout(b->g, x, b->rng, b->row_ids, &attrs);
}

/* on * A dropout(x) of the modules of one input, each [R, its rank]. Without dropout one product
 * makes those whose A are one matrix. */
static void build_ranks(struct dlm_build *b, const struct dlm_lora_module *const *modules, int num,
                        struct dlm_tensor *x, struct dlm_tensor **ranks)
{
    const struct dlm_matmul_attrs exact = {0};
    const bool drops = b->rng && b->row_ids && b->lora->params.dropout > 0;
    struct dlm_tensor *leaves[DLM_MAX_SIBLINGS], *products[DLM_MAX_SIBLINGS];

    for (int i = 0; x && i < num; i++) {
        const struct dlm_lora_module *m = modules[i];
        int same = 0; /* the module before this one whose matrix is the same, or this one */
        while (modules[same]->first != m->first)
            same++;
        leaves[i] = same < i ? leaves[same] : dlm_lora_leaf_a(b->g, m, b->for_training);
        struct dlm_tensor *a = leaves[i], *in = x;
        if (drops) {
            a = m->first->all_rows > m->r ? dlm_view_slice(b->g, a, 0, m->row0, m->r) : a;
            in = drop(b, m, x);
        }
        products[i] = products[same];
        if (drops || same == i) {
            products[i] = dlm_matmul(b->g, in, dlm_view_transpose(b->g, a), NULL, NULL, &exact);
            if (b->adapter_on)
                products[i] = dlm_scale(b->g, products[i], 1, b->adapter_on);
            if (products[i])
                products[i]->is_exact = true; /* adapters are f32 throughout */
        }
        ranks[i] = drops || m->first->all_rows == m->r ? products[i]
                                                       : columns(b, products[i], m->row0, m->r);
    }
}

/* scaling * B u, added to y (NULL: nothing), into `into` (NULL: a tensor of its own). */
static struct dlm_tensor *build_update(struct dlm_build *b, const struct dlm_lora_module *m,
                                       struct dlm_tensor *u, struct dlm_tensor *y,
                                       struct dlm_tensor *into)
{
    const union dlm_attrs attrs = {.matmul = {.alpha = m->scaling}};
    struct dlm_tensor *lb = dlm_lora_leaf_b(b->g, m, b->for_training);
    struct dlm_tensor *inputs[] = {u, dlm_view_transpose(b->g, lb), y};

    if (!u || !inputs[1])
        return NULL;
    return into ? dlm_graph_emit_into(b->g, &dlm_op_matmul, &attrs, inputs, 3, into)
                : dlm_graph_emit(b->g, &dlm_op_matmul, &attrs, inputs, 3, NULL);
}

/* What the adapters add to the siblings' results, side by side; NULL: no sibling has one. */
static struct dlm_tensor *build_updates(struct dlm_build *b, const struct dlm_linear *const *list,
                                        int num, struct dlm_tensor *x)
{
    const struct dlm_lora_module *modules[DLM_MAX_SIBLINGS];
    struct dlm_tensor *ranks[DLM_MAX_SIBLINGS] = {0}, *parts[DLM_MAX_SIBLINGS];
    int num_modules = 0;

    for (int i = 0; x && i < num; i++) {
        const struct dlm_lora_module *m = dlm_lora_find(b->lora, list[i]->path);
        if (m)
            modules[num_modules++] = m;
    }
    if (!num_modules)
        return NULL;
    build_ranks(b, modules, num_modules, x, ranks);
    const struct dlm_desc desc = dlm_desc_make(
        DLM_DTYPE_F32, 2, (int64_t[]){x->desc.shape[0], list[0]->weight->rows});
    struct dlm_tensor *buffer = dlm_graph_buffer(b->g, &desc);
    if (num_modules < num)
        buffer = dlm_fill_into(b->g, buffer, 0);
    for (int i = 0, k = 0; i < num; i++) {
        parts[i] = columns(b, buffer, list[i]->row0, list[i]->out);
        if (k == num_modules || strcmp(modules[k]->path, list[i]->path))
            continue;
        parts[i] = build_update(b, modules[k], ranks[k], NULL, parts[i]);
        k++;
    }
    return dlm_graph_join(b->g, buffer, parts, num, 1);
}

/* The results of siblings that have weights of their own, side by side. */
static struct dlm_tensor *build_apart(struct dlm_build *b, const struct dlm_linear *const *list,
                                      int num, struct dlm_tensor *x)
{
    struct dlm_tensor *parts[DLM_MAX_SIBLINGS];
    int64_t width = 0, at = 0;

    for (int i = 0; i < num; i++)
        width += list[i]->out;
    if (!x)
        return NULL;
    const struct dlm_desc desc =
        dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){dlm_desc_rows(&x->desc), width});
    struct dlm_tensor *out = dlm_graph_buffer(b->g, &desc);
    for (int i = 0; i < num; at += list[i++]->out)
        parts[i] = dlm_copy_into(b->g, dlm_linear_build(b, list[i], x, NULL),
                                 columns(b, out, at, list[i]->out));
    return dlm_graph_join(b->g, out, parts, num, 1);
}

struct dlm_tensor *dlm_siblings_build(struct dlm_build *b, const struct dlm_linear *const *list,
                                      int num, struct dlm_tensor *x)
{
    const struct dlm_linear *first = list[0];
    struct dlm_tensor *bias = first->bias ? dlm_weight_leaf(b->g, first->bias, 0) : NULL;

    if (num == 1)
        return dlm_linear_build(b, first, x, NULL);
    if (list[1]->weight != first->weight)
        return build_apart(b, list, num, x);
    struct dlm_tensor *updates = build_updates(b, list, num, x);
    return dlm_weight_product(b, first->weight, x, bias, updates, 1);
}

struct dlm_tensor *dlm_linear_build(struct dlm_build *b, const struct dlm_linear *l,
                                    struct dlm_tensor *x, struct dlm_tensor *addend)
{
    const struct dlm_lora_module *m = dlm_lora_find(b->lora, l->path);
    struct dlm_tensor *bias = l->bias ? dlm_weight_leaf(b->g, l->bias, 0) : NULL;
    struct dlm_tensor *y = dlm_weight_product(b, l->weight, x, bias, addend, 1), *u = NULL;

    if (!m)
        return y;
    build_ranks(b, &m, 1, x, &u);
    return build_update(b, m, u, y, NULL);
}
