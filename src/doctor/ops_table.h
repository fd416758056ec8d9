/* The probes of `dlm doctor --ops`: for each op the calls that models make of it. */
#ifndef DLM_DOCTOR_OPS_TABLE_H
#define DLM_DOCTOR_OPS_TABLE_H

#include "ops/lower.h"
#include "ops/op_list.h"

/* How an input lies, beyond contiguous. */
enum dlm_probe_form {
    DLM_PROBE_PLAIN,
    DLM_PROBE_WEIGHT,   /* the form of a resident matmul weight, W [N, K] itself */
    DLM_PROBE_WEIGHT_T, /* the same seen as W^T [K, N] */
};

struct dlm_probe_input {
    enum dlm_dtype dtype;
    int ndim; /* 0: absent */
    int64_t shape[DLM_MAX_DIMS];
    enum dlm_probe_form form;
};

struct dlm_op_probe {
    const struct dlm_op *op;
    const char *note; /* what tells it from other probes of the op; NULL */
    uint32_t varies;  /* bit i: input i is f32, bf16 and f16 in turn; 0: f32 only */
    bool rounds;      /* matmul: in each of the three, whatever its inputs are */
    union dlm_attrs attrs;
    struct dlm_probe_input in[DLM_MAX_INPUTS];
};

/* In the order of the op list; every op has at least one. */
const struct dlm_op_probe *dlm_op_probes(size_t *num);

/* The types in which a probe is made: f32, bf16, f16; the first alone where none of it varies. */
extern const enum dlm_dtype dlm_probe_dtypes[3];
size_t dlm_probe_num_dtypes(const struct dlm_op_probe *probe);

/* Lowers the probe in the type for the device. The caller owns l->calls, also on failure. */
enum dlm_status dlm_probe_lower(struct dlm_ctx *ctx, struct dlm_lowering *l,
                                const struct dlm_op_probe *probe, enum dlm_dtype dtype,
                                const struct dlm_device *device) DLM_CHECK_RESULT;

#endif
