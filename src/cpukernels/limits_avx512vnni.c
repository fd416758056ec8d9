/* The limit of vpdpbusd: params.rounds times 1024 multiply-adds of bytes an item. */
#include <immintrin.h>

#include "cpukernels/limits.h"

#define DLM_LIMIT_REGISTER(x) "+v"(x)
#define DECLARE(i) __m512i sum##i = _mm512_setzero_si512();
#define ADD(i) sum##i = _mm512_dpbusd_epi32(sum##i, x, x);

void dlm_cpu_limit_int8_avx512vnni(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_limit_params *p = call->params;
    __m512i x = _mm512_setzero_si512();
    DLM_LIMIT_SUMS_16(DECLARE)

    (void)item;
    __asm__ volatile("" : DLM_LIMIT_REGISTER(x));
    DLM_LIMIT_SUMS_16(DLM_LIMIT_OPAQUE)
    for (uint32_t n = 0; n < p->rounds; n++) {
        DLM_LIMIT_SUMS_16(ADD)
        DLM_LIMIT_SUMS_16(DLM_LIMIT_OPAQUE)
    }
}
