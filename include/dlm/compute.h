/* Where a call computes and in what precision. */
#ifndef DLM_COMPUTE_H
#define DLM_COMPUTE_H

#include <stdbool.h>

#include "dlm/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Storage type of base weights, matmul operands, saved activations, KV cache and vision features.
 * Sums, norms, softmax, losses and adapters are f32 under each of them. */
enum dlm_precision {
    DLM_PRECISION_AUTO, /* the checkpoint's own type; bf16 for f32 files of more than 4 GB */
    DLM_PRECISION_FP32,
    DLM_PRECISION_BF16,
    DLM_PRECISION_FP16,
    DLM_PRECISION_COUNT
};

/* "auto", "fp32", "bf16", "fp16"; "?" outside the list. */
DLM_API const char *dlm_precision_name(enum dlm_precision precision);

/* What linear layers of the base are held in besides. They are quantised as they are loaded; a
 * checkpoint that bitsandbytes saved in NF4 stays as it is. */
enum dlm_quant {
    DLM_QUANT_AUTO,   /* as the adapter was trained, else as the document says; else not at all */
    DLM_QUANT_NONE,   /* the precision's type */
    DLM_QUANT_Q8_0,   /* 8.5 bits a weight: ggml's blocks of 32 */
    DLM_QUANT_NF4,    /* 4.5 bits: bitsandbytes' blocks of 64 */
    DLM_QUANT_NF4_DQ, /* 4.13 bits: double quantised */
    DLM_QUANT_COUNT
};

/* Which of them. */
enum dlm_quant_scope {
    DLM_QUANT_SCOPE_AUTO,    /* as the adapter was trained, else as the document says, else: */
    DLM_QUANT_SCOPE_DECODER, /* the decoder's */
    DLM_QUANT_SCOPE_LINEARS, /* those of vision tower and projector too */
    DLM_QUANT_SCOPE_ALL,     /* embedding and head as well */
    DLM_QUANT_SCOPE_COUNT
};

/* "auto", "none", "q8_0", "nf4", "nf4_dq"; "?" outside the list. */
DLM_API const char *dlm_quant_name(enum dlm_quant quant);

/* All zero: backend and precision are chosen by the library. */
struct dlm_compute {
    enum dlm_backend_kind backend;
    bool has_device; /* device is given; otherwise the first one of the backend */
    int device;      /* counted from 0 within the backend, which must then be named */
    enum dlm_precision precision;
    enum dlm_quant quant;
    enum dlm_quant_scope quant_scope;
    bool no_matrix_units; /* leave a GPU's matrix units alone: its driver is not asked for them */
    double max_memory_mib; /* plan as if no more of the device's memory were free; 0: no limit */
};

#ifdef __cplusplus
}
#endif

#endif
