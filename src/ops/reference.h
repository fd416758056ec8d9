/* Host tensors for the ops' C references: any type and strides, read and written as f64. */
#ifndef DLM_OPS_REFERENCE_H
#define DLM_OPS_REFERENCE_H

#include "ir/op.h"

struct dlm_host_tensor {
    struct dlm_desc desc;
    void *data; /* start of the binding */
};

struct dlm_reference_call {
    const union dlm_attrs *attrs;
    int num_inputs, num_outputs;
    const struct dlm_host_tensor *inputs; /* desc absent: not given */
    struct dlm_host_tensor *outputs;
};

/* Element access by index (idx: [ndim]) and by flat row-major index, widened to f64. */
double dlm_host_get(const struct dlm_host_tensor *t, const int64_t *idx);
void dlm_host_set(const struct dlm_host_tensor *t, const int64_t *idx, double value);
double dlm_host_get_flat(const struct dlm_host_tensor *t, int64_t i);
void dlm_host_set_flat(const struct dlm_host_tensor *t, int64_t i, double value);
int32_t dlm_host_get_i32(const struct dlm_host_tensor *t, int64_t i);

#endif
