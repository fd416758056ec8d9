/* Compiler attributes and small macros that need compiler extensions. */
#ifndef DLM_BASE_ATTR_H
#define DLM_BASE_ATTR_H

#if defined(__GNUC__)
#define DLM_CHECK_RESULT __attribute__((warn_unused_result))
#define DLM_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define DLM_INLINE static inline __attribute__((always_inline))
/* For CPU kernels: a vector type of `bytes`, elements of two vectors by number, an aligned array,
 * prefetches into L2 and L1. */
#define DLM_VECTOR(bytes) __attribute__((vector_size(bytes)))
#define DLM_SHUFFLE(a, b, ...) __builtin_shufflevector((a), (b), __VA_ARGS__)
#define DLM_ALIGNED(bytes) __attribute__((aligned(bytes)))
#define DLM_PREFETCH(p) __builtin_prefetch((p), 0, 2)
#define DLM_PREFETCH_L1(p) __builtin_prefetch((p), 0, 3)
#else
#define DLM_CHECK_RESULT
#define DLM_PRINTF(fmt, first)
#define DLM_INLINE static inline
#endif

/* Before a loop whose iterations are independent. */
#define DLM_SIMD _Pragma("omp simd")

#define DLM_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define DLM_MIN(a, b) ((a) < (b) ? (a) : (b))
#define DLM_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
