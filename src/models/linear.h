/* A linear layer: resident weight in slabs, bias, adapter. What graphs of models are built with. */
#ifndef DLM_MODELS_LINEAR_H
#define DLM_MODELS_LINEAR_H

#include "models/lora.h"
#include "models/weights.h"
#include "ops/build.h"

/* What a graph is built with. */
struct dlm_build {
    struct dlm_graph *g;
    enum dlm_dtype policy;
    const struct dlm_lora *lora; /* NULL: the base alone */
    bool for_training;           /* adapter tensors get gradients */
    struct dlm_tensor *adapter_on; /* f32 [1]: 1, or 0 for the base alone; NULL: always on */
    /* dropout in the adapters; rng NULL: none. row_ids u32 [B]: each names the stream of an equal
     * share of x's rows */
    struct dlm_tensor *rng, *row_ids;
    size_t max_bytes; /* of an activation: wide ones come in tiles of rows; 0: any */
    int64_t first_row, all_rows; /* of which tensor x has some rows; 0: it has all */
};

/* y = x W^T + bias (+ adapter) (+ addend) */
struct dlm_linear {
    char *path; /* canonical module path: the weight's name without ".weight" */
    struct dlm_weight *weight; /* [rows, in]: linears of one input share one, and a bias */
    struct dlm_weight *bias;   /* [rows] or NULL */
    int64_t row0, out;         /* which rows of weight are its own */
};

/* Declares the module <scope's path>.<name>: its weight and, if has_bias, its bias. */
enum dlm_status dlm_linear_declare(const struct dlm_weight_scope *scope, struct dlm_linear *l,
                                   const char *name, int64_t out, int64_t in,
                                   bool has_bias) DLM_CHECK_RESULT;
void dlm_linear_finish(struct dlm_linear *l);

/* Linears of one input, which one product computes side by side. */
#define DLM_MAX_SIBLINGS 3
struct dlm_siblings {
    int num;
    struct {
        struct dlm_linear *linear;
        const char *name;
        int64_t out;
    } list[DLM_MAX_SIBLINGS];
};

/* Declares the siblings below a scope; each is a linear that adapters may name. Where a file has
 * them in blocks of different types, each has a weight of its own. */
enum dlm_status dlm_siblings_declare(const struct dlm_weight_scope *scope,
                                     const struct dlm_siblings *siblings, int64_t in,
                                     bool has_bias) DLM_CHECK_RESULT;

/* x [R, in] -> [R, out of all], in the order of the list. */
struct dlm_tensor *dlm_siblings_build(struct dlm_build *b,
                                      const struct dlm_linear *const *list, int num,
                                      struct dlm_tensor *x);

/* Linears that adapters may name. Borrows them. */
struct dlm_linear_list {
    struct dlm_linear **items;
    size_t num, cap;
};
enum dlm_status dlm_linear_list_add(struct dlm_ctx *ctx, struct dlm_linear_list *list,
                                    struct dlm_linear *l) DLM_CHECK_RESULT;
void dlm_linear_list_finish(struct dlm_linear_list *list);

/* x [R, in] -> [R, out]; addend [R, out] or NULL. */
struct dlm_tensor *dlm_linear_build(struct dlm_build *b, const struct dlm_linear *l,
                                    struct dlm_tensor *x, struct dlm_tensor *addend);

/* alpha x W^T + bias + addend without adapter, slab by slab into one tensor. x [R, in]; bias [out]
 * and addend [R, out], or NULL. */
struct dlm_tensor *dlm_weight_product(struct dlm_build *b, const struct dlm_weight *w,
                                      struct dlm_tensor *x, struct dlm_tensor *bias,
                                      struct dlm_tensor *addend, float alpha);

#endif
