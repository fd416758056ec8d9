/* The transformer block (Vaswani et al., 2017; pre-norm, rotary positions, grouped attention and
 * gated MLP as in LLaMA, Touvron et al., 2023; layer scale, Touvron et al., CaiT, 2021). */
#include "models/block.h"

#include <math.h>

static enum dlm_status declare_norms(const struct dlm_weight_scope *s, struct dlm_block *l)
{
    const struct dlm_block_config *c = l->config;
    const struct dlm_block_names *n = c->names;
    const int64_t q = c->qk_norm_whole ? c->heads * c->head_dim : c->head_dim;
    const int64_t k = c->qk_norm_whole ? c->kv_heads * c->head_dim : c->head_dim;
    const struct {
        struct dlm_norm *norm;
        const char *name;
        int64_t len;
    } list[] = {
        {&l->norm1, n->norm1, c->hidden},           {&l->norm2, n->norm2, c->hidden},
        {&l->post_norm1, n->post_norm1, c->hidden}, {&l->post_norm2, n->post_norm2, c->hidden},
        {&l->q_norm, n->q_norm, q},                 {&l->k_norm, n->k_norm, k},
    };
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(list); i++)
        if (list[i].name)
            st = dlm_norm_declare(s, list[i].norm, &c->norm, list[i].name, list[i].len);
    return st;
}

static enum dlm_status declare_one(const struct dlm_weight_scope *s, struct dlm_linear *linear,
                                   const char *name, int64_t out, int64_t in, bool has_bias)
{
    return name ? dlm_linear_declare(s, linear, name, out, in, has_bias) : DLM_OK;
}

static enum dlm_status declare_attention(const struct dlm_weight_scope *s, struct dlm_block *l)
{
    const struct dlm_block_config *c = l->config;
    const struct dlm_block_names *n = c->names;
    const int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const struct dlm_siblings qkv = {3, {{&l->q, n->q, q}, {&l->k, n->k, kv}, {&l->v, n->v, kv}}};

    enum dlm_status st = declare_one(s, &l->qkv, n->qkv, q + 2 * kv, c->hidden, c->qkv_bias);
    if (!st && n->q)
        st = dlm_siblings_declare(s, &qkv, c->hidden, c->qkv_bias);
    return st ? st : declare_one(s, &l->o, n->o, c->hidden, q, c->o_bias);
}

static enum dlm_status declare_mlp(const struct dlm_weight_scope *s, struct dlm_block *l)
{
    const struct dlm_block_config *c = l->config;
    const struct dlm_block_names *n = c->names;
    const int64_t inner = c->intermediate;
    const struct dlm_siblings gated = {2, {{&l->gate, n->gate, inner}, {&l->up, n->up, inner}}};

    enum dlm_status st =
        n->gate ? dlm_siblings_declare(s, &gated, c->hidden, c->mlp_bias)
                : declare_one(s, &l->up, n->up, inner, c->hidden, c->mlp_bias);
    return st ? st : declare_one(s, &l->down, n->down, c->hidden, inner, c->mlp_bias);
}

enum dlm_status dlm_block_declare(const struct dlm_weight_scope *scope, struct dlm_block *l,
                                  const struct dlm_block_config *config)
{
    const struct dlm_block_names *n = config->names;

    l->config = config;
    l->window = config->window;
    enum dlm_status st = declare_norms(scope, l);
    if (!st)
        st = declare_attention(scope, l);
    if (!st)
        st = declare_mlp(scope, l);
    if (!st && n->scale1)
        st = dlm_weights_add_vector(scope, n->scale1, config->hidden, &l->scale1);
    if (!st && n->scale2)
        st = dlm_weights_add_vector(scope, n->scale2, config->hidden, &l->scale2);
    return st;
}

#define MAX_LINEARS 8

static void all_linears(struct dlm_block *l, struct dlm_linear *list[MAX_LINEARS])
{
    struct dlm_linear *const all[MAX_LINEARS] = {&l->qkv, &l->q,    &l->k,  &l->v,
                                                 &l->o,   &l->gate, &l->up, &l->down};

    memcpy(list, all, sizeof(all));
}

