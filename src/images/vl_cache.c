/* Pixel cache: names, and entries in the format of the Python dlm (an uncompressed .npz with one
 * float32 array `pixel_values`). */
#include "images/vl_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "images/npz.h"

#define ARRAY_NAME "pixel_values"
#define SHA_HEX_LEN 64
#define PROCESSOR_DIGITS 12

/* Appends a finite number as Python's repr() writes it: the shortest digits that read back as the
 * same double, with an exponent below 1e-4 and from 1e16 on. */
static enum dlm_status append_number(struct dlm_ctx *ctx, struct dlm_str *s, double value)
{
    char digits[40];
    int precision = 0;

    do
        snprintf(digits, sizeof(digits), "%.*e", precision, value);
    while (precision++ < 17 && strtod(digits, NULL) != value);
    const int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16)
        return dlm_str_appendz(ctx, s, digits);
    const int decimals = precision - 1 - exponent;
    return dlm_str_appendf(ctx, s, "%.*f", decimals < 1 ? 1 : decimals, value);
}

static enum dlm_status append_channels(struct dlm_ctx *ctx, struct dlm_str *s, const char *key,
                                       const double channels[3])
{
    enum dlm_status st = dlm_str_appendf(ctx, s, "\"%s\": [", key);

    for (int i = 0; !st && i < 3; i++) {
        st = append_number(ctx, s, channels[i]);
        if (!st)
            st = dlm_str_appendz(ctx, s, i < 2 ? ", " : "], ");
    }
    return st;
}

static const char *json_bool_text(bool value)
{
    return value ? "true" : "false";
}

static enum dlm_status append_size(struct dlm_ctx *ctx, struct dlm_str *s,
                                   const struct dlm_processor *p)
{
    if (p->size_rule == DLM_SIZE_AREA)
        return dlm_str_appendf(ctx, s, "{\"longest_edge\": %lld, \"shortest_edge\": %lld}",
                               (long long)p->max_pixels, (long long)p->min_pixels);
    return dlm_str_appendf(ctx, s, "{\"height\": %d, \"width\": %d}", p->height, p->width);
}

/* What Python's json.dumps(settings, sort_keys=True) gives. do_convert_rgb, which the Python dlm
 * leaves out, stands there only when true: PaliGemma's own processor keeps its name. */
static enum dlm_status append_settings(struct dlm_ctx *ctx, struct dlm_str *s,
                                       const struct dlm_processor *p)
{
    enum dlm_status st = dlm_str_appendf(
        ctx, s, "{\"class\": \"%s\", %s\"do_normalize\": %s, \"do_rescale\": %s, ", p->class_name,
        p->do_convert_rgb ? "\"do_convert_rgb\": true, " : "", json_bool_text(p->do_normalize),
        json_bool_text(p->do_rescale));

    if (!st)
        st = append_channels(ctx, s, "image_mean", p->mean);
    if (!st)
        st = p->pinned ? dlm_str_appendf(ctx, s, "\"image_size\": %d, ", p->pinned)
                       : dlm_str_appendz(ctx, s, "\"image_size\": null, ");
    if (!st)
        st = append_channels(ctx, s, "image_std", p->std);
    if (!st)
        st = dlm_str_appendf(ctx, s, "\"resample\": %d, \"rescale_factor\": ", (int)p->resample);
    if (!st)
        st = append_number(ctx, s, p->rescale_factor);
    if (!st)
        st = dlm_str_appendz(ctx, s, ", \"size\": ");
    if (!st)
        st = append_size(ctx, s, p);
    return st ? st : dlm_str_appendz(ctx, s, "}");
}

enum dlm_status dlm_processor_sha256(struct dlm_ctx *ctx, const struct dlm_processor *processor,
                                     char hex[65])
{
    struct dlm_str settings = {0};

    enum dlm_status st = append_settings(ctx, &settings, processor);
    if (!st)
        dlm_sha256_of(settings.data, settings.len, hex);
    dlm_str_finish(&settings);
    return st;
}

char *dlm_vl_cache_path(struct dlm_ctx *ctx, const char *root, const char *blob_sha,
                        const struct dlm_processor *processor, const struct dlm_pixel_shape *shape)
{
    char sha[65], num[16] = "";

    if (strlen(blob_sha) != SHA_HEX_LEN || strspn(blob_sha, "0123456789abcdef") != SHA_HEX_LEN) {
        (void)dlm_fail(ctx, DLM_ERR_INVALID, "'%s' is not a SHA-256", blob_sha);
        return NULL;
    }
    if (dlm_processor_sha256(ctx, processor, sha))
        return NULL;
    if (shape->num > 1)
        snprintf(num, sizeof(num), "%dx", shape->num);
    return dlm_strf(ctx, "%s/vl-cache/%.2s/%s.%.*s.%s%dx%d.npz", root, blob_sha, blob_sha,
                    PROCESSOR_DIGITS, sha, num, shape->height, shape->width);
}

/* [num, 3, H, W] as processors return it; one picture may be [3, H, W]. */
static bool has_shape(const struct dlm_npz_view *view, const struct dlm_pixel_shape *want)
{
    const int skip = view->num_dims == 4 && view->shape[0] == want->num;
    const int64_t *shape = view->shape + skip;

    return view->num_dims == 3 + skip && (skip || want->num == 1) && shape[0] == 3 &&
           shape[1] == want->height && shape[2] == want->width;
}

bool dlm_vl_cache_get(struct dlm_ctx *ctx, const char *path, const struct dlm_pixel_shape *shape,
                      float *pixel_values)
{
    struct dlm_map map = {0};
    struct dlm_npz_view view;
    bool hit = false;

    if (!dlm_path_is_file(path) || dlm_map_open(ctx, &map, path))
        return false;
    const char *reason = dlm_npz_find_f32(map.data, map.bytes, ARRAY_NAME, &view);
    if (!reason && !has_shape(&view, shape))
        reason = "another shape";
    if (reason) {
        dlm_log(ctx, DLM_LOG_DEBUG, "cache entry '%s' is not used: %s", path, reason);
    } else {
        memcpy(pixel_values, view.data, view.bytes);
        hit = true;
    }
    dlm_map_close(&map);
    return hit;
}

enum dlm_status dlm_vl_cache_put(struct dlm_ctx *ctx, const char *path,
                                 const struct dlm_pixel_shape *shape, const float *pixel_values)
{
    char *folder = dlm_path_dirname(ctx, path);
    /* The writer only borrows the data: the cast drops const, nothing writes through it. */
    const struct dlm_npz_array array = {
        .num_dims = 4,
        .shape = {shape->num, 3, shape->height, shape->width},
        .data = (float *)pixel_values,
    };

    enum dlm_status st = folder ? dlm_dir_make(ctx, folder) : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_npz_write_f32(ctx, path, ARRAY_NAME, &array);
    dlm_free(folder);
    return st;
}
