/* Fuzz entry: any bytes as an image, decoded and preprocessed. */
#include <stddef.h>
#include <stdint.h>

#include "models/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float pixel_values[3 * 14 * 20];
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 1});
    const struct dlm_image_source source = {
        .data = data, .bytes = size, .name = "fuzz", .max_pixels = 1 << 18};
    struct dlm_processor processor;
    struct dlm_image image;

    if (!ctx)
        return 0;
    processor = *dlm_family_paligemma.processor;
    if (!dlm_image_decode(ctx, &image, &source)) {
        /* May fail for want of memory only; either is fine here. */
        (void)!dlm_preprocess(ctx, &processor, &image, &(struct dlm_pixel_shape){1, 14, 20},
                              pixel_values);
        dlm_image_finish(&image);
    }
    dlm_ctx_destroy(&ctx);
    return 0;
}
