/* attention_merge: out and lse of the rows whose keys attention_split took in parts, a work-group
 * of 64 a row. attention_dkv_sum: dk and dv from those of parts of the query heads, in order; a
 * work-group of 64 a key of a kv head. */
//! attention_merge attention_merge
//! attention_dkv_sum attention_dkv_sum

#define LOWEST (-1.701411733e38f) /* as attention_split has it for no key */

/* partial [parts][B H T][D]: sums of exp(score - max) v; stats [parts][B H T][2]: max, sum of
 * exp(score - max), 0 for no key. */
__kernel DLM_LOCAL(64) void attention_merge(__global const float *partial,
                                            __global const float *stats, __global float *out,
                                            __global float *lse,
                                            const struct dlm_attention_params p)
{
    const uint row = DLM_GROUP_ID(), rows = p.batch * p.heads * p.queries;
    if (row >= rows)
        return;
    float most = LOWEST, total = 0.0f;

    for (uint i = 0; i < p.parts; i++)
        most = fmax(most, stats[2u * (i * rows + row)]);
    for (uint i = 0; i < p.parts; i++)
        total += exp(stats[2u * (i * rows + row)] - most) * stats[2u * (i * rows + row) + 1u];
    const uint t = row % p.queries, head = row / p.queries % p.heads;
    const uint to = p.out_lead + row / p.queries / p.heads * p.out_stride[0] +
                    t * p.out_stride[1] + head * p.out_stride[2];
    for (uint d = DLM_LOCAL_ID(); d < p.dim; d += 64u) {
        float sum = 0.0f;
        for (uint i = 0; i < p.parts; i++)
            sum = fma(exp(stats[2u * (i * rows + row)] - most),
                      partial[i * p.split_stride + row * p.dim + d], sum);
        out[to + d] = total > 0.0f ? sum / total : 0.0f;
    }
    if (DLM_LOCAL_ID() == 0u)
        lse[row] = total > 0.0f ? most + log(total) : 0.0f;
}

/* dk_parts, dv_parts [splits][B, S, Hkv, D] */
__kernel DLM_LOCAL(64) void attention_dkv_sum(__global const float *dk_parts,
                                              __global const float *dv_parts, __global float *dk,
                                              __global float *dv,
                                              const struct dlm_attention_params p)
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.batch * p.keys * p.kv_heads)
        return;
    const uint s = row / p.kv_heads % p.keys, head = row % p.kv_heads;
    const uint to = row / p.kv_heads / p.keys * p.out_stride[0] + s * p.out_stride[1] +
                    head * p.out_stride[2];

    for (uint d = DLM_LOCAL_ID(); d < p.dim; d += 64u) {
        float dk_sum = 0.0f, dv_sum = 0.0f;
        for (uint i = 0; i < p.splits; i++) {
            dk_sum += dk_parts[i * p.split_stride + row * p.dim + d];
            dv_sum += dv_parts[i * p.split_stride + row * p.dim + d];
        }
        dk[p.out_lead + to + d] = dk_sum;
        dv[p.out2_lead + to + d] = dv_sum;
    }
}
