/* Which type each tensor of a file gets: the kinds of quantisation that llama.cpp names, and the
 * types that llama-quantize and llama.cpp's converter choose for them, without importance
 * matrix. */
#ifndef DLM_GGUF_MIXTURE_H
#define DLM_GGUF_MIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "gguf/types.h"

/* X(name, text, general.file_type, type of most matrices) */
#define DLM_GGUF_QUANT_LIST(X)                                                                     \
    X(DLM_GGUF_QUANT_F32, "f32", 0, DLM_GGML_TYPE_F32)                                             \
    X(DLM_GGUF_QUANT_F16, "f16", 1, DLM_GGML_TYPE_F16)                                             \
    X(DLM_GGUF_QUANT_BF16, "bf16", 32, DLM_GGML_TYPE_BF16)                                         \
    X(DLM_GGUF_QUANT_Q8_0, "q8_0", 7, DLM_GGML_TYPE_Q8_0)                                          \
    X(DLM_GGUF_QUANT_Q6_K, "q6_k", 18, DLM_GGML_TYPE_Q6_K)                                         \
    X(DLM_GGUF_QUANT_Q5_K_M, "q5_k_m", 17, DLM_GGML_TYPE_Q5_K)                                     \
    X(DLM_GGUF_QUANT_Q4_K_M, "q4_k_m", 15, DLM_GGML_TYPE_Q4_K)                                     \
    X(DLM_GGUF_QUANT_Q4_0, "q4_0", 2, DLM_GGML_TYPE_Q4_0)

enum dlm_gguf_quant {
#define DLM_GGUF_QUANT_ENUM(name, text, file_type, type) name,
    DLM_GGUF_QUANT_LIST(DLM_GGUF_QUANT_ENUM)
#undef DLM_GGUF_QUANT_ENUM
        DLM_GGUF_QUANT_COUNT
};

const char *dlm_gguf_quant_name(enum dlm_gguf_quant quant);

/* DLM_GGUF_QUANT_COUNT for a word that is none. */
enum dlm_gguf_quant dlm_gguf_quant_by_name(const char *name);

/* general.file_type */
uint32_t dlm_gguf_quant_file_type(enum dlm_gguf_quant quant);

/* A language model, of which each layer has an attn_v and an ffn_down. */
struct dlm_gguf_mixture {
    enum dlm_gguf_quant quant;
    int64_t num_layers;
    bool is_tied; /* no output.weight: the embedding is the head as well */
};

/* The type of one of its tensors, by its name in llama.cpp and its shape. A row that is no whole
 * number of blocks gets a type of smaller blocks, or F16. */
enum dlm_ggml_type dlm_gguf_mixture_type(const struct dlm_gguf_mixture *m, const char *name,
                                         int ndim, const int64_t *ne);

/* The same for a tower and its projector, which have one type: the kind's own if the converter
 * knows it (up to Q8_0), else F16. */
enum dlm_ggml_type dlm_gguf_mmproj_type(enum dlm_gguf_quant quant, const char *name, int ndim,
                                        const int64_t *ne);

#endif
