/* OpenCL programs to replay: kernels with their arguments set once, submitted in slices.
 *
 * Drivers reset a device when one submission holds it too long (2 s on some), so the first runs,
 * and now and then a later one, go in small slices that are waited for and timed; the others go in
 * slices of about SLICE_SECONDS by those times. Where a slice ends never changes a result: the
 * queue is in order.
 *
 * A kernel object a dispatch, not one a kernel with its arguments set anew: 0.8 against 1.4 us a
 * launch on PoCL 3.1 (Zen 4), where an object costs 0.1 us to make. */
#include <string.h>

#include "backend/opencl/opencl.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define SLICE_SECONDS 0.15
#define SLICE_MAX_LEN 512
/* Drivers may batch commands until they are told to start. */
#define FLUSH_EVERY 64

/* The first run includes what drivers put off until then (compiling, allocating), so the second is
 * timed too. Later ones are because a step's work depends on the length of its rows. */
#define NUM_FIRST_TIMED_RUNS 2
#define TIMED_EVERY 64
#define TIMED_SLICE_MAX_LEN 32 /* heavy dispatches may follow light ones */

struct ocl_node {
    const char *name; /* of the kernel lists */
    cl_kernel kernel; /* owned; NULL: the library's gemm */
    size_t offset[3], global[3], local[3];
    uint64_t work;
    double seconds; /* share of the slice it was timed in */
#ifdef DLM_HAVE_CLBLAST
    struct dlm_ocl_gemm *gemm; /* owned */
#endif
};

struct dlm_ocl_recording {
    struct dlm_recording base;
    struct ocl_node *nodes; /* [base.num] */
    uint64_t num_runs;
};

#ifdef DLM_HAVE_CLBLAST
static enum dlm_status prepare_gemm(struct dlm_ocl_device *device, struct ocl_node *node,
                                    const struct dlm_dispatch *dispatch)
{
    enum dlm_status st = DLM_OK;

    if (dispatch->num_bindings < 3 || dispatch->num_bindings > DLM_ARRAY_LEN(node->gemm->mem) ||
        dispatch->params_bytes != sizeof(node->gemm->params))
        return dlm_fail(device->base.ctx, DLM_ERR_INVALID, "kernel '%s': wrong arguments",
                        dispatch->kernel);
    node->gemm = dlm_alloc(device->base.ctx, sizeof(*node->gemm));
    if (!node->gemm)
        return DLM_ERR_MEMORY;
    memcpy(&node->gemm->params, dispatch->params, sizeof(node->gemm->params));
    for (size_t i = 0; !st && i < dispatch->num_bindings; i++)
        st = dlm_ocl_buffer_view(&dispatch->bindings[i], &node->gemm->mem[i]);
    node->gemm->num_mem = dispatch->num_bindings;
    return st;
}
#endif

static enum dlm_status set_arguments(struct dlm_ocl_device *device, cl_kernel kernel,
                                     const struct dlm_dispatch *dispatch)
{
    cl_uint num = dispatch->num_bindings + (dispatch->params_bytes ? 1 : 0);
    cl_uint num_declared = 0;
    cl_int rc;

    rc = clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(num_declared), &num_declared, NULL);
    if (rc == CL_SUCCESS && num_declared != num)
        return dlm_fail(device->base.ctx, DLM_ERR_INVALID,
                        "kernel '%s' takes %u arguments, not %u", dispatch->kernel,
                        (unsigned)num_declared, (unsigned)num);
    for (cl_uint i = 0; rc == CL_SUCCESS && i < dispatch->num_bindings; i++) {
        cl_mem mem;
        enum dlm_status st = dlm_ocl_buffer_view(&dispatch->bindings[i], &mem);
        if (st)
            return st;
        rc = clSetKernelArg(kernel, i, sizeof(mem), &mem);
    }
    if (rc == CL_SUCCESS && dispatch->params_bytes)
        rc = clSetKernelArg(kernel, num - 1, dispatch->params_bytes, dispatch->params);
    return rc == CL_SUCCESS ? DLM_OK
                            : dlm_ocl_fail(device, rc, "cannot set the arguments of kernel '%s'",
                                           dispatch->kernel);
}

