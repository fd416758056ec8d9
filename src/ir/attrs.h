/* Attributes of the ops: what a node carries besides its tensors. All zero is a valid default. */
#ifndef DLM_IR_ATTRS_H
#define DLM_IR_ATTRS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/scalar.h"

/* out = alpha * a b (+ c) (+ bias). a is rounded to `round` before the product (DLM_DTYPE_F32: not
 * at all): the precision policy's operand type. */
struct dlm_matmul_attrs {
    float alpha; /* 0 means 1 */
    enum dlm_dtype round;
};

struct dlm_scale_attrs {
    float factor;
};

struct dlm_activation_attrs {
    uint32_t kind; /* DLM_ACT_* of base/scalar.h */
};

struct dlm_norm_attrs {
    float eps;
    bool plus_one; /* rms_norm: multiply by 1 + weight (Gemma) */
};

/* Which keys a query sees; positions are absolute, see attention.c. */
enum dlm_attention_mode {
    DLM_ATTENTION_FULL,   /* every key below kv_len */
    DLM_ATTENTION_PREFIX, /* causal, and both ways inside the prefix */
};

struct dlm_attention_attrs {
    float scale; /* of q k^T */
    enum dlm_attention_mode mode;
    float softcap;   /* c: scores become c tanh(score / c); 0: none */
    uint32_t window; /* DLM_ATTENTION_PREFIX: keys that a query sees behind the prefix; 0: all */
    enum dlm_dtype round; /* operands of products may be rounded to 16 bits; DLM_DTYPE_F32: not */
};

struct dlm_rope_attrs {
    bool inverse;   /* turn back: the backward rule */
    int64_t turned; /* heads that are turned, the first ones; 0: all */
};

struct dlm_embedding_attrs {
    float scale;       /* of table rows, not of features; 0 means 1 */
    int64_t first_row; /* id of the table's row 0: not 0 for later slabs of a split table */
};

struct dlm_sum_attrs {
    uint32_t axes; /* bit i: sum over dimension i, which becomes 1 */
};

struct dlm_dropout_attrs {
    float p;
    uint32_t module;         /* hash of the module path: names the stream */
    uint32_t rows_per_batch; /* T: row r belongs to batch row r / T, token r % T */
    uint32_t first_row;      /* r of x's first row: x may be some rows of a tensor */
};

struct dlm_grad_norm_attrs {
    float max_norm; /* 0: no clipping, the coefficient is 1 */
};

struct dlm_cross_entropy_attrs {
    bool no_gradient; /* dlogits is absent */
};

struct dlm_fill_attrs {
    float value;
};

union dlm_attrs {
    struct dlm_matmul_attrs matmul;
    struct dlm_scale_attrs scale;
    struct dlm_activation_attrs activation;
    struct dlm_norm_attrs norm;
    struct dlm_attention_attrs attention;
    struct dlm_rope_attrs rope;
    struct dlm_embedding_attrs embedding;
    struct dlm_sum_attrs sum;
    struct dlm_dropout_attrs dropout;
    struct dlm_grad_norm_attrs grad_norm;
    struct dlm_cross_entropy_attrs cross_entropy;
    struct dlm_fill_attrs fill;
    enum dlm_dtype copy_dtype;
};

#endif
