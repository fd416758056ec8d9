/* What attention_mma_* multiply: rows of a head in f16, and the same across. Of x [B, T, H, D] the
 * rows i = t * G + g of planes of G heads become
 *
 *     packed [planes][rows][cols], then, if wanted, across [planes][cols][rows]
 *
 * rows and cols padded with zeros, and so are keys and queries past those that there are (rows: as
 * in attention). Values are multiplied by a factor. With NORMALISE each row is
 * multiplied by a power of two, so that its largest value lies in [1, 2) and what is small beside
 * nothing else stays what it is; scales [B, H, T] says by which.
 * A work-group makes 32 rows. */
//! attention_mma_pack_f32 -DDLM_KV=F32
//! attention_mma_pack_f16 -DDLM_KV=F16
//! attention_mma_pack_bf16 -DDLM_KV=BF16
//! attention_mma_pack_dout -DDLM_KV=F32 -DNORMALISE
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)
DLM_IN(0, PASTE(DLM_T_, DLM_KV), x)
DLM_IN(1, int, rows)
DLM_OUT(2, uvec4, packed)
#ifdef NORMALISE
DLM_OUT(3, float, scales)
#endif
DLM_PARAMS(dlm_attention_pack_params)

#define TILE 32u
shared float tile[TILE * (TILE + 1u)];
shared float row_factor[TILE];
#ifdef NORMALISE
shared float lane_most[64];
#endif

/* Elements before row i of plane `plane`. */
uint find_row(uint plane, uint i)
{
    const uint planes = p.heads / p.group, head = plane % planes * p.group + i % p.group;

    return p.lead + plane / planes * p.stride[0] + i / p.group * p.stride[1] + head * p.stride[2];
}

#ifdef NORMALISE
/* The factors of the tile's rows, two lanes a row. */
void find_factors(uint plane, uint r0, uint num)
{
    const uint lane = DLM_LOCAL_ID(), r = r0 + lane / 2u, planes = p.heads / p.group;
    float most = 0.0;

    for (uint d = lane % 2u; r < num && d < p.dim; d += 2u)
        most = max(most, abs(PASTE(DLM_LOAD_, DLM_KV)(x, find_row(plane, r) + d)));
    lane_most[lane] = most;
    barrier();
    if (lane % 2u == 0u) {
        most = max(most, lane_most[lane + 1u]);
        /* 2^-e for 2^e <= most; of nothing but zeros the largest power */
        const uint exponent = clamp(floatBitsToUint(most) >> 23, 1u, 253u);
        const float factor = uintBitsToFloat((254u - exponent) << 23);
        row_factor[lane / 2u] = factor;
        if (r < p.num) {
            const uint head = plane % planes * p.group + r % p.group;
            scales[(plane / planes * p.heads + head) * (p.num / p.group) + r / p.group] = factor;
        }
    }
}
#endif

/* Eight values as halves. step: between them in the tile. */
uvec4 pack8(uint at, uint step_)
{
    uvec4 words;

    [[unroll]] for (uint i = 0u; i < 4u; i++)
        words[i] = packHalf2x16(vec2(tile[at + 2u * i * step_], tile[at + (2u * i + 1u) * step_]));
    return words;
}

/* Rows of a plane that are any of a query or key. */
uint find_num(uint plane)
{
    const uint b = plane / (p.heads / p.group);
    const uint num = uint(max(rows[4u * b + p.num_at], 0)) * p.group;

    return min(num, p.num);
}

void main()
{
    const uint blocks = p.rows / TILE, plane = DLM_GROUP_ID() / blocks;
    const uint r0 = DLM_GROUP_ID() % blocks * TILE, lane = DLM_LOCAL_ID();
    const uint plain = (plane * p.rows + r0) * p.cols / 8u;
    const uint across = (p.planes + plane) * p.rows * p.cols / 8u + r0 / 8u;
    if (plane >= p.planes)
        return;
    const uint num = find_num(plane);

    if (lane < TILE)
        row_factor[lane] = p.factor;
#ifdef NORMALISE
    barrier();
    find_factors(plane, r0, num);
#endif
    for (uint c0 = 0u; c0 < p.cols; c0 += TILE) {
        barrier();
        for (uint e = lane; e < TILE * TILE; e += 64u) {
            const uint i = e / TILE, d = c0 + e % TILE;
            float value = 0.0;
            if (r0 + i < num && d < p.dim)
                value = row_factor[i] * PASTE(DLM_LOAD_, DLM_KV)(x, find_row(plane, r0 + i) + d);
            tile[i * (TILE + 1u) + e % TILE] = value;
        }
        barrier();
        for (uint e = lane; e < TILE * TILE / 8u; e += 64u) {
            const uint i = e / 4u, run = e % 4u * 8u; /* 16 bytes of row, or column, i */
            if (c0 + run < p.cols)
                packed[plain + i * (p.cols / 8u) + (c0 + run) / 8u] =
                    pack8(i * (TILE + 1u) + run, 1u);
            if (p.has_across != 0u && c0 + i < p.cols)
                packed[across + (c0 + i) * (p.rows / 8u) + run / 8u] =
                    pack8(run * (TILE + 1u) + i, TILE + 1u);
        }
    }
}
