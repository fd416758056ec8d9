/* The 32-bit types of the three dialects (dialect.h), for structs that kernels share with C. */
#ifndef DLM_BASE_WORDS_H
#define DLM_BASE_WORDS_H

#if defined(DLM_DIALECT_GLSL)
#define DLM_U32 uint
#define DLM_I32 int
#define DLM_F32 float
#define DLM_STRUCT
#elif defined(DLM_DIALECT_OPENCL)
#define DLM_U32 uint
#define DLM_I32 int
#define DLM_F32 float
#define DLM_STRUCT struct
#else
#include <stdint.h>
#define DLM_U32 uint32_t
#define DLM_I32 int32_t
#define DLM_F32 float
#define DLM_STRUCT struct
#endif

#endif
