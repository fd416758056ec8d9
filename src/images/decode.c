/* Finds the format of an encoded image by its first bytes and runs its decoder; the pixels are the
 * decoders' business (decode_png.c, decode_jpeg.c, decode_webp.c), turning is orientation.c's. */
#include "images/decoders.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "images/orientation.h"

/* No image within the pixel limit needs a larger file. */
#define MAX_FILE_BYTES ((size_t)1 << 31)

typedef enum dlm_status (*decode_fn)(struct dlm_ctx *ctx, struct dlm_image *image,
                                     int *orientation, const struct dlm_image_source *source);

/* A format and the bytes it is known by. No decoder: recognised, but not read. */
struct format {
    const char *name;
    decode_fn decode;
    size_t magic_at;
    const char *magic;
    size_t magic_len;
};

static const struct format formats[] = {
    {"PNG", dlm_image_decode_png, 0, "\x89PNG\r\n\x1a\n", 8},
    {"JPEG", dlm_image_decode_jpeg, 0, "\xff\xd8\xff", 3},
    {"WebP", dlm_image_decode_webp, 8, "WEBPVP8", 7},
    {"GIF", NULL, 0, "GIF8", 4},
    {"BMP", NULL, 0, "BM", 2},
    {"TIFF", NULL, 0, "II*\0", 4},
    {"TIFF", NULL, 0, "MM\0*", 4},
    {"AVIF", NULL, 4, "ftypavif", 8},
    {"HEIC", NULL, 4, "ftypheic", 8},
    {"HEIC", NULL, 4, "ftypmif1", 8},
    {"JPEG XL", NULL, 0, "\xff\x0a", 2},
    {"JPEG 2000", NULL, 0, "\0\0\0\x0cjP  ", 8},
    {"ICO", NULL, 0, "\0\0\1\0", 4},
    {"PDF", NULL, 0, "%PDF-", 5},
    {"SVG", NULL, 0, "<svg", 4},
};

void dlm_image_finish(struct dlm_image *image)
{
    if (!image)
        return;
    dlm_free(image->rgb);
    *image = (struct dlm_image){0};
}

enum dlm_status dlm_image_allocate(struct dlm_ctx *ctx, struct dlm_image *image,
                                   const struct dlm_image_source *source, int64_t width,
                                   int64_t height)
{
    const int64_t max = source->max_pixels ? source->max_pixels : DLM_IMAGE_MAX_PIXELS;

    if (width < 1 || height < 1)
        return dlm_image_damaged(ctx, source, "the image has no pixels");
    if (width > max / height)
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "cannot read '%s': %" PRId64 " x %" PRId64 " pixels, the limit is %" PRId64
                        " in all",
                        source->name, width, height, max);
    /* Both fit int and the product fits size_t: they are at most max, far below 2^31. */
    image->width = (int)width;
    image->height = (int)height;
    image->rgb = dlm_alloc_array(ctx, (size_t)width * (size_t)height, 3);
    return image->rgb ? DLM_OK : DLM_ERR_MEMORY;
}

enum dlm_status dlm_image_damaged(struct dlm_ctx *ctx, const struct dlm_image_source *source,
                                  const char *reason)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': %s", source->name, reason);
}

static const struct format *find_format(const struct dlm_image_source *source)
{
    const uint8_t *data = source->data;

    for (size_t i = 0; i < DLM_ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        if (source->bytes >= f->magic_at + f->magic_len &&
            !memcmp(data + f->magic_at, f->magic, f->magic_len))
            return f;
    }
    return NULL;
}

enum dlm_status dlm_image_decode(struct dlm_ctx *ctx, struct dlm_image *out,
                                 const struct dlm_image_source *source)
{
    struct dlm_image image = {0};
    int orientation = 0;

    *out = image;
    if (!source->bytes)
        return dlm_image_damaged(ctx, source, "the file is empty");
    const struct format *format = find_format(source);
    if (!format || !format->decode) {
        enum dlm_status st =
            format ? dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot read '%s': %s files are not read",
                              source->name, format->name)
                   : dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': not a PNG, JPEG or WebP image",
                              source->name);
        dlm_log(ctx, DLM_LOG_HINT, "convert the image to PNG, JPEG or WebP");
        return st;
    }
    enum dlm_status st = format->decode(ctx, &image, &orientation, source);
    if (!st)
        st = dlm_image_orient(ctx, &image, orientation);
    if (st)
        dlm_image_finish(&image);
    *out = image;
    return st;
}

enum dlm_status dlm_image_load(struct dlm_ctx *ctx, struct dlm_image *out, const char *path)
{
    return dlm_image_load_as(ctx, out, path, path);
}

enum dlm_status dlm_image_load_as(struct dlm_ctx *ctx, struct dlm_image *out, const char *path,
                                  const char *name)
{
    struct dlm_str file = {0};

    *out = (struct dlm_image){0};
    enum dlm_status st = dlm_file_read(ctx, path, MAX_FILE_BYTES, &file);
    if (!st)
        st = dlm_image_decode(ctx, out,
                              &(struct dlm_image_source){
                                  .data = dlm_str_text(&file), .bytes = file.len, .name = name});
    dlm_str_finish(&file);
    return st;
}
