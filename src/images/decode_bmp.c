/* Windows bitmaps to RGB, as Pillow reads them: headers of 12 and of 40 to 124 bytes; 1, 4 and 8
 * bits with a palette, also run-length encoded; 16, 24 and 32 bits, with the masks that Pillow
 * knows. Alpha is dropped. */
#include "images/decoders.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum {
    COMPRESSION_NONE = 0,
    COMPRESSION_RLE8 = 1,
    COMPRESSION_RLE4 = 2,
    COMPRESSION_MASKS = 3,
};

#define FILE_HEADER_BYTES 14

struct bmp_reader {
    struct dlm_ctx *ctx;
    const struct dlm_image_source *source;
    struct dlm_image *image;
    const uint8_t *data;
    size_t bytes;
    size_t header_bytes;     /* of the second header, its length included */
    int64_t width, height;
    bool top_down;
    uint32_t bits, compression, colors;
    size_t pixels_at;        /* where the pixels begin */
    bool six_green;          /* 16 bits: 5, 6, 5 and not 5, 5, 5 */
    size_t red, green, blue; /* byte of a 24- or 32-bit pixel */
    uint8_t lut[256][3];     /* RGB of an index; black beyond the palette */
};

static uint32_t read_u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t read_u32(const uint8_t *p)
{
    return read_u16(p) | read_u16(p + 2) << 16;
}

static enum dlm_status damaged(const struct bmp_reader *r, const char *reason)
{
    return dlm_image_damaged(r->ctx, r->source, reason);
}

static enum dlm_status truncated(const struct bmp_reader *r)
{
    return damaged(r, "the image file is truncated");
}

static enum dlm_status unsupported(const struct bmp_reader *r, const char *what, uint32_t value)
{
    return dlm_fail(r->ctx, DLM_ERR_UNSUPPORTED,
                    "cannot read '%s'%s: a BMP file with %s %u is not read", r->source->name,
                    dlm_image_line(r->source->line).text, what, value);
}

static bool is_rle(const struct bmp_reader *r)
{
    return r->compression == COMPRESSION_RLE8 || r->compression == COMPRESSION_RLE4;
}

static enum dlm_status read_header(struct bmp_reader *r)
{
    const uint8_t *h = r->data + FILE_HEADER_BYTES;

    if (r->bytes < FILE_HEADER_BYTES + 12)
        return truncated(r);
    r->header_bytes = read_u32(h);
    if (r->header_bytes != 12 && r->header_bytes != 40 && r->header_bytes != 52 &&
        r->header_bytes != 56 && r->header_bytes != 64 && r->header_bytes != 108 &&
        r->header_bytes != 124)
        return unsupported(r, "a header of length", read_u32(h));
    if (r->bytes - FILE_HEADER_BYTES < r->header_bytes)
        return truncated(r);
    if (r->header_bytes == 12) {
        r->width = read_u16(h + 4);
        r->height = read_u16(h + 6);
        r->bits = read_u16(h + 10);
    } else {
        r->width = read_u32(h + 4);
        r->height = read_u32(h + 8);
        r->top_down = h[11] == 0xff; /* a negative height */
        if (r->top_down)
            r->height = INT64_C(0x100000000) - r->height;
        r->bits = read_u16(h + 14);
        r->compression = read_u32(h + 16);
        r->colors = read_u32(h + 32);
    }
    if (!r->colors)
        r->colors = r->bits < 32 ? 1u << r->bits : 0; /* counts for up to 8 bits alone */
    r->pixels_at = read_u32(r->data + 10);
    return DLM_OK;
}

static enum dlm_status read_palette(struct bmp_reader *r)
{
    const size_t entry = r->header_bytes == 12 ? 3 : 4;
    const uint8_t *from = r->data + FILE_HEADER_BYTES + r->header_bytes;
    const size_t left = r->bytes - FILE_HEADER_BYTES - r->header_bytes;

    if (r->colors > 65536)
        return damaged(r, "the palette is too large");
    if (left < entry * r->colors)
        return truncated(r);
    for (size_t i = 0; i < r->colors && i < 256; i++, from += entry) {
        r->lut[i][0] = from[2];
        r->lut[i][1] = from[1];
        r->lut[i][2] = from[0];
    }
    /* Some writers point at the palette. */
    if (r->pixels_at == FILE_HEADER_BYTES + r->header_bytes)
        r->pixels_at += entry * r->colors;
    return DLM_OK;
}

