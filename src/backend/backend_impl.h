/* What a backend implements, and the tables of kernels that the build provides. For src/backend
 * and the kernel tables only. */
#ifndef DLM_BACKEND_BACKEND_IMPL_H
#define DLM_BACKEND_BACKEND_IMPL_H

#include "backend/backend.h"

/* A device backend fills one of these; every function may assume valid arguments and a device that
 * is not lost. backend.c keeps the counters, checks ranges, and remembers a loss. */
struct dlm_backend {
    enum dlm_backend_kind kind;
    /* Appends the devices of this kind to list (room for max), returns how many. Never an error:
     * no loader, no platform, no device are 0. Logs the reason at debug level. */
    int (*enumerate)(struct dlm_ctx *ctx, struct dlm_device_info *list, int max);
    enum dlm_status (*open)(struct dlm_ctx *ctx, struct dlm_device **out, int index,
                            const char *cache_dir);
    void (*close)(struct dlm_device *device); /* frees device itself */
    enum dlm_status (*buffer_create)(struct dlm_device *device, struct dlm_buffer **out,
                                     size_t bytes);
    void (*buffer_destroy)(struct dlm_buffer *buffer); /* frees buffer itself */
    enum dlm_status (*buffer_write)(struct dlm_buffer *buffer, size_t offset, const void *data,
                                    size_t bytes);
    enum dlm_status (*buffer_read)(struct dlm_buffer *buffer, size_t offset, void *data,
                                   size_t bytes);
    enum dlm_status (*buffer_fill)(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                   uint32_t word);
    void *(*buffer_host_data)(struct dlm_buffer *buffer); /* may be NULL */
    bool (*has_kernel)(const struct dlm_device *device, const char *kernel);
    size_t (*gemm_scratch)(const struct dlm_device *device,
                           const struct dlm_gemm_params *params); /* may be NULL */
    enum dlm_status (*recording_create)(struct dlm_device *device, struct dlm_recording **out,
                                        const struct dlm_dispatch *list, size_t num);
    void (*recording_destroy)(struct dlm_recording *recording); /* frees recording itself */
    enum dlm_status (*recording_run)(struct dlm_recording *recording);
    enum dlm_status (*recording_profile)(struct dlm_recording *recording, double *seconds);
    enum dlm_status (*wait)(struct dlm_device *device);
};

/* First member of every backend's own device, buffer and recording struct. */
struct dlm_device {
    const struct dlm_backend *backend;
    struct dlm_ctx *ctx;
    struct dlm_device_caps caps;
    uint64_t used_bytes, peak_bytes;
    bool lost;
};

struct dlm_buffer {
    struct dlm_device *device;
    size_t bytes;
};

struct dlm_recording {
    struct dlm_device *device;
    size_t num; /* dispatches */
};

extern const struct dlm_backend dlm_backend_cpu;
#ifdef DLM_HAVE_OPENCL
extern const struct dlm_backend dlm_backend_opencl;
#endif
#ifdef DLM_HAVE_VULKAN
extern const struct dlm_backend dlm_backend_vulkan;
#endif

/* CPU kernels: run one work item. call lives until return. */
struct dlm_cpu_call {
    void *const *buffers; /* [num_bindings], start of each binding */
    const void *params;
    int64_t num_items; /* of the dispatch: item is 0..num_items-1 */
    void *scratch; /* scratch_bytes of the dispatch, aligned to 64, private to the worker */
    uint32_t num_workers; /* items that run at a time: a hint for prefetching, never for results */
};
typedef void (*dlm_cpu_kernel_fn)(const struct dlm_cpu_call *call, int64_t item);

struct dlm_cpu_kernel {
    const char *name;
    dlm_cpu_kernel_fn run;
};

/* The tables end with a NULL name. Built once for every instruction set that the build knows;
 * the device picks one. DLM_CPU_TABLE_LIST gives them from the most to the least capable. */
extern const struct dlm_cpu_kernel dlm_cpu_kernels_base[];
#if defined(__x86_64__)
extern const struct dlm_cpu_kernel dlm_cpu_kernels_v3[]; /* AVX2, FMA, F16C */
extern const struct dlm_cpu_kernel dlm_cpu_kernels_v4[]; /* AVX-512 F, BW, CD, DQ, VL */
#endif

/* OpenCL kernels: one source text a file (prelude included), one row a kernel. */
struct dlm_ocl_kernel {
    const char *name;    /* what a dispatch names */
    const char *entry;   /* function in the source */
    const char *options; /* -D options of this variant, "" if none */
    const char *source;
    size_t source_len;
};
extern const struct dlm_ocl_kernel dlm_ocl_kernels[]; /* ends with a NULL name */

/* Vulkan kernels: one SPIR-V module a row, entry point "main", storage buffers at set 0, bindings
 * 0.. in order, push constants for the params. */
struct dlm_vk_kernel {
    const char *name;
    const uint32_t *words;
    size_t num_words;
};
extern const struct dlm_vk_kernel dlm_vk_kernels[]; /* ends with a NULL name */

#endif
