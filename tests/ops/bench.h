/* Times of op rows, beside what the device could do. */
#ifndef DLM_TESTS_OPS_BENCH_H
#define DLM_TESTS_OPS_BENCH_H

#include "doctor/limits.h"
#include "harness.h"

/* The device, its limits, and the head of the table. */
void bench_print_head(const struct dlm_device_info *info, const struct dlm_limits *limits);

/* Seconds of one run of a graph of one node, whose leaves are bound; NaN when it cannot run. */
double bench_node(struct dlm_ctx *ctx, struct dlm_device *device, struct dlm_graph *g);

/* One line of the table. */
void bench_print(const struct dlm_limits *limits, const struct dlm_node *node, const char *name,
                 double seconds);

#endif
