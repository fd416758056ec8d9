/* ggml's block formats: from f32 and back, and as operands of ops. The bytes are those of ggml's
 * reference quantisers without importance matrix, which llama-quantize calls: the same operations
 * on the same f32 numbers in the same order, and no fused multiply-add.
 *
 *     Q4_0 Q5_0   f16 d, codes of 32 values            value = (q - 8 or 16) * d
 *     Q5_1        f16 d, f16 m, codes of 32            value = q * d + m
 *     Q8_0        f16 d, i8 of 32                      value = q * d
 *     Q4_K Q5_K   f16 d, f16 dmin, 8 scales and minima of 6 bits, codes of 8 * 32
 *                                                      value = d * scale * q - dmin * min
 *     Q6_K        codes of 16 * 16, 16 scales of 8 bits, f16 d
 *                                                      value = d * scale * (q - 32)
 *
 * F32, F16 and BF16 are rounded to nearest even. */
#ifndef DLM_GGUF_BLOCKS_H
#define DLM_GGUF_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/quant.h"
#include "dlm/ctx.h"
#include "gguf/types.h"

/* Whether the two functions below know the type. */
bool dlm_ggml_can_convert(enum dlm_ggml_type type);

/* len elements, whole blocks of the type, as blocks at out, aligned to nothing. False when an
 * element is not finite, or a scale does not fit the type's numbers: out is then undefined. */
bool dlm_ggml_quantize(enum dlm_ggml_type type, const float *x, int64_t len,
                       void *out) DLM_CHECK_RESULT;

/* Back: whole blocks at in, aligned to nothing, as len elements. */
void dlm_ggml_dequantize(enum dlm_ggml_type type, const void *in, int64_t len, float *out);

/* The type that holds what blocks of `type` do: of base/quant.h, or plain. DLM_DTYPE_COUNT: there
 * is none. */
enum dlm_dtype dlm_ggml_operand(enum dlm_ggml_type type);

/* Whole blocks of a type whose operand is quantised, aligned to nothing, as parts of the operand;
 * out: where they begin, as dlm_quant_parts() gives it. Moves bits, and rounds nothing. */
void dlm_ggml_to_parts(enum dlm_ggml_type type, const void *in, int64_t len,
                       const struct dlm_quant_parts *out);

/* dlm_ggml_quantize() of rows * row_len elements, the rows spread over the context's pool. name is
 * the tensor's in messages; DLM_ERR_INVALID: an element does not fit, or a row is not in blocks. */
enum dlm_status dlm_ggml_quantize_rows(struct dlm_ctx *ctx, const char *name,
                                       enum dlm_ggml_type type, const float *x, int64_t row_len,
                                       int64_t rows, void *out) DLM_CHECK_RESULT;

#endif
