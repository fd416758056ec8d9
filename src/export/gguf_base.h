/* What a base's GGUF files say besides its tensors, from the files of its folder. */
#ifndef DLM_EXPORT_GGUF_BASE_H
#define DLM_EXPORT_GGUF_BASE_H

#include <jansson.h>

#include "base/str.h"
#include "export/gguf_tokens.h"
#include "export/gguf_values.h"
#include "export/snapshot.h"

/* All zero is none. */
struct dlm_gguf_base {
    const struct dlm_export_job *job; /* borrowed */
    json_t *config, *tokenizer, *tokenizer_config; /* the last is NULL where there is none */
    char *config_path, *tokenizer_path; /* for messages */
    struct dlm_str chat_template; /* of the folder's own file */
    struct dlm_gguf_vision vision;
    int64_t row; /* of the embedding, in the tower's file; -1: none */
};

/* Reads the folder of job, which is borrowed until finish and whose family has a GGUF form.
 * DLM_ERR_UNSUPPORTED: it has no tokenizer.json, or none with what the family needs. */
enum dlm_status dlm_gguf_base_read(struct dlm_ctx *ctx, struct dlm_gguf_base *base,
                                   const struct dlm_export_job *job) DLM_CHECK_RESULT;
void dlm_gguf_base_finish(struct dlm_gguf_base *base);

/* Puts what a file of the language model says, or one of the tower. */
enum dlm_status dlm_gguf_base_put(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                  const struct dlm_gguf_base *base, bool is_text,
                                  enum dlm_gguf_quant quant) DLM_CHECK_RESULT;

#endif
