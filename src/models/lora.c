/* LoRA modules and their flat parameter vector. */
#include "models/lora.h"

#include <math.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/rng.h"

#define ALIGN_ELEMS (DLM_ALIGN_BYTES / (int64_t)sizeof(float))

enum dlm_status dlm_lora_create(struct dlm_ctx *ctx, struct dlm_lora **out,
                                const struct dlm_lora_params *params)
{
    *out = dlm_alloc(ctx, sizeof(**out));
    if (!*out)
        return DLM_ERR_MEMORY;
    (*out)->ctx = ctx;
    (*out)->params = *params;
    return DLM_OK;
}

void dlm_lora_destroy(struct dlm_lora **lora)
{
    struct dlm_lora *l = lora ? *lora : NULL;

    if (!l)
        return;
    for (size_t i = 0; i < l->num; i++) {
        dlm_free(l->modules[i]->path);
        dlm_free(l->modules[i]);
    }
    dlm_buffer_destroy(&l->flat.buffer);
    dlm_buffer_destroy(&l->grads.buffer);
    dlm_buffer_destroy(&l->m.buffer);
    dlm_buffer_destroy(&l->v.buffer);
    dlm_free(l->modules);
    dlm_free(l->values);
    dlm_free(l);
    *lora = NULL;
}

static int64_t align_up(int64_t len)
{
    return (len + ALIGN_ELEMS - 1) / ALIGN_ELEMS * ALIGN_ELEMS;
}

/* Lays out the last modules, those whose A are one matrix: first that, then each B. */
static void lay_out(struct dlm_lora *l)
{
    struct dlm_lora_module *first = l->modules[l->num - 1]->first;
    size_t begin = l->num - 1;
    int64_t rows = 0;

    while (l->modules[begin] != first)
        begin--;
    for (size_t i = begin; i < l->num; i++) {
        struct dlm_lora_module *m = l->modules[i];
        m->row0 = rows;
        m->a_at = first->a_at + rows * m->in;
        rows += m->r;
    }
    first->all_rows = rows;
    l->len = align_up(first->a_at + rows * first->in);
    for (size_t i = begin; i < l->num; i++) {
        struct dlm_lora_module *m = l->modules[i];
        m->b_at = l->len;
        l->len = align_up(m->b_at + m->out * m->r);
    }
}

enum dlm_status dlm_lora_add(struct dlm_lora *lora, const char *path, const void *input,
                             int64_t in, int64_t out, int64_t r, float alpha)
{
    struct dlm_lora_module *m = dlm_alloc(lora->ctx, sizeof(*m));

    if (!m)
        return DLM_ERR_MEMORY;
    m->path = dlm_strdup(lora->ctx, path);
    if (!m->path ||
        !dlm_grow(lora->ctx, &lora->modules, &lora->cap, lora->num, sizeof(m))) {
        dlm_free(m->path);
        dlm_free(m);
        return DLM_ERR_MEMORY;
    }
    struct dlm_lora_module *before = lora->num ? lora->modules[lora->num - 1] : NULL;
    m->hash = dlm_hash(DLM_HASH_START, path, strlen(path));
    m->r = r ? r : lora->params.r;
    m->alpha = alpha != 0 ? alpha : lora->params.alpha;
    m->in = in;
    m->out = out;
    m->scaling = m->alpha / (lora->params.use_rslora ? sqrtf((float)m->r) : (float)m->r);
    m->input = input;
    m->first = input && before && before->input == input ? before->first : m;
    m->a_at = lora->len;
    lora->modules[lora->num++] = m;
    lay_out(lora);
    return DLM_OK;
}

struct dlm_lora_module *dlm_lora_find(const struct dlm_lora *lora, const char *path)
{
    for (size_t i = 0; lora && i < lora->num; i++)
        if (!strcmp(lora->modules[i]->path, path))
            return lora->modules[i];
    return NULL;
}

static enum dlm_status need_values(struct dlm_lora *lora)
{
    if (!lora->values)
        lora->values = dlm_alloc_array(lora->ctx, (size_t)lora->len + 1, sizeof(float));
    return lora->values ? DLM_OK : DLM_ERR_MEMORY;
}

enum dlm_status dlm_lora_init(struct dlm_lora *lora, uint64_t seed)
{
    enum dlm_status st = need_values(lora);

    for (size_t i = 0; !st && i < lora->num; i++) {
        const struct dlm_lora_module *m = lora->modules[i];
        const float bound = 1.0f / sqrtf((float)m->in);
        struct dlm_rng rng;
        dlm_rng_init(&rng, seed, m->hash);
        for (int64_t k = 0; k < m->r * m->in; k++)
            lora->values[m->a_at + k] = (2.0f * dlm_rng_uniform(&rng) - 1.0f) * bound;
        memset(lora->values + m->b_at, 0, (size_t)(m->out * m->r) * sizeof(float));
    }
    return st;
}

enum dlm_status dlm_lora_read(struct dlm_lora *lora, const struct dlm_adapter *adapter)
{
    enum dlm_status st = need_values(lora);

