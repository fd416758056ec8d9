/* The vision transformer (Dosovitskiy et al., 2021; SigLIP, Zhai et al., 2023): patches, learned
 * positions, pre-norm blocks with full attention, a final norm; no class token, no pooling. */
#include "models/vit.h"

#include <math.h>

static enum dlm_status declare_norm(const struct dlm_weight_scope *scope, const char *name,
                                    int64_t len, struct dlm_weight **weight,
                                    struct dlm_weight **bias)
{
    const struct dlm_weight_scope own = dlm_weight_scope_below(scope, "%s", name);

    enum dlm_status st = dlm_weights_add_vector(&own, "weight", len, weight);
    return st ? st : dlm_weights_add_vector(&own, "bias", len, bias);
}

static enum dlm_status declare_layer(const struct dlm_weight_scope *s,
                                     const struct dlm_vit_config *c, struct dlm_vit_layer *l)
{
    struct {
        struct dlm_linear *linear;
        int64_t out, in;
        const char *name;
    } list[] = {
        {&l->q, c->hidden, c->hidden, "self_attn.q_proj"},
        {&l->k, c->hidden, c->hidden, "self_attn.k_proj"},
        {&l->v, c->hidden, c->hidden, "self_attn.v_proj"},
        {&l->out, c->hidden, c->hidden, "self_attn.out_proj"},
        {&l->fc1, c->intermediate, c->hidden, "mlp.fc1"},
        {&l->fc2, c->hidden, c->intermediate, "mlp.fc2"},
    };

    enum dlm_status st = declare_norm(s, "layer_norm1", c->hidden, &l->norm1_w, &l->norm1_b);
    if (!st)
        st = declare_norm(s, "layer_norm2", c->hidden, &l->norm2_w, &l->norm2_b);
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(list); i++)
        st = dlm_linear_declare(s, list[i].linear, list[i].name, list[i].out, list[i].in, true);
    return st;
}

int64_t dlm_vit_num_patches(const struct dlm_vit_config *c)
{
    return (c->image / c->patch) * (c->image / c->patch);
}

enum dlm_status dlm_vit_declare(const struct dlm_weight_scope *scope, struct dlm_vit *v)
{
    const struct dlm_vit_config *c = &v->config;
    const struct dlm_weight_scope embeddings = dlm_weight_scope_below(scope, "embeddings");

    v->layers = dlm_alloc_array(scope->weights->ctx, (size_t)c->layers, sizeof(*v->layers));
    if (!v->layers)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_linear_declare(&embeddings, &v->patch, "patch_embedding", c->hidden,
                                            c->channels * c->patch * c->patch, true);
    if (!st)
        st = dlm_weights_add_table(&embeddings, "position_embedding.weight",
                                   dlm_vit_num_patches(c), c->hidden, &v->position);
    for (int64_t i = 0; !st && i < c->layers; i++) {
        const struct dlm_weight_scope layer =
            dlm_weight_scope_below(scope, "encoder.layers.%lld", (long long)i);
        st = declare_layer(&layer, c, &v->layers[i]);
    }
    return st ? st : declare_norm(scope, "post_layernorm", c->hidden, &v->post_w, &v->post_b);
}

enum dlm_status dlm_vit_list_linears(struct dlm_ctx *ctx, struct dlm_vit *v,
                                     struct dlm_linear_list *list)
{
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i < v->config.layers; i++) {
        struct dlm_vit_layer *l = &v->layers[i];
        struct dlm_linear *all[] = {&l->q, &l->k, &l->v, &l->out, &l->fc1, &l->fc2};
        for (size_t k = 0; !st && k < DLM_ARRAY_LEN(all); k++)
            st = dlm_linear_list_add(ctx, list, all[k]);
    }
    return st;
}

void dlm_vit_finish(struct dlm_vit *v)
{
    for (int64_t i = 0; v->layers && i < v->config.layers; i++) {
        struct dlm_vit_layer *l = &v->layers[i];
        struct dlm_linear *list[] = {&l->q, &l->k, &l->v, &l->out, &l->fc1, &l->fc2};
        for (size_t k = 0; k < DLM_ARRAY_LEN(list); k++)
            dlm_linear_finish(list[k]);
    }
    dlm_linear_finish(&v->patch);
    dlm_free(v->layers);
    v->layers = NULL;
}

static struct dlm_tensor *norm(struct dlm_build *b, const struct dlm_vit *v, struct dlm_tensor *x,
                               const struct dlm_weight *weight, const struct dlm_weight *bias)
{
    struct dlm_norm_attrs attrs = {.eps = v->config.norm_eps};
    return dlm_layer_norm(b->g, x, dlm_weight_leaf(b->g, weight, 0), dlm_weight_leaf(b->g, bias, 0),
                          &attrs);
}

static struct dlm_tensor *build_layer(struct dlm_build *b, const struct dlm_vit *v, int64_t i,
                                      struct dlm_tensor *x, struct dlm_tensor *rows, int64_t images)
{
    const struct dlm_vit_config *c = &v->config;
    const struct dlm_vit_layer *l = &v->layers[i];
    const int64_t dim = c->hidden / c->heads, patches = dlm_vit_num_patches(c);
    const int64_t split[] = {images, patches, c->heads, dim};
    struct dlm_attention_attrs attrs = {.scale = 1.0f / sqrtf((float)dim),
                                        .mode = DLM_ATTENTION_FULL};

    struct dlm_tensor *n = norm(b, v, x, l->norm1_w, l->norm1_b);
    struct dlm_tensor *q = dlm_view_reshape(b->g, dlm_linear_build(b, &l->q, n, NULL), 4, split);
    struct dlm_tensor *k = dlm_view_reshape(b->g, dlm_linear_build(b, &l->k, n, NULL), 4, split);
    struct dlm_tensor *w = dlm_view_reshape(b->g, dlm_linear_build(b, &l->v, n, NULL), 4, split);
    struct dlm_tensor *a = dlm_attention(b->g, q, k, w, rows, &attrs);
    a = dlm_view_reshape(b->g, a, 2, (int64_t[]){images * patches, c->hidden});
    x = dlm_linear_build(b, &l->out, a, x);
    n = norm(b, v, x, l->norm2_w, l->norm2_b);
    n = dlm_activation(b->g, dlm_linear_build(b, &l->fc1, n, NULL), c->act);
    return dlm_linear_build(b, &l->fc2, n, x);
}

struct dlm_tensor *dlm_vit_build(struct dlm_build *b, const struct dlm_vit *v,
                                 struct dlm_tensor *pixels, struct dlm_tensor *rows)
{
    const struct dlm_vit_config *c = &v->config;
    const int64_t patches = dlm_vit_num_patches(c);

    if (!pixels)
        return NULL;
    const int64_t images = pixels->desc.shape[0];
    struct dlm_tensor *x = dlm_patchify(b->g, pixels, (uint32_t)c->patch); /* checked: small */
    x = dlm_linear_build(b, &v->patch, x, NULL);
    x = dlm_view_reshape(b->g, x, 3, (int64_t[]){images, patches, c->hidden});
    x = dlm_add(b->g, x, dlm_weight_leaf(b->g, v->position, 0));
    x = dlm_view_reshape(b->g, x, 2, (int64_t[]){images * patches, c->hidden});
    for (int64_t i = 0; i < c->layers; i++) {
        dlm_graph_mark(b->g);
        x = build_layer(b, v, i, x, rows, images);
    }
    return norm(b, v, x, v->post_w, v->post_b);
}
