/* Weights in 4 and 8 bits (base/quant.h). The file that includes this has defined
 * DLM_QUANT_WORD(i), word i of the weight, and DLM_NF4(q) if the table lies elsewhere; len is the
 * number of elements of all of it, `at` the first element that is wanted: where eight are, a
 * multiple of 8. */
#include "base/quant_tables.h"

const float dlm_nf4[16] = float[](DLM_NF4_VALUES);
const float dlm_dynamic_map[128] = float[](DLM_DYNAMIC_MAP_VALUES);
#ifndef DLM_NF4
#define DLM_NF4(q) dlm_nf4[q]
#endif

/* Numbers, not NaN, rounded to a type that they stay f32 of. */
#define DLM_ROUND_F32(v) (v)
#define DLM_ROUND_BF16(v) dlm_round_bf16(v)
#define DLM_ROUND_F16(v) dlm_round_f16(v)
vec4 dlm_round_bf16(vec4 v)
{
    const uvec4 u = floatBitsToUint(v);
    return uintBitsToFloat((u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u);
}

/* Adding 1.5 * 2^13 times the power of two in v, or the least of f16, leaves as many bits as f16
 * has. */
vec4 dlm_round_f16(vec4 v)
{
    const uvec4 power = max(floatBitsToUint(v) & 0x7f800000u, uvec4(0x38800000u));
    const vec4 large = uintBitsToFloat(power + 0x06c00000u);
    precise vec4 rounded = v + large;
    rounded = rounded - large;
    return mix(rounded, v * uintBitsToFloat(0x7f800000u),
               greaterThanEqual(abs(v), vec4(65520.0)));
}

/* Elements of a word: of a pair the first is the high half of a byte. */
void dlm_spread_nf4(uint word, float scale, out vec4 low, out vec4 high)
{
    low = scale * vec4(DLM_NF4((word >> 4) & 15u), DLM_NF4(word & 15u),
                       DLM_NF4((word >> 12) & 15u), DLM_NF4((word >> 8) & 15u));
    high = scale * vec4(DLM_NF4((word >> 20) & 15u), DLM_NF4((word >> 16) & 15u),
                        DLM_NF4(word >> 28), DLM_NF4((word >> 24) & 15u));
}

vec4 dlm_spread_i8(uint word, float scale)
{
    const int w = int(word);
    return scale * vec4(w << 24 >> 24, w << 16 >> 24, w << 8 >> 24, w >> 24);
}

/* The scale of the block that element `at` is in. */
float dlm_scale_q8_0(uint at, uint len)
{
    return unpackHalf2x16(DLM_QUANT_WORD((len >> 2) + (at >> 6)) >> ((at >> 1) & 16u)).x;
}

float dlm_scale_nf4(uint at, uint len)
{
    return uintBitsToFloat(DLM_QUANT_WORD((len >> 3) + (at >> 6)));
}

float dlm_scale_nf4_dq(uint at, uint len)
{
    const uint block = at >> 6, codes = len >> 3, nested = codes + (((len >> 6) + 3u) >> 2);
    const uint pair = nested + (block >> 8) * 2u;
    const uint q = (DLM_QUANT_WORD(codes + (block >> 2)) >> ((block & 3u) * 8u)) & 255u;
    const float entry = q >= 128u ? dlm_dynamic_map[q - 128u]
                        : q == 127u ? 0.0 : -dlm_dynamic_map[126u - q];
    return entry * uintBitsToFloat(DLM_QUANT_WORD(pair)) +
           uintBitsToFloat(DLM_QUANT_WORD(pair + 1u));
}

/* One element. */
float dlm_load_q8_0(uint at, uint len)
{
    const int word = int(DLM_QUANT_WORD(at >> 2));
    return dlm_scale_q8_0(at, len) * float(bitfieldExtract(word, int(at & 3u) * 8, 8));
}

uint dlm_code_nf4(uint at)
{
    return (DLM_QUANT_WORD(at >> 3) >> (((at & 7u) ^ 1u) * 4u)) & 15u;
}

float dlm_load_nf4(uint at, uint len)
{
    return dlm_scale_nf4(at, len) * DLM_NF4(dlm_code_nf4(at));
}

float dlm_load_nf4_dq(uint at, uint len)
{
    return dlm_scale_nf4_dq(at, len) * DLM_NF4(dlm_code_nf4(at));
}

/* Eight. */
void dlm_load8_q8_0(uint at, uint len, out vec4 low, out vec4 high)
{
    const float scale = dlm_scale_q8_0(at, len);
    low = dlm_spread_i8(DLM_QUANT_WORD(at >> 2), scale);
    high = dlm_spread_i8(DLM_QUANT_WORD((at >> 2) + 1u), scale);
}

void dlm_load8_nf4(uint at, uint len, out vec4 low, out vec4 high)
{
    dlm_spread_nf4(DLM_QUANT_WORD(at >> 3), dlm_scale_nf4(at, len), low, high);
}

void dlm_load8_nf4_dq(uint at, uint len, out vec4 low, out vec4 high)
{
    dlm_spread_nf4(DLM_QUANT_WORD(at >> 3), dlm_scale_nf4_dq(at, len), low, high);
}
