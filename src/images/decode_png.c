/* PNG to RGB over libpng. libpng only unpacks and unfilters: what a sample means is decided here,
 * the way Pillow decides it (Pillow brings a PNG reader of its own). Damage is judged as Pillow
 * judges it: checksums count up to the image data, not in it, and nothing after the image data
 * matters. */
#include "images/decoders.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "images/orientation.h"

struct png_reader {
    struct dlm_ctx *ctx;
    const struct dlm_image_source *source;
    struct dlm_image *image;
    size_t at; /* bytes of the source given to libpng */
    png_structp png;
    png_infop info;
    int color_type, bit_depth;
    bool interlaced;
    int pass, y;          /* row being read: its pass, and its index within the pass */
    uint8_t *row;         /* one row as stored */
    uint8_t lut[256][3];  /* RGB of a sample or palette index, for one channel of at most 8 bits */
    enum dlm_status status; /* set when a failure has been logged already */
    char message[128];
};

/* Where the rows of a pass lie in the image; pass 0 of an image that is not interlaced is all. */
struct png_pass {
    int x0, y0, step_x, step_y, width, height;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct png_reader *r = png_get_error_ptr(png);

    snprintf(r->message, sizeof(r->message), "%s", text);
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t bytes)
{
    struct png_reader *r = png_get_io_ptr(png);

    if (bytes > r->source->bytes - r->at)
        png_error(png, "the image file is truncated");
    memcpy(to, (const uint8_t *)r->source->data + r->at, bytes);
    r->at += bytes;
}

static struct png_pass pass_of(const struct png_reader *r, int pass)
{
    const int width = r->image->width, height = r->image->height;

    if (!r->interlaced)
        return (struct png_pass){.step_x = 1, .step_y = 1, .width = width, .height = height};
    return (struct png_pass){
        .x0 = PNG_PASS_START_COL(pass),
        .y0 = PNG_PASS_START_ROW(pass),
        .step_x = PNG_PASS_COL_OFFSET(pass),
        .step_y = PNG_PASS_ROW_OFFSET(pass),
        /* Both sizes are below 2^31: dlm_image_allocate has checked them. */
        .width = (int)PNG_PASS_COLS((png_uint_32)width, pass),
        .height = (int)PNG_PASS_ROWS((png_uint_32)height, pass),
    };
}

/* Fills the table of one-channel images. Indices beyond a palette are black. */
static void make_lut(struct png_reader *r)
{
    const int max = (1 << (r->bit_depth < 8 ? r->bit_depth : 8)) - 1;
    png_colorp palette = NULL;
    int num_colors = 0;

    if (r->color_type == PNG_COLOR_TYPE_PALETTE)
        png_get_PLTE(r->png, r->info, &palette, &num_colors);
    for (int i = 0; i < 256; i++) {
        /* Grey levels: 255 is a multiple of 1, 3, 15 and 255. */
        const int level = palette ? 0 : i * (255 / max);
        memset(r->lut[i], level & 255, 3);
        if (palette && i < num_colors) {
            r->lut[i][0] = palette[i].red;
            r->lut[i][1] = palette[i].green;
            r->lut[i][2] = palette[i].blue;
        }
    }
}

/* One channel of 1, 2, 4 or 8 bits. */
static void unpack_indices(const struct png_reader *r, uint8_t *to, size_t step, int len)
{
    const int depth = r->bit_depth;
    const int mask = (1 << depth) - 1;

    for (int i = 0; i < len; i++, to += step) {
        const size_t bit = (size_t)i * (size_t)depth;
        const int shift = 8 - depth - (int)(bit & 7);
        memcpy(to, r->lut[r->row[bit / 8] >> shift & mask], 3);
    }
}

static void unpack_grey16(const struct png_reader *r, uint8_t *to, size_t step, int len)
{
    for (int i = 0; i < len; i++, to += step) {
        r->image->is_saturated |= r->row[2 * i] != 0;
        memset(to, r->row[2 * i] ? 255 : r->row[2 * i + 1], 3);
    }
}

/* Several channels; of 16 bits the high byte counts, alpha is dropped. */
static void unpack_channels(const struct png_reader *r, uint8_t *to, size_t step, int len)
{
    const size_t sample = r->bit_depth == 16 ? 2 : 1;
    const bool color = r->color_type & PNG_COLOR_MASK_COLOR;
    const bool alpha = r->color_type & PNG_COLOR_MASK_ALPHA;
    const size_t pixel = sample * ((color ? 3 : 1) + (alpha ? 1 : 0));
    const size_t green = color ? sample : 0;
    const uint8_t *from = r->row;

    for (int i = 0; i < len; i++, to += step, from += pixel) {
        to[0] = from[0];
        to[1] = from[green];
        to[2] = from[2 * green];
    }
}

