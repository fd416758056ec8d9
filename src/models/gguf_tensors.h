/* Two GGUF files as one checkpoint: each of their tensors is a weight, or a part of one, by the
 * rules of its family. */
#ifndef DLM_MODELS_GGUF_TENSORS_H
#define DLM_MODELS_GGUF_TENSORS_H

#include "models/gguf_family.h"
#include "weights/checkpoint.h"

struct dlm_gguf_layout {
    const struct dlm_gguf_family *family;
    const char *language;          /* what '@' is in its rules */
    bool is_old;                   /* by its old_vision first */
    int64_t heads, kv_heads;       /* of the language model */
    int64_t tower_heads;
};

/* Appends the tensors of file `file` of the checkpoint, whose bytes gguf was opened from; of the
 * tower's with is_tower. Of most nothing but their names and shapes is looked at.
 * DLM_ERR_PARSE: a shape that the rules do not allow. */
enum dlm_status dlm_gguf_add_tensors(struct dlm_ctx *ctx, struct dlm_checkpoint *ckpt, size_t file,
                                     const struct dlm_gguf *gguf, bool is_tower,
                                     const struct dlm_gguf_layout *layout) DLM_CHECK_RESULT;

#endif
