/* OpenCL programs and kernels. A program is built when its first kernel is asked for; rows of the
 * kernel table with the same source and options share it. */
#include <assert.h>
#include <string.h>

#include "backend/opencl/opencl.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* No fast-math option: they break NaN guards, masks and agreement with the CPU. */
#define BUILD_OPTIONS "-cl-std=CL1.2"

/* Of a build log: what goes into the message, and what the whole of it may take. */
#define LOG_HEAD_LINES 6
#define LOG_HEAD_BYTES 600
#define MAX_LOG_BYTES (1u << 20)

static size_t num_rows(void)
{
    size_t num = 0;

    while (dlm_ocl_kernels[num].name)
        num++;
    return num;
}

static const struct dlm_ocl_kernel *find_row(const char *name)
{
    for (const struct dlm_ocl_kernel *row = dlm_ocl_kernels; row->name; row++)
        if (!strcmp(row->name, name))
            return row;
    return NULL;
}

void dlm_ocl_hash_kernels(struct dlm_sha256 *hash)
{
    const char *source = NULL;

    for (const struct dlm_ocl_kernel *row = dlm_ocl_kernels; row->name; row++) {
        dlm_sha256_update(hash, row->name, strlen(row->name) + 1);
        dlm_sha256_update(hash, row->options, strlen(row->options) + 1);
        if (row->source != source) /* rows of a source follow each other */
            dlm_sha256_update(hash, row->source, row->source_len);
        source = row->source;
    }
}

/* True for kernels of matrix units (clkernels/matmul_mma.cl). */
static bool needs_matrix(const struct dlm_ocl_kernel *row)
{
    return strstr(row->options, "-DDLM_MATRIX") != NULL;
}

bool dlm_ocl_has_kernel(const struct dlm_device *base, const char *kernel)
{
    const struct dlm_ocl_device *device = (const struct dlm_ocl_device *)base;
    const struct dlm_ocl_kernel *row = find_row(kernel);

#ifdef DLM_HAVE_CLBLAST
    if (!strcmp(kernel, DLM_OCL_GEMM_KERNEL))
        return true;
#endif
    return row && (!needs_matrix(row) || *device->matrix_options);
}

/* Cuts a build log after its first lines. */
static void cut_log(char *log)
{
    char *at = log;

    for (int line = 0; line < LOG_HEAD_LINES && at; line++)
        at = strchr(line ? at + 1 : at, '\n');
    if (at)
        *at = '\0';
    if (strlen(log) > LOG_HEAD_BYTES)
        log[LOG_HEAD_BYTES] = '\0';
    for (size_t len = strlen(log); len && strchr(" \r\n", log[len - 1]); len--)
        log[len - 1] = '\0';
}

static enum dlm_status fail_build(struct dlm_ocl_device *device, cl_program program,
                                  const struct dlm_ocl_kernel *row, cl_int code)
{
    struct dlm_ctx *ctx = device->base.ctx;
    char *log = NULL;
    size_t bytes = 0;

    if (clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) ==
            CL_SUCCESS &&
        bytes && bytes <= MAX_LOG_BYTES && (log = dlm_alloc(ctx, bytes + 1)) &&
        clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, bytes, log, NULL) !=
            CL_SUCCESS)
        log[0] = '\0';
    if (log) {
        dlm_log(ctx, DLM_LOG_DEBUG, "build log of kernel '%s' (%s %s):\n%s", row->name,
                BUILD_OPTIONS, row->options, log);
        cut_log(log);
    }
    enum dlm_status st =
        dlm_fail(ctx, DLM_ERR_DEVICE, "cannot compile kernel '%s' for device '%s': %s (%d)\n%s",
                 row->name, device->base.caps.info.name, dlm_ocl_error_name(code), (int)code,
                 log ? log : "(no build log)");
    dlm_free(log);
    return st;
}

static enum dlm_status build_from_source(struct dlm_ocl_device *device,
                                         const struct dlm_ocl_kernel *row, const char *options,
                                         cl_program *out)
{
    const double begin = dlm_now();
    cl_int rc;

    const char *source = row->source;
    cl_program program =
        clCreateProgramWithSource(device->context, 1, &source, &row->source_len, &rc);
    if (!program)
        return dlm_ocl_fail(device, rc, "cannot make the program of kernel '%s'", row->name);
    rc = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
    if (rc != CL_SUCCESS) {
        enum dlm_status st = fail_build(device, program, row, rc);
        clReleaseProgram(program);
        return st;
    }
    dlm_log(device->base.ctx, DLM_LOG_DEBUG, "compiled kernel '%s' in %.3f s", row->name,
            dlm_now() - begin);
    *out = program;
    return DLM_OK;
}

