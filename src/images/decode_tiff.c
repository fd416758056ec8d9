/* TIFF to RGB over libtiff: the first page. libtiff unpacks strips and tiles; what a sample means
 * is decided here, the way Pillow decides it. Read are grey, palette, RGB and CMYK of whole bytes
 * (grey and palette also of 1, 2 and 4 bits, grey and colours also of 16), and YCbCr in JPEG. */
#include "images/decoders.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tiffio.h>

#include "base/log.h"
#include "base/mem.h"
#include "images/orientation.h"

/* Most samples of a pixel that Pillow reads. */
#define MAX_SAMPLES 6

struct tiff_reader {
    struct dlm_ctx *ctx;
    const struct dlm_image_source *source;
    struct dlm_image *image;
    TIFF *tiff;
    size_t at; /* libtiff's place in the source */
    uint32_t width, height;
    uint16_t photometric, bits, num_samples, planar, num_extra;
    const uint16_t *extra;   /* what the samples beyond the colours are */
    bool whitest_first;      /* grey: 0 is white */
    bool premultiplied;      /* RGB times alpha */
    uint8_t lut[256][3];     /* RGB of a sample or index of at most 8 bits */
    uint32_t block_width, block_height; /* of a tile, or strip */
    size_t block_bytes;      /* of one plane of a block */
    uint8_t *block;          /* all planes of a block */
    char message[160];
};

static struct tiff_reader *reader_of(thandle_t handle)
{
    return handle;
}

static int on_message(TIFF *tiff, void *user, const char *module, const char *format, va_list args)
{
    struct tiff_reader *r = user;

    (void)tiff;
    (void)module;
    if (!r->message[0])
        vsnprintf(r->message, sizeof(r->message), format, args);
    return 1;
}

static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list args)
{
    (void)tiff;
    (void)user;
    (void)module;
    (void)format;
    (void)args;
    return 1;
}

static tmsize_t on_read(thandle_t handle, void *to, tmsize_t bytes)
{
    struct tiff_reader *r = reader_of(handle);
    const size_t left = r->at < r->source->bytes ? r->source->bytes - r->at : 0;
    const size_t take = bytes < 0 ? 0 : (size_t)bytes < left ? (size_t)bytes : left;

    memcpy(to, (const uint8_t *)r->source->data + (take ? r->at : 0), take);
    r->at += take;
    return (tmsize_t)take; /* at most bytes */
}

static tmsize_t on_write(thandle_t handle, void *from, tmsize_t bytes)
{
    (void)handle;
    (void)from;
    (void)bytes;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct tiff_reader *r = reader_of(handle);
    const size_t from = whence == SEEK_CUR ? r->at : whence == SEEK_END ? r->source->bytes : 0;

    r->at = from + (size_t)offset;
    return r->at;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    return reader_of(handle)->source->bytes;
}

/* libtiff allocates what a file's numbers ask for, so the sizes it may ask for are bounded. */
static bool open_file(struct tiff_reader *r)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();

    if (!options)
        return false;
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_message, r);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, r);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)1 << 30);
    r->tiff = TIFFClientOpenExt(r->source->name, "rm", r, on_read, on_write, on_seek, on_close,
                                on_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return r->tiff;
}

static enum dlm_status damaged(const struct tiff_reader *r)
{
    return dlm_image_damaged(r->ctx, r->source,
                             r->message[0] ? r->message : "the image file is damaged");
}

static enum dlm_status unsupported(const struct tiff_reader *r, const char *what)
{
    return dlm_fail(r->ctx, DLM_ERR_UNSUPPORTED,
                    "cannot read '%s'%s: TIFF files with %s are not read", r->source->name,
                    dlm_image_line(r->source->line).text, what);
}

static uint16_t read_u16(struct tiff_reader *r, uint32_t tag, uint16_t missing)
{
    uint16_t value = missing;

    return TIFFGetField(r->tiff, tag, &value) ? value : missing;
}

