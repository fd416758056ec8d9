/* The list of ops: X(op, file). Each is a constant dlm_op_<op>, defined in its file; `file` is the
 * base name of source, kernels, shader and test. A backward op shares its forward op's file. */
#ifndef DLM_OPS_OP_LIST_H
#define DLM_OPS_OP_LIST_H

#include "ir/op.h"

#define DLM_OP_LIST(X)                                                                             \
    X(matmul, matmul)                                                                              \
    X(add, add)                                                                                    \
    X(mul, mul)                                                                                    \
    X(scale, scale)                                                                                \
    X(activation, activation)                                                                      \
    X(activation_backward, activation)                                                             \
    X(gated_activation, gated_activation)                                                          \
    X(gated_activation_backward, gated_activation)                                                 \
    X(rms_norm, rms_norm)                                                                          \
    X(rms_norm_backward, rms_norm)                                                                 \
    X(layer_norm, layer_norm)                                                                      \
    X(layer_norm_backward, layer_norm)                                                             \
    X(attention, attention)                                                                        \
    X(attention_backward, attention)                                                               \
    X(rope, rope)                                                                                  \
    X(embedding, embedding)                                                                        \
    X(copy, copy)                                                                                  \
    X(sum, sum)                                                                                    \
    X(cross_entropy, cross_entropy)                                                                \
    X(dropout, dropout)                                                                            \
    X(adamw, adamw)                                                                                \
    X(grad_norm, grad_norm)                                                                        \
    X(select, select)                                                                              \
    X(gather_rows, gather_rows)                                                                    \
    X(fill, fill)                                                                                  \
    X(store_rows, store_rows)

#define DLM_OP_DECLARE(op, file) extern const struct dlm_op dlm_op_##op;
DLM_OP_LIST(DLM_OP_DECLARE)
#undef DLM_OP_DECLARE

#endif
