/* What GGUF files say of a base that llama.cpp has no model for: files of its folder, as they are.
 * docs/export.md has the keys. */
#ifndef DLM_EXPORT_GGUF_OWN_H
#define DLM_EXPORT_GGUF_OWN_H

#include "export/snapshot.h"
#include "gguf/writer.h"

/* Puts what the file of the language model says, or that of the tower. DLM_ERR_UNSUPPORTED: the
 * base has no tokenizer.json; DLM_ERR_PARSE: one of its files is no text. */
enum dlm_status dlm_gguf_put_own_values(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                        const struct dlm_export_job *job, bool is_text,
                                        enum dlm_gguf_quant quant) DLM_CHECK_RESULT;

#endif