/* Samples that make up the colour; 0: this photometric interpretation is not read. */
static uint16_t num_colors(const struct tiff_reader *r)
{
    switch (r->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_PALETTE:
        return 1;
    case PHOTOMETRIC_RGB:
        return 3;
    case PHOTOMETRIC_SEPARATED:
        return 4;
    case PHOTOMETRIC_YCBCR:
        return r->num_samples == 1 ? 1 : 3;
    default:
        return 0;
    }
}

static bool has_known_bits(const struct tiff_reader *r)
{
    if (r->bits == 8)
        return true;
    if (r->bits == 16)
        return r->photometric != PHOTOMETRIC_PALETTE && r->photometric != PHOTOMETRIC_YCBCR &&
               (num_colors(r) > 1 || r->num_samples == 1);
    return (r->bits == 1 || r->bits == 2 || r->bits == 4) && num_colors(r) == 1 &&
           r->num_samples == 1;
}

/* Alpha is dropped, as Pillow drops it; colours that were multiplied by it are divided again. */
static enum dlm_status read_extra(struct tiff_reader *r)
{
    const uint16_t colors = num_colors(r);
    uint16_t *kinds = NULL;

    if (!TIFFGetField(r->tiff, TIFFTAG_EXTRASAMPLES, &r->num_extra, &kinds))
        r->num_extra = 0;
    r->extra = kinds;
    /* Four samples of RGB without a word about the fourth are RGBA. */
    const bool plain = r->num_samples == colors + r->num_extra;
    if (!plain && !(r->photometric == PHOTOMETRIC_RGB && r->num_samples == 4 && !r->num_extra))
        return unsupported(r, "samples of unknown meaning");
    for (uint16_t i = 0; i < r->num_extra; i++)
        if (kinds[i] == EXTRASAMPLE_ASSOCALPHA && (i || colors != 3))
            return unsupported(r, "this kind of alpha channel");
    r->premultiplied = r->num_extra && kinds[0] == EXTRASAMPLE_ASSOCALPHA;
    return DLM_OK;
}

