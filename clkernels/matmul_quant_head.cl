/* Weights in 4 to 8 bits (base/quant.h): nothing, unless FORM names one. w: the weight as words;
 * len: elements of all of it. A form is, for a run of 32 elements,
 *
 *     DLM_KIND_X                    how its codes lie, which come first: see below
 *     uint2 dlm_upper_X(w, run, len)   two words with the upper bits of codes, if they lie apart
 *     dlm_even_X(words, upper, g), dlm_odd_X   of DLM_KIND_PAIRS: codes as bytes, of elements 0, 2,
 *                                   4, 6 and 1, 3, 5, 7 of word g of the run, or of four words at
 *                                   once, upper and g being vectors too
 *     float4 dlm_lines_X(w, run, len)  value = code * line.x - line.y of the first 16, .z and .w
 *                                   of the others
 *
 * Scales are f16 times small integers: f32 holds every product here, and the difference is the only
 * thing that is rounded. */
#ifdef FORM
#define DLM_KIND_BYTES 1 /* a byte each, code - 128 */
#define DLM_KIND_PAIRS 2 /* a half byte each, of two in a byte the first is the high one */
#define DLM_KIND_TABLE 3 /* the same, indices of dlm_nf4 */

#define DLM_KIND DLM_PASTE(DLM_KIND_, FORM)
#define DLM_CODE_WORDS (DLM_KIND == DLM_KIND_BYTES ? 2u : 1u) /* of eight elements */
#define dlm_upper DLM_PASTE(dlm_upper_, FORM)
#define dlm_lines DLM_PASTE(dlm_lines_, FORM)

__constant float dlm_nf4[16] = {DLM_NF4_VALUES};
__constant float dlm_dynamic_map[129] = {0.0f, DLM_DYNAMIC_MAP_VALUES}; /* of 127 and up */

#define DLM_BYTE(words, i) (((__global const uchar *)(words))[i])
#define DLM_HALF(words, i) vload_half(i, (__global const half *)(words))

/* --- q8_0 --- */
#define DLM_KIND_q8_0 DLM_KIND_BYTES
#define dlm_upper_q8_0(w, run, len) ((uint2)(0u))

static float4 dlm_lines_q8_0(__global const uint *w, uint run, uint len)
{
    return DLM_HALF(w + (len >> 2), run) * (float4)(1.0f, 128.0f, 1.0f, 128.0f);
}

/* --- nf4, nf4_dq --- */
#define DLM_KIND_nf4 DLM_KIND_TABLE
#define dlm_upper_nf4(w, run, len) ((uint2)(0u))

static float4 dlm_lines_nf4(__global const uint *w, uint run, uint len)
{
    return as_float(w[(len >> 3) + (run >> 1)]) * (float4)(1.0f, 0.0f, 1.0f, 0.0f);
}

#define DLM_KIND_nf4_dq DLM_KIND_TABLE
#define dlm_upper_nf4_dq(w, run, len) ((uint2)(0u))

static float4 dlm_lines_nf4_dq(__global const uint *w, uint run, uint len)
{
    const uint block = run >> 1;
    __global const uint *codes = w + (len >> 3);
    __global const uint *pair = codes + (((len >> 6) + 3u) >> 2) + (block >> 8) * 2u;
    const int q = (int)DLM_BYTE(codes, block) - 127;
    const float entry = dlm_dynamic_map[abs(q)];
    const float scale = (q < 0 ? -entry : entry) * as_float(pair[0]) + as_float(pair[1]);

    return (float4)(scale, 0.0f, scale, 0.0f);
}

/* --- q4_0 --- */
#define DLM_KIND_q4_0 DLM_KIND_PAIRS
#define dlm_upper_q4_0(w, run, len) ((uint2)(0u))
#define dlm_even_q4_0(words, upper, g) ((words) >> 4 & 0x0f0f0f0fu)
#define dlm_odd_q4_0(words, upper, g) ((words) & 0x0f0f0f0fu)

static float4 dlm_lines_q4_0(__global const uint *w, uint run, uint len)
{
    return DLM_HALF(w + (len >> 3), run) * (float4)(1.0f, 8.0f, 1.0f, 8.0f);
}

/* --- q4_k, q5_k: a scale and a minimum of 32 elements, and two that scale those of 256 --- */
static float4 dlm_lines_k(__global const uint *scales, uint run, uint len)
{
    __global const uint *minima = scales + (len >> 7);
    const float2 by = vload_half2(run >> 3, (__global const half *)(minima + (len >> 7)));
    const float2 line = by * (float2)(DLM_BYTE(scales, run), DLM_BYTE(minima, run));

    return line.xyxy;
}

