/* Matrix products on devices with work-groups: what matmul and attention lower to. */
#ifndef DLM_OPS_MATMUL_H
#define DLM_OPS_MATMUL_H

#include "ops/op.h"

/* A product of the kernels in matmul.cl and matmul.comp. */
struct dlm_product {
    struct dlm_matmul_params p; /* but split_stride, and split_k, a_split, b_split when splits is 0 */
    enum dlm_dtype b_dtype;
    struct dlm_operand a, b, out;
    struct dlm_operand c, bias; /* with DLM_MATMUL_HAS_C, _BIAS */
    struct dlm_operand rows;    /* i32 [batch0, 4], with DLM_MATMUL_{N,K}_KV_LEN, K_NUM_Q */
};

/* Appends the kernel calls of x. splits 0: they are chosen here, by shape. a is rounded first
 * (DLM_MATMUL_A_BF16, _F16). Takes up to two temporaries. */
enum dlm_status dlm_product_lower(struct dlm_lowering *l,
                                  const struct dlm_product *x) DLM_CHECK_RESULT;

#endif
