/* Element types: rows of one table, so that sizes of plain and block formats come from there. */
#ifndef DLM_BASE_DTYPE_H
#define DLM_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, text, elements a block, bytes a block) */
#define DLM_DTYPE_LIST(X)                                                                          \
    X(DLM_DTYPE_F32, "f32", 1, 4)                                                                  \
    X(DLM_DTYPE_F16, "f16", 1, 2)                                                                  \
    X(DLM_DTYPE_BF16, "bf16", 1, 2)                                                                \
    X(DLM_DTYPE_I32, "i32", 1, 4)                                                                  \
    X(DLM_DTYPE_U32, "u32", 1, 4)                                                                  \
    X(DLM_DTYPE_U8, "u8", 1, 1)

enum dlm_dtype {
#define DLM_DTYPE_ENUM(name, text, len, bytes) name,
    DLM_DTYPE_LIST(DLM_DTYPE_ENUM)
#undef DLM_DTYPE_ENUM
        DLM_DTYPE_COUNT
};

/* "bf16"; "?" for a value outside the list. */
const char *dlm_dtype_name(enum dlm_dtype dtype);

/* Bytes of `len` elements; false when len is no multiple of the block or the size overflows. */
bool dlm_dtype_bytes(enum dlm_dtype dtype, int64_t len, size_t *bytes);

/* Bytes of one element of a type with one element a block. */
size_t dlm_dtype_elem_bytes(enum dlm_dtype dtype);

/* Whether no element is NaN or infinite: for numbers that a device gave. */
bool dlm_f32_is_finite(const float *x, size_t len);

/* Conversion between f32 and a 16-bit or f32 array, round to nearest even, over len elements. */
void dlm_dtype_to_f32(enum dlm_dtype dtype, const void *in, float *out, size_t len);
void dlm_dtype_from_f32(enum dlm_dtype dtype, const float *in, void *out, size_t len);

#endif
