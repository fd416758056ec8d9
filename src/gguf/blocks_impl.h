/* A format's functions, as blocks.c lists them, and what they share. One block each: from numbers,
 * and to the parts of an operand. */
#ifndef DLM_GGUF_BLOCKS_IMPL_H
#define DLM_GGUF_BLOCKS_IMPL_H

#include "base/quant.h"
#include "base/scalar.h"
#include "gguf/blocks.h"

#define DLM_GGUF_K_LEN 256 /* elements of a block of the K formats */

bool dlm_ggml_block_to_q4_k(const float *x, uint8_t *out) DLM_CHECK_RESULT;
bool dlm_ggml_block_to_q5_k(const float *x, uint8_t *out) DLM_CHECK_RESULT;
bool dlm_ggml_block_to_q6_k(const float *x, uint8_t *out) DLM_CHECK_RESULT;
void dlm_ggml_block_parts_q4_k(const uint8_t *in, const struct dlm_quant_parts *out);
void dlm_ggml_block_parts_q5_k(const uint8_t *in, const struct dlm_quant_parts *out);
void dlm_ggml_block_parts_q6_k(const uint8_t *in, const struct dlm_quant_parts *out);

/* len codes, one a byte, as codes and high bits (0, 1 or 2) of base/quant.h. */
void dlm_ggml_put_codes(const uint8_t *codes, int len, int high_bits,
                        const struct dlm_quant_parts *out);

/* v rounded to an integer, half to even, for |v| < 2^22; what is beyond wraps as it does in ggml,
 * since a search may try such a factor. */
static inline int32_t dlm_ggml_nearest(float v)
{
    return (int32_t)(dlm_as_u32_(v + 12582912.0f) & 0x7fffffu) - 0x400000; /* below 2^23 */
}

static inline int32_t dlm_ggml_clamp(int32_t v, int32_t low, int32_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* Puts v as f16 at out; false when it does not fit. */
static inline bool dlm_ggml_put_f16(uint8_t *out, float v)
{
    const uint32_t half = dlm_f32_to_f16(v);

    out[0] = (uint8_t)half; /* little-endian */
    out[1] = (uint8_t)(half >> 8);
    return (half & 0x7c00u) != 0x7c00u;
}

static inline float dlm_ggml_get_f16(const uint8_t *in)
{
    return dlm_f16_to_f32((uint32_t)in[0] | (uint32_t)in[1] << 8);
}

#endif
