/* The queues of a device and waiting: for an event, for the oldest slice, for everything. */
#include "backend/opencl/opencl.h" /* first: it says which OpenCL version is meant */

#include <string.h>

#include "base/mem.h"

enum dlm_status dlm_ocl_queue_open(struct dlm_ocl_device *device, cl_platform_id platform)
{
    const cl_context_properties props[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0};
    cl_int rc;

    device->context = clCreateContext(props, 1, &device->id, NULL, NULL, &rc);
    if (!device->context)
        return dlm_ocl_fail(device, rc, "cannot make a context");
    device->queue = clCreateCommandQueue(device->context, device->id, 0, &rc);
    if (!device->queue)
        return dlm_ocl_fail(device, rc, "cannot make a queue");
    return DLM_OK;
}

/* Nothing reads its data any more. */
static void forget_write(struct dlm_ocl_write *write)
{
    if (write->done)
        clReleaseEvent(write->done);
    dlm_free(write->data);
    *write = (struct dlm_ocl_write){0};
}

void dlm_ocl_queue_settle(struct dlm_ocl_device *device)
{
    if (device->queue)
        (void)clFinish(device->queue); /* nobody is left to hear of a failure */
    while (device->num_in_flight)
        clReleaseEvent(device->in_flight[--device->num_in_flight]);
    for (size_t i = 0; i < DLM_OCL_MAX_WRITES; i++)
        forget_write(&device->writes[i]);
}

void dlm_ocl_queue_close(struct dlm_ocl_device *device)
{
    if (device->profile_queue)
        clReleaseCommandQueue(device->profile_queue);
    if (device->queue)
        clReleaseCommandQueue(device->queue);
    if (device->context)
        clReleaseContext(device->context);
}

enum dlm_status dlm_ocl_profile_queue(struct dlm_ocl_device *device, cl_command_queue *queue)
{
    cl_int rc = CL_SUCCESS;

    if (!device->profile_queue)
        device->profile_queue = clCreateCommandQueue(device->context, device->id,
                                                     CL_QUEUE_PROFILING_ENABLE, &rc);
    *queue = device->profile_queue;
    return *queue ? DLM_OK : dlm_ocl_fail(device, rc, "cannot make a queue with profiling");
}

void dlm_ocl_count_drain(struct dlm_ocl_device *device)
{
    device->base.num_waits += device->is_busy;
    device->is_busy = false;
}

enum dlm_status dlm_ocl_wait_event(struct dlm_ocl_device *device, cl_event event)
{
    cl_int status = CL_COMPLETE;

    if (clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL) ==
            CL_SUCCESS &&
        status > CL_COMPLETE)
        device->base.num_waits++;
    cl_int rc = clWaitForEvents(1, &event);

    if (rc == CL_SUCCESS)
        return DLM_OK;
    /* The command's own status says more than "an event in the list failed". */
    if (clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL) ==
            CL_SUCCESS &&
        status < 0)
        rc = status;
    return dlm_ocl_fail(device, rc, "a kernel failed");
}

enum dlm_status dlm_ocl_push_slice(struct dlm_ocl_device *device, cl_event end)
{
    enum dlm_status st = DLM_OK;

    if (device->num_in_flight == DLM_OCL_MAX_IN_FLIGHT) {
        st = dlm_ocl_wait_event(device, device->in_flight[0]);
        clReleaseEvent(device->in_flight[0]);
        device->num_in_flight--;
        memmove(&device->in_flight[0], &device->in_flight[1],
                device->num_in_flight * sizeof(device->in_flight[0]));
    }
    device->in_flight[device->num_in_flight++] = end;
    return st;
}

static enum dlm_status end_write(struct dlm_ocl_device *device, struct dlm_ocl_write *write)
{
    enum dlm_status st = write->done ? dlm_ocl_wait_event(device, write->done) : DLM_OK;

    forget_write(write);
    return st;
}

enum dlm_status dlm_ocl_push_write(struct dlm_ocl_device *device, cl_mem mem, size_t offset,
                                   const void *data, size_t bytes)
{
    struct dlm_ocl_write *write = &device->writes[device->next_write];

    enum dlm_status st = end_write(device, write);
    if (st)
        return st;
    write->data = dlm_alloc(device->base.ctx, bytes);
    if (!write->data)
        return DLM_ERR_MEMORY;
    memcpy(write->data, data, bytes);
    cl_int rc = clEnqueueWriteBuffer(device->queue, mem, CL_FALSE, offset, bytes, write->data, 0,
                                     NULL, &write->done);
    if (rc != CL_SUCCESS) {
        forget_write(write);
        return dlm_ocl_fail(device, rc, "cannot write %zu bytes", bytes);
    }
    device->next_write = (device->next_write + 1) % DLM_OCL_MAX_WRITES;
    device->is_busy = true;
    return DLM_OK;
}

enum dlm_status dlm_ocl_wait(struct dlm_device *base)
{
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)base;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; i < device->num_in_flight; i++) { /* a finished queue hides failed kernels */
        if (!st)
            st = dlm_ocl_wait_event(device, device->in_flight[i]);
        clReleaseEvent(device->in_flight[i]);
    }
    device->num_in_flight = 0;
    for (size_t i = 0; i < DLM_OCL_MAX_WRITES; i++) {
        enum dlm_status written = end_write(device, &device->writes[i]);
        st = st ? st : written;
    }
    device->is_busy = false; /* the events have counted */
    cl_int rc = clFinish(device->queue);
    if (rc != CL_SUCCESS && !st)
        st = dlm_ocl_fail(device, rc, "cannot finish the queue");
    return st;
}
