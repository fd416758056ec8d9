/* The decoder: pre-norm transformer with rotary positions, grouped attention and a gated MLP, its
 * embedding tied to the head (Touvron et al., LLaMA, 2023; Gemma, 2024). */
#include "models/decoder.h"

#include <math.h>

#include "models/precision.h"

static enum dlm_status declare_layer(const struct dlm_weight_scope *s,
                                     const struct dlm_decoder_config *c,
                                     struct dlm_decoder_layer *l)
{
    const int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    struct {
        struct dlm_linear *linear;
        int64_t out, in;
        const char *name;
    } list[] = {
        {&l->q, q, c->hidden, "self_attn.q_proj"},
        {&l->k, kv, c->hidden, "self_attn.k_proj"},
        {&l->v, kv, c->hidden, "self_attn.v_proj"},
        {&l->o, c->hidden, q, "self_attn.o_proj"},
        {&l->gate, c->intermediate, c->hidden, "mlp.gate_proj"},
        {&l->up, c->intermediate, c->hidden, "mlp.up_proj"},
        {&l->down, c->hidden, c->intermediate, "mlp.down_proj"},
    };

    enum dlm_status st =
        dlm_weights_add_vector(s, "input_layernorm.weight", c->hidden, &l->input_norm);
    if (!st)
        st = dlm_weights_add_vector(s, "post_attention_layernorm.weight", c->hidden,
                                    &l->post_norm);
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(list); i++)
        st = dlm_linear_declare(s, list[i].linear, list[i].name, list[i].out, list[i].in, false);
    return st;
}

enum dlm_status dlm_decoder_declare(const struct dlm_weight_scope *scope, struct dlm_decoder *d)
{
    const struct dlm_decoder_config *c = &d->config;

    d->layers = dlm_alloc_array(scope->weights->ctx, (size_t)c->layers, sizeof(*d->layers));
    if (!d->layers)
        return DLM_ERR_MEMORY;
    enum dlm_status st =
        dlm_weights_add_matrix(scope, "embed_tokens.weight", c->vocab, c->hidden, &d->embed);
    if (!st)
        st = dlm_weights_add_vector(scope, "norm.weight", c->hidden, &d->norm);
    for (int64_t i = 0; !st && i < c->layers; i++) {
        const struct dlm_weight_scope layer =
            dlm_weight_scope_below(scope, "layers.%lld", (long long)i);
        st = declare_layer(&layer, c, &d->layers[i]);
    }
    return st;
}

enum dlm_status dlm_decoder_list_linears(struct dlm_ctx *ctx, struct dlm_decoder *d,
                                         struct dlm_linear_list *list)
{
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i < d->config.layers; i++) {
        struct dlm_decoder_layer *l = &d->layers[i];
        struct dlm_linear *all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
        for (size_t k = 0; !st && k < DLM_ARRAY_LEN(all); k++)
            st = dlm_linear_list_add(ctx, list, all[k]);
    }
    return st;
}

