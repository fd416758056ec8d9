/* The precision policy: what weights, matmul operands, the KV cache and cached features are stored
 * as, and activations while they wait for the backward pass (dlm_graph_narrow_saved). Sums, norms,
 * softmax, losses, residual stream and adapters are f32 under every policy; so are the operands of
 * attention's products, but for the matrix units of a GPU under a 16-bit policy. */
#ifndef DLM_MODELS_PRECISION_H
#define DLM_MODELS_PRECISION_H

#include "base/dtype.h"

/* A policy is its storage type: DLM_DTYPE_F32, DLM_DTYPE_BF16 or DLM_DTYPE_F16. */

/* Type in which a matmul weight stays: a file type wider than the policy is narrowed, a narrower
 * one stays as it is. */
static inline enum dlm_dtype dlm_precision_weight(enum dlm_dtype policy, enum dlm_dtype file)
{
    return file == DLM_DTYPE_F32 ? policy : file;
}

/* Type to which the other operand of a product with a weight is rounded. Under a 16-bit policy it
 * follows the weight, so that both halves of a product have one type; a weight in 4 or 8 bits is
 * rounded to the policy's itself (what bitsandbytes calls compute dtype). */
static inline enum dlm_dtype dlm_precision_operand(enum dlm_dtype policy, enum dlm_dtype weight)
{
    return policy == DLM_DTYPE_F32 || dlm_dtype_is_quant(weight) ? policy : weight;
}

#endif
