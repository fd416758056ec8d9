/* For tools/dev/make_images_goldens.py: reads `HEIGHT WIDTH RESAMPLE PATH` lines and answers each
 * with the SHA-256 of the image's pixel values, or `error: <message>`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "models/model.h"

static void answer(struct dlm_ctx *ctx, const struct dlm_processor *processor, const char *path)
{
    const struct dlm_pixel_shape shape = {1, processor->height, processor->width};
    const size_t len = dlm_pixels_len(&shape);
    float *pixel_values = dlm_alloc_array(ctx, len, sizeof(float));
    struct dlm_image image = {0};
    char hex[65];

    if (!pixel_values || dlm_image_load(ctx, &image, path) ||
        dlm_preprocess(ctx, processor, &image, &shape, pixel_values)) {
        printf("error: %s\n", dlm_ctx_last_error(ctx));
    } else {
        dlm_sha256_of(pixel_values, len * sizeof(float), hex);
        printf("%s\n", hex);
    }
    fflush(stdout);
    dlm_image_finish(&image);
    dlm_free(pixel_values);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    char line[4096];

    while (ctx && fgets(line, sizeof(line), stdin)) {
        int height, width, resample, at = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%d %d %d %n", &height, &width, &resample, &at) < 3 || !at)
            return EXIT_FAILURE;
        struct dlm_processor processor;
        processor = *dlm_family_paligemma.processor;
        processor.height = height;
        processor.width = width;
        processor.resample = (enum dlm_resample)resample;
        answer(ctx, &processor, line + at);
    }
    dlm_ctx_destroy(&ctx);
    return EXIT_SUCCESS;
}