static enum dlm_status read_format(struct tiff_reader *r)
{
    const uint16_t compression = read_u16(r, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
    const uint16_t format = read_u16(r, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
    const bool is_jpeg = compression == COMPRESSION_JPEG;

    r->photometric = read_u16(r, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
    r->bits = read_u16(r, TIFFTAG_BITSPERSAMPLE, 1);
    r->num_samples = read_u16(r, TIFFTAG_SAMPLESPERPIXEL, 1);
    r->planar = read_u16(r, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    r->whitest_first = r->photometric == PHOTOMETRIC_MINISWHITE;
    if (compression == COMPRESSION_OJPEG || !TIFFIsCODECConfigured(compression))
        return unsupported(r, "this compression");
    if (!num_colors(r) || r->num_samples > MAX_SAMPLES)
        return unsupported(r, "these colours");
    if (!has_known_bits(r) ||
        (format != SAMPLEFORMAT_UINT && !(format == SAMPLEFORMAT_INT && r->bits == 8)))
        return unsupported(r, "samples of this type");
    if (r->photometric == PHOTOMETRIC_YCBCR && r->num_samples > 1) {
        if (!is_jpeg || r->planar != PLANARCONFIG_CONTIG)
            return unsupported(r, "YCbCr colours outside JPEG");
        if (!TIFFSetField(r->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB))
            return damaged(r);
    }
    /* Pillow reads such files of one byte order only, and those without turning them round. */
    if (r->whitest_first && r->bits == 16 && TIFFIsBigEndian(r->tiff))
        return unsupported(r, "samples of this type");
    return read_extra(r);
}

static enum dlm_status make_lut(struct tiff_reader *r)
{
    const int max = (1 << (r->bits < 8 ? r->bits : 8)) - 1;
    uint16_t *red = NULL, *green = NULL, *blue = NULL;

    if (r->photometric == PHOTOMETRIC_PALETTE) {
        if (!TIFFGetField(r->tiff, TIFFTAG_COLORMAP, &red, &green, &blue))
            return damaged(r);
        for (int i = 0; i <= max; i++) {
            r->lut[i][0] = (uint8_t)(red[i] >> 8);
            r->lut[i][1] = (uint8_t)(green[i] >> 8);
            r->lut[i][2] = (uint8_t)(blue[i] >> 8);
        }
        return DLM_OK;
    }
    /* 255 is a multiple of 1, 3, 15 and 255. */
    for (int i = 0; i <= max; i++)
        memset(r->lut[i], (r->whitest_first ? max - i : i) * (255 / max), 3);
    return DLM_OK;
}

/* Gives the size of a block and takes memory for one. */
static enum dlm_status prepare_blocks(struct tiff_reader *r)
{
    const bool tiled = TIFFIsTiled(r->tiff);
    const uint16_t planes = r->planar == PLANARCONFIG_SEPARATE ? r->num_samples : 1;
    size_t bytes = 0;

    r->block_width = r->width;
    if (tiled) {
        if (!TIFFGetField(r->tiff, TIFFTAG_TILEWIDTH, &r->block_width) ||
            !TIFFGetField(r->tiff, TIFFTAG_TILELENGTH, &r->block_height))
            return damaged(r);
    } else if (!TIFFGetField(r->tiff, TIFFTAG_ROWSPERSTRIP, &r->block_height) ||
               r->block_height > r->height) {
        r->block_height = r->height;
    }
    if (!r->block_width || !r->block_height ||
        (int64_t)r->block_width > DLM_IMAGE_MAX_PIXELS / (int64_t)r->block_height)
        return dlm_image_damaged(r->ctx, r->source, "the blocks of the image are too large");
    const size_t row_bits =
        (size_t)r->block_width * r->bits * (planes > 1 ? 1 : r->num_samples);
    r->block_bytes = (row_bits + 7) / 8 * r->block_height;
    const tmsize_t theirs = tiled ? TIFFTileSize(r->tiff)
                                  : TIFFVStripSize(r->tiff, r->block_height);
    if (theirs < 0 || (size_t)theirs != r->block_bytes)
        return damaged(r);
    if (!dlm_mul_size(r->block_bytes, planes, &bytes))
        return dlm_image_damaged(r->ctx, r->source, "the blocks of the image are too large");
    r->block = dlm_alloc(r->ctx, bytes);
    return r->block ? DLM_OK : DLM_ERR_MEMORY;
}

/* The high byte of the sample at `at` in native order, or the only one. */
static uint8_t high_byte(const struct tiff_reader *r, const uint8_t *at)
{
    uint16_t v;

    if (r->bits == 8)
        return *at;
    memcpy(&v, at, sizeof(v));
    return (uint8_t)(v >> 8);
}

static void unpack_grey16(struct tiff_reader *r, const uint8_t *from, uint8_t *to)
{
    uint16_t v;

    memcpy(&v, from, sizeof(v));
    r->image->is_saturated |= v > 255;
    memset(to, v > 255 ? 255 : v, 3);
}

/* sample[i]: the pixel's i-th, its high byte. */
static void unpack_color(const struct tiff_reader *r, const uint8_t sample[4], uint8_t *to)
{
    for (int c = 0; c < 3; c++) {
        if (r->photometric == PHOTOMETRIC_SEPARATED) {
            to[c] = dlm_image_cmyk_channel(sample[c], 255 - sample[3]);
        } else if (r->premultiplied && sample[3] != 255) {
            const int v = sample[3] ? sample[c] * 255 / sample[3] : 0;
            to[c] = (uint8_t)(v > 255 ? 255 : v);
        } else {
            to[c] = sample[c];
        }
    }
}

/* Row y of the block to width pixels of the image. */
static void unpack_row(struct tiff_reader *r, uint32_t y, uint32_t width, uint8_t *to)
{
    const bool separate = r->planar == PLANARCONFIG_SEPARATE;
    const size_t sample_bytes = r->bits == 16 ? 2 : 1;
    const size_t pixel = separate ? sample_bytes : sample_bytes * r->num_samples;
    const size_t next = separate ? r->block_bytes : sample_bytes; /* sample of a pixel */
    const uint8_t *from = r->block + r->block_bytes / r->block_height * y;
    const int num = r->num_samples < 4 ? r->num_samples : 4;
    const uint32_t mask = (1u << (r->bits & 15)) - 1;

    for (size_t x = 0; x < width; x++, to += 3) {
        const uint8_t *at = from + x * pixel;
        if (r->bits < 8) {
            const size_t bit = x * r->bits;
            memcpy(to, r->lut[from[bit / 8] >> (8 - r->bits - (bit & 7)) & mask], 3);
        } else if (num_colors(r) == 1 && r->bits == 8) {
            memcpy(to, r->lut[*at], 3);
        } else if (num_colors(r) == 1) {
            unpack_grey16(r, at, to);
        } else {
            uint8_t sample[4] = {0};
            for (int c = 0; c < num; c++)
                sample[c] = high_byte(r, at + (size_t)c * next);
            unpack_color(r, sample, to);
        }
    }
}

/* Reads the planes of the block at (x, y); rows is how many of its rows lie in the image. */
static bool read_block(struct tiff_reader *r, uint32_t x, uint32_t y, uint32_t rows)
{
    const uint16_t planes = r->planar == PLANARCONFIG_SEPARATE ? r->num_samples : 1;
    const tmsize_t need = (tmsize_t)(r->block_bytes / r->block_height * rows);

    for (uint16_t p = 0; p < planes; p++) {
        uint8_t *to = r->block + p * r->block_bytes;
        const tmsize_t got =
            TIFFIsTiled(r->tiff)
                ? TIFFReadTile(r->tiff, to, x, y, 0, p)
                : TIFFReadEncodedStrip(r->tiff, TIFFComputeStrip(r->tiff, y, p), to, need);
        if (got < need)
            return false;
    }
    return true;
}

static enum dlm_status read_blocks(struct tiff_reader *r)
{
    for (uint32_t y = 0; y < r->height; y += r->block_height) {
        const uint32_t below = r->height - y;
        const uint32_t rows = below < r->block_height ? below : r->block_height;
        for (uint32_t x = 0; x < r->width; x += r->block_width) {
            const uint32_t right = r->width - x;
            const uint32_t columns = right < r->block_width ? right : r->block_width;
            if (!read_block(r, x, y, rows))
                return damaged(r);
            for (uint32_t i = 0; i < rows; i++)
                unpack_row(r, i, columns,
                           r->image->rgb + 3 * ((size_t)(y + i) * r->width + x));
        }
    }
    return DLM_OK;
}

/* The tag, else XMP. */
static int read_orientation(const struct tiff_reader *r)
{
    uint16_t orientation = 0;
    uint32_t bytes = 0;
    void *xmp = NULL;

    if (TIFFGetField(r->tiff, TIFFTAG_ORIENTATION, &orientation))
        return orientation;
    if (TIFFGetField(r->tiff, TIFFTAG_XMLPACKET, &bytes, &xmp))
        return dlm_xmp_orientation(xmp, bytes);
    return 0;
}

enum dlm_status dlm_image_decode_tiff(struct dlm_ctx *ctx, struct dlm_image *image,
                                      int *orientation, const struct dlm_image_source *source)
{
    struct tiff_reader r = {.ctx = ctx, .source = source, .image = image};

    enum dlm_status st = open_file(&r) ? DLM_OK : damaged(&r);
    if (!st && (!TIFFGetField(r.tiff, TIFFTAG_IMAGEWIDTH, &r.width) ||
                !TIFFGetField(r.tiff, TIFFTAG_IMAGELENGTH, &r.height)))
        st = damaged(&r);
    if (!st)
        st = read_format(&r);
    if (!st)
        st = dlm_image_allocate(ctx, image, source, r.width, r.height);
    if (!st && !source->size_only)
        st = make_lut(&r);
    if (!st && !source->size_only)
        st = prepare_blocks(&r);
    if (!st && !source->size_only)
        st = read_blocks(&r);
    if (!st)
        *orientation = read_orientation(&r);
    if (r.tiff)
        TIFFClose(r.tiff);
    dlm_free(r.block);
    return st;
}
