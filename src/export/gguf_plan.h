/* Which tensors of a GGUF file a base's weights become, and where each of their rows comes from. */
#ifndef DLM_EXPORT_GGUF_PLAN_H
#define DLM_EXPORT_GGUF_PLAN_H

#include "base/mem.h"
#include "gguf/types.h"
#include "models/gguf_family.h"

#define DLM_GGUF_MAX_WEIGHT_DIMS 8

/* A weight of the base. */
struct dlm_gguf_weight {
    const char *name; /* canonical */
    int ndim;
    int64_t shape[DLM_GGUF_MAX_WEIGHT_DIMS];
};

struct dlm_gguf_plan_params {
    const struct dlm_gguf_rules *rules;
    const char *language, *head; /* what '@' and '^' are in them */
    const struct dlm_gguf_weight *weights;
    size_t num_weights;
    int64_t heads, kv_heads; /* of the file's attention */
    bool keeps_heads;        /* DLM_GGUF_MOVE_HEADS and _KV_HEADS are _NONE */
    bool is_tied;            /* no output.weight, even if the base has one */
    int64_t row;             /* of DLM_GGUF_MOVE_ROW */
};

/* A tensor of the file. */
struct dlm_gguf_planned {
    const char *name;
    size_t weight; /* index of what it is made of */
    enum dlm_gguf_move move;
    int64_t part;       /* or the row */
    int64_t head_len;   /* rows of a head */
    int64_t rows, cols; /* it is read as so many rows of the weight */
    int64_t steps;      /* of time: DLM_GGUF_MOVE_FRAME */
    int ndim;
    int64_t ne[DLM_GGUF_MAX_DIMS]; /* rows * cols elements */
};

/* All zero is empty. */
struct dlm_gguf_plan {
    struct dlm_arena arena;
    struct dlm_gguf_planned *tensors; /* what is of no layer first, then layer by layer */
    size_t num;
};

/* Which tensors the weights become. Borrows params until return; weights that no rule names are not
 * in the file. DLM_ERR_UNSUPPORTED: a weight has a shape that a rule cannot take. */
enum dlm_status dlm_gguf_plan_make(struct dlm_ctx *ctx, struct dlm_gguf_plan *plan,
                                   const struct dlm_gguf_plan_params *params) DLM_CHECK_RESULT;
void dlm_gguf_plan_finish(struct dlm_gguf_plan *plan);

/* The weight's row that is row `row` of the tensor, both counted in rows of t->cols. */
int64_t dlm_gguf_source_row(const struct dlm_gguf_planned *t, int64_t row);

#endif
