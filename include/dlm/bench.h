/* Speed and memory of one base, or of random weights in the shape of one, on one device. */
#ifndef DLM_BENCH_H
#define DLM_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dlm/compute.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What zeros in struct dlm_bench_params mean. */
#define DLM_BENCH_PROMPT_TOKENS 16
#define DLM_BENCH_DECODE_TOKENS 32
#define DLM_BENCH_BATCH 1
#define DLM_BENCH_REPEAT 3

/* What a device can do at most, in bytes and operations a second (a multiply-add is two); 0: it has
 * no such units, or no loop was written for them. */
struct dlm_limits {
    double copy; /* bytes, read and written */
    double read;
    double f32, f16, bf16, int8;      /* by type of the operands, outside of matrix units */
    double matrix_f16, matrix_bf16; /* in matrix units */
};

/* Opens a device and measures its limits. */
DLM_API enum dlm_status dlm_bench_limits(struct dlm_ctx *ctx, const struct dlm_compute *compute,
                                         struct dlm_device_info *device,
                                         struct dlm_limits *limits) DLM_CHECK_RESULT;

/* How products of a shape are made on a GPU: a tile, and the work-groups for each compute unit up
 * to which long sums are cut in parts. */
struct dlm_tune_choice {
    char tile[24];
    int groups_per_unit;
    double seconds; /* of the shape's products */
};

struct dlm_tune_row {
    char use[32];    /* what of a model has such a shape */
    char shape[64];  /* the class of shapes that it stands for */
    int64_t m, n, k; /* what was measured: [m, k] times [k, n] */
    bool is_measured; /* false: it would have taken longer than there was time */
    struct dlm_tune_choice before; /* by the built-in table */
    struct dlm_tune_choice after;  /* the fastest, or before where none is faster by 5 % */
};

struct dlm_tune_result {
    struct dlm_device_info device;
    char *path; /* where the choices are kept, owned */
    struct dlm_tune_row *rows; /* owned */
    size_t num_rows;
};

#define DLM_BENCH_TUNE_SECONDS 120

/* Measures which tiles are the fastest on a GPU, for about `seconds` (0: DLM_BENCH_TUNE_SECONDS),
 * and keeps them for later runs on it with the same driver and version: of base weights in f32, f16
 * or bf16 by compute->precision (auto: bf16), and of adapters. On OpenCL CLBlast from 1.6.3 on is a
 * tile like others, "library", of products in f32. What was kept before stays until all is
 * measured, and what is not measured stays then.
 * DLM_ERR_UNSUPPORTED: the CPU, which has one way. *result: dlm_tune_result_finish(), also after a
 * failure. */
DLM_API enum dlm_status dlm_bench_tune(struct dlm_ctx *ctx, const struct dlm_compute *compute,
                                       double seconds,
                                       struct dlm_tune_result *result) DLM_CHECK_RESULT;
DLM_API void dlm_tune_result_finish(struct dlm_tune_result *result);

/* Exactly one of base and shape is given; zeros are defaults. Borrows everything until return. */
struct dlm_bench_params {
    const char *base;  /* registry key, "hf:org/name", "dir:PATH" or "gguf:PATH" */
    const char *mmproj; /* of gguf: the vision tower; NULL: the *mmproj*.gguf beside it */
    const char *shape; /* "paligemma-3b-224": random weights, no checkpoint */
    int64_t layers;    /* with shape: that many of its decoder's; 0: all */
    int64_t prompt_tokens; /* text tokens of prefill and training step, beside the image's */
    int64_t decode_tokens; /* tokens generated */
    int64_t batch;         /* rows of the training step */
    int64_t repeat;        /* runs of each part, of which the best counts */
    bool explain;          /* measure the limits, and each op of each part beside them */
    bool plan_only;        /* nothing is run: the result has the planned memory, whatever is free */
    struct dlm_compute compute;
};

/* What the nodes of an op with the same shapes took in a part, one after the other. */
struct dlm_bench_op {
    char op[32];
    char kernel[64]; /* of the node's kernels the slowest */
    char shapes[96]; /* "f32[4,8] bf16[16,8] -> f32[4,16]": of two inputs and an output at most */
    double nodes;
    double seconds;
    double bytes;         /* of inputs and outputs, each once */
    double flops;         /* of products; a multiply-add counts two */
    double limit_seconds; /* what they would take at the device's limits */
};

/* A part that was not run has seconds 0. */
struct dlm_bench_part {
    double seconds;        /* best of the runs: of one image, prefill, decode, step */
    double tokens_per_sec; /* vision: image tokens */
    /* With explain, owned: slowest first. The rest of seconds is the host and what lies between
     * kernels. */
    struct dlm_bench_op *ops;
    size_t num_ops;
    double kernel_seconds; /* of all of them */
};

struct dlm_bench_result {
    char *model;     /* base or shape, owned */
    char *device;    /* name of the device, owned */
    enum dlm_backend_kind backend;
    enum dlm_precision precision;
    char *base_form; /* what the base is held in, "nf4, decoder"; "": its precision; owned */
    int64_t image_tokens, prompt_tokens, decode_tokens, batch;
    struct dlm_bench_part vision, prefill, decode, train_step;
    struct dlm_limits limits; /* with explain */
    /* Planned device memory by class, in bytes, before any weight was read. */
    uint64_t planned_weights, planned_adapter, planned_optimizer, planned_activations;
    uint64_t planned_cache, planned_total;
    uint64_t peak_device_bytes; /* most at any time, as the backend counted it */
    uint64_t planned_host_bytes; /* what the process is to have in memory at most; 0: not known */
    uint64_t peak_host_bytes;   /* what it had */
};

/* *result: give it back with dlm_bench_result_finish(), also after a failure. */
DLM_API enum dlm_status dlm_bench(struct dlm_ctx *ctx, const struct dlm_bench_params *params,
                                  struct dlm_bench_result *result) DLM_CHECK_RESULT;
DLM_API void dlm_bench_result_finish(struct dlm_bench_result *result);

#ifdef __cplusplus
}
#endif

#endif
