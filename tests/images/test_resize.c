/* What must hold for every resize: constants stay constant, threads do not matter, extreme sizes
 * neither overflow nor take absurd memory. Values are checked in test_decode.c. */
#include "base/mem.h"
#include "check.h"
#include "images/image.h"

static struct dlm_image make_image(int width, int height)
{
    struct dlm_image image = {.width = width, .height = height};
    const size_t bytes = 3 * (size_t)width * (size_t)height;
    uint32_t state = 12345;

    image.rgb = dlm_alloc(NULL, bytes);
    for (size_t i = 0; image.rgb && i < bytes; i++) {
        state = state * 1664525 + 1013904223;
        image.rgb[i] = (uint8_t)(state >> 24);
    }
    return image;
}

static void test_constant(struct dlm_ctx *ctx)
{
    static const int sizes[][4] = {{1, 1, 7, 5}, {50, 40, 3, 90}, {3, 200, 28, 28}, {64, 3, 1, 1}};

    check_case("a constant image stays constant");
    for (size_t i = 0; i < DLM_ARRAY_LEN(sizes); i++) {
        for (int r = 0; r < DLM_RESAMPLE_COUNT; r++) {
            struct dlm_image in = make_image(sizes[i][0], sizes[i][1]), out;
            memset(in.rgb, 201, 3 * (size_t)in.width * (size_t)in.height);
            if (!CHECK(!dlm_image_resize(ctx, &out, &in, sizes[i][2], sizes[i][3],
                                         (enum dlm_resample)r)))
                continue;
            int wrong = 0;
            for (int k = 0; k < 3 * out.width * out.height; k++)
                wrong += out.rgb[k] != 201;
            CHECK_INT(wrong, 0);
            dlm_image_finish(&in);
            dlm_image_finish(&out);
        }
    }
}

static void test_threads(void)
{
    struct dlm_ctx *one = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 1});
    struct dlm_ctx *four = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 4});
    struct dlm_image in = make_image(301, 203);

    check_case("threads do not matter");
    for (int r = 0; CHECK(one && four && in.rgb) && r < DLM_RESAMPLE_COUNT; r++) {
        struct dlm_image a, b;
        CHECK(!dlm_image_resize(one, &a, &in, 97, 61, (enum dlm_resample)r));
        CHECK(!dlm_image_resize(four, &b, &in, 97, 61, (enum dlm_resample)r));
        CHECK(a.rgb && b.rgb && !memcmp(a.rgb, b.rgb, 3 * 97 * 61));
        dlm_image_finish(&a);
        dlm_image_finish(&b);
    }
    dlm_image_finish(&in);
    dlm_ctx_destroy(&one);
    dlm_ctx_destroy(&four);
}

static bool below_64_mib(void *user, size_t bytes)
{
    (void)user;
    return bytes < (size_t)64 << 20;
}

/* Long thin images: more taps than one group or run holds, sums beyond 2^31 in between. */
static void test_extremes(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(
        &(struct dlm_ctx_params){.num_threads = 2, .alloc_hook = below_64_mib});
    static const int sizes[][4] = {
        {3000000, 1, 224, 1}, {1, 3000000, 1, 224}, {3000000, 2, 3, 5}, {2, 3000000, 5, 3}};

    check_case("extreme sizes");
    for (size_t i = 0; CHECK(ctx) && i < DLM_ARRAY_LEN(sizes); i++) {
        struct dlm_image in = make_image(sizes[i][0], sizes[i][1]), out;
        memset(in.rgb, 255, 3 * (size_t)in.width * (size_t)in.height);
        CHECK(!dlm_image_resize(ctx, &out, &in, sizes[i][2], sizes[i][3],
                                DLM_RESAMPLE_BICUBIC));
        CHECK_INT(out.width, sizes[i][2]);
        CHECK_INT(out.height, sizes[i][3]);
        /* Half a million rounded weights do not sum to one exactly: white may lose a level. */
        for (int k = 0; out.rgb && k < 3 * out.width * out.height; k++)
            CHECK(out.rgb[k] >= 200);
        dlm_image_finish(&in);
        dlm_image_finish(&out);
    }
    dlm_ctx_destroy(&ctx);
}

static void test_edges(struct dlm_ctx *ctx)
{
    struct dlm_image in = make_image(9, 4), out;

    check_case("same size is a copy");
    CHECK(!dlm_image_resize(ctx, &out, &in, 9, 4, DLM_RESAMPLE_BICUBIC));
    CHECK(out.rgb != in.rgb && !memcmp(out.rgb, in.rgb, 3 * 9 * 4));
    dlm_image_finish(&out);
    check_case("sizes out of range");
    CHECK_INT(dlm_image_resize(ctx, &out, &in, 0, 4, DLM_RESAMPLE_BICUBIC), DLM_ERR_INVALID);
    CHECK_INT(dlm_image_resize(ctx, &out, &in, 4, -1, DLM_RESAMPLE_BICUBIC), DLM_ERR_INVALID);
    CHECK_INT(dlm_image_resize(ctx, &out, &in, 100000, 100000, DLM_RESAMPLE_NEAREST),
              DLM_ERR_INVALID);
    CHECK_INT(dlm_image_resize(ctx, &out, &in, 4, 4, (enum dlm_resample)9), DLM_ERR_INVALID);
    CHECK(!out.rgb);
    dlm_image_finish(&in);
    dlm_image_finish(NULL);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    check_case("context");
    if (CHECK(ctx)) {
        test_constant(ctx);
        test_threads();
        test_extremes();
        test_edges(ctx);
    }
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
