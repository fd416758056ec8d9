/* Weights in 4 to 8 bits (base/quant.h). The file that includes this has defined
 *
 *     FORM               the weight's type, as it is named below
 *     DLM_QUANT_WORD(i)  word i of the weight
 *     DLM_NF4(q)         its table, if that is not to be a constant
 *
 * len: elements of all of it. A form is, for a run of 32 elements,
 *
 *     DLM_CODE_WORDS_X              words that eight elements have of the codes, which come first
 *     uvec2 dlm_upper_X(run, len)   two words with the upper bits of codes, if they lie apart
 *     vec4 dlm_lines_X(run, len)    value = code * line.x - line.y of the first 16, .z and .w of
 *                                   the others
 *     dlm_codes_X(words, upper, g, low, high)   the codes of elements 8 g to 8 g + 7 as numbers
 *
 * Scales are f16 times small integers: f32 holds every product here, and the difference is the only
 * thing that is rounded. */
#include "base/quant_tables.h"

#define DLM_JOIN_(x, y) x##y
#define DLM_JOIN(x, y) DLM_JOIN_(x, y)
#define DLM_CODE_WORDS DLM_JOIN(DLM_CODE_WORDS_, FORM)
#define dlm_upper DLM_JOIN(dlm_upper_, FORM)
#define dlm_codes DLM_JOIN(dlm_codes_, FORM)
#define dlm_lines DLM_JOIN(dlm_lines_, FORM)

const float dlm_nf4[16] = float[](DLM_NF4_VALUES);
const float dlm_dynamic_map[129] = float[](0.0, DLM_DYNAMIC_MAP_VALUES); /* of 127 and up */
#ifndef DLM_NF4
#define DLM_NF4(q) dlm_nf4[q]
#endif

/* Byte, and f16, number i of those from a word of the weight on. */
uint dlm_byte(uint word, uint i)
{
    return (DLM_QUANT_WORD(word + (i >> 2)) >> ((i & 3u) * 8u)) & 255u;
}

float dlm_half(uint word, uint i)
{
    return unpackHalf2x16(DLM_QUANT_WORD(word + (i >> 1)) >> ((i & 1u) * 16u)).x;
}

/* The bytes of a word. */
vec4 dlm_widen(uint word)
{
    return vec4(word & 255u, (word >> 8) & 255u, (word >> 16) & 255u, word >> 24);
}

/* Of codes of 4 bits, those that are the high and those that are the low halves of bytes: elements
 * 0, 2, 4, 6 and 1, 3, 5, 7. */
uint dlm_even(uint word)
{
    return (word >> 4) & 0x0f0f0f0fu;
}

uint dlm_odd(uint word)
{
    return word & 0x0f0f0f0fu;
}

void dlm_widen_pairs(uint even, uint odd, out vec4 low, out vec4 high)
{
    const vec4 e = dlm_widen(even), o = dlm_widen(odd);

    low = vec4(e.x, o.x, e.y, o.y);
    high = vec4(e.z, o.z, e.w, o.w);
}

/* Bits `from` and up of each byte as bits 4 and up. */
uint dlm_to_bit_4(uint word, uint from, uint mask)
{
    return (from < 4u ? word << (4u - from) : word >> (from - 4u)) & mask;
}

/* --- q8_0: its codes + 128, which devices can convert from any byte of a word --- */
#define DLM_CODE_WORDS_q8_0 2u
#define dlm_upper_q8_0(run, len) uvec2(0u)

void dlm_codes_q8_0(uvec2 words, uvec2 upper, uint g, out vec4 low, out vec4 high)
{
    low = dlm_widen(words.x ^ 0x80808080u);
    high = dlm_widen(words.y ^ 0x80808080u);
}

vec4 dlm_lines_q8_0(uint run, uint len)
{
    return dlm_half(len >> 2, run) * vec4(1.0, 128.0, 1.0, 128.0);
}

/* --- nf4, nf4_dq --- */
#define DLM_CODE_WORDS_nf4 1u
#define dlm_upper_nf4(run, len) uvec2(0u)

void dlm_codes_nf4(uvec2 words, uvec2 upper, uint g, out vec4 low, out vec4 high)
{
    const uint w = words.x;

    low = vec4(DLM_NF4((w >> 4) & 15u), DLM_NF4(w & 15u), DLM_NF4((w >> 12) & 15u),
               DLM_NF4((w >> 8) & 15u));
    high = vec4(DLM_NF4((w >> 20) & 15u), DLM_NF4((w >> 16) & 15u), DLM_NF4(w >> 28),
                DLM_NF4((w >> 24) & 15u));
}

vec4 dlm_lines_nf4(uint run, uint len)
{
    return uintBitsToFloat(DLM_QUANT_WORD((len >> 3) + (run >> 1))) * vec4(1.0, 0.0, 1.0, 0.0);
}

