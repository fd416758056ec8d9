/* What a node costs at least, wherever it runs. */
#ifndef DLM_GRAPH_COST_H
#define DLM_GRAPH_COST_H

#include "ir/graph.h"

struct dlm_cost {
    double read, written; /* bytes: each input and output once, whatever caches do */
    double flops; /* of products, a multiply-add counts two; 0 of an op without */
    enum dlm_dtype operands; /* what those are rounded to */
};

/* Attention counts every key that has room for every query, allowed or not. */
struct dlm_cost dlm_node_cost(const struct dlm_node *node);

#endif
