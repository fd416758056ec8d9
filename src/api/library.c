/* What belongs to no single call: names, texts. */
#include "base/mem.h"
#include "dlm/compute.h"

void dlm_text_free(char *text)
{
    dlm_free(text);
}

const char *dlm_quant_name(enum dlm_quant quant)
{
    static const char *const names[DLM_QUANT_COUNT] = {
        [DLM_QUANT_AUTO] = "auto", [DLM_QUANT_NONE] = "none", [DLM_QUANT_Q8_0] = "q8_0",
        [DLM_QUANT_NF4] = "nf4",   [DLM_QUANT_NF4_DQ] = "nf4_dq",
    };
    return (unsigned)quant < DLM_QUANT_COUNT ? names[quant] : "?";
}

const char *dlm_precision_name(enum dlm_precision precision)
{
    static const char *const names[DLM_PRECISION_COUNT] = {
        [DLM_PRECISION_AUTO] = "auto",
        [DLM_PRECISION_FP32] = "fp32",
        [DLM_PRECISION_BF16] = "bf16",
        [DLM_PRECISION_FP16] = "fp16",
    };
    return (unsigned)precision < DLM_PRECISION_COUNT ? names[precision] : "?";
}
