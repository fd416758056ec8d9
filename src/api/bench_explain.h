/* Where the time of a part goes: its programs once more, node by node, beside the device's limits.
 * Private to src/api. */
#ifndef DLM_API_BENCH_EXPLAIN_H
#define DLM_API_BENCH_EXPLAIN_H

#include "dlm/bench.h"
#include "graph/program.h"

struct dlm_explain {
    struct dlm_ctx *ctx;
    const struct dlm_limits *limits; /* borrowed */
    double times;                    /* that the programs run in the part */
    struct dlm_explain_row *rows;
    size_t num, cap;
    const struct dlm_node *node; /* of the dispatch before, */
    size_t row;                  /* and its row */
};

/* Runs a program, whose inputs are in place, and adds its nodes. */
enum dlm_status dlm_explain_program(struct dlm_explain *e,
                                    struct dlm_program *program) DLM_CHECK_RESULT;
/* Gives the rows to the part, those that took longest first. */
enum dlm_status dlm_explain_give(struct dlm_explain *e,
                                 struct dlm_bench_part *part) DLM_CHECK_RESULT;
void dlm_explain_finish(struct dlm_explain *e);

#endif
