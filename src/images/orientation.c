/* EXIF and XMP orientation. A damaged block never makes an otherwise good image fail: it counts as
 * "says nothing". Which tags of a damaged IFD still count follows Pillow's TIFF reader. */
#include "images/orientation.h"

#include <string.h>

#include "base/mem.h"

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define TYPE_LONG 4
#define TYPE_SIGNED_SHORT 8
#define TYPE_SIGNED_LONG 9
#define IFD_ENTRY_BYTES 12

/* Bytes of one value by TIFF type; 0: unknown type, its tag is skipped. */
static const uint8_t type_bytes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};

/* A TIFF structure in memory. */
struct tiff {
    const uint8_t *data;
    size_t bytes;
    bool big_endian;
};

static uint32_t read_u16(const struct tiff *t, size_t at)
{
    const uint8_t *p = t->data + at;
    return t->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_u32(const struct tiff *t, size_t at)
{
    const uint32_t first = read_u16(t, at);
    const uint32_t second = read_u16(t, at + 2);
    return t->big_endian ? first << 16 | second : second << 16 | first;
}

static bool has_prefix(const uint8_t *data, size_t bytes, const char *prefix, size_t len)
{
    return bytes >= len && !memcmp(data, prefix, len);
}

static bool open_tiff(struct tiff *t, const uint8_t *data, size_t bytes)
{
    for (int i = 0; i < 2 && has_prefix(data, bytes, "Exif\0\0", 6); i++) {
        data += 6;
        bytes -= 6;
    }
    if (bytes < 8)
        return false;
    t->data = data;
    t->bytes = bytes;
    t->big_endian = data[0] == 'M';
    return !memcmp(data, "II*\0", 4) || !memcmp(data, "MM\0*", 4) || !memcmp(data, "II\0*", 4) ||
           !memcmp(data, "MM*\0", 4);
}

/* What the value of an orientation entry at `at` means. */
static int orientation_value(const struct tiff *t, size_t at, uint32_t type)
{
    uint32_t v = 1;

    if (type == TYPE_SHORT || type == TYPE_SIGNED_SHORT)
        v = read_u16(t, at);
    else if (type == TYPE_LONG || type == TYPE_SIGNED_LONG)
        v = read_u32(t, at);
    return v >= 1 && v <= 8 ? (int)v : 1;
}

int dlm_exif_orientation(const uint8_t *data, size_t bytes)
{
    struct tiff t;

    if (!open_tiff(&t, data, bytes))
        return 0;
    size_t at = read_u32(&t, 4);
    if (at > t.bytes || t.bytes - at < 2)
        return 0;
    const uint32_t num_entries = read_u16(&t, at);
    uint64_t outside_bytes = 0;

    at += 2;
    for (uint32_t i = 0; i < num_entries; i++, at += IFD_ENTRY_BYTES) {
        if (t.bytes - at < IFD_ENTRY_BYTES)
            return 0;
        const uint32_t type = read_u16(&t, at + 2);
        const uint32_t unit = type < DLM_ARRAY_LEN(type_bytes) ? type_bytes[type] : 0;
        const uint64_t size = (uint64_t)unit * read_u32(&t, at + 4);
        size_t value = at + 8;

        if (!size)
            continue;
        if (size > 4) {
            outside_bytes += size;
            if (outside_bytes > t.bytes)
                continue;
            value = read_u32(&t, value);
            if (value > t.bytes || t.bytes - value < size)
                return 0;
        }
        if (read_u16(&t, at) == TAG_ORIENTATION)
            return orientation_value(&t, value, type);
    }
    return 0;
}

int dlm_xmp_orientation(const uint8_t *data, size_t bytes)
{
    static const char key[] = "tiff:Orientation";
    const size_t key_len = sizeof(key) - 1;

    for (size_t i = 0; bytes >= key_len && i <= bytes - key_len; i++) {
        const uint8_t *p = memchr(data + i, key[0], bytes - key_len - i + 1);
        if (!p)
            return 0;
        i = (size_t)(p - data);
        if (memcmp(p, key, key_len))
            continue;
        const uint8_t *rest = p + key_len;
        size_t left = bytes - key_len - i;
        size_t skip = has_prefix(rest, left, "=\"", 2) ? 2 : has_prefix(rest, left, ">", 1);
        if (skip && left > skip && rest[skip] >= '0' && rest[skip] <= '9')
            return rest[skip] >= '1' && rest[skip] <= '8' ? rest[skip] - '0' : 1;
    }
    return 0;
}

/* Index of the source pixel for the upright pixel (0, 0), and its change per step in x and y. */
struct walk {
    ptrdiff_t start, step_x, step_y;
};

static struct walk walk_for(int orientation, ptrdiff_t w, ptrdiff_t h)
{
    switch (orientation) {
    case 2: /* mirrored left-right */
        return (struct walk){w - 1, -1, w};
    case 3: /* turned by 180 degrees */
        return (struct walk){w * h - 1, -1, -w};
    case 4: /* mirrored top-bottom */
        return (struct walk){w * (h - 1), 1, -w};
    case 5: /* mirrored along the main diagonal */
        return (struct walk){0, w, 1};
    case 6: /* needs 90 degrees clockwise */
        return (struct walk){w * (h - 1), -w, 1};
    case 7: /* mirrored along the other diagonal */
        return (struct walk){w * h - 1, -w, -1};
    case 8: /* needs 90 degrees counter-clockwise */
        return (struct walk){w - 1, w, -1};
    default:
        return (struct walk){0, 1, w};
    }
}

enum dlm_status dlm_image_orient(struct dlm_ctx *ctx, struct dlm_image *image, int orientation)
{
    if (orientation < 2 || orientation > 8)
        return DLM_OK;
    const struct walk walk = walk_for(orientation, image->width, image->height);
    const bool swaps = orientation >= 5;
    const int width = swaps ? image->height : image->width;
    const int height = swaps ? image->width : image->height;
    uint8_t *rgb = image->rgb ? dlm_alloc(ctx, (size_t)width * (size_t)height * 3) : NULL;

    if (image->rgb && !rgb)
        return DLM_ERR_MEMORY;
    uint8_t *to = rgb;
    for (int y = 0; rgb && y < height; y++) {
        const uint8_t *from = image->rgb + (walk.start + y * walk.step_y) * 3;
        for (int x = 0; x < width; x++, to += 3)
            memcpy(to, from + x * walk.step_x * 3, 3);
    }
    dlm_free(image->rgb);
    image->width = width;
    image->height = height;
    image->rgb = rgb;
    return DLM_OK;
}
