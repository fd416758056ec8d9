/* Odd images of every kind against the pixel values that transformers gives for them, damaged and
 * hostile ones against its verdict. Goldens: tools/dev/make_images_goldens.py. */
#include <jansson.h>

#include "base/file.h"
#include "base/sha256.h"
#include "check.h"
#include "models/model.h"

#define MAX_IMAGE_BYTES ((size_t)1 << 20)

static char path_text[1024];

static const char *golden_path(const char *name)
{
    snprintf(path_text, sizeof(path_text), "%s/golden/images/%s", check_data_dir(), name);
    return path_text;
}

/* False for a format whose library this build was made without. */
static bool is_read(const char *name)
{
    bool is_read = name[0] != 0;

#ifndef DLM_HAVE_GIFLIB
    is_read = is_read && !strstr(name, ".gif");
#endif
#ifndef DLM_HAVE_LIBTIFF
    is_read = is_read && !strstr(name, ".tiff");
#endif
    return is_read;
}

static json_t *load_expected(void)
{
    json_error_t error;

    json_t *expected = json_load_file(golden_path("expected.json"), 0, &error);
    if (!expected)
        printf("cannot read %s: %s\n", path_text, error.text);
    return expected;
}

static struct dlm_processor processor_for(const json_t *c)
{
    struct dlm_processor p;

    p = *dlm_family_paligemma.processor;
    p.height = p.width = 28;
    if (json_object_get(c, "height")) {
        p.height = (int)json_integer_value(json_object_get(c, "height"));
        p.width = (int)json_integer_value(json_object_get(c, "width"));
        p.resample = (enum dlm_resample)json_integer_value(json_object_get(c, "resample"));
    }
    if (json_object_get(c, "do_convert_rgb"))
        p.do_convert_rgb = json_is_true(json_object_get(c, "do_convert_rgb"));
    return p;
}

/* SHA-256 of the pixel values of an encoded image, "" if it is refused. */
static const char *pixels_sha(struct dlm_ctx *ctx, const struct dlm_image_source *source,
                              const struct dlm_processor *p)
{
    static char hex[65];
    const struct dlm_pixel_shape shape = {1, p->height, p->width};
    const size_t bytes = sizeof(float) * dlm_pixels_len(&shape);
    float *pixel_values = malloc(bytes);
    struct dlm_image image;

    hex[0] = '\0';
    if (pixel_values && !dlm_image_decode(ctx, &image, source)) {
        if (!dlm_preprocess(ctx, p, &image, &shape, pixel_values))
            dlm_sha256_of(pixel_values, bytes, hex);
        dlm_image_finish(&image);
    }
    free(pixel_values);
    return hex;
}

static void test_cases(struct dlm_ctx *ctx, const json_t *expected)
{
    size_t i;
    json_t *c;

    CHECK(json_array_size(json_object_get(expected, "cases")) > 300);
    json_array_foreach (json_object_get(expected, "cases"), i, c) {
        const char *name = json_string_value(json_object_get(c, "image"));
        const struct dlm_processor p = processor_for(c);
        struct dlm_str file = {0};
        check_case(name);
        if (!CHECK(!dlm_file_read(ctx, golden_path(name), MAX_IMAGE_BYTES, &file)))
            continue;
        const struct dlm_image_source source = {
            .data = file.data, .bytes = file.len, .name = name};
        const char *want = json_string_value(json_object_get(c, "sha256"));
        if (!CHECK_STR(pixels_sha(ctx, &source, &p), is_read(name) ? want : ""))
            printf("     %s to %d x %d, resample %d\n", name, p.height, p.width, (int)p.resample);
        dlm_str_finish(&file);
    }
}

/* The size alone is that of the whole image, turned upright: of every image that is read. */
static void test_sizes(struct dlm_ctx *ctx, const json_t *expected)
{
    const char *last = "";
    size_t i, num = 0;
    json_t *c;

    check_case("sizes");
    json_array_foreach (json_object_get(expected, "cases"), i, c) {
        const char *name = json_string_value(json_object_get(c, "image"));
        struct dlm_image image;
        int width = -1, height = -1;
        if (!strcmp(name, last) || dlm_image_load(ctx, &image, golden_path(name)))
            continue;
        last = name;
        num++;
        CHECK(!dlm_image_read_size(ctx, golden_path(name), (struct dlm_image_name){name, 0},
                                   &width, &height));
        if (!CHECK_INT(width, image.width) || !CHECK_INT(height, image.height))
            printf("     %s\n", name);
        dlm_image_finish(&image);
    }
    CHECK(num > 60);
    CHECK_INT(dlm_image_read_size(ctx, golden_path("empty.png"),
                                  (struct dlm_image_name){"empty.png", 7}, &(int){0}, &(int){0}),
              DLM_ERR_PARSE);
    CHECK_STR(dlm_ctx_last_error(ctx), "cannot read 'empty.png' (line 7): the file is empty");
}