void dlm_block_finish(struct dlm_block *l)
{
    struct dlm_linear *list[MAX_LINEARS];

    all_linears(l, list);
    for (int i = 0; i < MAX_LINEARS; i++)
        dlm_linear_finish(list[i]);
}

enum dlm_status dlm_block_list_linears(struct dlm_ctx *ctx, struct dlm_block *l,
                                       struct dlm_linear_list *list)
{
    struct dlm_linear *all[MAX_LINEARS];
    enum dlm_status st = DLM_OK;

    all_linears(l, all);
    for (int i = 0; !st && i < MAX_LINEARS; i++)
        if (all[i]->path)
            st = dlm_linear_list_add(ctx, list, all[i]);
    return st;
}

/* Of the product [R, (heads + 2 kv_heads) * D] the heads from `first` on, `num` of them, each group
 * of packed ones giving its share: [R, num * D], contiguous. */
static struct dlm_tensor *take_heads(struct dlm_build *b, const struct dlm_block *l,
                                     const struct dlm_block_inputs *in, struct dlm_tensor *product,
                                     int64_t first, int64_t num)
{
    const struct dlm_block_config *c = l->config;
    const bool is_packed = l->qkv.path && c->packing == DLM_QKV_GROUPS;
    const int64_t groups = is_packed ? c->kv_heads : 1, rows = in->batch * in->tokens;
    const int64_t heads = (c->heads + 2 * c->kv_heads) / groups;

    product = dlm_view_reshape(b->g, product, 4, (int64_t[]){rows, groups, heads, c->head_dim});
    product = dlm_view_slice(b->g, product, 2, first / groups, num / groups);
    return dlm_view_reshape(b->g, dlm_copy(b->g, product, DLM_DTYPE_F32), 2,
                            (int64_t[]){rows, num * c->head_dim});
}

/* x [R, heads * D], normed and turned by its positions: [R, heads, D]. */
static struct dlm_tensor *place(struct dlm_build *b, const struct dlm_block *l,
                                const struct dlm_block_inputs *in, struct dlm_tensor *x,
                                int64_t heads, const struct dlm_norm *norm)
{
    const struct dlm_block_config *c = l->config;
    const int64_t split[] = {in->batch * in->tokens, heads, c->head_dim};

    if (norm->weight && c->qk_norm_whole)
        x = dlm_norm_build(b, norm, &c->norm, x);
    x = dlm_view_reshape(b->g, x, 3, split);
    if (norm->weight && !c->qk_norm_whole)
        x = dlm_norm_build(b, norm, &c->norm, x);
    return in->cos ? dlm_rope(b->g, x, in->cos, in->sin, false) : x;
}

/* The cache after it took in keys or values x [T, kv_heads * D]: [1, S, kv_heads, D]. */
static struct dlm_tensor *store(struct dlm_build *b, const struct dlm_block_config *c,
                                const struct dlm_block_inputs *in, struct dlm_tensor *x,
                                struct dlm_tensor *cache)
{
    const int64_t shape[] = {1, cache->desc.shape[0], c->kv_heads, c->head_dim};

    x = dlm_store_rows(b->g, cache, x, in->cache_start);
    return dlm_view_reshape(b->g, x, 4, shape);
}

/* What attention takes: q [B, T, heads, D], and k and v of this pass, or the caches after it. */
struct heads {
    struct dlm_tensor *q, *k, *v;
};