    for (size_t i = 0; !st && i < lora->num; i++) {
        const struct dlm_lora_module *m = lora->modules[i];
        const struct dlm_adapter_module *from = dlm_adapter_find(adapter, m->path);
        if (!from || from->r != m->r || from->in != m->in || from->out != m->out)
            return dlm_fail(lora->ctx, DLM_ERR_INVALID,
                            "the adapter does not fit: module '%s' has another shape", m->path);
        st = dlm_tensor_to_f32(lora->ctx, from->a, lora->values + m->a_at);
        if (!st)
            st = dlm_tensor_to_f32(lora->ctx, from->b, lora->values + m->b_at);
    }
    return st;
}

static enum dlm_status make_flat(struct dlm_lora *lora, struct dlm_device *device,
                                 struct dlm_storage *flat)
{
    size_t bytes = (size_t)lora->len * sizeof(float);

    if (flat->buffer)
        return DLM_OK;
    enum dlm_status st = dlm_buffer_create(device, &flat->buffer, bytes);
    if (!st)
        st = dlm_buffer_fill(flat->buffer, 0, bytes, 0);
    if (st) /* one that is there is whole */
        dlm_buffer_destroy(&flat->buffer);
    return st;
}

enum dlm_status dlm_lora_upload(struct dlm_lora *lora, struct dlm_device *device,
                                enum dlm_lora_use use)
{
    static const int num_flats[] = {
        [DLM_LORA_VALUES] = 1, [DLM_LORA_GRADIENTS] = 2, [DLM_LORA_MOMENTS] = 4};
    struct dlm_storage *flats[] = {&lora->flat, &lora->grads, &lora->m, &lora->v};
    enum dlm_status st = need_values(lora);

    for (int i = 0; !st && i < num_flats[use]; i++)
        st = make_flat(lora, device, flats[i]);
    if (!st)
        st = dlm_buffer_write(lora->flat.buffer, 0, lora->values,
                              (size_t)lora->len * sizeof(float));
    for (size_t i = 0; !st && i < lora->num; i++) {
        struct dlm_lora_module *m = lora->modules[i];
        size_t a = (size_t)m->first->a_at * sizeof(float), b = (size_t)m->b_at * sizeof(float);
        m->a = (struct dlm_storage){lora->flat.buffer, a};
        m->b = (struct dlm_storage){lora->flat.buffer, b};
        m->grad_a = (struct dlm_storage){lora->grads.buffer, a};
        m->grad_b = (struct dlm_storage){lora->grads.buffer, b};
    }
    return st;
}

void dlm_lora_keep_values(struct dlm_lora *lora)
{
    dlm_buffer_destroy(&lora->grads.buffer);
    dlm_buffer_destroy(&lora->m.buffer);
    dlm_buffer_destroy(&lora->v.buffer);
    for (size_t i = 0; i < lora->num; i++) {
        struct dlm_lora_module *m = lora->modules[i];
        m->grad_a = m->grad_b = (struct dlm_storage){0};
    }
}

uint64_t dlm_lora_loaded_bytes(const struct dlm_lora *lora)
{
    const struct dlm_buffer *buffers[] = {lora->flat.buffer, lora->grads.buffer, lora->m.buffer,
                                          lora->v.buffer};
    uint64_t bytes = 0;

    for (size_t i = 0; i < DLM_ARRAY_LEN(buffers); i++)
        bytes += buffers[i] ? dlm_buffer_bytes(buffers[i]) : 0;
    return bytes;
}

enum dlm_status dlm_lora_download(struct dlm_lora *lora, const struct dlm_storage *flat, float *out)
{
    return dlm_buffer_read(flat->buffer, 0, out, (size_t)lora->len * sizeof(float));
}

static struct dlm_tensor *leaf(struct dlm_graph *g, const char *name, int64_t rows, int64_t cols,
                               const struct dlm_storage *value, const struct dlm_storage *grad)
{
    struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){rows, cols});
    struct dlm_tensor *t =
        dlm_graph_leaf(g, grad ? DLM_ROLE_PARAM : DLM_ROLE_WEIGHT, name, &desc);

    dlm_tensor_bind(t, value);
    if (t && grad) {
        t->grad = dlm_graph_leaf(g, DLM_ROLE_STATE, name, &desc);
        dlm_tensor_bind(t->grad, grad);
    }
    return t;
}

struct dlm_tensor *dlm_lora_leaf_a(struct dlm_graph *g, const struct dlm_lora_module *m,
                                   bool for_training)
{
    m = m->first;
    return leaf(g, m->path, m->all_rows, m->in, &m->a, for_training ? &m->grad_a : NULL);
}

struct dlm_tensor *dlm_lora_leaf_b(struct dlm_graph *g, const struct dlm_lora_module *m,
                                   bool for_training)
{
    return leaf(g, m->path, m->out, m->r, &m->b, for_training ? &m->grad_b : NULL);
}