/* Files cut at many places: an error exactly where transformers has one, else the same pixels. */
static void test_cuts(struct dlm_ctx *ctx, const json_t *expected)
{
    const struct dlm_processor p = processor_for(NULL);
    size_t i;
    json_t *c;

    check_case("cut files");
    json_array_foreach (json_object_get(expected, "cuts"), i, c) {
        const char *name = json_string_value(json_object_get(c, "image"));
        const char *want = json_string_value(json_object_get(c, "sha256"));
        const size_t bytes = (size_t)json_integer_value(json_object_get(c, "bytes"));
        struct dlm_str file = {0};
        if (!CHECK(!dlm_file_read(ctx, golden_path(name), MAX_IMAGE_BYTES, &file)))
            continue;
        /* A copy of its own, so that a read past the cut is seen. */
        char *cut = malloc(bytes);
        if (CHECK(cut && bytes < file.len)) {
            memcpy(cut, file.data, bytes);
            const struct dlm_image_source source = {.data = cut, .bytes = bytes, .name = name};
            if (!CHECK_STR(pixels_sha(ctx, &source, &p), want && is_read(name) ? want : ""))
                printf("     %s cut to %zu bytes\n", name, bytes);
        }
        free(cut);
        dlm_str_finish(&file);
    }
}

/* What is recognised but not read is called by its name. */
static void check_named(struct dlm_ctx *ctx)
{
    static const char *const rows[][2] = {
        {"avif", "AVIF"},   {"heic", "HEIC"}, {"ico", "ICO"}, {"jp2", "JPEG 2000"},
        {"jxl", "JPEG XL"}, {"pdf", "PDF"},   {"psd", "PSD"}, {"svg", "SVG"},
        {"html", "HTML"},   {"tga", "TGA"},   {"ppm", "PPM"}};
    struct dlm_image image;
    char name[32], part[48];

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        snprintf(name, sizeof(name), "other.%s", rows[i][0]);
        snprintf(part, sizeof(part), ": %s files are not read", rows[i][1]);
        check_case(name);
        CHECK_INT(dlm_image_load(ctx, &image, golden_path(name)), DLM_ERR_UNSUPPORTED);
        CHECK(strstr(dlm_ctx_last_error(ctx), part));
    }
}

/* Every refusal names the file. */
static void test_refused(struct dlm_ctx *ctx, const json_t *expected)
{
    size_t i;
    json_t *name;

    json_array_foreach (json_object_get(expected, "refused"), i, name) {
        struct dlm_image image;
        check_case(json_string_value(name));
        const char *path = golden_path(json_string_value(name));
        enum dlm_status st = dlm_image_load(ctx, &image, path);
        CHECK(st != DLM_OK);
        CHECK(!image.rgb && !image.width);
        CHECK(strstr(dlm_ctx_last_error(ctx), path));
        if (!strncmp(json_string_value(name), "bomb", 4) && is_read(json_string_value(name))) {
            CHECK_INT(st, DLM_ERR_INVALID);
            CHECK(strstr(dlm_ctx_last_error(ctx), "pixels, the limit is 178956970"));
        }
        if (!strncmp(json_string_value(name), "other", 5))
            CHECK_INT(st, DLM_ERR_UNSUPPORTED);
    }
    check_named(ctx);
    check_case("missing file and folder");
    struct dlm_image image;
    CHECK_INT(dlm_image_load(ctx, &image, golden_path("no-such-image.png")), DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "no-such-image.png"));
    CHECK(dlm_image_load(ctx, &image, golden_path("")) != DLM_OK);
}