/* Slices of the product itself, whose heads lie in three blocks and want no norm. */
static struct heads slice_heads(struct dlm_build *b, const struct dlm_block_config *c,
                                const struct dlm_block_inputs *in, struct dlm_tensor *x)
{
    const int64_t heads = c->heads, kv = c->kv_heads, all = heads + 2 * kv, dim = c->head_dim;
    const int64_t rows = in->batch * in->tokens;
    struct heads h;

    if (in->cos) {
        x = dlm_view_reshape(b->g, x, 3, (int64_t[]){rows, all, dim});
        x = dlm_rope_some(b->g, x, in->cos, in->sin, heads + kv);
    }
    struct dlm_tensor *apart = dlm_view_reshape(
        b->g, x, 4, (int64_t[]){in->batch, in->tokens, all, dim});
    h.q = dlm_view_slice(b->g, apart, 2, 0, heads);
    if (!in->cache_k) {
        h.k = dlm_view_slice(b->g, apart, 2, heads, kv);
        h.v = dlm_view_slice(b->g, apart, 2, heads + kv, kv);
        return h;
    }
    x = dlm_view_reshape(b->g, x, 2, (int64_t[]){rows, all * dim});
    struct dlm_tensor *k = dlm_view_slice(b->g, x, 1, heads * dim, kv * dim);
    struct dlm_tensor *v = dlm_view_slice(b->g, x, 1, (heads + kv) * dim, kv * dim);
    h.k = store(b, c, in, k, in->cache_k);
    h.v = store(b, c, in, v, in->cache_v);
    return h;
}

static struct heads copy_heads(struct dlm_build *b, const struct dlm_block *l,
                               const struct dlm_block_inputs *in, struct dlm_tensor *x)
{
    const int64_t heads = l->config->heads, kv = l->config->kv_heads, dim = l->config->head_dim;
    const int64_t kept[] = {in->batch, in->tokens, kv, dim};
    struct dlm_tensor *q = take_heads(b, l, in, x, 0, heads);
    struct dlm_tensor *k = take_heads(b, l, in, x, heads, kv);
    struct dlm_tensor *v = take_heads(b, l, in, x, heads + kv, kv);

    k = place(b, l, in, k, kv, &l->k_norm);
    k = dlm_view_reshape(b->g, k, 2, (int64_t[]){in->batch * in->tokens, kv * dim});
    q = place(b, l, in, q, heads, &l->q_norm);
    return (struct heads){
        .q = dlm_view_reshape(b->g, q, 4, (int64_t[]){in->batch, in->tokens, heads, dim}),
        .k = in->cache_k ? store(b, l->config, in, k, in->cache_k)
                         : dlm_view_reshape(b->g, k, 4, kept),
        .v = in->cache_v ? store(b, l->config, in, v, in->cache_v)
                         : dlm_view_reshape(b->g, v, 4, kept),
    };
}

/* x [R, hidden] -> [R, heads * D] */
static struct dlm_tensor *attend(struct dlm_build *b, const struct dlm_block *l,
                                 const struct dlm_block_inputs *in, struct dlm_tensor *x)
{
    const struct dlm_block_config *c = l->config;
    const struct dlm_linear *const apart[] = {&l->q, &l->k, &l->v}, *const packed[] = {&l->qkv};
    const struct dlm_attention_attrs attrs = {
        .scale = c->score_scale != 0 ? c->score_scale : 1.0f / sqrtf((float)c->head_dim),
        .mode = c->mode,
        .softcap = c->score_softcap,
        .window = l->window,
        .round = b->policy,
    };
    const bool is_plain = !l->q_norm.weight && !l->k_norm.weight &&
                          (!l->qkv.path || c->packing == DLM_QKV_BLOCKS);

    x = l->qkv.path ? dlm_siblings_build(b, packed, 1, x) : dlm_siblings_build(b, apart, 3, x);
    struct heads h = is_plain ? slice_heads(b, c, in, x) : copy_heads(b, l, in, x);
    struct dlm_tensor *a = dlm_attention(b->g, h.q, h.k, h.v, in->rows, &attrs);
    return dlm_view_reshape(b->g, a, 2,
                            (int64_t[]){in->batch * in->tokens, c->heads * c->head_dim});
}