/* Where the colours of a 32-bit pixel lie for masks that Pillow knows. */
static enum dlm_status place_masks(struct bmp_reader *r, const uint32_t mask[4])
{
    static const struct {
        uint32_t mask[4];
        uint8_t red, green, blue;
    } known[] = {
        {{0xff0000, 0xff00, 0xff, 0}, 2, 1, 0},
        {{0xff000000, 0xff0000, 0xff00, 0}, 3, 2, 1},
        {{0xff000000, 0xff00, 0xff, 0}, 3, 1, 0},
        {{0xff000000, 0xff0000, 0xff00, 0xff}, 3, 2, 1},
        {{0xff, 0xff00, 0xff0000, 0xff000000}, 0, 1, 2},
        {{0xff0000, 0xff00, 0xff, 0xff000000}, 2, 1, 0},
        {{0xff000000, 0xff00, 0xff, 0xff0000}, 3, 1, 0},
        {{0, 0, 0, 0}, 2, 1, 0},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(known); i++)
        if (!memcmp(known[i].mask, mask, sizeof(known[i].mask))) {
            r->red = known[i].red;
            r->green = known[i].green;
            r->blue = known[i].blue;
            return DLM_OK;
        }
    return unsupported(r, "a red mask of", mask[0]);
}

/* Masks follow a header of 40 bytes and lie inside longer ones; the fourth counts from 56 on. */
static enum dlm_status read_masks(struct bmp_reader *r)
{
    const uint8_t *from = r->data + FILE_HEADER_BYTES + 40;
    const size_t num = r->header_bytes >= 56 ? 4 : 3;
    uint32_t mask[4] = {0};

    if (r->bytes < FILE_HEADER_BYTES + 40 + 4 * num)
        return truncated(r);
    for (size_t i = 0; i < num; i++)
        mask[i] = read_u32(from + 4 * i);
    if (r->bits == 32)
        return place_masks(r, mask);
    r->six_green = mask[0] == 0xf800 && mask[1] == 0x7e0 && mask[2] == 0x1f;
    const bool five_green = mask[0] == 0x7c00 && mask[1] == 0x3e0 && mask[2] == 0x1f;
    const bool bytes = mask[0] == 0xff0000 && mask[1] == 0xff00 && mask[2] == 0xff;
    if (r->bits == 16 ? r->six_green || five_green : r->bits == 24 && bytes)
        return DLM_OK;
    return unsupported(r, "a red mask of", mask[0]);
}

static enum dlm_status read_format(struct bmp_reader *r)
{
    r->red = 2;
    r->green = 1;
    if (r->bits != 1 && r->bits != 4 && r->bits != 8 && r->bits != 16 && r->bits != 24 &&
        r->bits != 32)
        return unsupported(r, "a pixel depth of", r->bits);
    if (r->compression == COMPRESSION_MASKS)
        return read_masks(r);
    if (r->compression > COMPRESSION_MASKS || (is_rle(r) && r->bits > 8))
        return unsupported(r, "compression", r->compression);
    return r->bits <= 8 ? read_palette(r) : DLM_OK;
}

static uint8_t *row_of(const struct bmp_reader *r, int64_t y)
{
    const int64_t row = r->top_down ? y : r->height - 1 - y;

    return r->image->rgb + 3 * (size_t)row * (size_t)r->width;
}

static void unpack_row(const struct bmp_reader *r, const uint8_t *from, uint8_t *to)
{
    const uint32_t mask = (1u << (r->bits & 15)) - 1; /* of an index */

    for (size_t x = 0; x < (size_t)r->width; x++, to += 3) {
        if (r->bits <= 8) {
            const size_t bit = x * r->bits;
            memcpy(to, r->lut[from[bit / 8] >> (8 - r->bits - (bit & 7)) & mask], 3);
        } else if (r->bits == 16) {
            const uint32_t v = read_u16(from + 2 * x);
            const uint32_t green = r->six_green ? (v >> 5 & 63) * 255 / 63
                                                : (v >> 5 & 31) * 255 / 31;
            to[0] = (uint8_t)((v >> (r->six_green ? 11 : 10) & 31) * 255 / 31);
            to[1] = (uint8_t)green;
            to[2] = (uint8_t)((v & 31) * 255 / 31);
        } else {
            const uint8_t *pixel = from + x * (r->bits / 8);
            to[0] = pixel[r->red];
            to[1] = pixel[r->green];
            to[2] = pixel[r->blue];
        }
    }
}

