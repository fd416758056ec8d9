/* What an op is: shape rule, C reference, choice of kernels, backward rule. A node points to its
 * op; which ops there are is known above only, in ops/op_list.h. */
#ifndef DLM_IR_OP_H
#define DLM_IR_OP_H

#include "ir/attrs.h"
#include "ir/desc.h"

#define DLM_MAX_INPUTS 8
#define DLM_MAX_OUTPUTS 3

struct dlm_graph;
struct dlm_lowering;       /* ops/lower.h */
struct dlm_node;
struct dlm_reference_call; /* ops/reference.h */
struct dlm_tensor;

struct dlm_op {
    const char *name;
    int num_inputs; /* at most; trailing and optional ones may be absent */
    int num_outputs; /* at most: infer may say that trailing ones are absent */

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

    /* backward takes gradients of any strides; else they are copied for it where they have gaps. */
    bool reads_strided_grads;

    /* Outputs share storage with these inputs: output i is input alias[i] - 1 written in place. */
    int alias[DLM_MAX_OUTPUTS];

    /* Of a backward op, bit i for input i: exact inputs stay f32 under every precision policy; half
     * inputs may be f16 or bf16 instead, all of them together. */
    uint32_t exact_inputs, half_inputs;
};

#endif
