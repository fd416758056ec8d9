/* The limit of vdpbf16ps: params.rounds times 512 multiply-adds an item. */
#include <immintrin.h>

#include "cpukernels/limits.h"

#define DLM_LIMIT_REGISTER(x) "+v"(x)
#define DECLARE(i) __m512 sum##i = _mm512_setzero_ps();
#define ADD(i) sum##i = _mm512_dpbf16_ps(sum##i, (__m512bh)x, (__m512bh)x);

void dlm_cpu_limit_bf16_avx512bf16(const struct dlm_cpu_call *call, int64_t item)
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
