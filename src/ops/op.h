/* What an op is: shape rule, C reference, variant choice, backward rule. */
#ifndef DLM_OPS_OP_H
#define DLM_OPS_OP_H

#include <string.h>

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/log.h"
#include "base/mem.h"
#include "ops/attrs.h"
#include "ops/op_list.h"
#include "ops/params.h"

#define DLM_MAX_DIMS 4
#define DLM_MAX_INPUTS 8
#define DLM_MAX_OUTPUTS 3

enum dlm_op_kind {
#define DLM_OP_ENUM(op, file) DLM_OP_##op,
    DLM_OP_LIST(DLM_OP_ENUM)
#undef DLM_OP_ENUM
        DLM_OP_COUNT
};

/* How a tensor lies in memory. */
enum dlm_layout {
    DLM_LAYOUT_STRIDED, /* element (i0, i1, ..) at lead + sum i_d * stride_d */
    DLM_LAYOUT_PANEL,   /* a matmul weight in the CPU's packed form (cpukernels/panel.h); strides
                           then only say which dimension is K (stride 1) */
};

/* A tensor as an op sees it. dtype DLM_DTYPE_COUNT: an optional input that is absent. */
struct dlm_desc {
    enum dlm_dtype dtype;
    enum dlm_layout layout;
    int ndim;                     /* 1..DLM_MAX_DIMS */
    int64_t shape[DLM_MAX_DIMS];  /* > 0 */
    int64_t stride[DLM_MAX_DIMS]; /* in elements, >= 0; 0 repeats */
    int64_t lead;                 /* elements between the binding's start and element 0 */
};

/* A contiguous row-major tensor. */
struct dlm_desc dlm_desc_make(enum dlm_dtype dtype, int ndim, const int64_t *shape);
bool dlm_desc_is_absent(const struct dlm_desc *d);
bool dlm_desc_is_contiguous(const struct dlm_desc *d); /* and without lead */
bool dlm_desc_same_shape(const struct dlm_desc *a, const struct dlm_desc *b);
int64_t dlm_desc_len(const struct dlm_desc *d); /* elements */
int64_t dlm_desc_rows(const struct dlm_desc *d); /* product of all but the last dimension */
int64_t dlm_desc_cols(const struct dlm_desc *d); /* the last dimension */
/* "f32[2,3]" into text. */
void dlm_desc_text(const struct dlm_desc *d, char *text, size_t text_bytes);

/* Where a kernel argument comes from. */
enum dlm_operand_kind { DLM_OPERAND_INPUT, DLM_OPERAND_OUTPUT, DLM_OPERAND_TEMP };

struct dlm_operand {
    enum dlm_operand_kind kind;
    int index;
};

#define DLM_INPUT(i) ((struct dlm_operand){DLM_OPERAND_INPUT, (i)})
#define DLM_OUTPUT(i) ((struct dlm_operand){DLM_OPERAND_OUTPUT, (i)})

/* One kernel launch before memory is planned. The grid is the same everywhere: a GPU work-group, or
 * a CPU work item, does one unit of groups[0] x groups[1] x groups[2]. */
struct dlm_kernel_call {
    const char *kernel;
    struct dlm_operand args[DLM_MAX_BINDINGS];
    uint32_t num_args;
    uint32_t writes; /* bit i: argument i is written */
    uint32_t groups[3];
    uint32_t params_bytes;
    uint8_t params[DLM_MAX_PARAMS_BYTES];
    size_t scratch_bytes; /* CPU only */
};

#define DLM_MAX_TEMPS 8

/* A node being turned into kernel calls for one device. */
struct dlm_lowering {
    struct dlm_ctx *ctx;
    const struct dlm_device *device;
    const struct dlm_device_caps *caps;
    enum dlm_op_kind op;
    const union dlm_attrs *attrs;
    int num_inputs;
    struct dlm_desc inputs[DLM_MAX_INPUTS];
    int num_outputs;
    struct dlm_desc outputs[DLM_MAX_OUTPUTS];
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

/* Device memory that lives during this node only. */
struct dlm_operand dlm_lower_temp(struct dlm_lowering *l, size_t bytes);

/* The error of a node that the device cannot run: names op, dtype and what is missing. */
enum dlm_status dlm_lower_unsupported(const struct dlm_lowering *l, const char *missing);

/* x[i] fits in 32 bits, as kernels index: else DLM_ERR_UNSUPPORTED. */
enum dlm_status dlm_lower_check_sizes(const struct dlm_lowering *l) DLM_CHECK_RESULT;

/* Host tensors for the C reference. */
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

struct dlm_graph;
struct dlm_node;
struct dlm_tensor;

struct dlm_op {
    const char *name;
    int num_inputs; /* at most; trailing and optional ones may be absent */
    int num_outputs;

    /* Shape rule: checks the inputs and fills outputs[num_outputs]. Logs what is wrong. */
    enum dlm_status (*infer)(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                             const struct dlm_desc *inputs, struct dlm_desc *outputs);

    /* The definition, in plain loops with f64 sums. Run by tests only. */
    void (*reference)(const struct dlm_reference_call *call);

    /* Variant choice: appends the kernel calls for l->caps. */
    enum dlm_status (*lower)(struct dlm_lowering *l);

    /* Emits the nodes of the backward rule. grads: [num_outputs], NULL where none arrives;
     * input_grads: [num_inputs], to be set where the input wants a gradient. NULL: the op has no
     * gradient. */
    void (*backward)(struct dlm_graph *graph, const struct dlm_node *node,
                     struct dlm_tensor *const *grads, struct dlm_tensor **input_grads);

    /* Outputs share storage with these inputs: output i is input alias[i] - 1 written in place. */
    int alias[DLM_MAX_OUTPUTS];

    /* Of a backward op, bit i for input i: exact inputs stay f32 under every precision policy; half
     * inputs may be f16 or bf16 instead, all of them together. */
    uint32_t exact_inputs, half_inputs;
};

#define DLM_OP_DECLARE(op, file) extern const struct dlm_op dlm_op_##op;
DLM_OP_LIST(DLM_OP_DECLARE)
#undef DLM_OP_DECLARE

const struct dlm_op *dlm_op_get(enum dlm_op_kind kind);

/* Shape rules' own checks: log and return DLM_ERR_INVALID naming the op and the tensor. */
enum dlm_status dlm_infer_fail(struct dlm_ctx *ctx, const char *op, const char *what,
                               const struct dlm_desc *d) DLM_CHECK_RESULT;

#endif
