/* The family's GGUF form, in its file of that name. */
#ifndef DLM_MODELS_PALIGEMMA_GGUF_H
#define DLM_MODELS_PALIGEMMA_GGUF_H

#include "models/gguf_family.h"

extern const struct dlm_gguf_family dlm_gguf_paligemma;

#endif
