/* gather_rows: a work item is one row of the result. */
#include <string.h>

#include "cpukernels/cpukernels.h"

void DLM_CPU_KERNEL(gather_rows)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_gather_params *p = call->params;
    if (item >= p->rows_out)
        return;
    const int64_t from = ((const int32_t *)call->buffers[1])[item];
    float *out = (float *)call->buffers[2] + item * p->cols;

    if (from < 0 || from >= p->rows_in)
        memset(out, 0, p->cols * sizeof(*out));
    else
        memcpy(out, (const float *)call->buffers[0] + from * p->cols, p->cols * sizeof(*out));
}