static void test_limit(struct dlm_ctx *ctx)
{
    static const char *names[] = {"rgb8.png",      "rgb420.jpg",  "lossy.webp",
                                  "lossy_alpha.webp", "picture.gif", "rgb24.bmp", "rgb.tiff"};

    check_case("pixel limit");
    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++) {
        struct dlm_str file = {0};
        struct dlm_image image;
        if (!is_read(names[i]) ||
            !CHECK(!dlm_file_read(ctx, golden_path(names[i]), MAX_IMAGE_BYTES, &file)))
            continue;
        struct dlm_image_source source = {
            .data = file.data, .bytes = file.len, .name = names[i], .max_pixels = 1000};
        CHECK_INT(dlm_image_decode(ctx, &image, &source), DLM_ERR_INVALID);
        source.max_pixels = 10000;
        CHECK_INT(dlm_image_decode(ctx, &image, &source), DLM_OK);
        dlm_image_finish(&image);
        dlm_str_finish(&file);
    }
}

struct heard {
    int warnings;
    bool names_file;
};

static void on_log(void *user, enum dlm_log_level level, const char *text)
{
    struct heard *h = user;

    if (level != DLM_LOG_WARNING)
        return;
    h->warnings++;
    h->names_file = strstr(text, "grey16");
}

/* One warning for an image of 16-bit grey that becomes white, none for others. */
static void test_saturated(void)
{
    static const struct {
        const char *name;
        int warnings;
    } rows[] = {{"grey16.png", 1}, {"ii_grey16.tiff", 1}, {"grey8.png", 0}, {"rgb16.png", 0}};

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        struct heard heard = {0};
        struct dlm_image image = {0};
        struct dlm_ctx *ctx = dlm_ctx_create(
            &(struct dlm_ctx_params){.log = on_log, .log_user = &heard, .num_threads = 1});
        check_case(rows[i].name);
        if (is_read(rows[i].name) && CHECK(ctx)) {
            CHECK_INT(dlm_image_load(ctx, &image, golden_path(rows[i].name)), DLM_OK);
            CHECK_INT(heard.warnings, rows[i].warnings);
            CHECK(heard.names_file == (rows[i].warnings > 0));
            CHECK(image.is_saturated == (rows[i].warnings > 0));
        }
        dlm_image_finish(&image);
        dlm_ctx_destroy(&ctx);
    }
}

/* Fails one allocation after the other, until a run needs no more of them. */
struct allocations {
    int left;
};

static bool may_allocate(void *user, size_t bytes)
{
    struct allocations *a = user;

    (void)bytes;
    return a->left-- > 0;
}

static void test_out_of_memory(void)
{
    static const char *names[] = {"interlaced_rgb8.png", "rawprofile3.png", "exif6.jpg",
                                  "cmyk.jpg", "exif6.webp", "rgb8_key.png", "inside.gif",
                                  "rle4.bmp", "jpeg.tiff"};
    const struct dlm_processor p = processor_for(NULL);
    float *pixel_values = malloc(sizeof(float) * 3 * 28 * 28);

    check_case("out of memory");
    for (size_t i = 0; pixel_values && i < DLM_ARRAY_LEN(names); i++) {
        enum dlm_status st = DLM_ERR_MEMORY;
        int allowed = 0;
        if (!is_read(names[i]))
            continue;
        for (; st && allowed < 100; allowed++) {
            struct allocations a = {.left = 1 << 20};
            struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){
                .alloc_hook = may_allocate, .alloc_user = &a, .num_threads = 1});
            struct dlm_image image = {0};
            if (!CHECK(ctx))
                break;
            a.left = allowed;
            st = dlm_image_load(ctx, &image, golden_path(names[i]));
            if (!st)
                st = dlm_preprocess(ctx, &p, &image,
                                    &(struct dlm_pixel_shape){1, p.height, p.width}, pixel_values);
            CHECK(st == DLM_OK || st == DLM_ERR_MEMORY);
            dlm_image_finish(&image);
            dlm_ctx_destroy(&ctx);
        }
        CHECK_INT(st, DLM_OK);
        CHECK(allowed > 3);
    }
    free(pixel_values);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 2});
    json_t *expected = load_expected();

    check_case("goldens");
    if (CHECK(ctx && expected)) {
        test_cases(ctx, expected);
        test_cuts(ctx, expected);
        test_sizes(ctx, expected);
        test_refused(ctx, expected);
        test_limit(ctx);
        test_saturated();
        test_out_of_memory();
    }
    json_decref(expected);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
