/* The peak loops. The asm statements only keep the compiler from merging or dropping the work. */
#include "peak_probe.h"

#include <stdint.h>

#define REGISTERS(X)                                                                               \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

#if defined(__x86_64__)
#include <immintrin.h>

#define VDP_TARGET __attribute__((target("avx512f,avx512bf16")))
#define FMA512_TARGET __attribute__((target("avx512f")))
#define FMA256_TARGET __attribute__((target("avx2,fma")))

bool peak_has_vdp(void)
{
    return __builtin_cpu_supports("avx512bf16");
}

VDP_TARGET void peak_vdp_loop(void)
{
    __m512i one = _mm512_set1_epi32(0);
#define DECLARE(i) __m512 c##i = _mm512_setzero_ps();
#define OPAQUE(i) __asm__ volatile("" : "+v"(c##i));
#define STEP(i) c##i = _mm512_dpbf16_ps(c##i, (__m512bh)one, (__m512bh)one);
    REGISTERS(DECLARE)
    __asm__ volatile("" : "+v"(one));
    REGISTERS(OPAQUE)
    for (int n = 0; n < PEAK_ROUNDS; n++) {
        REGISTERS(STEP)
    }
    REGISTERS(OPAQUE)
#undef DECLARE
#undef STEP
}

FMA512_TARGET static void fma512_loop(void)
{
    __m512 one = _mm512_setzero_ps();
#define DECLARE(i) __m512 c##i = _mm512_setzero_ps();
#define STEP(i) c##i = _mm512_fmadd_ps(one, one, c##i);
    REGISTERS(DECLARE)
    __asm__ volatile("" : "+v"(one));
    REGISTERS(OPAQUE)
    for (int n = 0; n < PEAK_ROUNDS; n++) {
        REGISTERS(STEP)
    }
    REGISTERS(OPAQUE)
#undef DECLARE
#undef STEP
#undef OPAQUE
}

#define OPAQUE(i) __asm__ volatile("" : "+x"(c##i));

/* 8 sums: 16 and the operand do not fit the registers. */
FMA256_TARGET static void fma256_loop(void)
{
    __m256 one = _mm256_setzero_ps();
    __m256 c0 = one, c1 = one, c2 = one, c3 = one, c4 = one, c5 = one, c6 = one, c7 = one;
#define EIGHT(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define STEP(i) c##i = _mm256_fmadd_ps(one, one, c##i);
    __asm__ volatile("" : "+x"(one));
    EIGHT(OPAQUE)
    for (int n = 0; n < 2 * PEAK_ROUNDS; n++) {
        EIGHT(STEP)
    }
    EIGHT(OPAQUE)
#undef STEP
}

int peak_fma_lanes(void)
{
    return __builtin_cpu_supports("avx512f") ? 16 : 8;
}

void peak_fma_loop(void)
{
    if (peak_fma_lanes() == 16)
        fma512_loop();
    else
        fma256_loop();
}

#else

bool peak_has_vdp(void)
{
    return false;
}

void peak_vdp_loop(void)
{
}

typedef float vec __attribute__((vector_size(16)));

int peak_fma_lanes(void)
{
    return 4;
}

void peak_fma_loop(void)
{
    vec one = {0};
#define DECLARE(i) vec c##i = {0};
#define OPAQUE(i) __asm__ volatile("" : "+w"(c##i));
#define STEP(i) c##i += one * one;
    REGISTERS(DECLARE)
    REGISTERS(OPAQUE)
    for (int n = 0; n < PEAK_ROUNDS; n++) {
        REGISTERS(STEP)
        REGISTERS(OPAQUE)
    }
}

#endif

typedef uint64_t words __attribute__((vector_size(64)));

/* Becomes part of each caller, in its instruction set. */
static inline __attribute__((always_inline)) void read_words(const words *p, size_t num)
{
    words a = {0}, b = {0}, c = {0}, d = {0};

    for (size_t i = 0; i < num; i += 4) {
        a ^= p[i];
        b ^= p[i + 1];
        c ^= p[i + 2];
        d ^= p[i + 3];
    }
    a ^= b ^ c ^ d;
    __asm__ volatile("" : : "m"(a));
}

#if defined(__x86_64__)

FMA512_TARGET static void read512(const words *p, size_t num)
{
    read_words(p, num);
}

FMA256_TARGET static void read256(const words *p, size_t num)
{
    read_words(p, num);
}

/* Not target_clones: clang 14 makes such a function unreachable from other files. */
void peak_read(const void *data, size_t bytes)
{
    if (__builtin_cpu_supports("avx512f"))
        read512(data, bytes / sizeof(words));
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        read256(data, bytes / sizeof(words));
    else
        read_words(data, bytes / sizeof(words));
}

#else

void peak_read(const void *data, size_t bytes)
{
    read_words(data, bytes / sizeof(words));
}

#endif
