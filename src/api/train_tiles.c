/* Tiles of products in the state of a run: which parts a long sum is made of follows from them, so
 * that a run goes on with those that it began with, whatever was measured meanwhile. */
#include <string.h>

#include "api/train_impl.h"
#include "base/log.h"
#include "doctor/tiles.h"
#include "ops/matmul_tiles.h"

json_t *dlm_train_tiles_json(const struct dlm_train_call *t)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(t->s->device);
    char hex[65];

    dlm_matmul_tiles_hash(caps, hex);
    return json_pack("{s:s, s:o}", "sha256", hex, "rows", dlm_tiles_to_json(caps->tuned));
}

enum dlm_status dlm_train_take_tiles(struct dlm_train_call *t, const json_t *state)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(t->s->device);
    const char *backend = json_string_value(json_object_get(state, "backend"));
    const json_t *tiles = json_object_get(state, "tiles");
    const char *then = json_string_value(json_object_get(tiles, "sha256"));
    uint8_t tuned[DLM_NUM_TUNED];
    char now[65];

    if (!tiles) /* an older dlm began it, which knew the table alone */
        return DLM_OK;
    if (!then || !dlm_tiles_from_json(json_object_get(tiles, "rows"), tuned))
        return dlm_fail(t->ctx, DLM_ERR_PARSE, "cannot resume: '%s/state.json' is damaged",
                        dlm_run_dir(t->run));
    dlm_matmul_tiles_hash(caps, now);
    if (!strcmp(then, now) || !backend || strcmp(backend, dlm_backend_name(caps->info.kind)))
        return DLM_OK; /* of another backend it has been said */
    memcpy(t->own_tiles, caps->tuned, sizeof(t->own_tiles));
    t->has_own_tiles = true;
    dlm_device_tune(t->s->device, tuned);
    dlm_matmul_tiles_hash(caps, now);
    if (!strcmp(then, now))
        dlm_log(t->ctx, DLM_LOG_INFO, "the run goes on with the tiles that it began with; those "
                "that the device has now are for later runs");
    else
        dlm_log(t->ctx, DLM_LOG_WARNING, "the run began on a device with other units, with another "
                "CLBlast or before another table of tiles: its bits will not be those of an "
                "unbroken run");
    return DLM_OK;
}

void dlm_train_return_tiles(struct dlm_train_call *t)
{
    if (t->has_own_tiles)
        dlm_device_tune(t->s->device, t->own_tiles);
}
