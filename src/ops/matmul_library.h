/* matmul by the library behind a device's gemm slot. */
#ifndef DLM_OPS_MATMUL_LIBRARY_H
#define DLM_OPS_MATMUL_LIBRARY_H

#include "ops/op.h"

/* Large plain f32 products, which the device's library takes as they lie. */
bool dlm_matmul_is_for_library(const struct dlm_lowering *l, const struct dlm_matmul_params *p);

/* Lowers such a node. The addend is copied to the result, to which the library adds. */
enum dlm_status dlm_matmul_lower_library(struct dlm_lowering *l,
                                         const struct dlm_matmul_params *p) DLM_CHECK_RESULT;

#endif