#define DLM_KIND_q4_k DLM_KIND_PAIRS
#define dlm_upper_q4_k(w, run, len) ((uint2)(0u))
#define dlm_even_q4_k dlm_even_q4_0
#define dlm_odd_q4_k dlm_odd_q4_0
#define dlm_lines_q4_k(w, run, len) dlm_lines_k((w) + ((len) >> 3), run, len)

#define DLM_KIND_q5_k DLM_KIND_PAIRS
#define dlm_upper_q5_k(w, run, len) ((uint2)((w)[((len) >> 3) + (run)]))
#define dlm_even_q5_k(words, upper, g)                                                             \
    (dlm_even_q4_0(words, upper, g) | ((upper) >> (2u * (g)) & 0x01010101u) << 4)
#define dlm_odd_q5_k(words, upper, g)                                                              \
    (dlm_odd_q4_0(words, upper, g) | ((upper) >> (2u * (g) + 1u) & 0x01010101u) << 4)
#define dlm_lines_q5_k(w, run, len) dlm_lines_k((w) + ((len) >> 3) + ((len) >> 5), run, len)

/* --- q6_k: a signed scale of 16 elements, and one that scales those of 256 --- */
#define DLM_KIND_q6_k DLM_KIND_PAIRS
#define dlm_upper_q6_k(w, run, len) vload2(run, (w) + ((len) >> 3))
#define dlm_even_q6_k(words, upper, g)                                                             \
    (dlm_even_q4_0(words, upper, g) | ((upper) >> (((g) & 1u) * 4u) & 0x03030303u) << 4)
#define dlm_odd_q6_k(words, upper, g)                                                              \
    (dlm_odd_q4_0(words, upper, g) | ((upper) >> (((g) & 1u) * 4u + 2u) & 0x03030303u) << 4)

static float4 dlm_lines_q6_k(__global const uint *w, uint run, uint len)
{
    __global const uint *scales = w + (len >> 3) + (len >> 4);
    const float2 scale = DLM_HALF(scales + (len >> 6), run >> 3) *
                         convert_float2(vload2(run, (__global const char *)scales));

    return scale.xxyy * (float4)(1.0f, 32.0f, 1.0f, 32.0f);
}

/* --- of all --- */

/* Elements 8 g to 8 g + 7 of a run, as codes; table: dlm_nf4, or a copy. */
#if DLM_KIND == DLM_KIND_BYTES
#define dlm_codes(words, upper, g, table) convert_float8(as_uchar8((words) ^ 0x80808080u))
#elif DLM_KIND == DLM_KIND_TABLE
#define DLM_ENTRY(table, word, bit) table[(word) >> (bit) & 15u]
#define dlm_codes(words, upper, g, table)                                                          \
    ((float8)(DLM_ENTRY(table, (words).x, 4), DLM_ENTRY(table, (words).x, 0),                      \
              DLM_ENTRY(table, (words).x, 12), DLM_ENTRY(table, (words).x, 8),                     \
              DLM_ENTRY(table, (words).x, 20), DLM_ENTRY(table, (words).x, 16),                    \
              DLM_ENTRY(table, (words).x, 28), DLM_ENTRY(table, (words).x, 24)))
#else
#define dlm_even DLM_PASTE(dlm_even_, FORM)
#define dlm_odd DLM_PASTE(dlm_odd_, FORM)
#define dlm_codes(words, upper, g, table) dlm_pairs(words, upper, g)
static float8 dlm_pairs(uint2 words, uint2 upper, uint g)
{
    const uint u = g < 2u ? upper.x : upper.y;
    const float4 even = convert_float4(as_uchar4(dlm_even(words.x, u, g)));
    const float4 odd = convert_float4(as_uchar4(dlm_odd(words.x, u, g)));

    return (float8)(even.x, odd.x, even.y, odd.y, even.z, odd.z, even.w, odd.w);
}
#endif

/* The eight elements from `at` on, a multiple of 8. */
static float8 dlm_load8(__global const uint *w, uint at, uint len)
{
    const uint run = at >> 5;
    const float4 lines = dlm_lines(w, run, len);
    const float2 line = at & 16u ? lines.zw : lines.xy;
    const uint2 upper = dlm_upper(w, run, len);
    const uint2 words =
        DLM_CODE_WORDS == 2u ? vload2(at >> 3, w) : (uint2)(w[at >> 3]);
    const float8 codes = dlm_codes(words, upper, at >> 3 & 3u, dlm_nf4);

    return fma(codes, (float8)(line.x), (float8)(-line.y));
}
#endif
