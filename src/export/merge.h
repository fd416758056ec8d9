/* The weights of a base with an adapter folded in, W + scaling B A, read a piece at a time: neither
 * the base nor a whole matrix of it is ever in memory. Sums are f64 and rounded once. */
#ifndef DLM_EXPORT_MERGE_H
#define DLM_EXPORT_MERGE_H

#include <stdbool.h>

#include "weights/adapter.h"
#include "weights/bnb.h"

/* A weight of the base, as it will be. */
struct dlm_merge_tensor {
    const struct dlm_tensor_info *info; /* in the base's file: its name is there */
    enum dlm_dtype dtype; /* of its numbers; DLM_DTYPE_COUNT: they are none, and are copied */
    int ndim;
    int64_t shape[DLM_TENSOR_MAX_DIMS];
    int64_t len;  /* elements */
    int64_t cols; /* elements of a row: what it is read in multiples of */
    const struct dlm_adapter_module *module; /* what is folded in; NULL: nothing */
    struct dlm_bnb_weight *bnb; /* its codes are dequantised; NULL: they are numbers */
};

struct dlm_merge {
    const struct dlm_checkpoint *base; /* borrowed */
    struct dlm_merge_tensor *tensors;  /* in the order of base */
    size_t num;
    bool is_dequantized; /* the base is saved in 4 bits */
    /* of the module that was read last: */
    const struct dlm_adapter_module *module;
    float *a, *b;
    double *sum; /* a row for each worker of the pool */
};

/* Joins base and adapter, which are borrowed until finish; map makes names canonical. What tells of
 * a base's 4-bit codes is no tensor of the result. DLM_ERR_INVALID: the base lacks a matrix that
 * the adapter adapts. */
enum dlm_status dlm_merge_init(struct dlm_ctx *ctx, struct dlm_merge *merge,
                               const struct dlm_checkpoint *base, const struct dlm_adapter *adapter,
                               const struct dlm_name_map *map) DLM_CHECK_RESULT;
void dlm_merge_finish(struct dlm_merge *merge);

/* Elements [first, first + num) of a tensor of numbers as f32, both multiples of its cols. The
 * base's pages are dropped behind. */
enum dlm_status dlm_merge_read(struct dlm_ctx *ctx, struct dlm_merge *merge,
                               const struct dlm_merge_tensor *t, int64_t first, int64_t num,
                               float *out) DLM_CHECK_RESULT;

#endif
