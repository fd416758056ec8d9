/* What a GGUF file is made of: kinds of metadata values, and ggml's types of tensors with their
 * sizes. Both are numbers in files. */
#ifndef DLM_GGUF_TYPES_H
#define DLM_GGUF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define DLM_GGUF_VERSION 3 /* as written; 2 is read as well, and differs in nothing here */
#define DLM_GGUF_MAX_DIMS 4
#define DLM_GGUF_MAX_NAME 63 /* bytes of a tensor's name, ggml's limit */
#define DLM_GGUF_DEFAULT_ALIGNMENT 32

/* X(name, number in files, text, bytes of an element: 0 for what has no fixed size) */
#define DLM_GGUF_KIND_LIST(X)                                                                      \
    X(DLM_GGUF_KIND_U8, 0, "u8", 1)                                                                \
    X(DLM_GGUF_KIND_I8, 1, "i8", 1)                                                                \
    X(DLM_GGUF_KIND_U16, 2, "u16", 2)                                                              \
    X(DLM_GGUF_KIND_I16, 3, "i16", 2)                                                              \
    X(DLM_GGUF_KIND_U32, 4, "u32", 4)                                                              \
    X(DLM_GGUF_KIND_I32, 5, "i32", 4)                                                              \
    X(DLM_GGUF_KIND_F32, 6, "f32", 4)                                                              \
    X(DLM_GGUF_KIND_BOOL, 7, "bool", 1)                                                            \
    X(DLM_GGUF_KIND_STRING, 8, "string", 0)                                                        \
    X(DLM_GGUF_KIND_ARRAY, 9, "array", 0)                                                          \
    X(DLM_GGUF_KIND_U64, 10, "u64", 8)                                                             \
    X(DLM_GGUF_KIND_I64, 11, "i64", 8)                                                             \
    X(DLM_GGUF_KIND_F64, 12, "f64", 8)

enum dlm_gguf_kind {
#define DLM_GGUF_KIND_ENUM(name, number, text, bytes) name = number,
    DLM_GGUF_KIND_LIST(DLM_GGUF_KIND_ENUM)
#undef DLM_GGUF_KIND_ENUM
        DLM_GGUF_KIND_COUNT
};

/* X(name, number in files, text, elements a block, bytes a block) */
#define DLM_GGML_TYPE_LIST(X)                                                                      \
    X(DLM_GGML_TYPE_F32, 0, "F32", 1, 4)                                                           \
    X(DLM_GGML_TYPE_F16, 1, "F16", 1, 2)                                                           \
    X(DLM_GGML_TYPE_Q4_0, 2, "Q4_0", 32, 18)                                                       \
    X(DLM_GGML_TYPE_Q4_1, 3, "Q4_1", 32, 20)                                                       \
    X(DLM_GGML_TYPE_Q5_0, 6, "Q5_0", 32, 22)                                                       \
    X(DLM_GGML_TYPE_Q5_1, 7, "Q5_1", 32, 24)                                                       \
    X(DLM_GGML_TYPE_Q8_0, 8, "Q8_0", 32, 34)                                                       \
    X(DLM_GGML_TYPE_Q8_1, 9, "Q8_1", 32, 36)                                                       \
    X(DLM_GGML_TYPE_Q2_K, 10, "Q2_K", 256, 84)                                                     \
    X(DLM_GGML_TYPE_Q3_K, 11, "Q3_K", 256, 110)                                                    \
    X(DLM_GGML_TYPE_Q4_K, 12, "Q4_K", 256, 144)                                                    \
    X(DLM_GGML_TYPE_Q5_K, 13, "Q5_K", 256, 176)                                                    \
    X(DLM_GGML_TYPE_Q6_K, 14, "Q6_K", 256, 210)                                                    \
    X(DLM_GGML_TYPE_Q8_K, 15, "Q8_K", 256, 292)                                                    \
    X(DLM_GGML_TYPE_IQ2_XXS, 16, "IQ2_XXS", 256, 66)                                               \
    X(DLM_GGML_TYPE_IQ2_XS, 17, "IQ2_XS", 256, 74)                                                 \
    X(DLM_GGML_TYPE_IQ3_XXS, 18, "IQ3_XXS", 256, 98)                                               \
    X(DLM_GGML_TYPE_IQ1_S, 19, "IQ1_S", 256, 50)                                                   \
    X(DLM_GGML_TYPE_IQ4_NL, 20, "IQ4_NL", 32, 18)                                                  \
    X(DLM_GGML_TYPE_IQ3_S, 21, "IQ3_S", 256, 110)                                                  \
    X(DLM_GGML_TYPE_IQ2_S, 22, "IQ2_S", 256, 82)                                                   \
    X(DLM_GGML_TYPE_IQ4_XS, 23, "IQ4_XS", 256, 136)                                                \
    X(DLM_GGML_TYPE_I8, 24, "I8", 1, 1)                                                            \
    X(DLM_GGML_TYPE_I16, 25, "I16", 1, 2)                                                          \
    X(DLM_GGML_TYPE_I32, 26, "I32", 1, 4)                                                          \
    X(DLM_GGML_TYPE_I64, 27, "I64", 1, 8)                                                          \
    X(DLM_GGML_TYPE_F64, 28, "F64", 1, 8)                                                          \
    X(DLM_GGML_TYPE_IQ1_M, 29, "IQ1_M", 256, 56)                                                   \
    X(DLM_GGML_TYPE_BF16, 30, "BF16", 1, 2)                                                        \
    X(DLM_GGML_TYPE_TQ1_0, 34, "TQ1_0", 256, 54)                                                   \
    X(DLM_GGML_TYPE_TQ2_0, 35, "TQ2_0", 256, 66)                                                   \
    X(DLM_GGML_TYPE_MXFP4, 39, "MXFP4", 32, 17)                                                    \
    X(DLM_GGML_TYPE_NVFP4, 40, "NVFP4", 64, 36)                                                    \
    X(DLM_GGML_TYPE_Q1_0, 41, "Q1_0", 128, 18)                                                     \
    X(DLM_GGML_TYPE_Q2_0, 42, "Q2_0", 64, 18)

enum dlm_ggml_type {
#define DLM_GGML_TYPE_ENUM(name, number, text, len, bytes) name = number,
    DLM_GGML_TYPE_LIST(DLM_GGML_TYPE_ENUM)
#undef DLM_GGML_TYPE_ENUM
};

struct dlm_ggml_type_info {
    enum dlm_ggml_type type;
    const char *name;
    size_t block_len;   /* elements */
    size_t block_bytes; /* of them */
};

/* NULL for a number that is no type. */
const struct dlm_ggml_type_info *dlm_ggml_type_info(uint32_t number);

/* "Q4_K"; "?" for a number that is no type. */
const char *dlm_ggml_type_name(uint32_t number);

/* Bytes of rows of row_len elements; false when a row is no whole number of blocks, or the size
 * overflows. */
bool dlm_ggml_type_bytes(enum dlm_ggml_type type, int64_t row_len, int64_t rows,
                         size_t *bytes) DLM_CHECK_RESULT;

/* "u32"; "?" for a number that is no kind. */
const char *dlm_gguf_kind_name(uint32_t number);

/* Bytes of a value, or of an element of an array; 0 for strings, arrays and what is no kind. */
size_t dlm_gguf_kind_size(uint32_t number);

bool dlm_gguf_kind_is_int(enum dlm_gguf_kind kind);

#endif
