/* Copies inside the lowering of another op. */
#ifndef DLM_OPS_COPY_H
#define DLM_OPS_COPY_H

#include "ops/op.h"

/* Appends a copy of x, broadcast and converted to `out`: f32, f16 and bf16 to each other. */
enum dlm_status dlm_lower_copy(struct dlm_lowering *l, const struct dlm_desc *x,
                               struct dlm_operand from, const struct dlm_desc *out,
                               struct dlm_operand to) DLM_CHECK_RESULT;

#endif
