/* What an item of attention knows: its batch row, head and mask, where its operands lie. Nothing
 * here multiplies. */
#ifndef DLM_CPUKERNELS_ATTENTION_ITEM_H
#define DLM_CPUKERNELS_ATTENTION_ITEM_H

#include "cpukernels/vmath.h"

#include <string.h>

#include "base/dtype.h"
#include "cpukernels/convert.h"
#include "cpukernels/cpukernels.h"
#include "kernels/attention_cpu.h"
#include "kernels/attention_mask.h"

#define BLOCK DLM_ATTENTION_CPU_BLOCK
#define STEP DLM_ATTENTION_CPU_STEP

/* num rows of `dim` elements, `stride` elements apart. */
struct matrix {
    const void *data;
    enum dlm_dtype dtype;
    size_t stride;
    uint32_t num, dim;
};

/* What all items know of their batch row. */
struct item {
    const struct dlm_attention_params *p;
    uint32_t batch, kv_head, group; /* group: query heads to a kv head */
    uint32_t first, num;            /* rows or keys of this item */
    struct dlm_attention_mask mask;
    float *scratch; /* what is left of it */
};

static float *take(struct item *x, size_t floats)
{
    float *at = x->scratch;
    x->scratch += floats;
    return at;
}

/* False when there is nothing to do. total: rows or keys of a kv head. */
static bool find_item(const struct dlm_cpu_call *call, int64_t index, const int32_t *rows,
                      uint32_t total, struct item *x)
{
    const struct dlm_attention_params *p = call->params;
    const int64_t blocks = (total + p->block - 1) / p->block;
    const int64_t head = index / blocks;

    *x = (struct item){.p = p, .group = p->heads / p->kv_heads, .scratch = call->scratch};
    if (head >= (int64_t)p->kv_heads * p->batch)
        return false;
    x->batch = (uint32_t)(head / p->kv_heads);
    x->kv_head = (uint32_t)(head % p->kv_heads);
    x->first = (uint32_t)(index % blocks) * p->block;
    x->num = DLM_MIN(total - x->first, p->block);
    rows += 4 * x->batch;
    x->mask = (struct dlm_attention_mask){
        .q_start = rows[0],
        .kv_len = dlm_attention_clamp(rows[1], p->keys),
        .prefix = rows[2],
        .num_q = dlm_attention_clamp(rows[3], p->queries),
        .is_causal = p->mode == DLM_ATTENTION_PREFIX_MODE,
        .window = p->window,
    };
    return true;
}

/* keys: element 0 of k or v. */
static struct matrix keys_of(const struct item *x, const void *keys, enum dlm_dtype dtype,
                             uint32_t first, uint32_t num)
{
    const size_t at = dlm_attention_place(x->p->kv_stride, x->batch, first, x->kv_head);

    return (struct matrix){(const char *)keys + at * (dtype == DLM_DTYPE_F32 ? 4 : 2), dtype,
                           x->p->kv_stride[1], num, x->p->dim};
}

static size_t query_at(const struct item *x, const uint32_t *stride, uint32_t t, uint32_t g)
{
    return dlm_attention_place(stride, x->batch, t, x->kv_head * x->group + g);
}

/* Element 0 of k (binding 1) or v. */
static const void *key_data(const struct dlm_cpu_call *call, int binding, enum dlm_dtype dtype)
{
    const struct dlm_attention_params *p = call->params;
    const size_t lead = binding == 1 ? p->k_lead : p->v_lead;

    return (const char *)call->buffers[binding] + lead * (dtype == DLM_DTYPE_F32 ? 4 : 2);
}

/* The place of query t, head g in lse and delta [B, H, T]. */
static size_t stat_at(const struct item *x, uint32_t t, uint32_t g)
{
    return ((size_t)x->batch * x->p->heads + x->kv_head * x->group + g) * x->p->queries + t;
}

#endif
