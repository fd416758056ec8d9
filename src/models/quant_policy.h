/* Which weights of a base are held in 4 or 8 bits, and how. Its other half, what they are
 * multiplied in, is the precision policy. */
#ifndef DLM_MODELS_QUANT_POLICY_H
#define DLM_MODELS_QUANT_POLICY_H

#include "base/dtype.h"
#include "dlm/compute.h"

/* All zero: weights stay as the precision policy has them. A matrix whose rows are not whole blocks
 * stays too; what a checkpoint has in 4 bits comes as it lies. */
struct dlm_quant_policy {
    enum dlm_dtype dtype; /* q8_0, nf4, nf4_dq; f32: not quantised */
    enum dlm_quant_scope scope; /* the decoder's linears are in every one */
};

#endif