/* x + scale * post_norm(linear(y)) */
static struct dlm_tensor *add_branch(struct dlm_build *b, const struct dlm_block *l,
                                     const struct dlm_linear *linear, struct dlm_tensor *y,
                                     struct dlm_tensor *x, const struct dlm_norm *post_norm,
                                     const struct dlm_weight *scale)
{
    if (!post_norm->weight && !scale)
        return dlm_linear_build(b, linear, y, x);
    y = dlm_linear_build(b, linear, y, NULL);
    if (post_norm->weight)
        y = dlm_norm_build(b, post_norm, &l->config->norm, y);
    if (scale)
        y = dlm_mul(b->g, y, dlm_weight_leaf(b->g, scale, 0));
    return dlm_add(b->g, y, x);
}

/* x + scale2 * post_norm2(down(act(gate(n)) * up(n))), n = norm2(x) */
static struct dlm_tensor *feed(struct dlm_build *b, const struct dlm_block *l,
                               struct dlm_tensor *x)
{
    const struct dlm_block_config *c = l->config;
    const struct dlm_linear *const gated[] = {&l->gate, &l->up};
    const int64_t inner = c->intermediate;

    struct dlm_tensor *n = dlm_norm_build(b, &l->norm2, &c->norm, x), *y;
    if (l->gate.path) {
        y = dlm_siblings_build(b, gated, 2, n);
        y = dlm_gated_activation(b->g, dlm_view_slice(b->g, y, 1, 0, inner),
                                 dlm_view_slice(b->g, y, 1, inner, inner), c->act);
    } else {
        y = dlm_activation(b->g, dlm_linear_build(b, &l->up, n, NULL), c->act);
    }
    return add_branch(b, l, &l->down, y, x, &l->post_norm2, l->scale2);
}

/* The same in tiles of rows, where what is `intermediate` wide, or twice that, would be larger than
 * a buffer. */
static struct dlm_tensor *feed_tiles(struct dlm_build *b, const struct dlm_block *l,
                                     struct dlm_tensor *x)
{
    const size_t row_bytes =
        (size_t)l->config->intermediate * (l->gate.path ? 2 : 1) * sizeof(float);
    const int64_t rows = x ? x->desc.shape[0] : 0;
    /* half of a buffer, because products round and pad what they read */
    const int64_t most = (int64_t)DLM_MAX(b->max_bytes / 2 / row_bytes, (size_t)1);

    if (!b->max_bytes || rows <= most)
        return feed(b, l, x);
    const int num = (int)((rows + most - 1) / most), len = (int)((rows + num - 1) / num);
    struct dlm_tensor **parts =
        dlm_arena_alloc(b->g->ctx, &b->g->arena, (size_t)num * sizeof(struct dlm_tensor *));
    struct dlm_tensor *out = dlm_graph_buffer(b->g, &x->desc);
    struct dlm_build tile = *b;

    tile.all_rows = rows;
    for (int i = 0; parts && i < num; i++) {
        const int64_t at = tile.first_row = (int64_t)i * len, n = DLM_MIN(len, rows - at);
        struct dlm_tensor *some = dlm_view_slice(b->g, x, 0, at, n);
        struct dlm_tensor *y = feed(&tile, l, dlm_copy(b->g, some, DLM_DTYPE_F32));
        parts[i] = dlm_copy_into(b->g, y, dlm_view_slice(b->g, out, 0, at, n));
    }
    return parts ? dlm_graph_join(b->g, out, parts, num, 0) : NULL;
}

struct dlm_tensor *dlm_block_build(struct dlm_build *b, const struct dlm_block *l,
                                   const struct dlm_block_inputs *in, struct dlm_tensor *x)
{
    const struct dlm_block_config *c = l->config;
    struct dlm_build kept = *b; /* for the kept rows: each names its own dropout stream */

    struct dlm_tensor *a = attend(b, l, in, dlm_norm_build(b, &l->norm1, &c->norm, x));
    if (in->keep) {
        a = dlm_gather_rows(b->g, a, in->keep, in->keep_back);
        x = dlm_gather_rows(b->g, x, in->keep, in->keep_back);
        kept.row_ids = in->keep_ids;
        b = &kept;
    }
    x = add_branch(b, l, &l->o, a, x, &l->post_norm1, l->scale1);
    return feed_tiles(b, l, x);
}
