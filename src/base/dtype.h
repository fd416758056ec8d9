/* Element types: rows of one table, so that sizes of plain and block formats come from there. */
#ifndef DLM_BASE_DTYPE_H
#define DLM_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* X(name, text, elements a block, bytes a block) */
#define DLM_DTYPE_LIST(X)                                                                          \
    X(DLM_DTYPE_F32, "f32", 1, 4)                                                                  \
    X(DLM_DTYPE_F16, "f16", 1, 2)                                                                  \
    X(DLM_DTYPE_BF16, "bf16", 1, 2)                                                                \
    X(DLM_DTYPE_I32, "i32", 1, 4)                                                                  \
    X(DLM_DTYPE_U32, "u32", 1, 4)                                                                  \
    X(DLM_DTYPE_U8, "u8", 1, 1)                                                                    \
    X(DLM_DTYPE_Q8_0, "q8_0", 32, 34) /* this and what follows: base/quant.h */                    \
    X(DLM_DTYPE_NF4, "nf4", 64, 36)                                                                \
    X(DLM_DTYPE_NF4_DQ, "nf4_dq", 64, 33) /* and the second level, which is not in blocks */       \
    X(DLM_DTYPE_Q4_0, "q4_0", 32, 18)                                                              \
    X(DLM_DTYPE_Q4_K, "q4_k", 256, 148)                                                            \
    X(DLM_DTYPE_Q5_K, "q5_k", 256, 180)                                                            \
    X(DLM_DTYPE_Q6_K, "q6_k", 256, 210)

enum dlm_dtype {
#define DLM_DTYPE_ENUM(name, text, len, bytes) name,
    DLM_DTYPE_LIST(DLM_DTYPE_ENUM)
#undef DLM_DTYPE_ENUM
        DLM_DTYPE_COUNT
};

/* "bf16"; "?" for a value outside the list. */
const char *dlm_dtype_name(enum dlm_dtype dtype);

/* Elements of a block, which rows have a whole number of: 1, 32, 64 or 256. */
int64_t dlm_dtype_block(enum dlm_dtype dtype);

/* Bytes of `len` elements; false when len is no multiple of the block or the size overflows. */
bool dlm_dtype_bytes(enum dlm_dtype dtype, int64_t len, size_t *bytes);

/* The same for a length that is known to be whole blocks and to fit, as a tensor's. */
size_t dlm_dtype_size(enum dlm_dtype dtype, int64_t len);

/* Whether no element is NaN or infinite: for numbers that a device gave. */
bool dlm_f32_is_finite(const float *x, size_t len);

/* Weights in blocks that share a scale: q8_0 and what follows it in the list. */
bool dlm_dtype_is_quant(enum dlm_dtype dtype);

/* f32, f16 or bf16: what has elements of its own that are numbers. */
bool dlm_dtype_is_float(enum dlm_dtype dtype);

/* Conversion between f32 and an array of one of those three, round to nearest even, over len
 * elements. False for other types, and nothing is written. */
bool dlm_dtype_to_f32(enum dlm_dtype dtype, const void *in, float *out,
                      size_t len) DLM_CHECK_RESULT;
bool dlm_dtype_from_f32(enum dlm_dtype dtype, const float *in, void *out,
                        size_t len) DLM_CHECK_RESULT;

#endif
