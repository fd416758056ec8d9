/* Compute devices: the CPU, OpenCL and Vulkan devices, opened by kind and index. */
#ifndef DLM_DEVICE_H
#define DLM_DEVICE_H

#include <stdint.h>

#include "dlm/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

enum dlm_backend_kind {
    DLM_BACKEND_AUTO, /* a hardware GPU (Vulkan before OpenCL), else the CPU */
    DLM_BACKEND_CPU,
    DLM_BACKEND_OPENCL,
    DLM_BACKEND_VULKAN,
    DLM_BACKEND_COUNT
};

/* "auto", "cpu", "opencl", "vulkan"; "?" outside the list. */
DLM_API const char *dlm_backend_name(enum dlm_backend_kind kind);

/* The kind of a name; DLM_ERR_USAGE (logged) for an unknown one. */
DLM_API enum dlm_status dlm_backend_from_name(struct dlm_ctx *ctx, const char *name,
                                              enum dlm_backend_kind *kind) DLM_CHECK_RESULT;

/* One device as the enumeration sees it. */
struct dlm_device_info {
    enum dlm_backend_kind kind;
    int index;         /* for --device, counted within the kind */
    char name[128];
    char driver[128];  /* driver or platform with version */
    bool is_software;  /* runs on the CPU */
    bool is_unified;   /* its memory is the machine's */
    /* Operand types and shape of the matrix units that kernels can use: "f16+bf16 16x16x16". Known
     * once a device is open; "": none. */
    char matrix_units[32];
    uint64_t memory_bytes;    /* of the device; system memory if shared */
    uint64_t max_alloc_bytes; /* largest single buffer */
};

/* Lists every device of every backend built in, the CPU first. Drivers that are missing or have no
 * device add nothing. *list is owned by the caller: free with dlm_device_list_free(). */
DLM_API enum dlm_status dlm_device_list(struct dlm_ctx *ctx, struct dlm_device_info **list,
                                        int *num) DLM_CHECK_RESULT;
DLM_API void dlm_device_list_free(struct dlm_device_info *list);

#ifdef __cplusplus
}
#endif

#endif
