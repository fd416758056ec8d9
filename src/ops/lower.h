/* Lowering: a node becomes kernel calls for one device. */
#ifndef DLM_OPS_LOWER_H
#define DLM_OPS_LOWER_H

#include "backend/backend.h"
#include "ir/op.h"
#include "kernels/params.h"

/* Where a kernel argument comes from. */
enum dlm_operand_kind { DLM_OPERAND_INPUT, DLM_OPERAND_OUTPUT, DLM_OPERAND_TEMP };

struct dlm_operand {
    enum dlm_operand_kind kind;
    int index;
};

#define DLM_INPUT(i) ((struct dlm_operand){DLM_OPERAND_INPUT, (i)})
#define DLM_OUTPUT(i) ((struct dlm_operand){DLM_OPERAND_OUTPUT, (i)})

#define DLM_KERNEL_NAME_BYTES 48

/* One kernel launch before memory is planned. The grid is the same everywhere: a GPU work-group, or
 * a CPU work item, does one unit of groups[0] x groups[1] x groups[2]. */
struct dlm_kernel_call {
    char kernel[DLM_KERNEL_NAME_BYTES];
    struct dlm_operand args[DLM_MAX_BINDINGS];
    uint32_t num_args;
    uint32_t writes; /* bit i: argument i is written */
    uint32_t groups[3];
    uint32_t units; /* of a folded grid, which has some to spare; 0: all of groups */
    uint64_t work;  /* multiply-adds; 0: a few for each element of the arguments */
    uint32_t params_bytes;
    uint8_t params[DLM_MAX_PARAMS_BYTES];
    uint32_t specs[DLM_MAX_SPECS]; /* these three as in struct dlm_dispatch */
    uint32_t num_specs;
    uint32_t subgroups;
    size_t scratch_bytes; /* CPU only */
};

#define DLM_MAX_TEMPS 8

/* A node being turned into kernel calls for one device. */
struct dlm_lowering {
    struct dlm_ctx *ctx;
    const struct dlm_device *device;
    const struct dlm_device_caps *caps;
    const struct dlm_op *op;
    const union dlm_attrs *attrs;
    int num_inputs;
    struct dlm_desc inputs[DLM_MAX_INPUTS];
    int num_outputs;
    struct dlm_desc outputs[DLM_MAX_OUTPUTS];
    struct dlm_operand stand_ins[DLM_MAX_INPUTS]; /* what calls get instead of inputs */
    uint32_t replaced;                            /* bit i: input i has one */
    /* results */
    struct dlm_kernel_call *calls; /* owned by the caller of the lowering: dlm_free */
    size_t num_calls, cap_calls;
    size_t temp_bytes[DLM_MAX_TEMPS];
    int num_temps;
};

/* Appends a call; params (bytes long) are copied. One-dimensional grids larger than the device's
 * limit are folded into two dimensions. */
enum dlm_status dlm_lower_call(struct dlm_lowering *l, const struct dlm_kernel_call *call,
                               const void *params, size_t params_bytes) DLM_CHECK_RESULT;

/* Names the call's kernel by types: "copy_*_*" with {f32, bf16} is copy_f32_bf16. dtypes: one for
 * each star. */
void dlm_kernel_for(struct dlm_kernel_call *call, const char *pattern,
                    const enum dlm_dtype *dtypes);

/* Device memory that lives during this node only. */
struct dlm_operand dlm_lower_temp(struct dlm_lowering *l, size_t bytes);

/* Input i is lowered as another from now on: with this descriptor, and `by` in its place. */
void dlm_lower_replace(struct dlm_lowering *l, int i, const struct dlm_desc *desc,
                       struct dlm_operand by);

/* The error of a node that the device cannot run: names op, dtype and what is missing. */
enum dlm_status dlm_lower_unsupported(const struct dlm_lowering *l, const char *missing);

/* x[i] fits in 32 bits, as kernels index: else DLM_ERR_UNSUPPORTED. */
enum dlm_status dlm_lower_check_sizes(const struct dlm_lowering *l) DLM_CHECK_RESULT;

/* Sizes as dlm_lower_check_sizes(), and every output contiguous and without lead: for kernels that
 * cannot write into the middle of another tensor. */
enum dlm_status dlm_lower_check_plain(const struct dlm_lowering *l) DLM_CHECK_RESULT;

#endif
