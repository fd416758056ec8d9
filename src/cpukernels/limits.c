/* Loops that reach a limit of this CPU and do nothing else: a copy and a read of memory, a part of
 * params.rounds KiB an item; multiply-adds in f32, params.rounds times 256 an item. */
#include "cpukernels/limits.h"

#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

void DLM_CPU_KERNEL(limit_copy)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_limit_params *p = call->params;
    const size_t bytes = (size_t)p->rounds * 1024;

    memcpy((char *)call->buffers[1] + (size_t)item * bytes,
           (const char *)call->buffers[0] + (size_t)item * bytes, bytes);
}

typedef uint64_t words __attribute__((vector_size(64)));

void DLM_CPU_KERNEL(limit_read)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_limit_params *p = call->params;
    const size_t num = (size_t)p->rounds * 1024 / sizeof(words);
    const words *x = (const words *)call->buffers[0] + (size_t)item * num;
    words a = {0}, b = {0}, c = {0}, d = {0};

    for (size_t i = 0; i < num; i += 4) {
        a ^= x[i];
        b ^= x[i + 1];
        c ^= x[i + 2];
        d ^= x[i + 3];
    }
    a ^= b ^ c ^ d;
    __asm__ volatile("" : : "m"(a));
}

#if defined(__AVX512F__)

#define DLM_LIMIT_REGISTER(x) "+v"(x)
typedef __m512 floats;
#define SUMS DLM_LIMIT_SUMS_16
#define MULTIPLY_ADD(x, y, sum) _mm512_fmadd_ps(x, y, sum)
enum { STEPS = 1 };

#elif defined(__AVX2__)

/* 8 sums: 16 and the operand do not fit the registers. */
#define DLM_LIMIT_REGISTER(x) "+x"(x)
typedef __m256 floats;
#define SUMS DLM_LIMIT_SUMS_8
#define MULTIPLY_ADD(x, y, sum) _mm256_fmadd_ps(x, y, sum)
enum { STEPS = 4 };

#else

#if defined(__x86_64__)
#define DLM_LIMIT_REGISTER(x) "+x"(x)
#elif defined(__aarch64__)
#define DLM_LIMIT_REGISTER(x) "+w"(x)
#else
#define DLM_LIMIT_REGISTER(x) "+m"(x)
#endif
typedef float floats __attribute__((vector_size(16)));
#define SUMS DLM_LIMIT_SUMS_8
#define MULTIPLY_ADD(x, y, sum) ((x) * (y) + (sum))
enum { STEPS = 8 };

#endif

void DLM_CPU_KERNEL(limit_f32)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_limit_params *p = call->params;
    floats x = {0};
#define DECLARE(i) floats sum##i = x;
#define ADD(i) sum##i = MULTIPLY_ADD(x, x, sum##i);
    SUMS(DECLARE)

    (void)item;
    __asm__ volatile("" : DLM_LIMIT_REGISTER(x));
    SUMS(DLM_LIMIT_OPAQUE)
    for (uint32_t n = 0; n < p->rounds * STEPS; n++) {
        SUMS(ADD)
        SUMS(DLM_LIMIT_OPAQUE)
    }
}
