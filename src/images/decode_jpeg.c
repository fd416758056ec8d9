/* JPEG to RGB over libjpeg(-turbo), with its defaults as Pillow uses them: accurate integer DCT,
 * smooth chroma upsampling, block smoothing. A file that ends before libjpeg has its last row is an
 * error; damage inside the data decodes to what libjpeg makes of it. */
#include "images/decoders.h"

#include <setjmp.h>
#include <stdio.h> /* before jpeglib.h, which needs it */
#include <string.h>

#include <jpeglib.h>

#include "base/log.h"
#include "base/str.h"
#include "images/orientation.h"

/* Progressive scans allowed; more is an attack on our time (each costs a pass over the image). */
#define MAX_SCANS 1000

static const char truncated[] = "the image file is truncated";

struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr input;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    struct dlm_ctx *ctx;
    const struct dlm_image_source *source;
    struct dlm_image *image;
    uint8_t *row;             /* a grey or CMYK row; RGB rows go straight to the image */
    struct dlm_str exif, xmp; /* payloads of APP1 segments */
    enum dlm_status status;   /* set when a failure has been logged already */
    char message[JMSG_LENGTH_MAX];
};

static struct jpeg_reader *reader_of(void *jpeg)
{
    return ((struct jpeg_decompress_struct *)jpeg)->client_data;
}

static void on_error(j_common_ptr jpeg)
{
    struct jpeg_reader *r = reader_of(jpeg);

    r->errors.format_message(jpeg, r->message);
    longjmp(r->failed, 1);
}

static void on_message(j_common_ptr jpeg, int level)
{
    (void)jpeg;
    (void)level;
}

static void on_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void on_start(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* All data is in memory from the start: wanting more means that the file is cut short. */
static boolean on_fill(j_decompress_ptr jpeg)
{
    (void)jpeg;
    return FALSE;
}

static void on_skip(j_decompress_ptr jpeg, long bytes)
{
    struct jpeg_source_mgr *input = jpeg->src;
    const size_t skip = bytes < 0 ? 0 : (size_t)bytes;

    if (skip > input->bytes_in_buffer) {
        struct jpeg_reader *r = reader_of(jpeg);
        snprintf(r->message, sizeof(r->message), "%s", truncated);
        longjmp(r->failed, 1);
    }
    input->next_input_byte += skip;
    input->bytes_in_buffer -= skip;
}

static void on_progress(j_common_ptr jpeg)
{
    struct jpeg_reader *r = reader_of(jpeg);

    if (r->jpeg.input_scan_number <= MAX_SCANS)
        return;
    snprintf(r->message, sizeof(r->message), "more than %d scans", MAX_SCANS);
    longjmp(r->failed, 1);
}

static bool fail_truncated(struct jpeg_reader *r)
{
    snprintf(r->message, sizeof(r->message), "%s", truncated);
    return false;
}

/* Collects what can hold the orientation from the APP1 segments before the first scan. */
static bool collect_metadata(struct jpeg_reader *r)
{
    static const char xmp_id[] = "http://ns.adobe.com/xap/1.0/"; /* and its NUL */

    for (jpeg_saved_marker_ptr m = r->jpeg.marker_list; m && !r->status; m = m->next) {
        const char *data = (const char *)m->data;
        const size_t bytes = m->data_length;
        if (bytes >= 6 && !memcmp(data, "Exif\0\0", 6)) {
            r->status = dlm_str_append(r->ctx, &r->exif, data + 6, bytes - 6);
        } else if (bytes >= sizeof(xmp_id) && !memcmp(data, xmp_id, sizeof(xmp_id))) {
            dlm_str_finish(&r->xmp); /* the last one counts */
            r->status = dlm_str_append(r->ctx, &r->xmp, data + sizeof(xmp_id),
                                       bytes - sizeof(xmp_id));
        }
    }
    return !r->status;
}

static bool read_header(struct jpeg_reader *r)
{
    struct jpeg_decompress_struct *jpeg = &r->jpeg;

    if (setjmp(r->failed))
        return false;
    jpeg_create_decompress(jpeg);
    jpeg->client_data = r;
    jpeg->src = &r->input;
    jpeg->progress = &r->progress;
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    if (jpeg_read_header(jpeg, TRUE) != JPEG_HEADER_OK)
        return fail_truncated(r);
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4) {
        snprintf(r->message, sizeof(r->message), "cannot handle %d-layer images",
                 jpeg->num_components);
        return false;
    }
    jpeg->out_color_space = jpeg->num_components == 1   ? JCS_GRAYSCALE
                            : jpeg->num_components == 3 ? JCS_RGB
                                                        : JCS_CMYK;
    r->status = dlm_image_allocate(r->ctx, r->image, r->source, jpeg->image_width,
                                   jpeg->image_height);
    if (!r->status && jpeg->num_components != 3) {
        r->row = dlm_alloc_array(r->ctx, jpeg->image_width, (size_t)jpeg->num_components);
        r->status = r->row ? DLM_OK : DLM_ERR_MEMORY;
    }
    return !r->status && collect_metadata(r);
}

/* One row of grey or of Adobe's inverted CMYK (Pillow takes all 4-component files as such). */
static void convert_row(const struct jpeg_reader *r, uint8_t *to)
{
    const uint8_t *from = r->row;

    if (r->jpeg.num_components == 1) {
        for (int x = 0; x < r->image->width; x++, to += 3)
            memset(to, from[x], 3);
        return;
    }
    for (int x = 0; x < r->image->width; x++, to += 3, from += 4) {
        for (int c = 0; c < 3; c++)
            to[c] = dlm_image_cmyk_channel(255 - from[c], from[3]);
    }
}

static bool read_rows(struct jpeg_reader *r)
{
    if (setjmp(r->failed))
        return false;
    if (!jpeg_start_decompress(&r->jpeg))
        return fail_truncated(r);
    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        uint8_t *to = r->image->rgb +
                      (size_t)r->jpeg.output_scanline * (size_t)r->image->width * 3;
        JSAMPROW row = r->row ? r->row : to;
        if (jpeg_read_scanlines(&r->jpeg, &row, 1) != 1)
            return fail_truncated(r);
        if (r->row)
            convert_row(r, to);
    }
    return true;
}

enum dlm_status dlm_image_decode_jpeg(struct dlm_ctx *ctx, struct dlm_image *image,
                                      int *orientation, const struct dlm_image_source *source)
{
    struct jpeg_reader r = {.ctx = ctx, .source = source, .image = image};

    r.jpeg.err = jpeg_std_error(&r.errors);
    r.jpeg.client_data = &r;
    r.errors.error_exit = on_error;
    r.errors.emit_message = on_message;
    r.errors.output_message = on_output;
    r.progress.progress_monitor = on_progress;
    r.input = (struct jpeg_source_mgr){
        .next_input_byte = source->data,
        .bytes_in_buffer = source->bytes,
        .init_source = on_start,
        .fill_input_buffer = on_fill,
        .skip_input_data = on_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = on_start,
    };
    if (read_header(&r) && (source->size_only || read_rows(&r))) {
        *orientation = dlm_exif_orientation((const uint8_t *)r.exif.data, r.exif.len);
        if (!*orientation)
            *orientation = dlm_xmp_orientation((const uint8_t *)r.xmp.data, r.xmp.len);
    } else if (!r.status) {
        r.status = dlm_image_damaged(ctx, source, r.message);
    }
    jpeg_destroy_decompress(&r.jpeg);
    dlm_free(r.row);
    dlm_str_finish(&r.exif);
    dlm_str_finish(&r.xmp);
    return r.status;
}
