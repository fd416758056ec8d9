/* Runs a graph on the host with the C references: every node in order, no device, no plan. */
#ifndef DLM_TESTS_OPS_INTERPRETER_H
#define DLM_TESTS_OPS_INTERPRETER_H

#include "ir/graph.h"
#include "ops/reference.h"

struct interpreter {
    const struct dlm_graph *graph; /* borrowed */
    void **data;                   /* [graph->num_tensors], by index of the base */
};

/* Memory for every tensor of a finished graph: leaves zero, what nodes make NaN (or -1). False when
 * out of memory. */
bool interpreter_init(struct interpreter *it, const struct dlm_graph *graph);
void interpreter_finish(struct interpreter *it);

/* t as the references see it: for reading and writing elements, of leaves and of results. */
struct dlm_host_tensor interpreter_tensor(const struct interpreter *it, const struct dlm_tensor *t);

/* Runs every node once. */
void interpreter_run(const struct interpreter *it);

#endif
