/* Finds the format of an encoded image by its first bytes and runs its decoder; the pixels are the
 * decoders' business (decode_png.c and its neighbours), turning is orientation.c's. */
#include "images/decoders.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "images/orientation.h"

/* No image within the pixel limit needs a larger file. */
#define MAX_FILE_BYTES ((size_t)1 << 31)

typedef enum dlm_status (*decode_fn)(struct dlm_ctx *ctx, struct dlm_image *image,
                                     int *orientation, const struct dlm_image_source *source);

/* What a build without the library does with a format. */
#ifdef DLM_HAVE_GIFLIB
#define DECODE_GIF dlm_image_decode_gif
#else
#define DECODE_GIF NULL
#endif
#ifdef DLM_HAVE_LIBTIFF
#define DECODE_TIFF dlm_image_decode_tiff
#else
#define DECODE_TIFF NULL
#endif

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
    {"GIF", DECODE_GIF, 0, "GIF87a", 6},
    {"GIF", DECODE_GIF, 0, "GIF89a", 6},
    {"TIFF", DECODE_TIFF, 0, "II*\0", 4},
    {"TIFF", DECODE_TIFF, 0, "MM\0*", 4},
    {"TIFF", DECODE_TIFF, 0, "II+\0", 4},
    {"TIFF", DECODE_TIFF, 0, "MM\0+", 4},
    {"AVIF", NULL, 4, "ftypavif", 8},
    {"AVIF", NULL, 4, "ftypavis", 8},
    {"HEIC", NULL, 4, "ftyphe", 6}, /* heic, heix, heim, heis, hevc, hevx */
    {"HEIC", NULL, 4, "ftypmif1", 8},
    {"HEIC", NULL, 4, "ftypmsf1", 8},
    {"MP4", NULL, 4, "ftyp", 4},
    {"JPEG XL", NULL, 0, "\xff\x0a", 2},
    {"JPEG XL", NULL, 0, "\0\0\0\x0cJXL ", 8},
    {"JPEG 2000", NULL, 0, "\0\0\0\x0cjP  ", 8},
    {"JPEG 2000", NULL, 0, "\xff\x4f\xff\x51", 4},
    {"PSD", NULL, 0, "8BPS", 4},
    {"XCF", NULL, 0, "gimp xcf", 8},
    {"ICO", NULL, 0, "\0\0\1\0", 4},
    {"TGA", NULL, 0, "\0\0\2\0\0\0\0\0", 8}, /* a CUR counts its images there */
    {"TGA", NULL, 0, "\0\0\x0a\0\0\0\0\0", 8},
    {"CUR", NULL, 0, "\0\0\2\0", 4},
    {"ICNS", NULL, 0, "icns", 4},
    {"OpenEXR", NULL, 0, "\x76\x2f\x31\x01", 4},
    {"Radiance HDR", NULL, 0, "#?RADIANCE", 10},
    {"DDS", NULL, 0, "DDS ", 4},
    {"QOI", NULL, 0, "qoif", 4},
    {"PDF", NULL, 0, "%PDF-", 5},
    {"PostScript", NULL, 0, "%!PS", 4},
    {"ZIP", NULL, 0, "PK\3\4", 4},
    {"PBM", NULL, 0, "P4\n", 3},
    {"PGM", NULL, 0, "P5\n", 3},
    {"PPM", NULL, 0, "P6\n", 3},
    {"BMP", dlm_image_decode_bmp, 0, "BM", 2}, /* after all that say more of themselves */
};

/* Formats that are text: the word is looked for in the first bytes, behind any declaration. */
static const struct {
    const char *name, *word;
} text_formats[] = {
    {"SVG", "<svg"},
    {"HTML", "<html"},
    {"HTML", "<!doctype html"},
};

/* Bytes of a text format in which its word must stand. */
#define TEXT_HEAD_BYTES 1024

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
                        "cannot read '%s'%s: %" PRId64 " x %" PRId64
                        " pixels, the limit is %" PRId64 " in all",
                        source->name, dlm_image_line(source->line).text, width, height, max);
    /* Both fit int and the product fits size_t: they are at most max, far below 2^31. */
    image->width = (int)width;
    image->height = (int)height;
    if (source->size_only)
        return DLM_OK;
    image->rgb = dlm_alloc_array(ctx, (size_t)width * (size_t)height, 3);
    return image->rgb ? DLM_OK : DLM_ERR_MEMORY;
}

struct dlm_image_line dlm_image_line(int64_t line)
{
    struct dlm_image_line out = {""};

    if (line > 0)
        snprintf(out.text, sizeof(out.text), " (line %" PRId64 ")", line);
    return out;
}

enum dlm_status dlm_image_damaged(struct dlm_ctx *ctx, const struct dlm_image_source *source,
                                  const char *reason)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s'%s: %s", source->name,
                    dlm_image_line(source->line).text, reason);
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

static const char *find_text_format(const struct dlm_image_source *source)
{
    char head[TEXT_HEAD_BYTES + 1] = "";

    memcpy(head, source->data,
           source->bytes < TEXT_HEAD_BYTES ? source->bytes : TEXT_HEAD_BYTES);
    if (head[strspn(head, "\xef\xbb\xbf \t\r\n")] != '<')
        return NULL;
    for (size_t i = 0; i < DLM_ARRAY_LEN(text_formats); i++)
        if (strcasestr(head, text_formats[i].word))
            return text_formats[i].name;
    return NULL;
}

static enum dlm_status refuse(struct dlm_ctx *ctx, const struct dlm_image_source *source,
                              const char *format)
{
    const struct dlm_image_line line = dlm_image_line(source->line);
    enum dlm_status st =
        format ? dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot read '%s'%s: %s files are not read%s",
                          source->name, line.text, format,
                          !strcmp(format, "GIF") || !strcmp(format, "TIFF") ? " by this build" : "")
               : dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s'%s: not an image", source->name,
                          line.text);
    dlm_log(ctx, DLM_LOG_HINT, "convert the image to PNG, JPEG or WebP");
    return st;
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
    if (!format || !format->decode)
        return refuse(ctx, source, format ? format->name : find_text_format(source));
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
    enum dlm_status st = dlm_image_load_as(ctx, out, path, (struct dlm_image_name){path, 0});

    if (!st && out->is_saturated) {
        dlm_log(ctx, DLM_LOG_WARNING, "'%s': grey levels of 16 bits above 255 are read as white",
                path);
        dlm_log(ctx, DLM_LOG_HINT, "save the image with 8 bits a sample");
    }
    return st;
}

static enum dlm_status load(struct dlm_ctx *ctx, struct dlm_image *out, const char *path,
                            struct dlm_image_name name, bool size_only)
{
    struct dlm_str file = {0};

    *out = (struct dlm_image){0};
    enum dlm_status st = dlm_file_read(ctx, path, MAX_FILE_BYTES, &file);
    const struct dlm_image_source source = {
        .data = dlm_str_text(&file), .bytes = file.len, .name = name.file, .line = name.line,
        .size_only = size_only};
    if (!st)
        st = dlm_image_decode(ctx, out, &source);
    dlm_str_finish(&file);
    return st;
}

enum dlm_status dlm_image_load_as(struct dlm_ctx *ctx, struct dlm_image *out, const char *path,
                                  struct dlm_image_name name)
{
    return load(ctx, out, path, name, false);
}

enum dlm_status dlm_image_read_size(struct dlm_ctx *ctx, const char *path,
                                    struct dlm_image_name name, int *width, int *height)
{
    struct dlm_image image;

    enum dlm_status st = load(ctx, &image, path, name, true);
    *width = image.width;
    *height = image.height;
    return st;
}
