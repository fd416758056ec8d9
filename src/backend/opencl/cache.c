/* Compiled programs on disk: one file a program, named by the hash of all that it depends on. A
 * file is the hash of the driver's binary in hex, a newline, and the binary; damaged or stale files
 * are compiled anew and replaced. Nothing here is an error. */
#include <string.h>

#include "backend/opencl/opencl.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"

#define FORMAT_TEXT "dlm opencl program 1\n"
#define HASH_LEN 64
#define HEADER_BYTES (HASH_LEN + 1)
#define MAX_BINARY_BYTES ((size_t)256 << 20)

/* Path of the file, owned by the caller; NULL when out of memory. */
static char *file_path(struct dlm_ocl_device *device, const struct dlm_ocl_kernel *row,
                       const char *options)
{
    struct dlm_sha256 hash;
    uint8_t digest[32];
    char hex[HASH_LEN + 1];

    dlm_sha256_init(&hash);
    dlm_sha256_update(&hash, FORMAT_TEXT, sizeof(FORMAT_TEXT)); /* each text with its NUL */
    dlm_sha256_update(&hash, device->driver_key, strlen(device->driver_key) + 1);
    dlm_sha256_update(&hash, options, strlen(options) + 1);
    dlm_sha256_update(&hash, row->source, row->source_len);
    dlm_sha256_finish(&hash, digest);
    dlm_sha256_hex(digest, hex);
    return dlm_strf(device->base.ctx, "%s/%s.clbin", device->cache_dir, hex);
}

/* True when every kernel that the rows name in this program is there: a driver may accept a binary
 * that it cannot use. */
static bool has_entries(const struct dlm_ocl_kernel *row, cl_program program)
{
    for (const struct dlm_ocl_kernel *other = dlm_ocl_kernels; other->name; other++) {
        if (other->source != row->source || strcmp(other->options, row->options))
            continue;
        cl_kernel kernel = clCreateKernel(program, other->entry, NULL);
        if (!kernel)
            return false;
        clReleaseKernel(kernel);
    }
    return true;
}

static cl_program build_from_binary(struct dlm_ocl_device *device, const struct dlm_ocl_kernel *row,
                                    const char *options, const uint8_t *binary, size_t bytes)
{
    cl_int status = CL_SUCCESS, rc;

    cl_program program = clCreateProgramWithBinary(device->context, 1, &device->id, &bytes, &binary,
                                                   &status, &rc);
    if (!program)
        return NULL;
    if (rc == CL_SUCCESS && status == CL_SUCCESS &&
        clBuildProgram(program, 1, &device->id, options, NULL, NULL) == CL_SUCCESS &&
        has_entries(row, program))
        return program;
    clReleaseProgram(program);
    return NULL;
}

cl_program dlm_ocl_cache_load(struct dlm_ocl_device *device, const struct dlm_ocl_kernel *row,
                              const char *options)
{
    struct dlm_map map = {0};
    char hex[HASH_LEN + 1];
    cl_program program = NULL;

    if (!device->cache_dir)
        return NULL;
    char *path = file_path(device, row, options);
    if (!path || !dlm_path_is_file(path) || dlm_map_open(NULL, &map, path))
        goto done;
    if (map.bytes > HEADER_BYTES) {
        dlm_sha256_of(map.data + HEADER_BYTES, map.bytes - HEADER_BYTES, hex);
        if (!memcmp(map.data, hex, HASH_LEN))
            program = build_from_binary(device, row, options, map.data + HEADER_BYTES,
                                        map.bytes - HEADER_BYTES);
    }
    if (!program)
        dlm_log(device->base.ctx, DLM_LOG_DEBUG, "cached kernel '%s' is of no use: '%s'", row->name,
                path);
done:
    dlm_map_close(&map);
    dlm_free(path);
    return program;
}

void dlm_ocl_cache_save(struct dlm_ocl_device *device, const struct dlm_ocl_kernel *row,
                        const char *options, cl_program program)
{
    size_t bytes = 0;
    uint8_t *file = NULL;
    char hex[HASH_LEN + 1];
    bool is_saved = false;

    if (!device->cache_dir)
        return;
    char *path = file_path(device, row, options);
    cl_int rc = clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(bytes), &bytes, NULL);
    if (!path || rc != CL_SUCCESS || !bytes || bytes > MAX_BINARY_BYTES)
        goto done;
    file = dlm_alloc(NULL, HEADER_BYTES + bytes);
    if (!file)
        goto done;
    uint8_t *binary = file + HEADER_BYTES;
    rc = clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL);
    if (rc != CL_SUCCESS)
        goto done;
    dlm_sha256_of(binary, bytes, hex);
    memcpy(file, hex, HASH_LEN);
    file[HASH_LEN] = '\n';
    /* No context: a folder that cannot be written is not the caller's last error. */
    is_saved = !dlm_dir_make(NULL, device->cache_dir) &&
               !dlm_file_replace(NULL, path, file, HEADER_BYTES + bytes);
done:
    if (!is_saved)
        dlm_log(device->base.ctx, DLM_LOG_DEBUG, "cannot keep compiled kernel '%s' in '%s'",
                row->name, device->cache_dir);
    dlm_free(file);
    dlm_free(path);
}
