/* Quantised weights on the host: their forms in memory, and the way there and back. A form is
 * planar: first all codes, then what scales them, so that each part is aligned for devices.
 *
 *     q8_0    i8 code[len], f16 scale[len / 32]        value = code * scale
 *     nf4     u4 code[len], f32 absmax[len / 64]       value = nf4[code] * absmax
 *     nf4_dq  u4 code[len], u8 q[len / 64], zeros up to a word, f32 nested[len / 64 / 256][2]
 *                                                      absmax = map[q] * nested[0] + nested[1]
 *     q4_0    u4 code[len], f16 scale[len / 32]        value = (code - 8) * scale
 *     q4_k    u4 code[len], u8 scale[len / 32], u8 min[len / 32], f16 d[len / 256][2]
 *                                                      value = code * (d[0] scale) - d[1] min
 *     q5_k    u4 code[len], u1 high[len], then as q4_k, with code + 16 high
 *     q6_k    u4 code[len], u2 high[len], i8 scale[len / 16], f16 d[len / 256]
 *                                                      value = (code + 16 high - 32) * (d scale)
 *
 * Blocks follow each other in row-major order. Of two u4 codes in a byte the first is the high
 * half. The high bits have the order in which four codes are put together at once: of 8 elements in
 * 4 bytes of codes, element i has its bits in byte i / 2 of a word, from bit i % 2 times their
 * number on; the next 8 elements follow above in each byte, until the word is full.
 *
 * q8_0 is ggml's, nf4 and nf4_dq ("double quantised") are those of bitsandbytes: the same codes for
 * the same numbers. q4_0, q4_k, q5_k and q6_k hold what ggml's blocks do, to the last bit; scales
 * and minima of 6 bits are bytes here, by which q4_k and q5_k take 148 and 180 bytes for 256
 * elements, not 144 and 176. They are for weights that come so: nothing is quantised to them as an
 * operand. All their products are exact in f32 (11 bits of d, 8 of a scale, 6 of a code, nothing
 * denormal), so that fused steps and others give the same values. */
#ifndef DLM_BASE_QUANT_H
#define DLM_BASE_QUANT_H

#include "base/dtype.h"

#define DLM_NF4_BLOCK 64
#define DLM_NF4_NESTED 256 /* scales of nf4_dq that share a second scale */
#define DLM_Q8_0_BLOCK 32
#define DLM_QUANT_MAX_BLOCK 64 /* elements that share a scale, in any type */

/* What a type's form consists of. */
struct dlm_quant_info {
    int64_t block; /* elements that share a scale */
    int64_t group; /* elements that share an entry of `nested`; 0: there is none */
    int code_bits, high_bits; /* of an element, in codes and beside them */
    int zero;                 /* the code that stands for 0, where codes are unsigned numbers */
    size_t scale_bytes, min_bytes; /* of a block */
    size_t nested_bytes;           /* of a group */
};

/* NULL for a type that is not quantised. */
const struct dlm_quant_info *dlm_quant_info(enum dlm_dtype dtype);

/* Whether dlm_quantize() makes the type. */
bool dlm_quant_can_make(enum dlm_dtype dtype);

/* Where the parts of len elements begin, in bytes from the codes. What a type lacks is empty. */
struct dlm_quant_layout {
    int64_t blocks;
    size_t high;
    size_t scales; /* q8_0, q4_0: f16; nf4: f32; q6_k: i8; others: u8 */
    size_t mins;
    size_t nested; /* d of q4_k, q5_k and q6_k */
    size_t bytes;  /* of all: as dlm_dtype_size() */
};

/* len: whole blocks, and small enough for dlm_dtype_bytes(). */
struct dlm_quant_layout dlm_quant_layout(enum dlm_dtype dtype, int64_t len);

/* Entry q of the table of nf4, or of the map of nf4_dq's scales. */
float dlm_nf4_value(unsigned q);
float dlm_dynamic_map(unsigned q);

/* Codes and scales of len elements, any number of them: the last block may be short. nf4_dq gets
 * the f32 scales of nf4, which dlm_quantize_absmax() then takes. codes: as many bytes as the form
 * has (of an odd number of nf4 codes the last half byte is that of zero).
 * False when an element is not finite, or its scale does not fit f16. */
bool dlm_quantize(enum dlm_dtype dtype, const float *x, int64_t len, uint8_t *codes,
                  void *scales) DLM_CHECK_RESULT;

/* The mean of the scales of a whole tensor, which nf4_dq takes off before it rounds them. It stands
 * beside each nested scale, because rows of several tensors may be one weight. */
float dlm_quantize_offset(const float *absmax, int64_t num);

/* The second level of nf4_dq: num scales as codes, and nested[(num + 255) / 256][2]. */
void dlm_quantize_absmax(const float *absmax, int64_t num, float offset, uint8_t *codes,
                         float *nested);

/* The scales of nf4 alone, of whole blocks. False when an element is not finite. */
bool dlm_quantize_scales(const float *x, int64_t len, float *absmax) DLM_CHECK_RESULT;

/* The parts of a form, which need not lie together, aligned to nothing. */
struct dlm_quant_view {
    enum dlm_dtype dtype;
    const uint8_t *codes;
    const uint8_t *scales;
    const uint8_t *nested;
    const uint8_t *high, *mins; /* what a type lacks may be NULL */
};

/* The code of element i with its high bits; q8_0's is a signed byte. The numbers of bits are those
 * of dlm_quant_info(). */
static inline unsigned dlm_quant_code(const struct dlm_quant_view *v, int code_bits, int high_bits,
                                      int64_t i)
{
    if (code_bits == 8)
        return v->codes[i];
    const unsigned low = v->codes[i / 2] >> (i % 2 ? 0 : 4) & 15u;
    if (!high_bits)
        return low;
    const int64_t len = 32 / high_bits; /* elements of a word */
    const int64_t shift = (i % len / 8 * 2 + i % 2) * high_bits;
    return low | (v->high[i / len * 4 + i % 8 / 2] >> shift & ((1u << high_bits) - 1)) << 4;
}

/* Elements [first, first + num) as f32. */
void dlm_quant_view_to_f32(const struct dlm_quant_view *view, int64_t first, int64_t num,
                           float *out);

/* Parts to be written, from a whole block, or group where there are groups, on. */
struct dlm_quant_parts {
    uint8_t *codes, *high, *scales, *mins, *nested;
};

/* Those of element `first` of a form that lies at data and has len elements. */
struct dlm_quant_parts dlm_quant_parts(enum dlm_dtype dtype, void *data, int64_t len,
                                       int64_t first);

/* The same to be read; first may be a block within a group of nf4_dq, whose entry `nested` is. */
struct dlm_quant_view dlm_quant_view(enum dlm_dtype dtype, const void *data, int64_t len,
                                     int64_t first);

/* Elements [first, first + num) of a form that lies at data and has len elements, as f32. */
void dlm_dequantize(enum dlm_dtype dtype, const void *data, int64_t len, int64_t first, int64_t num,
                    float *out);

#endif