void dlm_decoder_finish(struct dlm_decoder *d)
{
    for (int64_t i = 0; d->layers && i < d->config.layers; i++) {
        struct dlm_decoder_layer *l = &d->layers[i];
        struct dlm_linear *list[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
        for (size_t k = 0; k < DLM_ARRAY_LEN(list); k++)
            dlm_linear_finish(list[k]);
    }
    dlm_free(d->layers);
    d->layers = NULL;
}

static struct dlm_tensor *norm(struct dlm_build *b, const struct dlm_decoder *d,
                               struct dlm_tensor *x, const struct dlm_weight *w)
{
    struct dlm_norm_attrs attrs = {.eps = d->config.norm_eps, .plus_one = d->config.norm_plus_one};
    return dlm_rms_norm(b->g, x, dlm_weight_leaf(b->g, w, 0), &attrs);
}

static struct dlm_tensor *embed(struct dlm_build *b, const struct dlm_decoder *d,
                                const struct dlm_decoder_inputs *in)
{
    struct dlm_tensor *x = NULL;

    for (int s = 0; s < d->embed->num_slabs; s++) {
        struct dlm_embedding_attrs attrs = {.scale = d->config.embed_scale,
                                            .first_row = d->embed->slabs[s].row0};
        /* in one node only, so that the gradient of a slot is counted once */
        struct dlm_tensor *features = s + 1 == d->embed->num_slabs ? in->features : NULL;
        x = dlm_embedding(b->g, in->ids, dlm_weight_leaf(b->g, d->embed, s), features, x,
                          in->slot_rows, &attrs);
    }
    return x;
}

/* [R, heads * D] turned by its positions. */
static struct dlm_tensor *turn(struct dlm_build *b, const struct dlm_decoder_inputs *in,
                               struct dlm_tensor *x, int64_t heads, int64_t dim)
{
    const int64_t rows = in->batch * in->tokens;
    struct dlm_tensor *y = dlm_view_reshape(b->g, x, 3, (int64_t[]){rows, heads, dim});

    return dlm_rope(b->g, y, in->cos, in->sin, false);
}

/* Keys or values for attention: this pass's own, or the cache after it took them in. */
static struct dlm_tensor *keys(struct dlm_build *b, const struct dlm_decoder *d,
                               const struct dlm_decoder_inputs *in, struct dlm_tensor *x,
                               struct dlm_tensor *cache)
{
    const int64_t heads = d->config.kv_heads, dim = d->config.head_dim;

    if (!cache)
        return dlm_view_reshape(b->g, x, 4, (int64_t[]){in->batch, in->tokens, heads, dim});
    x = dlm_view_reshape(b->g, x, 2, (int64_t[]){in->tokens, heads * dim});
    x = dlm_store_rows(b->g, cache, x, in->cache_start);
    return dlm_view_reshape(b->g, x, 4, (int64_t[]){1, cache->desc.shape[0], heads, dim});
}

/* One block. keep: the last one computes only the rows wanted at the end after attention. */
static struct dlm_tensor *build_layer(struct dlm_build *b, const struct dlm_decoder *d, int64_t i,
                                      const struct dlm_decoder_inputs *in, struct dlm_tensor *x)
{
    const struct dlm_decoder_config *c = &d->config;
    const struct dlm_decoder_layer *l = &d->layers[i];
    const int64_t rows = in->batch * in->tokens;
    struct dlm_attention_attrs attrs = {.scale = 1.0f / sqrtf((float)c->head_dim),
                                        .mode = DLM_ATTENTION_PREFIX};
    struct dlm_build kept = *b; /* for the kept rows: each names its own dropout stream */

    struct dlm_tensor *n = norm(b, d, x, l->input_norm);
    struct dlm_tensor *q = turn(b, in, dlm_linear_build(b, &l->q, n, NULL), c->heads, c->head_dim);
    struct dlm_tensor *k =
        turn(b, in, dlm_linear_build(b, &l->k, n, NULL), c->kv_heads, c->head_dim);
    struct dlm_tensor *v = dlm_linear_build(b, &l->v, n, NULL);
    q = dlm_view_reshape(b->g, q, 4, (int64_t[]){in->batch, in->tokens, c->heads, c->head_dim});
    k = keys(b, d, in, k, in->cache_k ? in->cache_k[i] : NULL);
    v = keys(b, d, in, v, in->cache_v ? in->cache_v[i] : NULL);
    struct dlm_tensor *a = dlm_attention(b->g, q, k, v, in->rows, &attrs);
    a = dlm_view_reshape(b->g, a, 2, (int64_t[]){rows, c->heads * c->head_dim});
    if (in->keep && i + 1 == c->layers) {
        a = dlm_gather_rows(b->g, a, in->keep, in->keep_back);
        x = dlm_gather_rows(b->g, x, in->keep, in->keep_back);
        kept.row_ids = in->keep_ids;
        kept.tokens = 1;
        b = &kept;
    }
    x = dlm_linear_build(b, &l->o, a, x);
    n = norm(b, d, x, l->post_norm);
    struct dlm_tensor *gate = dlm_activation(b->g, dlm_linear_build(b, &l->gate, n, NULL), c->act);
    n = dlm_mul(b->g, gate, dlm_linear_build(b, &l->up, n, NULL));
    return dlm_linear_build(b, &l->down, n, x);
}

struct dlm_tensor *dlm_decoder_build(struct dlm_build *b, const struct dlm_decoder *d,
                                     const struct dlm_decoder_inputs *in)
{
    struct dlm_tensor *x = embed(b, d, in);

    for (int64_t i = 0; i < d->config.layers; i++) {
        dlm_graph_mark(b->g);
        x = build_layer(b, d, i, in, x);
    }
    return norm(b, d, x, d->norm);
}

struct dlm_tensor *dlm_decoder_logits(struct dlm_build *b, const struct dlm_decoder *d,
                                      struct dlm_tensor *hidden)
{
    return dlm_weight_product(b, d->embed, hidden, NULL, NULL);
}

/* dx[rows of a tile] = dlogits E, slab after slab. */
static struct dlm_tensor *tile_gradient(struct dlm_build *b, const struct dlm_weight *e,
                                        struct dlm_tensor *dlogits, struct dlm_tensor *into)
{
    const struct dlm_matmul_attrs attrs = {.round = dlm_precision_operand(b->policy, e->dtype)};
    const union dlm_attrs node_attrs = {.matmul = attrs};
    struct dlm_tensor *sum = NULL;

    for (int s = 0; s < e->num_slabs; s++) {
        struct dlm_tensor *part = e->num_slabs == 1
                                      ? dlogits
                                      : dlm_view_slice(b->g, dlogits, 1, e->slabs[s].row0,
                                                       e->slabs[s].rows);
        struct dlm_tensor *inputs[] = {part, dlm_weight_leaf(b->g, e, s), sum};
        if (!part || !inputs[1])
            return NULL;
        sum = dlm_graph_emit_into(b->g, &dlm_op_matmul, &node_attrs, inputs, 3, into);
    }
    return sum;
}

struct dlm_tensor *dlm_decoder_loss(struct dlm_build *b, const struct dlm_decoder *d,
                                    struct dlm_tensor *hidden, struct dlm_tensor *labels,
                                    struct dlm_tensor *weights, size_t budget_bytes,
                                    struct dlm_tensor **dhidden)
{
    if (!hidden || !labels || !weights)
        return NULL;
    const int64_t rows = hidden->desc.shape[0];
    const size_t row_bytes = (size_t)d->config.vocab * sizeof(float) * 2;
    const int64_t tile = DLM_MIN(rows, DLM_MAX((int64_t)(budget_bytes / row_bytes), 1));
    const int num = (int)((rows + tile - 1) / tile);
    struct dlm_tensor **parts =
        dlm_arena_alloc(b->g->ctx, &b->g->arena, 2 * (size_t)num * sizeof(*parts));
    struct dlm_desc row_desc = dlm_desc_make(DLM_DTYPE_F32, 1, &rows);
    struct dlm_desc hidden_desc = dlm_desc_make(DLM_DTYPE_F32, 2, hidden->desc.shape);
    struct dlm_tensor *logprob = dlm_graph_buffer(b->g, &row_desc);
    struct dlm_tensor *gradient = dhidden ? dlm_graph_buffer(b->g, &hidden_desc) : NULL;

    for (int i = 0; parts && i < num; i++) {
        const int64_t at = i * tile, n = DLM_MIN(tile, rows - at);
        struct dlm_tensor *dlogits = NULL;
        struct dlm_tensor *x = dlm_view_slice(b->g, hidden, 0, at, n);
        struct dlm_tensor *logits = dlm_decoder_logits(b, d, x);
        parts[i] = dlm_cross_entropy(b->g, logits, dlm_view_slice(b->g, labels, 0, at, n),
                                     dlm_view_slice(b->g, weights, 0, at, n),
                                     dlm_view_slice(b->g, logprob, 0, at, n), &dlogits);
        if (gradient)
            parts[num + i] =
                tile_gradient(b, d->embed, dlogits, dlm_view_slice(b->g, gradient, 0, at, n));
    }
    if (!parts)
        return NULL;
    if (gradient)
        *dhidden = dlm_graph_join(b->g, gradient, parts + num, num, 0);
    return dlm_graph_join(b->g, logprob, parts, num, 0);
}

/* The axis whose positions turn pair i of a head. */
static int axis_of(const struct dlm_decoder_config *c, int64_t i)
{
    const int64_t first = c->mrope_section[0], second = first + c->mrope_section[1];

    return !second || i < first ? 0 : i < second ? 1 : 2;
}

void dlm_decoder_rope_table(const struct dlm_decoder_config *c, const int32_t (*positions)[3],
                            int64_t num, float *cos_out, float *sin_out)
{
    const int64_t half = c->head_dim / 2;

    for (int64_t i = 0; i < half; i++) {
        /* as transformers computes it: the frequency and the angle in f32 */
        float frequency =
            1.0f / powf(c->rope_theta, (float)(2 * i) / (float)c->head_dim);
        const int axis = axis_of(c, i);
        for (int64_t r = 0; r < num; r++) {
            float angle = (float)positions[r][axis] * frequency;
            cos_out[r * half + i] = cosf(angle);
            sin_out[r * half + i] = sinf(angle);
        }
    }
}
