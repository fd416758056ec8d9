/* Tiles of products that were measured on a device (`dlm bench --tune`), kept beside the compiled
 * kernels for later runs. */
#ifndef DLM_DOCTOR_TILES_H
#define DLM_DOCTOR_TILES_H

#include "backend/backend.h"
#include "base/json.h"

/* The choices as an array of objects, owned by the caller; NULL: no memory. */
json_t *dlm_tiles_to_json(const uint8_t tuned[DLM_NUM_TUNED]);
/* False: `rows` is no such array, and tuned is all zero. */
bool dlm_tiles_from_json(const json_t *rows, uint8_t tuned[DLM_NUM_TUNED]);

/* The device's file in cache_dir, owned by the caller; NULL: no memory. */
char *dlm_tiles_path(struct dlm_ctx *ctx, const struct dlm_device *device, const char *cache_dir);

/* Not of the CPU, whose products have one way. */
bool dlm_tiles_are_for(const struct dlm_device *device);

/* Takes up what was measured on this device with this driver by this version. Anything else than
 * such a file, or none, is a warning, and the device keeps the table's rows. */
enum dlm_status dlm_tiles_load(struct dlm_ctx *ctx, struct dlm_device *device,
                               const char *cache_dir) DLM_CHECK_RESULT;

/* Keeps the device's choices, whole or not at all. */
enum dlm_status dlm_tiles_save(struct dlm_ctx *ctx, const struct dlm_device *device,
                               const char *path) DLM_CHECK_RESULT;

#endif