#define DLM_CODE_WORDS_nf4_dq DLM_CODE_WORDS_nf4
#define dlm_upper_nf4_dq dlm_upper_nf4
#define dlm_codes_nf4_dq dlm_codes_nf4

vec4 dlm_lines_nf4_dq(uint run, uint len)
{
    const uint block = run >> 1, codes = len >> 3, nested = codes + (((len >> 6) + 3u) >> 2);
    const uint pair = nested + (block >> 8) * 2u;
    const int q = int(dlm_byte(codes, block)) - 127;
    const float entry = dlm_dynamic_map[abs(q)];
    const float scale = (q < 0 ? -entry : entry) * uintBitsToFloat(DLM_QUANT_WORD(pair)) +
                        uintBitsToFloat(DLM_QUANT_WORD(pair + 1u));

    return vec4(scale, 0.0, scale, 0.0);
}

/* --- q4_0 --- */
#define DLM_CODE_WORDS_q4_0 1u
#define dlm_upper_q4_0(run, len) uvec2(0u)

void dlm_codes_q4_0(uvec2 words, uvec2 upper, uint g, out vec4 low, out vec4 high)
{
    dlm_widen_pairs(dlm_even(words.x), dlm_odd(words.x), low, high);
}

vec4 dlm_lines_q4_0(uint run, uint len)
{
    return dlm_half(len >> 3, run) * vec4(1.0, 8.0, 1.0, 8.0);
}

/* --- q4_k, q5_k: a scale and a minimum of 32 elements, and two that scale those of 256 --- */
vec4 dlm_lines_k(uint scales, uint run, uint len)
{
    const uint bytes = len >> 7; /* words of the scales, and of the minima */
    const vec2 line = unpackHalf2x16(DLM_QUANT_WORD(scales + 2u * bytes + (run >> 3))) *
                      vec2(dlm_byte(scales, run), dlm_byte(scales + bytes, run));

    return line.xyxy;
}

#define DLM_CODE_WORDS_q4_k 1u
#define dlm_upper_q4_k(run, len) uvec2(0u)
#define dlm_codes_q4_k dlm_codes_q4_0
#define dlm_lines_q4_k(run, len) dlm_lines_k((len) >> 3, run, len)

#define DLM_CODE_WORDS_q5_k 1u
#define dlm_upper_q5_k(run, len) uvec2(DLM_QUANT_WORD(((len) >> 3) + (run)))
#define dlm_lines_q5_k(run, len) dlm_lines_k(((len) >> 3) + ((len) >> 5), run, len)

void dlm_codes_q5_k(uvec2 words, uvec2 upper, uint g, out vec4 low, out vec4 high)
{
    dlm_widen_pairs(dlm_even(words.x) | dlm_to_bit_4(upper.x, 2u * g, 0x10101010u),
                    dlm_odd(words.x) | dlm_to_bit_4(upper.x, 2u * g + 1u, 0x10101010u), low, high);
}

/* --- q6_k: a signed scale of 16 elements, and one that scales those of 256 --- */
#define DLM_CODE_WORDS_q6_k 1u

uvec2 dlm_upper_q6_k(uint run, uint len)
{
    const uint first = (len >> 3) + 2u * run;

    return uvec2(DLM_QUANT_WORD(first), DLM_QUANT_WORD(first + 1u));
}

void dlm_codes_q6_k(uvec2 words, uvec2 upper, uint g, out vec4 low, out vec4 high)
{
    const uint u = g < 2u ? upper.x : upper.y, bit = (g & 1u) * 4u;

    dlm_widen_pairs(dlm_even(words.x) | dlm_to_bit_4(u, bit, 0x30303030u),
                    dlm_odd(words.x) | dlm_to_bit_4(u, bit + 2u, 0x30303030u), low, high);
}

vec4 dlm_lines_q6_k(uint run, uint len)
{
    const uint scales = (len >> 3) + (len >> 4);
    const int pair = int(DLM_QUANT_WORD(scales + (run >> 1)) >> ((run & 1u) * 16u));
    const vec2 scale = dlm_half(scales + (len >> 6), run >> 3) *
                       vec2(bitfieldExtract(pair, 0, 8), bitfieldExtract(pair, 8, 8));

    return scale.xxyy * vec4(1.0, 32.0, 1.0, 32.0);
}

/* The eight elements from `at` on, a multiple of 8. */
void dlm_load8(uint at, uint len, out vec4 low, out vec4 high)
{
    const uint run = at >> 5;
    const vec4 lines = dlm_lines(run, len);
    const vec2 line = (at & 16u) == 0u ? lines.xy : lines.zw;
    const uint first = (at >> 3) * DLM_CODE_WORDS;
    const uvec2 words = uvec2(DLM_QUANT_WORD(first), DLM_QUANT_WORD(first + DLM_CODE_WORDS - 1u));

    dlm_codes(words, dlm_upper(run, len), (at >> 3) & 3u, low, high);
    low = fma(low, vec4(line.x), vec4(-line.y));
    high = fma(high, vec4(line.x), vec4(-line.y));
}