/* Rows begin at multiples of 4 bytes; the last one's padding may be missing. */
static enum dlm_status read_rows(struct bmp_reader *r)
{
    const size_t row_bits = (size_t)r->width * r->bits;
    const size_t stride = (row_bits + 31) / 32 * 4, need = (row_bits + 7) / 8;
    size_t at = r->pixels_at;

    for (int64_t y = 0; y < r->height; y++, at += stride) {
        if (at > r->bytes || r->bytes - at < need)
            return truncated(r);
        unpack_row(r, r->data + at, row_of(r, y));
    }
    return DLM_OK;
}

/* Run-length decoding as Pillow does it: runs stop at the row's end, other pixels flow on. */
struct rle {
    const struct bmp_reader *r;
    size_t at;         /* in the file */
    size_t done, all;  /* pixels */
    size_t x;          /* column, as runs count it */
};

static void put_pixels(struct rle *e, size_t num, uint32_t first, uint32_t second)
{
    const size_t width = (size_t)e->r->width;

    for (size_t i = 0; i < num && e->done < e->all; i++, e->done++) {
        uint8_t *row = row_of(e->r, (int64_t)(e->done / width));
        memcpy(row + 3 * (e->done % width), e->r->lut[i % 2 ? second : first], 3);
    }
}

static void put_run(struct rle *e, size_t num, uint32_t byte)
{
    const size_t width = (size_t)e->r->width;
    const size_t room = width > e->x ? width - e->x : 0;
    const bool half = e->r->compression == COMPRESSION_RLE4;

    if (num > room)
        num = room;
    put_pixels(e, num, half ? byte >> 4 : byte, half ? byte & 15 : byte);
    e->x += num;
}

/* num pixels as they are, then up to an even offset. False: the file ends. */
static bool put_literal(struct rle *e, size_t num)
{
    const bool half = e->r->compression == COMPRESSION_RLE4;
    const size_t count = num < e->all - e->done ? num : e->all - e->done;
    const size_t need = half ? (count + 1) / 2 : count;

    if (e->r->bytes - e->at < need)
        return false;
    for (size_t i = 0; i < count; i++) {
        const uint32_t byte = e->r->data[e->at + (half ? i / 2 : i)];
        const uint32_t index = !half ? byte : i % 2 ? byte & 15 : byte >> 4;
        put_pixels(e, 1, index, index);
    }
    e->at += need;
    e->at += e->at & 1;
    e->x += num;
    return e->at <= e->r->bytes || e->done == e->all;
}

/* A 0 and `code`: end of row, end of image, jump, or pixels. False: nothing more is to come. */
static bool put_escape(struct rle *e, uint32_t code)
{
    const size_t width = (size_t)e->r->width;

    if (code == 1)
        return false;
    if (code > 2)
        return put_literal(e, code);
    if (code == 2) {
        if (e->r->bytes - e->at < 2)
            return false;
        put_pixels(e, e->r->data[e->at] + e->r->data[e->at + 1] * width, 0, 0);
        e->at += 2;
        e->x = e->done % width;
        return true;
    }
    put_pixels(e, (width - e->done % width) % width, 0, 0);
    e->x = 0;
    return true;
}

static enum dlm_status read_rle(struct bmp_reader *r)
{
    struct rle e = {.r = r, .at = r->pixels_at, .all = (size_t)r->width * (size_t)r->height};
    bool more = true;

    while (more && e.done < e.all) {
        if (e.at > r->bytes || r->bytes - e.at < 2)
            break;
        const uint32_t num = r->data[e.at], byte = r->data[e.at + 1];
        e.at += 2;
        if (num)
            put_run(&e, num, byte);
        else
            more = put_escape(&e, byte);
    }
    return e.done == e.all ? DLM_OK : truncated(r);
}

enum dlm_status dlm_image_decode_bmp(struct dlm_ctx *ctx, struct dlm_image *image,
                                     int *orientation, const struct dlm_image_source *source)
{
    struct bmp_reader r = {
        .ctx = ctx, .source = source, .image = image, .data = source->data, .bytes = source->bytes};

    *orientation = 0;
    enum dlm_status st = read_header(&r);
    if (!st)
        st = read_format(&r);
    if (!st)
        st = dlm_image_allocate(ctx, image, source, r.width, r.height);
    if (!st && !source->size_only)
        st = is_rle(&r) ? read_rle(&r) : read_rows(&r);
    return st;
}
