/* The vision transformer (Dosovitskiy et al., 2021). */
#include "models/vit.h"

#include <string.h>

int64_t dlm_vit_num_patches(const struct dlm_vit_config *c)
{
    return (c->image / c->patch) * (c->image / c->patch);
}

enum dlm_status dlm_vit_declare(const struct dlm_weight_scope *scope, struct dlm_vit *v)
{
    const struct dlm_vit_config *c = &v->config;
    const struct dlm_vit_names *n = c->names;
    const int64_t hidden = c->block.hidden;

    v->blocks = dlm_alloc_array(scope->weights->ctx, (size_t)c->layers, sizeof(*v->blocks));
    if (!v->blocks)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_linear_declare(scope, &v->patch, n->patch, hidden,
                                            c->channels * c->patch * c->patch, c->patch_bias);
    if (!st && n->position)
        st = dlm_weights_add_table(scope, n->position, dlm_vit_num_patches(c), hidden,
                                   &v->position);
    if (!st && n->pre_norm)
        st = dlm_norm_declare(scope, &v->pre_norm, &c->block.norm, n->pre_norm, hidden);
    for (int64_t i = 0; !st && i < c->layers; i++) {
        const struct dlm_weight_scope layer =
            dlm_weight_scope_below(scope, "%s.%lld", n->layers, (long long)i);
        st = dlm_block_declare(&layer, &v->blocks[i], &c->block);
    }
    if (!st && n->post_norm)
        st = dlm_norm_declare(scope, &v->post_norm, &c->block.norm, n->post_norm, hidden);
    return st;
}

enum dlm_status dlm_vit_list_linears(struct dlm_ctx *ctx, struct dlm_vit *v,
                                     struct dlm_linear_list *list)
{
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i < v->config.layers; i++)
        st = dlm_block_list_linears(ctx, &v->blocks[i], list);
    return st;
}

void dlm_vit_finish(struct dlm_vit *v)
{
    for (int64_t i = 0; v->blocks && i < v->config.layers; i++)
        dlm_block_finish(&v->blocks[i]);
    dlm_linear_finish(&v->patch);
    dlm_free(v->blocks);
    v->blocks = NULL;
}

struct dlm_tensor *dlm_vit_build(struct dlm_build *b, const struct dlm_vit *v,
                                 const struct dlm_block_inputs *in, struct dlm_tensor *patches)
{
    const struct dlm_vit_config *c = &v->config;
    const int64_t hidden = c->block.hidden;
    struct dlm_tensor *x = dlm_linear_build(b, &v->patch, patches, NULL);

    if (v->position) {
        x = dlm_view_reshape(b->g, x, 3, (int64_t[]){in->batch, in->tokens, hidden});
        x = dlm_add(b->g, x, dlm_weight_leaf(b->g, v->position, 0));
        x = dlm_view_reshape(b->g, x, 2, (int64_t[]){in->batch * in->tokens, hidden});
    }
    if (v->pre_norm.weight)
        x = dlm_norm_build(b, &v->pre_norm, &c->block.norm, x);
    for (int64_t i = 0; i < c->layers; i++) {
        dlm_graph_mark(b->g);
        x = dlm_block_build(b, &v->blocks[i], in, x);
    }
    return v->post_norm.weight ? dlm_norm_build(b, &v->post_norm, &c->block.norm, x) : x;
}

void dlm_vit_fill_patches(int64_t patch, const struct dlm_pixel_shape *shape, const float *pixels,
                          float *rows)
{
    const int64_t high = shape->height / patch, wide = shape->width / patch;

    for (int64_t row = 0; row < shape->num * high * wide; row++) {
        const int64_t picture = row / (high * wide), i = row / wide % high, j = row % wide;
        for (int64_t k = 0; k < 3 * patch; k++, rows += patch) {
            const int64_t plane = picture * 3 + k / patch, y = i * patch + k % patch;
            memcpy(rows, pixels + (plane * shape->height + y) * shape->width + j * patch,
                   (size_t)patch * sizeof(*rows));
        }
    }
}
