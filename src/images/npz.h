/* numpy's .npz files: one uncompressed float32 array written, any number looked through. */
#ifndef DLM_IMAGES_NPZ_H
#define DLM_IMAGES_NPZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"

#define DLM_NPZ_MAX_DIMS 8

/* A float32 array, row-major. */
struct dlm_npz_array {
    int num_dims; /* 0 .. DLM_NPZ_MAX_DIMS */
    int64_t shape[DLM_NPZ_MAX_DIMS];
    float *data;
};

/* An array inside a .npz image in memory. */
struct dlm_npz_view {
    int num_dims;
    int64_t shape[DLM_NPZ_MAX_DIMS];
    const uint8_t *data; /* little-endian float32, not aligned; borrowed from the image */
    size_t bytes;
};

/* Writes `array` (borrowed) as the only entry `name` of `path`, whole or not at all
 * (dlm_file_replace). numpy.load reads it; equal arrays give equal files. DLM_ERR_UNSUPPORTED:
 * 4 GiB or more. */
enum dlm_status dlm_npz_write_f32(struct dlm_ctx *ctx, const char *path, const char *name,
                                  const struct dlm_npz_array *array) DLM_CHECK_RESULT;

/* Reads entry `name` of `path`. out->data is owned by the caller (dlm_npz_array_finish), NULL on
 * failure. DLM_ERR_PARSE: damaged, compressed, no such entry, or not float32. */
enum dlm_status dlm_npz_read_f32(struct dlm_ctx *ctx, const char *path, const char *name,
                                 struct dlm_npz_array *out) DLM_CHECK_RESULT;
void dlm_npz_array_finish(struct dlm_npz_array *array);

/* Finds entry `name` in the .npz image data[0, bytes). Takes no memory and logs nothing. Returns
 * NULL, or why there is no such array (a constant text; *view is then undefined). */
const char *dlm_npz_find_f32(const void *data, size_t bytes, const char *name,
                             struct dlm_npz_view *view) DLM_CHECK_RESULT;

#endif
