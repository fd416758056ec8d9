/* Weights in 4 and 8 bits (base/quant.h). w: the weight as words; len: elements of all of it; at:
 * the first that is wanted, where eight are a multiple of 8. */
__constant float dlm_nf4[16] = {DLM_NF4_VALUES};
__constant float dlm_dynamic_map[128] = {DLM_DYNAMIC_MAP_VALUES};

/* Numbers, not NaN, rounded to a type that they stay f32 of. */
#define DLM_ROUND_F32(v) (v)
#define DLM_ROUND_BF16(v) dlm_round_bf16(v)
#define DLM_ROUND_F16(v) dlm_round_f16(v)
static float8 dlm_round_bf16(float8 v)
{
    const uint8 u = as_uint8(v);
    return as_float8((u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u);
}

/* Adding 1.5 * 2^13 times the power of two in v, or the least of f16, leaves as many bits as f16
 * has. */
static float8 dlm_round_f16(float8 v)
{
    const float8 large = as_float8(max(as_uint8(v) & 0x7f800000u, 0x38800000u) + 0x06c00000u);
    const float8 sum = v + large, rounded = sum - large;
    return select(rounded, v * INFINITY, isgreaterequal(fabs(v), 65520.0f));
}

/* Elements of a word: of a pair the first is the high half of a byte. */
static float8 dlm_spread_nf4(uint word, float scale)
{
    return scale * (float8)(dlm_nf4[(word >> 4) & 15u], dlm_nf4[word & 15u],
                            dlm_nf4[(word >> 12) & 15u], dlm_nf4[(word >> 8) & 15u],
                            dlm_nf4[(word >> 20) & 15u], dlm_nf4[(word >> 16) & 15u],
                            dlm_nf4[word >> 28], dlm_nf4[(word >> 24) & 15u]);
}

/* The scale of the block that element `at` is in. */
static float dlm_scale_q8_0(__global const uint *w, uint at, uint len)
{
    return vload_half(at >> 5, (__global const half *)(w + (len >> 2)));
}

static float dlm_scale_nf4(__global const uint *w, uint at, uint len)
{
    return as_float(w[(len >> 3) + (at >> 6)]);
}

static float dlm_scale_nf4_dq(__global const uint *w, uint at, uint len)
{
    const uint block = at >> 6;
    __global const uint *codes = w + (len >> 3);
    __global const uint *pair = codes + (((len >> 6) + 3u) >> 2) + (block >> 8) * 2u;
    const uint q = (codes[block >> 2] >> ((block & 3u) * 8u)) & 255u;
    const float entry = q >= 128u ? dlm_dynamic_map[q - 128u]
                        : q == 127u ? 0.0f : -dlm_dynamic_map[126u - q];
    return entry * as_float(pair[0]) + as_float(pair[1]);
}

/* One element. */
static float dlm_load_q8_0(__global const uint *w, uint at, uint len)
{
    return dlm_scale_q8_0(w, at, len) * ((__global const char *)w)[at];
}

static uint dlm_code_nf4(__global const uint *w, uint at)
{
    return (w[at >> 3] >> (((at & 7u) ^ 1u) * 4u)) & 15u;
}

static float dlm_load_nf4(__global const uint *w, uint at, uint len)
{
    return dlm_scale_nf4(w, at, len) * dlm_nf4[dlm_code_nf4(w, at)];
}

static float dlm_load_nf4_dq(__global const uint *w, uint at, uint len)
{
    return dlm_scale_nf4_dq(w, at, len) * dlm_nf4[dlm_code_nf4(w, at)];
}

/* Eight. */
static float8 dlm_load8_q8_0(__global const uint *w, uint at, uint len)
{
    return dlm_scale_q8_0(w, at, len) * convert_float8(vload8(at >> 3, (__global const char *)w));
}

static float8 dlm_load8_nf4(__global const uint *w, uint at, uint len)
{
    return dlm_spread_nf4(w[at >> 3], dlm_scale_nf4(w, at, len));
}

static float8 dlm_load8_nf4_dq(__global const uint *w, uint at, uint len)
{
    return dlm_spread_nf4(w[at >> 3], dlm_scale_nf4_dq(w, at, len));
}