static enum dlm_status build(struct dlm_ocl_device *device, const struct dlm_ocl_kernel *row,
                             cl_program *out)
{
    enum dlm_status st = DLM_OK;

    char *options = dlm_strf(device->base.ctx, "%s -DDLM_WIDTH=%u %s%s", BUILD_OPTIONS,
                             (unsigned)device->vector_width, row->options,
                             needs_matrix(row) ? device->matrix_options : "");
    if (!options)
        return DLM_ERR_MEMORY;
    *out = dlm_ocl_cache_load(device, row, options);
    if (!*out) {
        st = build_from_source(device, row, options, out);
        if (!st)
            dlm_ocl_cache_save(device, row, options, *out);
    }
    dlm_free(options);
    return st;
}

/* The program of a row; kept in the slot of the first row with the same source and options. */
static enum dlm_status get_program(struct dlm_ocl_device *device, const struct dlm_ocl_kernel *row,
                                   cl_program *program)
{
    enum dlm_status st = DLM_OK;
    size_t slot = 0;

    if (!device->programs) {
        device->programs =
            dlm_alloc_array(device->base.ctx, num_rows(), sizeof(*device->programs));
        if (!device->programs)
            return DLM_ERR_MEMORY;
    }
    while (dlm_ocl_kernels[slot].source != row->source ||
           strcmp(dlm_ocl_kernels[slot].options, row->options))
        slot++;
    if (!device->programs[slot])
        st = build(device, row, &device->programs[slot]);
    *program = device->programs[slot];
    return st;
}

void dlm_ocl_programs_finish(struct dlm_ocl_device *device)
{
    for (size_t i = 0; device->programs && dlm_ocl_kernels[i].name; i++)
        if (device->programs[i])
            clReleaseProgram(device->programs[i]);
    dlm_free(device->programs);
    device->programs = NULL;
}

/* The work-group size that the kernel was compiled for, checked against the device's largest.
 * CL_KERNEL_WORK_GROUP_SIZE is not asked: rusticl 22.3 answers 32 for kernels that require 64. */
static enum dlm_status get_local_size(struct dlm_ocl_device *device, const char *name,
                                      cl_kernel kernel, size_t local[3])
{
    size_t max = 0;

    cl_int rc = clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
                                         3 * sizeof(local[0]), local, NULL);
    if (rc == CL_SUCCESS)
        rc = clGetDeviceInfo(device->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(max), &max, NULL);
    if (rc != CL_SUCCESS)
        return dlm_ocl_fail(device, rc, "cannot ask for the work-group size of kernel '%s'", name);
    if (!local[0])
        return dlm_fail(device->base.ctx, DLM_ERR_DEVICE,
                        "kernel '%s' does not declare its work-group size", name);
    if (local[0] * local[1] * local[2] > max)
        return dlm_fail(device->base.ctx, DLM_ERR_DEVICE,
                        "device '%s' cannot run kernel '%s': its groups have %zu work-items, of "
                        "at most %zu",
                        device->base.caps.info.name, name, local[0] * local[1] * local[2], max);
    return DLM_OK;
}

enum dlm_status dlm_ocl_kernel_create(struct dlm_ocl_device *device, const char **name,
                                      cl_kernel *kernel, size_t local[3])
{
    const struct dlm_ocl_kernel *row = find_row(*name);
    cl_program program;
    cl_int rc;

    *kernel = NULL;
    assert(row); /* dlm_recording_create() asked dlm_ocl_has_kernel() */
    enum dlm_status st = get_program(device, row, &program);
    if (st)
        return st;
    *kernel = clCreateKernel(program, row->entry, &rc);
    if (!*kernel)
        return dlm_ocl_fail(device, rc, "cannot make kernel '%s' (function '%s')", row->name,
                            row->entry);
    *name = row->name;
    st = get_local_size(device, row->name, *kernel, local);
    if (st) {
        clReleaseKernel(*kernel);
        *kernel = NULL;
    }
    return st;
}
