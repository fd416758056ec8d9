/* The decoders of PaliGemma: Gemma (Mesnard et al., 2024), and Gemma 2 (Riviere et al., 2024) for
 * PaliGemma 2. */
#ifndef DLM_MODELS_PALIGEMMA_TEXT_H
#define DLM_MODELS_PALIGEMMA_TEXT_H

#include <jansson.h>

#include "models/decoder.h"

/* Fills c from text_config of a config.json, whose model_type says which of the two it is; without
 * one it is the first. Missing members are those of the 3B bases. path is for messages.
 * DLM_ERR_UNSUPPORTED: what is not computed here. */
enum dlm_status dlm_paligemma_read_text(struct dlm_ctx *ctx, const json_t *config,
                                        const char *path,
                                        struct dlm_decoder_config *c) DLM_CHECK_RESULT;

#endif
