/* The tables of CPU kernels: what the CPU device runs. */
#ifndef DLM_CPUKERNELS_TABLE_H
#define DLM_CPUKERNELS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs one work item. call lives until return. */
struct dlm_cpu_call {
    void *const *buffers; /* [num_bindings], start of each binding */
    const void *params;
    int64_t num_items; /* of the dispatch: item is 0..num_items-1 */
    void *scratch; /* scratch_bytes of the dispatch, aligned to 64, private to the worker */
    bool is_first; /* of this worker's items: to the later ones scratch is as it was left */
    uint32_t num_workers; /* items that run at a time: a hint for prefetching, never for results */
};
typedef void (*dlm_cpu_kernel_fn)(const struct dlm_cpu_call *call, int64_t item);

struct dlm_cpu_kernel {
    const char *name;
    dlm_cpu_kernel_fn run;
};

/* The tables end with a NULL name. Built once for every instruction set that the build knows; the
 * device picks one. */
extern const struct dlm_cpu_kernel dlm_cpu_kernels_base[];
#if defined(__x86_64__)
extern const struct dlm_cpu_kernel dlm_cpu_kernels_v3[]; /* AVX2, FMA, F16C */
extern const struct dlm_cpu_kernel dlm_cpu_kernels_v4[]; /* AVX-512 F, BW, CD, DQ, VL */
#endif

#endif
