/* attention_merge: out and lse of the rows whose keys attention_split took in parts, a work-group
 * of 64 a row. attention_dkv_sum: dk and dv from those of parts of the query heads, in order; a
 * work-group of 64 a key of a kv head. */
//! attention_merge -DMERGE -DLANES=64
//! attention_dkv_sum -DDKV_SUM -DLANES=64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention_head.glsl"

#ifdef MERGE
/* partial [parts][B H T][D]: sums of exp(score - max) v; stats [parts][B H T][2]: max, sum of
 * exp(score - max), 0 for no key. */
void main()
{
    const uint row = DLM_GROUP_ID(), rows = p.batch * p.heads * p.queries;
    if (row >= rows)
        return;
    float most = LOWEST, total = 0.0;

    for (uint i = 0u; i < p.parts; i++)
        most = max(most, stats[2u * (i * rows + row)]);
    for (uint i = 0u; i < p.parts; i++)
        total += exp(stats[2u * (i * rows + row)] - most) * stats[2u * (i * rows + row) + 1u];
    const uint t = row % p.queries, head = row / p.queries % p.heads;
    const uint to = p.out_lead + row / p.queries / p.heads * p.out_stride[0] +
                    t * p.out_stride[1] + head * p.out_stride[2];
    for (uint d = DLM_LOCAL_ID(); d < p.dim; d += LANES) {
        float sum = 0.0;
        for (uint i = 0u; i < p.parts; i++)
            sum = fma(exp(stats[2u * (i * rows + row)] - most),
                      partial[i * p.split_stride + row * p.dim + d], sum);
        result[to + d] = total > 0.0 ? sum / total : 0.0;
    }
    if (DLM_LOCAL_ID() == 0u)
        lse[row] = total > 0.0 ? most + log(total) : 0.0;
}
#endif

#ifdef DKV_SUM
/* dk_parts, dv_parts [splits][B, S, Hkv, D] */
void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.batch * p.keys * p.kv_heads)
        return;
    const uint s = row / p.kv_heads % p.keys, head = row % p.kv_heads;
    const uint to = row / p.kv_heads / p.keys * p.out_stride[0] + s * p.out_stride[1] +
                    head * p.out_stride[2];

    for (uint d = DLM_LOCAL_ID(); d < p.dim; d += LANES) {
        float dk_sum = 0.0, dv_sum = 0.0;
        for (uint i = 0u; i < p.splits; i++) {
            dk_sum += dk_parts[i * p.split_stride + row * p.dim + d];
            dv_sum += dv_parts[i * p.split_stride + row * p.dim + d];
        }
        dk[p.out_lead + to + d] = dk_sum;
        dv[p.out2_lead + to + d] = dv_sum;
    }
}
#endif
