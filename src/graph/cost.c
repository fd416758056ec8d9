/* Bytes and operations of nodes, from shapes alone. */
#include "graph/cost.h"

#include "base/mem.h"
#include "ops/op_list.h"

/* Elements that are repeated lie in memory once. */
static double tensor_bytes(const struct dlm_tensor *t)
{
    const struct dlm_desc *d = &t->desc;
    int64_t repeats = 1;

    for (int i = 0; i < d->ndim; i++)
        if (d->layout == DLM_LAYOUT_STRIDED && !d->stride[i])
            repeats *= d->shape[i];
    return (double)dlm_dtype_size(d->dtype, dlm_desc_len(d)) / (double)repeats;
}

static void add_bytes(const struct dlm_node *node, struct dlm_cost *cost)
{
    for (int i = 0; i < node->num_inputs; i++)
        if (node->inputs[i])
            cost->read += tensor_bytes(node->inputs[i]);
    for (int i = 0; i < node->num_outputs; i++)
        cost->written += tensor_bytes(node->outputs[i]);
}

struct dlm_cost dlm_node_cost(const struct dlm_node *node)
{
    struct dlm_cost cost = {0};

    add_bytes(node, &cost);
    if (node->op == &dlm_op_matmul) {
        const struct dlm_desc *a = &node->inputs[0]->desc, *b = &node->inputs[1]->desc;
        cost.flops = 2.0 * (double)dlm_desc_len(&node->outputs[0]->desc) * (double)dlm_desc_cols(a);
        cost.operands = node->attrs.matmul.round;
        if (a->dtype == b->dtype && a->dtype != DLM_DTYPE_F32)
            cost.operands = a->dtype;
    } else if (node->op == &dlm_op_attention || node->op == &dlm_op_attention_backward) {
        const int products = node->op == &dlm_op_attention ? 2 : 5;
        cost.flops = 2.0 * products * (double)dlm_desc_len(&node->inputs[0]->desc) *
                     (double)node->inputs[1]->desc.shape[1];
        cost.operands = node->inputs[1]->desc.dtype;
    } else if (node->op == &dlm_op_embedding || node->op == &dlm_op_gather_rows) {
        cost.read = cost.written; /* of the table some rows */
    } else if (node->op == &dlm_op_store_rows) {
        cost.read = cost.written = tensor_bytes(node->inputs[1]); /* of what it is put in, too */
    }
    return cost;
}
