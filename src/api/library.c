/* What belongs to no single call: names, texts. */
#include "base/mem.h"
#include "dlm/compute.h"

void dlm_text_free(char *text)
{
    dlm_free(text);
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
