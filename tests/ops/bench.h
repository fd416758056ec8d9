/* Times of op rows, beside what the device could do. */
#ifndef DLM_TESTS_OPS_BENCH_H
#define DLM_TESTS_OPS_BENCH_H

#include "harness.h"

/* A second's worth. */
struct bench_limits {
    double copy; /* bytes read and written */
    double fma;  /* floating point operations in f32; 0: not known */
};

/* Measures the limits and prints them with the head of the table. fma: what bench_fma said of a
 * GPU, or 0. */
void bench_limits_init(struct bench_limits *limits, struct dlm_ctx *ctx, struct dlm_device *device,
                       double fma);

/* Seconds of one run of a graph of one node, whose leaves are bound; NaN when it cannot run. */
double bench_node(struct dlm_ctx *ctx, struct dlm_device *device, struct dlm_graph *g);

/* One line of the table. */
void bench_print(const struct bench_limits *limits, const struct dlm_node *node, const char *name,
                 double seconds);

#endif
