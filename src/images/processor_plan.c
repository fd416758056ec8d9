/* The size of pixel_values by an image's size alone. Arithmetic and its order are transformers', in
 * float64 as Python's: a rounding decides about a patch. */
#include <math.h>

#include "base/log.h"
#include "base/mem.h"
#include "images/processor.h"

#define MAX_RATIO 200 /* of a longer side to the shorter, of DLM_SIZE_AREA */

/* The pinned square, or the sides that the processor names. */
static struct dlm_pixel_shape box_of(const struct dlm_processor *p)
{
    return p->pinned ? (struct dlm_pixel_shape){1, p->pinned, p->pinned}
                     : (struct dlm_pixel_shape){1, p->height, p->width};
}

static enum dlm_status fail_image(struct dlm_ctx *ctx, const struct dlm_image_size *size,
                                  const char *what)
{
    return dlm_fail(ctx, DLM_ERR_INVALID, "cannot use '%s'%s: the image is %d x %d, %s",
                    size->name.file, dlm_image_line(size->name.line).text, size->width,
                    size->height, what);
}

/* smart_resize(): both sides to the nearest multiple, ties to the even one; then down or up to the
 * bounds. */
static enum dlm_status plan_area(struct dlm_ctx *ctx, const struct dlm_processor *p,
                                 const struct dlm_image_size *size, double *height, double *width)
{
    const double side = (double)p->patch * p->merge;
    const double area = (double)size->height * size->width;

    if (DLM_MAX(size->height, size->width) >
        (int64_t)MAX_RATIO * DLM_MIN(size->height, size->width))
        return fail_image(ctx, size, "its longer side more than 200 times the shorter one");
    *height = rint(size->height / side) * side;
    *width = rint(size->width / side) * side;
    if (*height * *width > (double)p->max_pixels) {
        const double beta = sqrt(area / (double)p->max_pixels);
        *height = fmax(side, floor(size->height / beta / side) * side);
        *width = fmax(side, floor(size->width / beta / side) * side);
    } else if (*height * *width < (double)p->min_pixels) {
        const double beta = sqrt((double)p->min_pixels / area);
        *height = ceil(size->height * beta / side) * side;
        *width = ceil(size->width * beta / side) * side;
    }
    return DLM_OK;
}

/* get_resize_output_image_size(): shrunk as far as needed, then up to the next multiple. */
static enum dlm_status plan_longest(struct dlm_ctx *ctx, const struct dlm_processor *p,
                                    const struct dlm_image_size *size, double *height,
                                    double *width)
{
    const double side = (double)p->patch * p->merge;
    const struct dlm_pixel_shape box = box_of(p);
    const double ratio = fmax((double)size->height / box.height, (double)size->width / box.width);

    *height = size->height;
    *width = size->width;
    if (ratio > 1) {
        *height = floor(size->height / ratio);
        *width = floor(size->width / ratio);
    }
    if (!(*height >= 1 && *width >= 1))
        return fail_image(ctx, size, "of which nothing is left when its longer side fits");
    *height = ceil(*height / side) * side;
    *width = ceil(*width / side) * side;
    return DLM_OK;
}

/* The image's own size, which a processor that does not resize must find in patches already. */
static enum dlm_status plan_as_is(struct dlm_ctx *ctx, const struct dlm_processor *p,
                                  const struct dlm_image_size *size, double *height, double *width)
{
    const int side = p->patch * p->merge;

    if (size->height % side || size->width % side)
        return fail_image(ctx, size, "no multiple of the patches, and the processor does not "
                          "resize");
    *height = size->height;
    *width = size->width;
    return DLM_OK;
}

enum dlm_status dlm_processor_plan(struct dlm_ctx *ctx, const struct dlm_processor *p,
                                   const struct dlm_image_size *size,
                                   struct dlm_pixel_shape *shape)
{
    const struct dlm_pixel_shape box = box_of(p);
    double height = box.height, width = box.width;
    enum dlm_status st = DLM_OK;

    if (p->size_rule == DLM_SIZE_LONGEST || (!p->pinned && p->size_rule == DLM_SIZE_AREA))
        st = !p->do_resize                     ? plan_as_is(ctx, p, size, &height, &width)
             : p->size_rule == DLM_SIZE_AREA ? plan_area(ctx, p, size, &height, &width)
                                               : plan_longest(ctx, p, size, &height, &width);
    if (!st && height * width > (double)DLM_IMAGE_MAX_PIXELS)
        st = fail_image(ctx, size, "and would become one of too many pixels");
    if (!st)
        *shape = (struct dlm_pixel_shape){1, (int32_t)height, (int32_t)width};
    return st;
}

int64_t dlm_processor_max_patches(const struct dlm_processor *p)
{
    const int64_t side = (int64_t)p->patch * p->merge, area = (int64_t)p->patch * p->patch;
    const struct dlm_pixel_shape box = box_of(p);
    const int64_t box_area = (box.height + side - 1) / side * side *
                             ((box.width + side - 1) / side * side);

    /* an image of extreme proportions may have more pixels than the bounds say */
    return (p->size_rule == DLM_SIZE_AREA && !p->pinned ? DLM_IMAGE_MAX_PIXELS : box_area) / area;
}
