/* The graph interpreter. */
#include "interpreter.h"

#include <stdlib.h>

bool interpreter_init(struct interpreter *it, const struct dlm_graph *graph)
{
    *it = (struct interpreter){.graph = graph};
    it->data = calloc(graph->num_tensors + 1, sizeof(*it->data));
    if (!it->data)
        return false;
    for (size_t i = 0; i < graph->num_tensors; i++) {
        const struct dlm_tensor *t = graph->tensors[i];
        size_t bytes = dlm_tensor_bytes(t);
        if (t->base != t)
            continue;
        it->data[i] = malloc(bytes);
        if (!it->data[i])
            return false;
        memset(it->data[i], t->role == DLM_ROLE_TEMP ? 0xff : 0, bytes);
    }
    return true;
}

void interpreter_finish(struct interpreter *it)
{
    for (size_t i = 0; it->data && i < it->graph->num_tensors; i++)
        free(it->data[i]);
    free(it->data);
    it->data = NULL;
}

struct dlm_host_tensor interpreter_tensor(const struct interpreter *it, const struct dlm_tensor *t)
{
    struct dlm_host_tensor host = {t->desc, it->data[t->base->index]};

    host.desc.lead = t->offset;
    return host;
}

static void run_node(const struct interpreter *it, const struct dlm_node *node)
{
    struct dlm_host_tensor inputs[DLM_MAX_INPUTS], outputs[DLM_MAX_OUTPUTS];
    const struct dlm_reference_call call = {&node->attrs, node->num_inputs, node->num_outputs,
                                            inputs, outputs};

    for (int i = 0; i < DLM_MAX_INPUTS; i++)
        if (i < node->num_inputs && node->inputs[i])
            inputs[i] = interpreter_tensor(it, node->inputs[i]);
        else
            inputs[i] = (struct dlm_host_tensor){.desc = {.dtype = DLM_DTYPE_COUNT, .ndim = 1}};
    for (int i = 0; i < node->num_outputs; i++)
        outputs[i] = interpreter_tensor(it, node->outputs[i]);
    node->op->reference(&call);
}

void interpreter_run(const struct interpreter *it)
{
    for (size_t i = 0; i < it->graph->num_nodes; i++)
        run_node(it, it->graph->nodes[i]);
}
