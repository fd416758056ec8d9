/* The CPU device: shared by the files of this folder. */
#ifndef DLM_BACKEND_CPU_CPU_H
#define DLM_BACKEND_CPU_CPU_H

#include "backend/backend_impl.h"
#include "cpukernels/table.h"

/* What belongs to one worker; 64 bytes, so that workers do not write to the same line. */
struct dlm_cpu_worker {
    void *scratch;   /* scratch_bytes of the device */
    uint64_t serial; /* of the call that it ran an item of last */
    char padding[48];
};

struct dlm_cpu_device {
    struct dlm_device base;
    const struct dlm_cpu_kernel *kernels; /* the table in use, ends with a NULL name */
    struct dlm_pool *pool;                /* the context's */
    struct dlm_cpu_worker *workers;       /* [num_workers] */
    uint64_t serial;                      /* of the last call that ran */
    size_t scratch_bytes;                 /* grows with the recordings, never shrinks */
    int num_workers;
};

/* Fills kernels, num_workers and capabilities, as if the CPU did not have hide_caps. */
void dlm_cpu_device_describe(struct dlm_cpu_device *cpu, uint32_t hide_caps);
/* Of a described device. */
void dlm_cpu_device_properties(const struct dlm_cpu_device *cpu, struct dlm_device_properties *p);

/* Page memory for data: aligned to 2 MiB and asked to be huge when it is large, so that long reads
 * of weights run at full speed. NULL when there is none; nothing is logged. */
void *dlm_cpu_pages_alloc(size_t bytes);

/* What allocations of that size and more are whole pages of; 1: this machine has no such pages. */
size_t dlm_cpu_page_bytes(void);

void dlm_cpu_pages_free(void *data, size_t bytes);

/* The row of a kernel that this device can run, NULL if none. */
const struct dlm_cpu_kernel *dlm_cpu_find_kernel(const struct dlm_cpu_device *device,
                                                 const char *name);
bool dlm_cpu_has_kernel(const struct dlm_device *device, const char *name);

enum dlm_status dlm_cpu_buffer_create(struct dlm_device *device, struct dlm_buffer **out,
                                      size_t bytes) DLM_CHECK_RESULT;
void dlm_cpu_buffer_destroy(struct dlm_buffer *buffer);
enum dlm_status dlm_cpu_buffer_write(struct dlm_buffer *buffer, size_t offset, const void *data,
                                     size_t bytes) DLM_CHECK_RESULT;
enum dlm_status dlm_cpu_buffer_read(struct dlm_buffer *buffer, size_t offset, void *data,
                                    size_t bytes) DLM_CHECK_RESULT;
enum dlm_status dlm_cpu_buffer_fill(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                    uint32_t word) DLM_CHECK_RESULT;
void *dlm_cpu_buffer_host_data(struct dlm_buffer *buffer);

/* Of memory for each dispatch. */
size_t dlm_cpu_recorded_bytes(void);

enum dlm_status dlm_cpu_recording_create(struct dlm_device *device, struct dlm_recording **out,
                                         const struct dlm_dispatch *list,
                                         size_t num) DLM_CHECK_RESULT;
void dlm_cpu_recording_destroy(struct dlm_recording *recording);
enum dlm_status dlm_cpu_recording_run(struct dlm_recording *recording) DLM_CHECK_RESULT;
enum dlm_status dlm_cpu_recording_profile(struct dlm_recording *recording,
                                          double *seconds) DLM_CHECK_RESULT;

/* Frees the workers' scratch memory. */
void dlm_cpu_scratch_free(struct dlm_cpu_device *device);

#endif
