/* Removal of nodes whose results nobody uses. */
#include "base/log.h"
#include "graph/rewrite.h"

enum dlm_status dlm_graph_prune(struct dlm_graph *graph)
{
    if (graph->status)
        return graph->status;
    bool *is_read = dlm_alloc_array(graph->ctx, graph->num_tensors + 1, sizeof(*is_read));
    bool *is_live = dlm_alloc_array(graph->ctx, graph->num_nodes + 1, sizeof(*is_live));
    if (!is_read || !is_live) {
        dlm_free(is_read);
        dlm_free(is_live);
        return DLM_ERR_MEMORY;
    }
    for (size_t i = graph->num_nodes; i-- > 0;) {
        const struct dlm_node *n = graph->nodes[i];
        for (int k = 0; k < n->num_outputs; k++) {
            const struct dlm_tensor *base = n->outputs[k]->base;
            is_live[i] |= base->role != DLM_ROLE_TEMP || base->is_output ||
                          n->outputs[k]->is_output || is_read[base->index];
        }
        for (int k = 0; is_live[i] && k < n->num_inputs; k++)
            if (n->inputs[k])
                is_read[n->inputs[k]->base->index] = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < graph->num_nodes; i++)
        if (is_live[i])
            graph->nodes[kept++] = graph->nodes[i];
    graph->num_nodes = kept;
    dlm_free(is_read);
    dlm_free(is_live);
    return DLM_OK;
}
