/* GIF to RGB over giflib: the first frame on its canvas, as Pillow loads it. What the frame leaves
 * uncovered has the transparent index, or index 0. */
#include "images/decoders.h"

#include <gif_lib.h>
#include <string.h>

#include "base/mem.h"

struct gif_reader {
    struct dlm_ctx *ctx;
    const struct dlm_image_source *source;
    struct dlm_image *image;
    GifFileType *gif;
    size_t at;             /* bytes of the source given to giflib */
    int transparent;       /* index, or -1 */
    uint8_t lut[256][3];   /* RGB of an index */
};

static int on_read(GifFileType *gif, GifByteType *to, int len)
{
    struct gif_reader *r = gif->UserData;
    const size_t left = r->source->bytes - r->at;
    const size_t take = (size_t)len < left ? (size_t)len : left;

    /* A file may end right behind its last pixel: the 0 that ends its blocks is made up. */
    if (!left && len == 1) {
        *to = 0;
        return 1;
    }
    memcpy(to, (const uint8_t *)r->source->data + r->at, take);
    r->at += take;
    return (int)take; /* at most len */
}

static enum dlm_status damaged(const struct gif_reader *r)
{
    const char *reason = r->gif ? GifErrorString(r->gif->Error) : NULL;

    return dlm_image_damaged(r->ctx, r->source,
                             reason ? reason : "the image file is truncated or damaged");
}

/* Reads an extension; of a graphic control one the transparent index. */
static bool read_extension(struct gif_reader *r)
{
    GifByteType *block = NULL; /* its length, then its bytes */
    int code = 0;

    if (DGifGetExtension(r->gif, &code, &block) != GIF_OK)
        return false;
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4 && (block[1] & 1))
        r->transparent = block[4];
    while (block)
        if (DGifGetExtensionNext(r->gif, &block) != GIF_OK)
            return false;
    return true;
}

/* Reads up to the first frame's pixels. */
static bool find_frame(struct gif_reader *r)
{
    GifRecordType type = UNDEFINED_RECORD_TYPE;

    while (DGifGetRecordType(r->gif, &type) == GIF_OK) {
        if (type == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(r->gif) == GIF_OK;
        if (type != EXTENSION_RECORD_TYPE || !read_extension(r))
            return false;
    }
    return false;
}

/* The frame's palette, else the file's, else grey levels; black beyond its end. */
static void make_lut(struct gif_reader *r)
{
    const ColorMapObject *map =
        r->gif->Image.ColorMap ? r->gif->Image.ColorMap : r->gif->SColorMap;

    for (int i = 0; i < 256; i++) {
        if (!map) {
            memset(r->lut[i], i, 3);
        } else if (i < map->ColorCount) {
            r->lut[i][0] = map->Colors[i].Red;
            r->lut[i][1] = map->Colors[i].Green;
            r->lut[i][2] = map->Colors[i].Blue;
        }
    }
}

static void fill(struct gif_reader *r)
{
    const uint8_t *color = r->lut[r->transparent < 0 ? 0 : r->transparent];
    const size_t num_pixels = (size_t)r->image->width * (size_t)r->image->height;

    for (size_t i = 0; i < num_pixels; i++)
        memcpy(r->image->rgb + 3 * i, color, 3);
}

static enum dlm_status read_rows(struct gif_reader *r)
{
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    const GifImageDesc *frame = &r->gif->Image;
    uint8_t *row = dlm_alloc(r->ctx, (size_t)frame->Width);
    enum dlm_status st = row ? DLM_OK : DLM_ERR_MEMORY;

    for (int pass = 0; !st && pass < (frame->Interlace ? 4 : 1); pass++) {
        const int by = frame->Interlace ? step[pass] : 1;
        for (int y = first[pass]; !st && y < frame->Height; y += by) {
            if (DGifGetLine(r->gif, row, frame->Width) != GIF_OK) {
                st = damaged(r);
                break;
            }
            uint8_t *to = r->image->rgb + 3 * ((size_t)(frame->Top + y) * (size_t)r->image->width +
                                               (size_t)frame->Left);
            for (int x = 0; x < frame->Width; x++)
                memcpy(to + 3 * (size_t)x, r->lut[row[x]], 3);
        }
    }
    dlm_free(row);
    return st;
}

enum dlm_status dlm_image_decode_gif(struct dlm_ctx *ctx, struct dlm_image *image,
                                     int *orientation, const struct dlm_image_source *source)
{
    struct gif_reader r = {.ctx = ctx, .source = source, .image = image, .transparent = -1};

    *orientation = 0;
    r.gif = DGifOpen(&r, on_read, NULL);
    enum dlm_status st = r.gif && find_frame(&r) ? DLM_OK : damaged(&r);
    if (st)
        goto done;
    /* A frame may reach over the canvas, which then grows. All four are below 2^16. */
    const GifImageDesc *frame = &r.gif->Image;
    const int right = frame->Left + frame->Width, bottom = frame->Top + frame->Height;
    st = frame->Width && frame->Height
             ? dlm_image_allocate(ctx, image, source,
                                  right > r.gif->SWidth ? right : r.gif->SWidth,
                                  bottom > r.gif->SHeight ? bottom : r.gif->SHeight)
             : dlm_image_damaged(ctx, source, "the first frame has no pixels");
    if (st || source->size_only)
        goto done;
    make_lut(&r);
    fill(&r);
    st = read_rows(&r);
    if (r.transparent >= 0) {
        image->has_key = true;
        memcpy(image->key, r.lut[r.transparent], 3);
    }
done:
    (void)DGifCloseFile(r.gif, NULL); /* fails for NULL, which is fine */
    return st;
}
