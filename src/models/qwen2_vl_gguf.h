/* The family's GGUF form, in its file of that name. */
#ifndef DLM_MODELS_QWEN2_VL_GGUF_H
#define DLM_MODELS_QWEN2_VL_GGUF_H

#include "models/gguf_family.h"

extern const struct dlm_gguf_family dlm_gguf_qwen2_vl;

#endif