static enum dlm_status prepare(struct dlm_ocl_device *device, struct ocl_node *node,
                               const struct dlm_dispatch *dispatch)
{
    node->work = dispatch->work;
#ifdef DLM_HAVE_CLBLAST
    if (!strcmp(dispatch->kernel, DLM_OCL_GEMM_KERNEL)) {
        node->name = DLM_OCL_GEMM_KERNEL;
        return prepare_gemm(device, node, dispatch);
    }
#endif
    node->name = dispatch->kernel;
    enum dlm_status st =
        dlm_ocl_kernel_create(device, &node->name, &node->kernel, node->local);
    if (st)
        return st;
    for (int d = 0; d < 3; d++) {
        node->offset[d] = node->local[d] * dispatch->base[d];
        node->global[d] = node->local[d] * dispatch->groups[d];
    }
    return set_arguments(device, node->kernel, dispatch);
}

size_t dlm_ocl_recorded_bytes(void)
{
    return sizeof(struct ocl_node);
}

enum dlm_status dlm_ocl_recording_create(struct dlm_device *base, struct dlm_recording **out,
                                         const struct dlm_dispatch *list, size_t num)
{
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)base;
    enum dlm_status st = DLM_OK;

    *out = NULL;
    struct dlm_ocl_recording *recording = dlm_alloc(base->ctx, sizeof(*recording));
    if (!recording)
        return DLM_ERR_MEMORY;
    recording->base.device = base;
    recording->base.num = num;
    recording->nodes = dlm_alloc_array(base->ctx, num, sizeof(*recording->nodes));
    if (!recording->nodes)
        st = DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < num; i++)
        st = prepare(device, &recording->nodes[i], &list[i]);
    if (st) {
        dlm_ocl_recording_destroy(&recording->base);
        return st;
    }
    *out = &recording->base;
    return DLM_OK;
}

void dlm_ocl_recording_destroy(struct dlm_recording *base)
{
    struct dlm_ocl_recording *recording = (struct dlm_ocl_recording *)base;

    if (!recording)
        return;
    for (size_t i = 0; recording->nodes && i < base->num; i++) {
        if (recording->nodes[i].kernel)
            clReleaseKernel(recording->nodes[i].kernel);
#ifdef DLM_HAVE_CLBLAST
        dlm_free(recording->nodes[i].gemm);
#endif
    }
    dlm_free(recording->nodes);
    dlm_free(recording);
}

/* Enqueues one dispatch. event (may be NULL) is owned by the caller. */
static enum dlm_status submit(struct dlm_ocl_device *device, const struct ocl_node *node,
                              cl_command_queue queue, cl_event *event)
{
#ifdef DLM_HAVE_CLBLAST
    if (node->gemm)
        return dlm_ocl_gemm_submit(device, node->gemm, queue, event);
#endif
    device->is_busy = true;
    cl_int rc = clEnqueueNDRangeKernel(queue, node->kernel, 3, node->offset, node->global,
                                       node->local, 0, NULL, event);
    return rc == CL_SUCCESS ? DLM_OK
                            : dlm_ocl_fail(device, rc, "cannot run kernel '%s'", node->name);
}

/* Submits nodes[begin, end); *last is the event of the last one, owned by the caller. */
static enum dlm_status submit_slice(struct dlm_ocl_recording *recording, size_t begin, size_t end,
                                    cl_event *last)
{
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)recording->base.device;
    enum dlm_status st = DLM_OK;

    *last = NULL;
    if (dlm_ctx_is_cancelled(device->base.ctx))
        return dlm_fail(device->base.ctx, DLM_ERR_CANCELLED, "interrupted");
    for (size_t i = begin; !st && i < end; i++) {
        bool is_last = i + 1 == end;
        st = submit(device, &recording->nodes[i], device->queue, is_last ? last : NULL);
        if (!st && (is_last || (i + 1 - begin) % FLUSH_EVERY == 0)) {
            cl_int rc = clFlush(device->queue);
            if (rc != CL_SUCCESS)
                st = dlm_ocl_fail(device, rc, "cannot start kernel '%s'", recording->nodes[i].name);
        }
    }
    if (st && *last) {
        clReleaseEvent(*last);
        *last = NULL;
    }
    return st;
}

/* Spreads the time of a slice over its dispatches. After a run with short rows, long ones may come
 * again: an old time fades instead of going at once. */
static void note_seconds(struct dlm_ocl_recording *recording, size_t begin, size_t end,
                         double seconds)
{
    const double share = seconds / (double)(end - begin);
    const double fading = recording->num_runs < NUM_FIRST_TIMED_RUNS ? 0 : 0.5;

    for (size_t i = begin; i < end; i++) {
        struct ocl_node *node = &recording->nodes[i];
        node->seconds = DLM_MAX(share, fading * node->seconds);
    }
}

