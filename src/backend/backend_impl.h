/* What a backend implements, and the tables of kernels that the build provides. For src/backend
 * and the kernel tables only. */
#ifndef DLM_BACKEND_BACKEND_IMPL_H
#define DLM_BACKEND_BACKEND_IMPL_H

#include "backend/backend.h"
#include "backend/properties.h"
#include "base/sha256.h"

/* A device backend fills one of these; every function may assume valid arguments and a device that
 * is not lost. backend.c keeps the counters, checks ranges, and remembers a loss. */
struct dlm_backend {
    enum dlm_backend_kind kind;
    /* Appends the devices of this kind to list (room for max), returns how many. Never an error:
     * no loader, no platform, no device are 0. Logs the reason at debug level. */
    int (*enumerate)(struct dlm_ctx *ctx, struct dlm_device_info *list, int max);
    /* The same with all that their drivers say of them. */
    int (*probe)(struct dlm_ctx *ctx, struct dlm_device_properties *list, int max);
    /* After an error that says that there is no device: hints why, as far as known. May be NULL. */
    void (*hint_none)(struct dlm_ctx *ctx);
    enum dlm_status (*open)(struct dlm_ctx *ctx, struct dlm_device **out, int index,
                            const struct dlm_device_params *params);
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
    /* Adds the sources of all kernels. NULL: no driver compiles them. */
    void (*hash_kernels)(struct dlm_sha256 *hash);
    size_t (*gemm_scratch)(const struct dlm_device *device,
                           const struct dlm_gemm_params *params); /* may be NULL */
    enum dlm_status (*recording_create)(struct dlm_device *device, struct dlm_recording **out,
                                        const struct dlm_dispatch *list, size_t num);
    void (*recording_destroy)(struct dlm_recording *recording); /* frees recording itself */
    enum dlm_status (*recording_run)(struct dlm_recording *recording);
    enum dlm_status (*recording_profile)(struct dlm_recording *recording, double *seconds);
    enum dlm_status (*wait)(struct dlm_device *device);
};

struct dlm_banned_kernel {
    struct dlm_banned_kernel *next;
    const char *fault;
    char name[];
};

/* First member of every backend's own device, buffer and recording struct. */
struct dlm_device {
    const struct dlm_backend *backend;
    struct dlm_ctx *ctx;
    struct dlm_device_caps caps;
    uint32_t all_bits; /* caps.bits and those that are shown only when asked for */
    uint64_t used_bytes, peak_bytes;
    uint64_t num_waits; /* counted by the backend */
    struct dlm_banned_kernel *banned; /* list, owned by backend.c */
    bool lost;
};

struct dlm_buffer {
    struct dlm_device *device;
    size_t bytes;
};

struct dlm_recording {
    struct dlm_device *device;
    size_t num; /* dispatches, those in parts counted by part */
    size_t *first_part; /* [of the list + 1], owned by backend.c; NULL: none is in parts */
    size_t num_listed;  /* dispatches that the caller listed */
};

/* caps.max_work of a device that may have a watchdog (2 s on Windows and on amdgpu since Linux 7):
 * a quarter of a second where kernels do 8 G multiply-adds a second, as on the slowest GPUs. On
 * faster ones a part still takes many times as long as its launch. */
#define DLM_GPU_MAX_WORK ((uint64_t)1 << 31)

/* list.c */

/* The backend and device that params name, of those that compute. */
enum dlm_status dlm_backend_choose(struct dlm_ctx *ctx, const struct dlm_device_params *params,
                                   const struct dlm_backend **backend,
                                   struct dlm_device_info *info) DLM_CHECK_RESULT;

/* parts.c */

/* Parts of a dispatch, 1 if its work is within max_work (0: no limit) or its grid is one group. */
size_t dlm_dispatch_count_parts(const struct dlm_dispatch *d, uint64_t max_work);
/* Writes as many parts, in the grid's order. Only the first one keeps the barrier: groups of one
 * dispatch never depend on each other. */
void dlm_dispatch_cut(const struct dlm_dispatch *d, uint64_t max_work, struct dlm_dispatch *parts);

extern const struct dlm_backend dlm_backend_cpu;
extern const struct dlm_backend dlm_backend_null; /* in no list */
#ifdef DLM_HAVE_OPENCL
extern const struct dlm_backend dlm_backend_opencl;
#endif
#ifdef DLM_HAVE_VULKAN
extern const struct dlm_backend dlm_backend_vulkan;
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
    uint32_t needs;     /* enum dlm_cap: what the device must have */
    uint8_t shape[3];   /* m, n, k of the matrices it is compiled for; 0: none. A name has a row for
                           each shape */
    uint32_t subgroups; /* most of a work-group, whose size is a constant; 0: the module says it */
};
extern const struct dlm_vk_kernel dlm_vk_kernels[]; /* ends with a NULL name */

#endif
