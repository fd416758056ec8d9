/* Which keys a query of attention sees, and what a soft cap does to a score: once for C, OpenCL C
 * and GLSL. The definition is in ops/attention.c. The keys of a query are a range, and neither its
 * begin nor its end, the query's limit, falls from one query to the next. */
#ifndef DLM_KERNELS_ATTENTION_MASK_H
#define DLM_KERNELS_ATTENTION_MASK_H

#include "base/activation.h"

/* Of a batch row. */
struct dlm_attention_mask {
    DLM_I32 q_start; /* where query 0 stands */
    DLM_I32 prefix;  /* queries and keys before it see each other; 0 unless causal */
    DLM_U32 kv_len;  /* at most the keys */
    DLM_U32 num_q;   /* at most the queries */
    DLM_U32 is_causal;
    DLM_U32 window; /* 0: none */
};

DLM_FN DLM_U32 dlm_attention_clamp(DLM_I32 value, DLM_U32 most)
{
    DLM_U32 positive = value < 0 ? 0u : DLM_TO_U32(value);
    return positive < most ? positive : most;
}

/* The end of the keys that query t sees. */
DLM_FN DLM_U32 dlm_attention_limit(DLM_STRUCT dlm_attention_mask m, DLM_U32 t)
{
    DLM_I32 at = m.q_start + DLM_TO_I32(t);

    if (t >= m.num_q)
        return 0u;
    if (m.is_causal == 0u)
        return m.kv_len;
    return dlm_attention_clamp(at < m.prefix ? m.prefix : at + 1, m.kv_len);
}

/* The first key that query t sees, at most its limit. */
DLM_FN DLM_U32 dlm_attention_begin(DLM_STRUCT dlm_attention_mask m, DLM_U32 t)
{
    DLM_I32 at = m.q_start + DLM_TO_I32(t);

    if (m.window == 0u || at < m.prefix)
        return 0u;
    return dlm_attention_clamp(at - DLM_TO_I32(m.window) + 1, dlm_attention_limit(m, t));
}

/* The first query that sees key s; num_q if there is none. */
DLM_FN DLM_U32 dlm_attention_first_query(DLM_STRUCT dlm_attention_mask m, DLM_U32 s)
{
    if (s >= m.kv_len)
        return m.num_q;
    if (m.is_causal == 0u || DLM_TO_I32(s) < m.prefix)
        return 0u;
    return dlm_attention_clamp(DLM_TO_I32(s) - m.q_start, m.num_q);
}

/* Queries from this one on see no key up to s. */
DLM_FN DLM_U32 dlm_attention_end_query(DLM_STRUCT dlm_attention_mask m, DLM_U32 s)
{
    DLM_I32 end = DLM_TO_I32(s + m.window);

    if (m.window == 0u)
        return m.num_q;
    if (DLM_TO_I32(s) < m.prefix && end < m.prefix)
        end = m.prefix;
    return dlm_attention_clamp(end - m.q_start, m.num_q);
}

/* A score with the soft cap c; c 0: none. */
DLM_FN DLM_F32 dlm_attention_cap(DLM_F32 c, DLM_F32 score)
{
    if (c == 0.0f)
        return score;
    return c * dlm_tanh(score / c);
}

/* The cap's derivative from the capped score: 1 - tanh(x / c)^2, or 1. */
DLM_FN DLM_F32 dlm_attention_uncap(DLM_F32 c, DLM_F32 score)
{
    DLM_F32 t = c != 0.0f ? score / c : 0.0f;
    return 1.0f - t * t;
}

#endif
