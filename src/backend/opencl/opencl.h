/* Shared by the files of the OpenCL backend. Baseline: OpenCL 1.2, OpenCL C 1.2, no extension; what
 * kernels with the option -DDLM_MATRIX need, device.c asks for. Files, each calling only those
 * before it: error, gemm, device, device_properties, queue, buffer, cache, kernel, recording,
 * backend. */
#ifndef DLM_BACKEND_OPENCL_OPENCL_H
#define DLM_BACKEND_OPENCL_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "backend/backend_impl.h"

#define DLM_OCL_MAX_DEVICES 64

/* A device that can run our kernels. */
struct dlm_ocl_candidate {
    cl_platform_id platform;
    cl_device_id id;
};

struct dlm_ocl_candidates {
    struct dlm_ocl_candidate items[DLM_OCL_MAX_DEVICES];
    int num;
};

/* Slices on their way; before one more is submitted the oldest is waited for. */
#define DLM_OCL_MAX_IN_FLIGHT 3

/* Host writes on their way, each from a copy of its data. Larger ones are waited for, at once if
 * nothing else is under way. */
#define DLM_OCL_MAX_WRITES 8
#define DLM_OCL_QUEUED_WRITE_BYTES ((size_t)4 << 20)
#define DLM_OCL_QUEUED_BUSY_WRITE_BYTES ((size_t)32 << 20)

struct dlm_ocl_write {
    void *data; /* NULL: none */
    cl_event done;
};

struct dlm_ocl_device {
    struct dlm_device base;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;         /* in order */
    cl_command_queue profile_queue; /* in order, with profiling; made when first asked for */
    char *cache_dir;                /* owned; NULL: no cache */
    char driver_key[512];           /* names and versions that a cached binary depends on */
    cl_uint vector_width;           /* DLM_WIDTH of clkernels/prelude.cl */
    char matrix_options[160]; /* added for kernels of matrix units; "": it has none */
    cl_program *programs;           /* [rows of dlm_ocl_kernels], built when first needed */
    cl_event in_flight[DLM_OCL_MAX_IN_FLIGHT]; /* ends of the last slices, oldest first */
    size_t num_in_flight;
    struct dlm_ocl_write writes[DLM_OCL_MAX_WRITES]; /* next_write is the oldest */
    unsigned next_write;
    bool is_busy; /* something was submitted since the queue was last known to be empty */
    bool used_gemm;
};

/* A sub-buffer, kept as long as its buffer. */
struct dlm_ocl_view {
    size_t offset, bytes;
    cl_mem mem;
};

struct dlm_ocl_buffer {
    struct dlm_buffer base;
    cl_mem mem;
    struct dlm_ocl_view *views; /* sorted by (offset, bytes) */
    size_t num_views, cap_views;
};

/* error.c */
/* Logs what failed with the name of an OpenCL error code and gives the status it stands for:
 * DLM_ERR_MEMORY, DLM_ERR_DEVICE_LOST or DLM_ERR_DEVICE. */
enum dlm_status dlm_ocl_fail(struct dlm_ocl_device *device, cl_int code, const char *fmt, ...)
    DLM_PRINTF(3, 4);
const char *dlm_ocl_error_name(cl_int code);

/* device.c */
/* Hints why there is no device. */
void dlm_ocl_hint_none(struct dlm_ctx *ctx);
/* All devices of all platforms that can run our kernels, in the drivers' order. */
void dlm_ocl_candidates_find(struct dlm_ctx *ctx, struct dlm_ocl_candidates *list);
void dlm_ocl_device_info(const struct dlm_ocl_candidate *candidate, int index,
                         struct dlm_device_info *info);
/* Fills what can be known without a context: the id, capabilities, the driver's key. no_matrix: the
 * driver is not asked for matrix units. */
void dlm_ocl_device_describe(struct dlm_ocl_device *device,
                             const struct dlm_ocl_candidate *candidate, int index, bool no_matrix);

/* A text property, cut to cap - 1 characters; "" when the driver does not answer. */
void dlm_ocl_get_text(cl_device_id id, cl_device_info what, char *text, size_t cap);
/* A number, or a truth; 0 when the driver does not answer. */
cl_uint dlm_ocl_get_uint(cl_device_id id, cl_device_info what);
bool dlm_ocl_has_extension(cl_device_id id, const char *name);
/* Free memory, as far as the driver or, where memory is shared, the machine tells; 0: not known. A
 * card of its own tells nothing in OpenCL but for AMD's extension. from: "" or who told. */
uint64_t dlm_ocl_free_bytes(cl_device_id id, const struct dlm_device_info *info, const char **from);
/* Sizes that a kernel may ask subgroups to have, as many as there are and max allows. */
int dlm_ocl_subgroup_sizes(cl_device_id id, size_t *sizes, int max);

/* device_properties.c */
/* What people are told of a device. */
void dlm_ocl_device_properties(const struct dlm_ocl_candidate *candidate, int index,
                               struct dlm_device_properties *p);

