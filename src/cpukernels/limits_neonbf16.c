/* The limit of bfmmla: params.rounds times 256 multiply-adds an item. */
#include <arm_neon.h>

#include "cpukernels/limits.h"

#define DLM_LIMIT_REGISTER(x) "+w"(x)
#define DECLARE(i) float32x4_t sum##i = vdupq_n_f32(0);
#define ADD(i) sum##i = vbfmmlaq_f32(sum##i, x, x);

void dlm_cpu_limit_bf16_neonbf16(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_limit_params *p = call->params;
    bfloat16x8_t x = vreinterpretq_bf16_u16(vdupq_n_u16(0));
    DLM_LIMIT_SUMS_16(DECLARE)

    (void)item;
    __asm__ volatile("" : DLM_LIMIT_REGISTER(x));
    DLM_LIMIT_SUMS_16(DLM_LIMIT_OPAQUE)
    for (uint32_t n = 0; n < p->rounds; n++) {
        DLM_LIMIT_SUMS_16(ADD)
        DLM_LIMIT_SUMS_16(DLM_LIMIT_OPAQUE)
    }
}
