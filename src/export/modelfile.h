/* The Modelfile beside GGUF files, by which ollama makes a model of them. */
#ifndef DLM_EXPORT_MODELFILE_H
#define DLM_EXPORT_MODELFILE_H

#include "export/gguf_base.h"

#define DLM_EXPORT_MODELFILE "Modelfile"

/* Appends it; text and vision are the names of the two files, beside it. What ollama has no form
 * for, as a system prompt one of whose lines ends with three quotes, is left out with a warning. */
enum dlm_status dlm_modelfile_append(struct dlm_ctx *ctx, const struct dlm_gguf_base *base,
                                     const char *text, const char *vision,
                                     struct dlm_str *out) DLM_CHECK_RESULT;

#endif
