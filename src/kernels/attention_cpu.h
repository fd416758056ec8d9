/* attention on the CPU: how much an item does, the scratch it needs, where operands lie.
 *
 * A kv head's queries are rows r = t * G + g, G query heads to a kv head: forward and dq items take
 * p->block rows of a kv head and all their keys, dkv items p->block keys and all their queries.
 * groups = {blocks of rows (keys), kv_heads, batch}. */
#ifndef DLM_KERNELS_ATTENTION_CPU_H
#define DLM_KERNELS_ATTENTION_CPU_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/params.h"

#define DLM_ATTENTION_CPU_BLOCK 96      /* most rows or keys of an item */
#define DLM_ATTENTION_CPU_TILE 12       /* an item has a multiple of it */
#define DLM_ATTENTION_CPU_PACK 12       /* rows in whose time what they meet is packed, about */
#define DLM_ATTENTION_CPU_SMALL 48      /* with so many keys that their scores leave the cache */
#define DLM_ATTENTION_CPU_MANY_KEYS 1536    /* of the two arrays of scores that dq has */
#define DLM_ATTENTION_CPU_FORWARD_KEYS 2560 /* of the one of forward */
#define DLM_ATTENTION_CPU_STEP 64       /* keys or queries that are packed at a time */
#define DLM_ATTENTION_CPU_SLACK 16      /* rows after the last array of scores, which AMX reads */
#define DLM_ATTENTION_CPU_GAP 16        /* floats between rows, against equal cache sets */

static inline size_t dlm_attention_pad16(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* Floats from row to row of scores against all keys, and of operands of `dim`. */
static inline size_t dlm_attention_score_stride(const struct dlm_attention_params *p)
{
    const size_t step = DLM_ATTENTION_CPU_STEP;
    return (p->keys + step - 1) / step * step + DLM_ATTENTION_CPU_GAP;
}

static inline size_t dlm_attention_dim_stride(const struct dlm_attention_params *p)
{
    return dlm_attention_pad16(p->dim) + DLM_ATTENTION_CPU_GAP;
}

/* Rows (dkv: keys) of an item, of `total` of a kv head: as many as `units` that work at the same
 * time end soonest with, at most DLM_ATTENTION_CPU_BLOCK, or with more than many_keys
 * DLM_ATTENTION_CPU_SMALL. No result depends on it. */
static inline uint32_t dlm_attention_cpu_rows(const struct dlm_attention_params *p, uint32_t total,
                                              uint32_t many_keys, uint32_t units)
{
    const uint32_t most =
        p->keys > many_keys ? DLM_ATTENTION_CPU_SMALL : DLM_ATTENTION_CPU_BLOCK;
    uint64_t best = UINT64_MAX;
    uint32_t block = most;

    units = units ? units : 1;
    for (uint32_t rows = most; rows; rows -= DLM_ATTENTION_CPU_TILE) {
        const uint64_t items = (uint64_t)((total + rows - 1) / rows) * p->kv_heads * p->batch;
        const uint64_t cost = (items + units - 1) / units * (rows + DLM_ATTENTION_CPU_PACK);
        if (cost < best) {
            best = cost;
            block = rows;
        }
    }
    return block;
}

/* `scores` arrays of [block][keys], `operands` of [block][dim], a packed step. */
static inline size_t dlm_attention_rows_scratch(const struct dlm_attention_params *p,
                                                size_t scores, size_t operands)
{
    const size_t stride = dlm_attention_score_stride(p);
    return sizeof(float) * (p->block * (scores * stride + operands * dlm_attention_dim_stride(p)) +
                            DLM_ATTENTION_CPU_STEP * dlm_attention_pad16(p->dim) +
                            DLM_ATTENTION_CPU_SLACK * stride);
}

static inline size_t dlm_attention_keys_scratch(const struct dlm_attention_params *p)
{
    const size_t step = DLM_ATTENTION_CPU_STEP + DLM_ATTENTION_CPU_GAP;
    return sizeof(float) * (p->block * (2 * step + 4 * dlm_attention_dim_stride(p)) +
                            DLM_ATTENTION_CPU_STEP * dlm_attention_pad16(p->dim) +
                            DLM_ATTENTION_CPU_SLACK * step);
}

/* Distance to a row (query or key) and head of an operand. */
static inline size_t dlm_attention_place(const uint32_t *stride, uint32_t batch, uint32_t row,
                                         uint32_t head)
{
    return (size_t)batch * stride[0] + (size_t)row * stride[1] + (size_t)head * stride[2];
}

/* Strides of dout, which has no gaps. */
static inline void dlm_attention_dout_strides(const struct dlm_attention_params *p,
                                              uint32_t stride[3])
{
    stride[2] = p->dim;
    stride[1] = p->heads * stride[2];
    stride[0] = p->queries * stride[1];
}

#endif
