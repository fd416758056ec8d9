/* Quantised weights on the host: their forms in memory, and the way there and back. A form is
 * planar: first all codes, then what scales them, so that each part is aligned for devices.
 *
 *     q8_0    i8 code[len], f16 scale[len / 32]        value = code * scale
 *     nf4     u4 code[len], f32 absmax[len / 64]       value = nf4[code] * absmax
 *     nf4_dq  u4 code[len], u8 q[len / 64], zeros up to a word, f32 nested[len / 64 / 256][2]
 *                                                      absmax = map[q] * nested[0] + nested[1]
 *
 * Blocks follow each other in row-major order. Of two u4 codes in a byte the first is the high
 * half. q8_0 is ggml's, nf4 and nf4_dq ("double quantised") are those of bitsandbytes: the same
 * codes for the same numbers. */
#ifndef DLM_BASE_QUANT_H
#define DLM_BASE_QUANT_H

#include "base/dtype.h"

#define DLM_NF4_BLOCK 64
#define DLM_NF4_NESTED 256 /* scales of nf4_dq that share a second scale */
#define DLM_Q8_0_BLOCK 32

/* Where the parts of len elements begin, in bytes from the codes; what a type lacks: at bytes. */
struct dlm_quant_layout {
    int64_t blocks;
    size_t scales; /* q8_0: f16; nf4: f32; nf4_dq: u8 */
    size_t nested;
    size_t bytes; /* of all: as dlm_dtype_size() */
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
    const uint8_t *nested; /* nf4_dq alone */
};

/* Elements [first, first + num) as f32. */
void dlm_quant_view_to_f32(const struct dlm_quant_view *view, int64_t first, int64_t num,
                           float *out);

/* Elements [first, first + num) of a form that lies at data and has len elements, as f32. */
void dlm_dequantize(enum dlm_dtype dtype, const void *data, int64_t len, int64_t first, int64_t num,
                    float *out);

#endif
