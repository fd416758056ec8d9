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

/* All zero: backend and precision are chosen by the library. */
struct dlm_compute {
    enum dlm_backend_kind backend;
    bool has_device; /* device is given; otherwise the first one of the backend */
    int device;      /* counted from 0 within the backend, which must then be named */
    enum dlm_precision precision;
    double max_memory_mib; /* plan as if no more of the device's memory were free; 0: no limit */
};

#ifdef __cplusplus
}
#endif

#endif
