/* WebP to RGB over libwebp. The first frame comes from the animation decoder also for stills,
 * as in Pillow: it places a frame smaller than its canvas on transparent black. */
#include "images/decoders.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "images/orientation.h"

/* Orientation in the EXIF chunk, else in XMP. */
static int read_orientation(const WebPDemuxer *demuxer)
{
    WebPChunkIterator chunk;
    int orientation = 0;

    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        orientation = dlm_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    if (!orientation && WebPDemuxGetChunk(demuxer, "XMP ", 1, &chunk)) {
        orientation = dlm_xmp_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    return orientation;
}

static uint32_t read_u24(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

/* Size of the canvas. That of an extended file is read here: libwebp calls one that is too large
 * damaged. */
static bool read_size(const struct dlm_image_source *source, int64_t *width, int64_t *height)
{
    const uint8_t *data = source->data;
    WebPBitstreamFeatures features;

    if (source->bytes >= 30 && !memcmp(data + 12, "VP8X", 4)) {
        *width = (int64_t)read_u24(data + 24) + 1;
        *height = (int64_t)read_u24(data + 27) + 1;
        return true;
    }
    if (WebPGetFeatures(data, source->bytes, &features) != VP8_STATUS_OK)
        return false;
    *width = features.width;
    *height = features.height;
    return true;
}

enum dlm_status dlm_image_decode_webp(struct dlm_ctx *ctx, struct dlm_image *image,
                                      int *orientation, const struct dlm_image_source *source)
{
    const WebPData data = {.bytes = source->data, .size = source->bytes};
    WebPAnimDecoderOptions options;
    WebPAnimDecoder *decoder = NULL;
    int64_t width, height;
    uint8_t *rgba;
    int timestamp;

    /* The decoder takes memory for the canvas when it is made: check the size before. */
    if (!read_size(source, &width, &height))
        return dlm_image_damaged(ctx, source, "the WebP header is damaged");
    enum dlm_status st = dlm_image_allocate(ctx, image, source, width, height);
    if (st)
        return st;
    if (source->size_only) {
        WebPDemuxer *demuxer = WebPDemux(&data);
        *orientation = demuxer ? read_orientation(demuxer) : 0;
        WebPDemuxDelete(demuxer);
        return DLM_OK;
    }
    WebPAnimDecoderOptionsInit(&options);
    options.color_mode = MODE_RGBA;
    decoder = WebPAnimDecoderNew(&data, &options);
    if (!decoder || !WebPAnimDecoderGetNext(decoder, &rgba, &timestamp)) {
        st = dlm_image_damaged(ctx, source, "the image file is truncated or damaged");
        goto done;
    }
    WebPAnimInfo info;
    if (!WebPAnimDecoderGetInfo(decoder, &info) || info.canvas_width != (uint32_t)image->width ||
        info.canvas_height != (uint32_t)image->height) {
        st = dlm_image_damaged(ctx, source, "the WebP header is damaged");
        goto done;
    }
    const size_t num_pixels = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < num_pixels; i++) {
        image->rgb[3 * i] = rgba[4 * i];
        image->rgb[3 * i + 1] = rgba[4 * i + 1];
        image->rgb[3 * i + 2] = rgba[4 * i + 2];
    }
    *orientation = read_orientation(WebPAnimDecoderGetDemuxer(decoder));
done:
    WebPAnimDecoderDelete(decoder);
    return st;
}