/* Puts r->row where row r->y of r->pass belongs. For the size alone nothing is kept: rows are read
 * for what may follow them, the orientation. */
static void store_row(struct png_reader *r)
{
    if (!r->image->rgb)
        return;
    const struct png_pass p = pass_of(r, r->pass);
    const size_t y = (size_t)p.y0 + (size_t)r->y * (size_t)p.step_y;
    uint8_t *to = r->image->rgb + (y * (size_t)r->image->width + (size_t)p.x0) * 3;
    const size_t step = (size_t)p.step_x * 3;

    if (r->bit_depth == 16 && r->color_type == PNG_COLOR_TYPE_GRAY)
        unpack_grey16(r, to, step, p.width);
    else if (r->color_type == PNG_COLOR_TYPE_GRAY || r->color_type == PNG_COLOR_TYPE_PALETTE)
        unpack_indices(r, to, step, p.width);
    else
        unpack_channels(r, to, step, p.width);
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Bytes that are there of an image data chunk in which the file ends; 0 if it ends elsewhere. */
static size_t cut_data_bytes(const struct dlm_image_source *source)
{
    const uint8_t *data = source->data;
    const size_t bytes = source->bytes;

    for (size_t at = 8; at < bytes && bytes - at >= 8;) {
        const size_t len = read_u32(data + at);
        if (len > bytes - at - 8)
            return memcmp(data + at + 4, "IDAT", 4) ? 0 : bytes - at - 8;
        at += len + 12;
    }
    return 0;
}

/* Reads up to the image data. Returns false after a longjmp or a logged failure (r->status). */
static bool read_header(struct png_reader *r)
{
    if (setjmp(png_jmpbuf(r->png)))
        return false;
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff); /* ours is on the product */
    /* Let libpng unpack the end of a file that is cut: all rows may be there. */
    const size_t cut = cut_data_bytes(r->source);
    if (cut)
        png_set_compression_buffer_size(r->png, cut);
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    /* Colour management is not applied: do not even unpack profiles. */
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, (const png_byte *)"iCCP", 1);
    /* libpng drops a tRNS that it finds odd; read_key() wants all of them as they are. */
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_ALWAYS, (const png_byte *)"tRNS", 1);
    png_read_info(r->png, r->info);
    png_set_crc_action(r->png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    r->color_type = png_get_color_type(r->png, r->info);
    r->bit_depth = png_get_bit_depth(r->png, r->info);
    r->interlaced = png_get_interlace_type(r->png, r->info) != PNG_INTERLACE_NONE;
    make_lut(r);
    r->status = dlm_image_allocate(r->ctx, r->image, r->source,
                                   png_get_image_width(r->png, r->info),
                                   png_get_image_height(r->png, r->info));
    if (r->status)
        return false;
    r->row = dlm_alloc(r->ctx, png_get_rowbytes(r->png, r->info));
    if (!r->row)
        r->status = DLM_ERR_MEMORY;
    return r->row;
}

/* True when libpng has unpacked the last row, whatever it thinks of what follows. */
static bool has_last_row(const struct png_reader *r)
{
    return r->interlaced ? png_get_current_pass_number(r->png) == 7
                         : png_get_current_row_number(r->png) == (png_uint_32)r->image->height;
}

static bool read_rows(struct png_reader *r)
{
    if (setjmp(png_jmpbuf(r->png))) {
        if (!has_last_row(r))
            return false;
        store_row(r);
        return true;
    }
    for (r->pass = 0; r->pass < (r->interlaced ? PNG_INTERLACE_ADAM7_PASSES : 1); r->pass++) {
        const struct png_pass p = pass_of(r, r->pass);
        for (r->y = 0; r->y < p.height && p.width; r->y++) {
            png_read_row(r->png, r->row, NULL);
            store_row(r);
        }
    }
    return true;
}

/* What comes after the rows can hold the orientation, but can not spoil the image. */
static void read_trailer(struct png_reader *r)
{
    if (setjmp(png_jmpbuf(r->png)))
        return;
    png_read_end(r->png, r->info);
}

/* Index of the only entry of a palette's tRNS that is not opaque, if that one is fully transparent
 * (else -1: Pillow then drops all transparency). A last byte of 10 passes as well: Pillow's test is
 * the regular expression ^\xff*\x00\xff*$, whose $ allows a newline. */
static int transparent_index(const uint8_t *alpha, size_t len)
{
    int index = -1;

    for (size_t i = 0; i < len && i < 256; i++) {
        if (alpha[i] == 0 && index < 0)
            index = (int)i;
        else if (alpha[i] != 255 && !(alpha[i] == '\n' && i + 1 == len))
            return -1;
    }
    return index;
}

/* The RGB colour that a tRNS chunk makes transparent, compared as Pillow compares it: with RGB
 * pixels, by low bytes, and of 1-bit and 16-bit grey as (sample, 0, 0). False: none. */
