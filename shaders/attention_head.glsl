/* What the shaders of attention share: their bindings, the place of a work-group, the mask. The
 * queries of a kv head are rows r = t * G + g, G query heads to a kv head. ATTENTION_KEPT: without
 * the prelude, for shaders that are also kept compiled. */
#ifdef ATTENTION_KEPT
#define DLM_DIALECT_GLSL
#include "bindings.glsl"
#include "kernels/attention_params.h"
#else
#include "prelude.glsl"
#endif
#include "kernels/attention_mask.h"

#ifdef LANES
layout(local_size_x = LANES) in;
#endif

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)

/* What q, dout and what k, v are arrays of: elements, or what a shader loads at a time. */
#ifndef ATTENTION_ROW
#define ATTENTION_ELEMENTS
#define ATTENTION_ROW float
#define ATTENTION_KEY PASTE(DLM_T_, DLM_KV)
#endif

#if defined(DELTA)
DLM_IN(0, float, dout)
DLM_IN(1, float, result)
DLM_OUT(2, float, delta)
#elif defined(MERGE)
DLM_IN(0, float, partial)
DLM_IN(1, float, stats)
DLM_OUT(2, float, result)
DLM_OUT(3, float, lse)
#elif defined(DKV_SUM)
DLM_IN(0, float, dk_parts)
DLM_IN(1, float, dv_parts)
DLM_OUT(2, float, dk)
DLM_OUT(3, float, dv)
#else
DLM_IN(0, ATTENTION_ROW, q)
DLM_IN(1, ATTENTION_KEY, k)
DLM_IN(2, ATTENTION_KEY, v)
#if defined(FORWARD)
DLM_IN(3, int, rows)
DLM_OUT(4, float, result)
DLM_OUT(5, float, lse)
#else
DLM_IN(3, ATTENTION_ROW, dout)
DLM_IN(4, float, lse)
DLM_IN(5, float, delta)
DLM_IN(6, int, rows)
#if defined(DQ)
DLM_OUT(7, float, result)
#else
DLM_OUT(7, float, dk)
DLM_OUT(8, float, dv)
#endif
#endif
#endif
DLM_PARAMS(dlm_attention_params)

#define LOWEST (-1.701411733e38) /* half of the lowest float: differences stay finite */
#define NONE 0xffffffffu

#if defined(DELTA) || defined(MERGE) || defined(DKV_SUM)
#define NO_HEADS
#endif

/* Operands by number, so that functions can take them: q and dout, k and v. */
#define X_Q 0u
#define X_DOUT 1u
#define Y_K 0u
#define Y_V 1u

#ifndef NO_HEADS
/* The kv head of a work-group, the query heads that it handles, the mask of its batch row. */
struct kv_head {
    uint batch, index;
    uint first, group; /* query heads [first, first + group) */
    uint num_rows;     /* those that are computed, T * group at most */
    dlm_attention_mask mask;
};

/* part: of p.splits parts of the kv head's query heads. */
kv_head find_head(uint index, uint part)
{
    kv_head h;

    h.batch = gl_WorkGroupID.z;
    h.index = index;
    h.group = p.heads / (p.kv_heads * p.splits);
    h.first = (h.index * p.splits + part) * h.group;
    h.mask.q_start = rows[4u * h.batch];
    h.mask.kv_len = dlm_attention_clamp(rows[4u * h.batch + 1u], p.keys);
    h.mask.prefix = rows[4u * h.batch + 2u];
    h.mask.num_q = dlm_attention_clamp(rows[4u * h.batch + 3u], p.queries);
    h.mask.is_causal = uint(p.mode == DLM_ATTENTION_PREFIX_MODE);
    h.mask.window = p.window;
    h.num_rows = h.mask.num_q * h.group;
    return h;
}

kv_head find_head()
{
    return find_head(gl_WorkGroupID.y, 0u);
}

#ifdef ATTENTION_ELEMENTS
float load_x(uint which, uint at)
{
#ifdef FORWARD
    return q[at];
#else
    return which == X_Q ? q[at] : dout[at];
#endif
}

float load_y(uint which, uint at)
{
    if (which == Y_K)
        return PASTE(DLM_LOAD_, DLM_KV)(k, p.k_lead + at);
    return PASTE(DLM_LOAD_, DLM_KV)(v, p.v_lead + at);
}
#endif

/* The keys [begin, limit) of row r. */
uint find_begin(kv_head h, uint r)
{
    return dlm_attention_begin(h.mask, r / h.group);
}

uint find_limit(kv_head h, uint r)
{
    return dlm_attention_limit(h.mask, r / h.group);
}

/* The first row that sees key s; the row from which on none sees a key up to s. */
uint find_first_row(kv_head h, uint s)
{
    return dlm_attention_first_query(h.mask, s) * h.group;
}

uint find_end_row(kv_head h, uint s)
{
    return dlm_attention_end_query(h.mask, s) * h.group;
}

/* The score of a product, and what its gradient is multiplied by. */
float score_of(float product)
{
    return dlm_attention_cap(p.softcap, product * p.scale);
}

float slope_of(float score)
{
    return dlm_attention_uncap(p.softcap, score);
}

/* Element 0 of row r in q, dout, and out or dq; of key s in k and v, and in dk and dv, but for
 * their leads; and r in lse, delta. */
uint find_q(kv_head h, uint r)
{
    return p.q_lead + h.batch * p.q_stride[0] + r / h.group * p.q_stride[1] +
           (h.first + r % h.group) * p.q_stride[2];
}

uint find_dout(kv_head h, uint r)
{
    const uint t = h.batch * p.queries + r / h.group;
    return (t * p.heads + h.first + r % h.group) * p.dim;
}

uint find_out(kv_head h, uint r)
{
    return p.out_lead + h.batch * p.out_stride[0] + r / h.group * p.out_stride[1] +
           (h.first + r % h.group) * p.out_stride[2];
}

uint find_key(kv_head h, uint s)
{
    return h.batch * p.kv_stride[0] + s * p.kv_stride[1] + h.index * p.kv_stride[2];
}

uint find_dkey(kv_head h, uint s)
{
    return h.batch * p.out_stride[0] + s * p.out_stride[1] + h.index * p.out_stride[2];
}

uint find_stat(kv_head h, uint r)
{
    const uint head = h.batch * p.heads + h.first + r % h.group;
    return head * p.queries + r / h.group;
}
#endif
