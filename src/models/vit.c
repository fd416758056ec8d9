/* The vision transformer (Dosovitskiy et al., 2021; SigLIP, Zhai et al., 2023): patches, learned
 * positions, pre-norm blocks with full attention, a final norm; no class token, no pooling. */
#include "models/vit.h"

#include <math.h>

static enum dlm_status declare_vectors(struct dlm_weights *w, struct dlm_weight **weight,
                                       struct dlm_weight **bias, int64_t len, const char *prefix,
                                       const char *name)
{
    char *full = dlm_strf(w->ctx, "%s.%s.weight", prefix, name);
    enum dlm_status st =
        full ? dlm_weights_add(w, DLM_WEIGHT_VECTOR, full, 1, len, weight) : DLM_ERR_MEMORY;

    dlm_free(full);
    if (st)
        return st;
    full = dlm_strf(w->ctx, "%s.%s.bias", prefix, name);
    st = full ? dlm_weights_add(w, DLM_WEIGHT_VECTOR, full, 1, len, bias) : DLM_ERR_MEMORY;
    dlm_free(full);
    return st;
}

static enum dlm_status declare_layer(struct dlm_weights *w, const struct dlm_vit_config *c,
                                     struct dlm_vit_layer *l, const char *p)
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

    enum dlm_status st =
        declare_vectors(w, &l->norm1_w, &l->norm1_b, c->hidden, p, "layer_norm1");
    if (!st)
        st = declare_vectors(w, &l->norm2_w, &l->norm2_b, c->hidden, p, "layer_norm2");
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(list); i++) {
        char *full = dlm_strf(w->ctx, "%s.%s", p, list[i].name);
        st = full ? dlm_linear_declare(w, list[i].linear, full, list[i].out, list[i].in, true)
                  : DLM_ERR_MEMORY;
        dlm_free(full);
    }
    return st;
}

int64_t dlm_vit_num_patches(const struct dlm_vit_config *c)
{
    return (c->image / c->patch) * (c->image / c->patch);
}

static enum dlm_status declare_embeddings(struct dlm_weights *w, struct dlm_vit *v,
                                          const char *prefix)
{
    const struct dlm_vit_config *c = &v->config;
    char *name = dlm_strf(w->ctx, "%s.embeddings.patch_embedding", prefix);
    enum dlm_status st = name ? dlm_linear_declare(w, &v->patch, name, c->hidden,
                                                   c->channels * c->patch * c->patch, true)
                              : DLM_ERR_MEMORY;

    dlm_free(name);
    if (st)
        return st;
    name = dlm_strf(w->ctx, "%s.embeddings.position_embedding.weight", prefix);
    st = name ? dlm_weights_add(w, DLM_WEIGHT_VECTOR, name, dlm_vit_num_patches(c), c->hidden,
                                &v->position)
              : DLM_ERR_MEMORY;
    dlm_free(name);
    return st;
}

enum dlm_status dlm_vit_declare(struct dlm_weights *w, struct dlm_vit *v, const char *prefix)
{
    const struct dlm_vit_config *c = &v->config;

    v->layers = dlm_alloc_array(w->ctx, (size_t)c->layers, sizeof(*v->layers));
    if (!v->layers)
        return DLM_ERR_MEMORY;
    enum dlm_status st = declare_embeddings(w, v, prefix);
    for (int64_t i = 0; !st && i < c->layers; i++) {
        char *p = dlm_strf(w->ctx, "%s.encoder.layers.%lld", prefix, (long long)i);
        st = p ? declare_layer(w, c, &v->layers[i], p) : DLM_ERR_MEMORY;
        dlm_free(p);
    }
    if (!st)
        st = declare_vectors(w, &v->post_w, &v->post_b, c->hidden, prefix, "post_layernorm");
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
