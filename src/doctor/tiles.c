/* The file of tuned tiles: JSON with the device, driver and version that it is of, the rows, and a
 * hash of all that, which a damaged file fails. What is measured is tune.c's business. */
#include "doctor/tiles.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "dlm/api.h"
#include "ops/matmul_tiles.h"

#define MAX_FILE_BYTES (1 << 20)

json_t *dlm_tiles_to_json(const uint8_t tuned[DLM_NUM_TUNED])
{
    json_t *rows = json_array();
    char shape[DLM_MATMUL_SHAPE_NAME_BYTES];

    for (uint32_t i = 0; rows && i < DLM_NUM_TUNED; i++) {
        const struct dlm_matmul_tuned t = dlm_matmul_unpack_tuned(tuned[i]);
        if (!t.tile)
            continue;
        dlm_matmul_shape_name(i, shape);
        json_t *row = json_pack("{s:s, s:s, s:i}", "shapes", shape, "tile",
                                dlm_matmul_tile_name(t.tile), "groups_per_unit", (int)t.per_unit);
        if (!row || json_array_append_new(rows, row)) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

/* False: no class of shapes has that name. */
static bool find_shape(const char *name, uint32_t *shape)
{
    char known[DLM_MATMUL_SHAPE_NAME_BYTES];

    for (*shape = 0; *shape < DLM_NUM_TUNED; ++*shape) {
        dlm_matmul_shape_name(*shape, known);
        if (!strcmp(name, known))
            return true;
    }
    return false;
}

static bool read_row(const json_t *row, uint8_t tuned[DLM_NUM_TUNED])
{
    const char *shape = json_string_value(json_object_get(row, "shapes"));
    const char *tile = json_string_value(json_object_get(row, "tile"));
    const json_int_t per_unit = json_integer_value(json_object_get(row, "groups_per_unit"));
    uint32_t at;

    if (!shape || !tile || !find_shape(shape, &at) || per_unit < 0 || per_unit > UINT32_MAX)
        return false;
    for (uint32_t t = DLM_MATMUL_TILE_OPEN + 1; t < DLM_MATMUL_TILE_COUNT; t++) {
        const struct dlm_matmul_tuned choice = {(enum dlm_matmul_tile)t, (uint32_t)per_unit};
        if (!strcmp(tile, dlm_matmul_tile_name(choice.tile)))
            return dlm_matmul_pack_tuned(&choice, &tuned[at]);
    }
    return false;
}

bool dlm_tiles_from_json(const json_t *rows, uint8_t tuned[DLM_NUM_TUNED])
{
    bool is_good = json_is_array(rows);

    memset(tuned, 0, DLM_NUM_TUNED);
    for (size_t i = 0; is_good && i < json_array_size(rows); i++)
        is_good = read_row(json_array_get(rows, i), tuned);
    if (!is_good)
        memset(tuned, 0, DLM_NUM_TUNED);
    return is_good;
}

char *dlm_tiles_path(struct dlm_ctx *ctx, const struct dlm_device *device, const char *cache_dir)
{
    const struct dlm_device_info *info = &dlm_device_get_caps(device)->info;
    char hex[65], *path = NULL;

    char *key = dlm_strf(ctx, "%s\n%s", dlm_backend_name(info->kind), info->name);
    if (key) {
        dlm_sha256_of(key, strlen(key), hex);
        path = dlm_strf(ctx, "%s/%s-%.16s.tiles.json", cache_dir, dlm_backend_name(info->kind),
                        hex);
    }
    dlm_free(key);
    return path;
}

static const char *text_of(const json_t *file, const char *key)
{
    const char *text = json_string_value(json_object_get(file, key));

    return text ? text : "";
}

/* The hash of all but itself; false: no memory. */
static bool hash_file(const json_t *file, char hex[65])
{
    json_t *rest = json_copy((json_t *)file); /* its members are shared */
    char *text = NULL;

    if (rest) {
        (void)json_object_del(rest, "sha256"); /* it need not be there */
        text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    }
    if (text)
        dlm_sha256_of(text, strlen(text), hex);
    free(text);
    json_decref(rest);
    return text != NULL;
}

/* What is wrong with the file for this device; NULL: nothing. */
static const char *find_fault(const json_t *file, const struct dlm_device_info *info,
                              const char *hex)
{
    if (strcmp(text_of(file, "sha256"), hex))
        return "is damaged";
    if (strcmp(text_of(file, "backend"), dlm_backend_name(info->kind)) ||
        strcmp(text_of(file, "device"), info->name))
        return "is of another device";
    if (strcmp(text_of(file, "driver"), info->driver))
        return "is of another driver";
    if (strcmp(text_of(file, "version"), dlm_version_text()))
        return "is of another version of dlm";
    return NULL;
}

bool dlm_tiles_are_for(const struct dlm_device *device)
{
    return !(dlm_device_get_caps(device)->bits & DLM_CAP_BLOCK_ITEMS);
}

enum dlm_status dlm_tiles_load(struct dlm_ctx *ctx, struct dlm_device *device,
                               const char *cache_dir)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);
    uint8_t tuned[DLM_NUM_TUNED];
    const char *fault = "is damaged";
    json_t *file = NULL;
    char hex[65];

    char *path = dlm_tiles_path(ctx, device, cache_dir);
    if (!path)
        return DLM_ERR_MEMORY;
    if (!dlm_tiles_are_for(device) || (!dlm_path_is_file(path) && !dlm_path_is_dir(path)))
        goto done;
    if (!dlm_json_load(NULL, path, MAX_FILE_BYTES, &file) && hash_file(file, hex)) {
        fault = find_fault(file, &caps->info, hex);
        if (!fault && !dlm_tiles_from_json(json_object_get(file, "rows"), tuned))
            fault = "is damaged";
    }
    if (fault) {
        dlm_log(ctx, DLM_LOG_WARNING, "tiles measured on the device are not used: '%s' %s", path,
                fault);
        dlm_log(ctx, DLM_LOG_HINT, "'dlm bench --tune --backend %s --device %d' measures them "
                "anew", dlm_backend_name(caps->info.kind), caps->info.index);
    } else {
        dlm_device_tune(device, tuned);
        dlm_log(ctx, DLM_LOG_DEBUG, "tiles of '%s'", path);
    }
done:
    json_decref(file);
    dlm_free(path);
    return DLM_OK;
}

enum dlm_status dlm_tiles_save(struct dlm_ctx *ctx, const struct dlm_device *device,
                               const char *path)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);
    char hex[65];
    char *dir = dlm_path_dirname(ctx, path);
    enum dlm_status st = dir ? DLM_OK : DLM_ERR_MEMORY;
    json_t *file = json_pack("{s:s, s:s, s:s, s:s, s:o}", "backend",
                             dlm_backend_name(caps->info.kind), "device", caps->info.name, "driver",
                             caps->info.driver, "version", dlm_version_text(), "rows",
                             dlm_tiles_to_json(caps->tuned));

    if (!st && (!file || !hash_file(file, hex) ||
                json_object_set_new(file, "sha256", json_string(hex))))
        st = dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory: cannot keep the tiles");
    if (!st)
        st = dlm_dir_make(ctx, dir);
    if (!st)
        st = dlm_json_replace(ctx, path, file);
    json_decref(file);
    dlm_free(dir);
    return st;
}