static bool transparent_color(const struct png_reader *r, const png_unknown_chunk *c,
                              uint8_t key[3])
{
    const uint8_t *data = c->data;

    memset(key, 0, 3);
    if (r->color_type == PNG_COLOR_TYPE_PALETTE) {
        const int index = transparent_index(data, c->size);
        if (index >= 0)
            memcpy(key, r->lut[index], 3);
        return index >= 0;
    }
    if (r->color_type == PNG_COLOR_TYPE_RGB) {
        for (int i = 0; i < 3; i++)
            key[i] = data[2 * i + 1];
        return true;
    }
    if (r->bit_depth == 1)
        key[0] = data[0] || data[1] ? 255 : 0;
    else if (r->bit_depth == 16)
        key[0] = data[1];
    else
        memset(key, data[0] ? 255 : data[1], 3);
    return true;
}

/* A single transparent colour survives Pillow's convert("RGB") as a note beside the pixels; what
 * becomes of it is the processor's choice. Alpha channels do not survive it. */
static bool read_key(struct png_reader *r)
{
    const size_t need = r->color_type == PNG_COLOR_TYPE_RGB ? 6
                        : r->color_type == PNG_COLOR_TYPE_GRAY ? 2
                                                               : 0;
    png_unknown_chunkp chunks = NULL;
    const int num_chunks = png_get_unknown_chunks(r->png, r->info, &chunks);

    if (r->color_type & PNG_COLOR_MASK_ALPHA)
        return true;
    for (int i = 0; i < num_chunks; i++) {
        if (memcmp(chunks[i].name, "tRNS", 4) != 0)
            continue;
        if (chunks[i].size < need) {
            snprintf(r->message, sizeof(r->message), "the tRNS chunk is truncated");
            return false;
        }
        r->image->has_key = transparent_color(r, &chunks[i], r->image->key);
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ImageMagick's "Raw profile type exif": "\nexif\n<length>\n" and the block in hex. */
static int raw_profile_orientation(struct png_reader *r, const char *text, size_t len)
{
    const char *end = text + len;
    size_t bytes = 0;
    int lines = 0;

    while (text < end && lines < 3)
        lines += *text++ == '\n';
    uint8_t *block = dlm_alloc(r->ctx, len / 2 + 1);
    if (!block) {
        r->status = DLM_ERR_MEMORY;
        return 0;
    }
    for (; text + 1 < end && bytes < len / 2; text++) {
        if (hex_value(text[0]) < 0)
            continue;
        if (hex_value(text[1]) < 0)
            break;
        block[bytes++] = (uint8_t)(hex_value(text[0]) << 4 | hex_value(text[1]));
        text++;
    }
    const int orientation = dlm_exif_orientation(block, bytes);
    dlm_free(block);
    return orientation;
}

static size_t text_bytes(const png_text *t)
{
    return t->compression > 0 || t->compression == PNG_ITXT_COMPRESSION_NONE ? t->itxt_length
                                                                             : t->text_length;
}

/* eXIf, else the profile in a text; else XMP. */
static int read_orientation(struct png_reader *r)
{
    png_bytep exif = NULL;
    png_uint_32 exif_bytes = 0;
    png_textp texts = NULL;
    int orientation = 0;
    const int num_texts = png_get_text(r->png, r->info, &texts, NULL);

    if (png_get_eXIf_1(r->png, r->info, &exif_bytes, &exif) && exif) {
        orientation = dlm_exif_orientation(exif, exif_bytes);
    } else {
        for (int i = 0; i < num_texts && !orientation; i++)
            if (!strcmp(texts[i].key, "Raw profile type exif"))
                orientation = raw_profile_orientation(r, texts[i].text, text_bytes(&texts[i]));
    }
    for (int i = 0; i < num_texts && !orientation; i++)
        if (!strcmp(texts[i].key, "XML:com.adobe.xmp"))
            orientation = dlm_xmp_orientation((const uint8_t *)texts[i].text,
                                              text_bytes(&texts[i]));
    return orientation;
}

enum dlm_status dlm_image_decode_png(struct dlm_ctx *ctx, struct dlm_image *image,
                                     int *orientation, const struct dlm_image_source *source)
{
    struct png_reader r = {.ctx = ctx, .source = source, .image = image};

    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    if (!r.info) {
        r.status = dlm_image_damaged(ctx, source, "the PNG reader cannot start");
    } else if (!read_header(&r) || !read_rows(&r)) {
        if (!r.status)
            r.status = dlm_image_damaged(ctx, source, r.message);
    } else {
        read_trailer(&r);
        *orientation = read_orientation(&r);
        if (!read_key(&r))
            r.status = dlm_image_damaged(ctx, source, r.message);
    }
    png_destroy_read_struct(&r.png, &r.info, NULL);
    dlm_free(r.row);
    return r.status;
}