/* queue.c */
/* Makes the context and the queue of a described device. */
enum dlm_status dlm_ocl_queue_open(struct dlm_ocl_device *device,
                                   cl_platform_id platform) DLM_CHECK_RESULT;
/* Before objects are released: waits until nothing runs, whether it failed or not. */
void dlm_ocl_queue_settle(struct dlm_ocl_device *device);
void dlm_ocl_queue_close(struct dlm_ocl_device *device);
/* The queue profiles each dispatch only where that is asked for: it costs on some drivers. */
enum dlm_status dlm_ocl_profile_queue(struct dlm_ocl_device *device,
                                      cl_command_queue *queue) DLM_CHECK_RESULT;
/* Takes the event that ends a slice, and waits for the oldest slice when too many are under way. */
enum dlm_status dlm_ocl_push_slice(struct dlm_ocl_device *device, cl_event end) DLM_CHECK_RESULT;
/* Submits a write whose data need not outlive the call. */
enum dlm_status dlm_ocl_push_write(struct dlm_ocl_device *device, cl_mem mem, size_t offset,
                                   const void *data, size_t bytes) DLM_CHECK_RESULT;
/* Waits for everything submitted. */
enum dlm_status dlm_ocl_wait(struct dlm_device *device) DLM_CHECK_RESULT;
/* Before a call that ends when the queue is empty: counts it, if it has to wait. */
void dlm_ocl_count_drain(struct dlm_ocl_device *device);
/* Waits for one event. */
enum dlm_status dlm_ocl_wait_event(struct dlm_ocl_device *device, cl_event event) DLM_CHECK_RESULT;

/* buffer.c */
enum dlm_status dlm_ocl_buffer_create(struct dlm_device *device, struct dlm_buffer **out,
                                      size_t bytes);
void dlm_ocl_buffer_destroy(struct dlm_buffer *buffer);
enum dlm_status dlm_ocl_buffer_write(struct dlm_buffer *buffer, size_t offset, const void *data,
                                     size_t bytes);
enum dlm_status dlm_ocl_buffer_read(struct dlm_buffer *buffer, size_t offset, void *data,
                                    size_t bytes);
enum dlm_status dlm_ocl_buffer_fill(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                    uint32_t word);
/* The memory object of a binding; borrowed from its buffer. */
enum dlm_status dlm_ocl_buffer_view(const struct dlm_binding *binding,
                                    cl_mem *mem) DLM_CHECK_RESULT;

/* kernel.c */
void dlm_ocl_hash_kernels(struct dlm_sha256 *hash);
bool dlm_ocl_has_kernel(const struct dlm_device *device, const char *kernel);
/* Makes a kernel object (owned by the caller) of a row of dlm_ocl_kernels, building its program if
 * need be, with its work-group size. *name becomes the row's own. */
enum dlm_status dlm_ocl_kernel_create(struct dlm_ocl_device *device, const char **name,
                                      cl_kernel *kernel, size_t local[3]) DLM_CHECK_RESULT;
void dlm_ocl_programs_finish(struct dlm_ocl_device *device);

/* cache.c */
/* A program from the cache, built; NULL when there is none that works. */
cl_program dlm_ocl_cache_load(struct dlm_ocl_device *device, const struct dlm_ocl_kernel *row,
                              const char *options);
/* Keeps the binary of a program. A failure is no error: the next start compiles again. */
void dlm_ocl_cache_save(struct dlm_ocl_device *device, const struct dlm_ocl_kernel *row,
                        const char *options, cl_program program);

/* recording.c */
size_t dlm_ocl_recorded_bytes(void); /* for each dispatch */
enum dlm_status dlm_ocl_recording_create(struct dlm_device *device, struct dlm_recording **out,
                                         const struct dlm_dispatch *list, size_t num);
void dlm_ocl_recording_destroy(struct dlm_recording *recording);
enum dlm_status dlm_ocl_recording_run(struct dlm_recording *recording);
enum dlm_status dlm_ocl_recording_profile(struct dlm_recording *recording, double *seconds);

/* gemm.c */
#define DLM_OCL_GEMM_KERNEL "gemm_f32"

#ifdef DLM_HAVE_CLBLAST
/* Operands of one library call: A, B, C and, if num_mem is 4, scratch. */
struct dlm_ocl_gemm {
    struct dlm_gemm_params params;
    cl_mem mem[4];
    size_t num_mem;
};

size_t dlm_ocl_gemm_scratch(const struct dlm_device *device, const struct dlm_gemm_params *params);
/* Of this build's library: struct dlm_device_caps.gemm_version, and whether its products are right
 * on every device. */
uint32_t dlm_ocl_gemm_version(void);
bool dlm_ocl_gemm_is_trusted(void);
enum dlm_status dlm_ocl_gemm_submit(struct dlm_ocl_device *device, const struct dlm_ocl_gemm *gemm,
                                    cl_command_queue queue, cl_event *event) DLM_CHECK_RESULT;
/* Drops what the library keeps for all devices; it is made again when needed. */
void dlm_ocl_gemm_finish(void);
#endif

#endif
