/* The decoder: embedding, transformer blocks, a final norm, the head with its loss. */
#include "models/decoder.h"

#include <math.h>

#include "models/precision.h"

const struct dlm_block_names dlm_decoder_block_names = {
    .norm1 = "input_layernorm",
    .norm2 = "post_attention_layernorm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.o_proj",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
};

static bool is_equal(const struct dlm_tensor_info *a, const struct dlm_tensor_info *b)
{
    return a->dtype == b->dtype && a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes);
}

static enum dlm_status declare_head(const struct dlm_weight_scope *scope, struct dlm_decoder *d)
{
    const struct dlm_weight_scope weight = dlm_weight_scope_below(scope, "weight");
    struct dlm_weight_scope table = *scope;
    const struct dlm_tensor_info *own = dlm_weights_find(scope->weights, weight.path);

    d->head = d->embed;
    if (d->config.is_tied && (!own || is_equal(own, d->embed->parts[0].source)))
        return DLM_OK;
    table.is_table = true;
    return dlm_weights_add_matrix(&table, "weight", d->config.vocab, d->config.block.hidden,
                                  &d->head);
}

enum dlm_status dlm_decoder_declare(const struct dlm_weight_scope *scope,
                                    const struct dlm_weight_scope *head, struct dlm_decoder *d)
{
    const struct dlm_decoder_config *c = &d->config;
    struct dlm_weight_scope table = *scope;

    table.is_table = true;
    d->blocks = dlm_alloc_array(scope->weights->ctx, (size_t)c->layers, sizeof(*d->blocks));
    if (!d->blocks)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_weights_add_matrix(&table, "embed_tokens.weight", c->vocab,
                                                c->block.hidden, &d->embed);
    if (!st)
        st = dlm_norm_declare(scope, &d->norm, &c->block.norm, "norm", c->block.hidden);
    for (int64_t i = 0; !st && i < c->layers; i++) {
        const struct dlm_weight_scope layer =
            dlm_weight_scope_below(scope, "layers.%lld", (long long)i);
        st = dlm_block_declare(&layer, &d->blocks[i], &c->block);
        if (c->full_every && (i + 1) % c->full_every == 0)
            d->blocks[i].window = 0;
    }
    return st ? st : declare_head(head, d);
}

enum dlm_status dlm_decoder_list_linears(struct dlm_ctx *ctx, struct dlm_decoder *d,
                                         struct dlm_linear_list *list)
{
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i < d->config.layers; i++)
        st = dlm_block_list_linears(ctx, &d->blocks[i], list);
    return st;
}

void dlm_decoder_finish(struct dlm_decoder *d)
{
    for (int64_t i = 0; d->blocks && i < d->config.layers; i++)
        dlm_block_finish(&d->blocks[i]);
    dlm_free(d->blocks);
    d->blocks = NULL;
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

struct dlm_tensor *dlm_decoder_build(struct dlm_build *b, const struct dlm_decoder *d,
                                     const struct dlm_decoder_inputs *in)
{
    struct dlm_block_inputs block = {
        .batch = in->batch,
        .tokens = in->tokens,
        .cos = in->cos,
        .sin = in->sin,
        .rows = in->rows,
        .cache_start = in->cache_start,
    };
    struct dlm_tensor *x = embed(b, d, in);

    for (int64_t i = 0; i < d->config.layers; i++) {
        block.cache_k = in->cache_k ? in->cache_k[i] : NULL;
        block.cache_v = in->cache_v ? in->cache_v[i] : NULL;
        if (i + 1 == d->config.layers) {
            block.keep = in->keep;
            block.keep_back = in->keep_back;
            block.keep_ids = in->keep_ids;
        }
        dlm_graph_mark(b->g);
        x = dlm_block_build(b, &d->blocks[i], &block, x);
    }
    return dlm_norm_build(b, &d->norm, &d->config.block.norm, x);
}

/* What the soft cap takes: logits / c, or the logits themselves where there is none. */
static struct dlm_tensor *raw_logits(struct dlm_build *b, const struct dlm_decoder *d,
                                     struct dlm_tensor *hidden)
{
    const float cap = d->config.logit_softcap;

    return dlm_weight_product(b, d->head, hidden, NULL, NULL, cap != 0 ? 1 / cap : 1);
}

static struct dlm_tensor *cap_logits(struct dlm_build *b, const struct dlm_decoder *d,
                                     struct dlm_tensor *raw)
{
    const float cap = d->config.logit_softcap;

    return cap != 0 ? dlm_scale(b->g, dlm_activation(b->g, raw, DLM_ACT_TANH), cap, NULL) : raw;
}

/* d of hidden E^T from the capped logits' d: c drops out of c (1 - tanh(z / c)^2) / c. */
static struct dlm_tensor *uncap_gradient(struct dlm_build *b, const struct dlm_decoder *d,
                                         struct dlm_tensor *raw, struct dlm_tensor *dlogits)
{
    const union dlm_attrs attrs = {.activation = {DLM_ACT_TANH}};

    if (d->config.logit_softcap == 0 || !raw || !dlogits)
        return dlogits;
    return dlm_graph_emit(b->g, &dlm_op_activation_backward, &attrs,
                          (struct dlm_tensor *[]){raw, dlogits}, 2, NULL);
}

struct dlm_tensor *dlm_decoder_logits(struct dlm_build *b, const struct dlm_decoder *d,
                                      struct dlm_tensor *hidden)
{
    return cap_logits(b, d, raw_logits(b, d, hidden));
}

/* dx[rows of a tile] = dlogits E, slab after slab; E is the head. */
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

size_t dlm_decoder_loss_row_bytes(const struct dlm_decoder_config *c)
{
    /* logits and their gradient; with a cap, as much again */
    return (size_t)c->vocab * sizeof(float) * 2 * (c->logit_softcap != 0 ? 2 : 1);
}

struct dlm_tensor *dlm_decoder_loss(struct dlm_build *b, const struct dlm_decoder *d,
                                    struct dlm_tensor *hidden, struct dlm_tensor *labels,
                                    struct dlm_tensor *weights, int64_t tile,
                                    struct dlm_tensor **dhidden)
{
    if (!hidden || !labels || !weights)
        return NULL;
    const int64_t rows = hidden->desc.shape[0];
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
        struct dlm_tensor *raw = raw_logits(b, d, x), *logits = cap_logits(b, d, raw);
        parts[i] = dlm_cross_entropy(b->g, logits, dlm_view_slice(b->g, labels, 0, at, n),
                                     dlm_view_slice(b->g, weights, 0, at, n),
                                     dlm_view_slice(b->g, logprob, 0, at, n),
                                     gradient ? &dlogits : NULL);
        if (gradient)
            parts[num + i] = tile_gradient(b, d->head, uncap_gradient(b, d, raw, dlogits),
                                           dlm_view_slice(b->g, gradient, 0, at, n));
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
    const int64_t half = c->block.head_dim / 2;

    for (int64_t i = 0; i < half; i++) {
        /* as transformers computes it: the frequency and the angle in f32 */
        float frequency =
            1.0f / powf(c->rope_theta, (float)(2 * i) / (float)c->block.head_dim);
        const int axis = axis_of(c, i);
        for (int64_t r = 0; r < num; r++) {
            float angle = (float)positions[r][axis] * frequency;
            cos_out[r * half + i] = cosf(angle);
            sin_out[r * half + i] = sinf(angle);
        }
    }
}
