/* Weights that bitsandbytes saved in 4 bits (Params4bit): tensors beside each other in a
 * checkpoint, put together to one form of base/quant.h without copying its codes. */
#ifndef DLM_WEIGHTS_BNB_H
#define DLM_WEIGHTS_BNB_H

#include <jansson.h>

#include "base/quant.h"
#include "weights/checkpoint.h"

struct dlm_bnb_weight {
    int64_t rows, cols;
    struct dlm_quant_view view; /* nf4 or nf4_dq; codes and scales lie in the file */
    float *nested;              /* owned; NULL without double quantisation */
};

/* config.json may ask for NF4 by bitsandbytes, or for no quantisation at all. Any other is
 * DLM_ERR_UNSUPPORTED, naming path and what it asks for. */
enum dlm_status dlm_bnb_check_config(struct dlm_ctx *ctx, const json_t *config,
                                     const char *path) DLM_CHECK_RESULT;

/* The weight whose codes are t. *out is owned; NULL when t is no such weight.
 * DLM_ERR_UNSUPPORTED: bitsandbytes' FP4 or 8-bit form, another block size; DLM_ERR_PARSE:
 * damaged. */
enum dlm_status dlm_bnb_open(struct dlm_ctx *ctx, const struct dlm_checkpoint *ckpt,
                             const struct dlm_tensor_info *t,
                             struct dlm_bnb_weight **out) DLM_CHECK_RESULT;
void dlm_bnb_close(struct dlm_bnb_weight **weight);

/* Whether t is one of the tensors that tell of the weight called `of`. */
bool dlm_bnb_is_part(const struct dlm_tensor_info *t, const char *of);

#endif