/* The end of a slice whose times are not known: of at most `len` dispatches, and no more work than
 * one may have. */
static size_t find_timed_end(const struct dlm_ocl_recording *recording, size_t begin, size_t len)
{
    const uint64_t max_work = recording->base.device->caps.max_work;
    const size_t limit = DLM_MIN(begin + len, recording->base.num);
    uint64_t work = recording->nodes[begin].work;
    size_t end = begin + 1;

    while (end < limit && (!max_work || (work += recording->nodes[end].work) <= max_work))
        end++;
    return end;
}

/* Small slices, each waited for and timed; they grow while they stay short. */
static enum dlm_status run_timed(struct dlm_ocl_recording *recording)
{
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)recording->base.device;
    const size_t num = recording->base.num;
    size_t len = 1;
    cl_event last;

    enum dlm_status st = dlm_ocl_wait(&device->base);
    for (size_t begin = 0, end; !st && begin < num; begin = end) {
        end = find_timed_end(recording, begin, len);
        double start = dlm_now();
        st = submit_slice(recording, begin, end, &last);
        if (st)
            break;
        st = dlm_ocl_wait_event(device, last);
        clReleaseEvent(last);
        double seconds = dlm_now() - start;
        note_seconds(recording, begin, end, seconds);
        if (seconds < SLICE_SECONDS / 4)
            len = DLM_MIN(2 * len, TIMED_SLICE_MAX_LEN);
        else if (seconds > SLICE_SECONDS)
            len = DLM_MAX(len / 2, 1u);
    }
    return st;
}

static size_t find_slice_end(const struct dlm_ocl_recording *recording, size_t begin)
{
    const size_t limit = DLM_MIN(begin + SLICE_MAX_LEN, recording->base.num);
    double seconds = recording->nodes[begin].seconds;
    size_t end = begin + 1;

    while (end < limit && (seconds += recording->nodes[end].seconds) <= SLICE_SECONDS)
        end++;
    return end;
}

enum dlm_status dlm_ocl_recording_run(struct dlm_recording *base)
{
    struct dlm_ocl_recording *recording = (struct dlm_ocl_recording *)base;
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)base->device;
    enum dlm_status st = DLM_OK;
    cl_event last;

    if (recording->num_runs < NUM_FIRST_TIMED_RUNS || recording->num_runs % TIMED_EVERY == 0) {
        st = run_timed(recording);
    } else {
        for (size_t begin = 0, end; !st && begin < base->num; begin = end) {
            end = find_slice_end(recording, begin);
            st = submit_slice(recording, begin, end, &last);
            if (!st)
                st = dlm_ocl_push_slice(device, last);
        }
    }
    if (!st)
        recording->num_runs++;
    return st;
}

/* Device time of a finished command; 0 where the driver does not say. */
static double get_event_seconds(cl_event event)
{
    cl_ulong start = 0, end = 0;

    if (clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof(start), &start, NULL) !=
            CL_SUCCESS ||
        clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL) !=
            CL_SUCCESS ||
        end <= start)
        return 0;
    return 1e-9 * (double)(end - start);
}

enum dlm_status dlm_ocl_recording_profile(struct dlm_recording *base, double *seconds)
{
    struct dlm_ocl_recording *recording = (struct dlm_ocl_recording *)base;
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)base->device;
    cl_command_queue queue;
    cl_event event;

    enum dlm_status st = dlm_ocl_wait(base->device);
    if (!st)
        st = dlm_ocl_profile_queue(device, &queue);
    for (size_t i = 0; !st && i < base->num; i++) {
        if (dlm_ctx_is_cancelled(base->device->ctx))
            return dlm_fail(base->device->ctx, DLM_ERR_CANCELLED, "interrupted");
        double start = dlm_now();
        st = submit(device, &recording->nodes[i], queue, &event);
        if (st)
            break;
        st = dlm_ocl_wait_event(device, event);
        /* The library's gemm is several kernels, of which the event is the last: wall time. */
        double on_device = recording->nodes[i].kernel ? get_event_seconds(event) : 0;
        seconds[i] = on_device > 0 ? on_device : dlm_now() - start;
        clReleaseEvent(event);
    }
    return st;
}
