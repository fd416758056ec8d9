/* preprocessor_config.json in its spellings, and the arithmetic after the resize. */
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "check.h"
#include "images/npz.h"
#include "models/model.h"

static char folder[] = "/tmp/dlm-processor-XXXXXX";
static char path_text[1024];

static const char *write_config(struct dlm_ctx *ctx, const char *name, const char *text)
{
    snprintf(path_text, sizeof(path_text), "%s/%s", folder, name);
    CHECK(!dlm_file_replace(ctx, path_text, text, strlen(text)));
    return path_text;
}

static enum dlm_status load_text(struct dlm_ctx *ctx, struct dlm_processor *p, const char *text)
{
    *p = *dlm_family_paligemma.processor;
    return dlm_processor_load(ctx, p, write_config(ctx, "config.json", text));
}

static void test_spellings(struct dlm_ctx *ctx)
{
    struct dlm_processor p;

    check_case("PaliGemma's own file");
    CHECK(!load_text(ctx, &p,
                     "{\"do_convert_rgb\": null, \"do_normalize\": true, \"do_rescale\": true,"
                     " \"do_resize\": true, \"image_mean\": [0.5, 0.25, 0.125],"
                     " \"image_processor_type\": \"SiglipImageProcessor\","
                     " \"image_seq_length\": 1024, \"image_std\": [0.5, 0.75, 1],"
                     " \"processor_class\": \"PaliGemmaProcessor\", \"resample\": 2,"
                     " \"rescale_factor\": 0.25, \"size\": {\"height\": 448, \"width\": 336}}"));
    CHECK_STR(p.class_name, "PaliGemmaProcessor");
    CHECK_INT(p.height, 448);
    CHECK_INT(p.width, 336);
    CHECK_INT(p.resample, DLM_RESAMPLE_BILINEAR);
    CHECK_INT(p.image_seq_length, 1024);
    CHECK(p.mean[1] == 0.25 && p.mean[2] == 0.125 && p.std[1] == 0.75 && p.std[2] == 1.0);
    CHECK(p.rescale_factor == 0.25);
    CHECK(!p.do_convert_rgb);

    check_case("defaults for missing and null members");
    CHECK(!load_text(ctx, &p, "{\"size\": null, \"resample\": null, \"image_mean\": null}"));
    CHECK_STR(p.class_name, "PaliGemmaProcessor");
    CHECK(p.height == 224 && p.width == 224 && p.resample == DLM_RESAMPLE_BICUBIC);
    CHECK(p.do_convert_rgb);
    CHECK(p.do_resize && p.do_rescale && p.do_normalize && p.rescale_factor == 1.0 / 255.0);
    CHECK(p.mean[0] == 0.5 && p.std[2] == 0.5 && p.image_seq_length == 0);

    check_case("lists, single numbers, switches");
    CHECK(!load_text(ctx, &p, "{\"size\": [30, 44], \"image_mean\": 0.1, \"image_std\": 2,"
                              " \"do_normalize\": false, \"do_rescale\": false,"
                              " \"do_convert_rgb\": false}"));
    CHECK(!p.do_convert_rgb);
    CHECK(p.height == 30 && p.width == 44 && p.mean[2] == 0.1 && p.std[1] == 2.0);
    CHECK(!p.do_normalize && !p.do_rescale && p.do_resize);
}

static void test_refused(struct dlm_ctx *ctx)
{
    static const struct {
        const char *text, *part;
        enum dlm_status status;
    } rows[] = {
        {"", "config.json", DLM_ERR_PARSE},
        {"[1]", "not a JSON object", DLM_ERR_PARSE},
        {"{\"image_processor\": 3}", "not a JSON object", DLM_ERR_PARSE},
        {"{\"size\": {\"height\": 0, \"width\": 5}}", "'size'", DLM_ERR_PARSE},
        {"{\"size\": {\"height\": 5, \"width\": 99999999999}}", "'size'", DLM_ERR_PARSE},
        {"{\"size\": {\"height\": \"5\", \"width\": 5}}", "'size'", DLM_ERR_PARSE},
        {"{\"size\": \"big\"}", "'size'", DLM_ERR_PARSE},
        {"{\"size\": 224}", "'size'", DLM_ERR_UNSUPPORTED},
        {"{\"size\": {\"shortest_edge\": 224}}", "'size'", DLM_ERR_UNSUPPORTED},
        {"{\"resample\": 7}", "'resample'", DLM_ERR_PARSE},
        {"{\"resample\": \"bicubic\"}", "'resample'", DLM_ERR_PARSE},
        {"{\"image_mean\": [1, 2]}", "'image_mean'", DLM_ERR_PARSE},
        {"{\"image_mean\": [1, 2, \"x\"]}", "'image_mean'", DLM_ERR_PARSE},
        {"{\"image_mean\": 1e300}", "'image_mean'", DLM_ERR_PARSE},
        {"{\"image_std\": [1, 0, 1]}", "'image_std'", DLM_ERR_PARSE},
        {"{\"image_std\": 1e-60}", "'image_std'", DLM_ERR_PARSE},
        {"{\"rescale_factor\": 1e39}", "'rescale_factor'", DLM_ERR_PARSE},
        {"{\"do_resize\": 1}", "'do_resize'", DLM_ERR_PARSE},
        {"{\"do_convert_rgb\": \"yes\"}", "'do_convert_rgb'", DLM_ERR_PARSE},
        {"{\"do_pad\": true}", "'do_pad'", DLM_ERR_UNSUPPORTED},
        {"{\"do_center_crop\": true}", "'do_center_crop'", DLM_ERR_UNSUPPORTED},
        {"{\"image_seq_length\": -1}", "'image_seq_length'", DLM_ERR_PARSE},
        {"{\"processor_class\": \"a\\\"b\"}", "'processor_class'", DLM_ERR_PARSE},
        {"{\"processor_class\": \"\"}", "'processor_class'", DLM_ERR_PARSE},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        struct dlm_processor p;
        check_case(rows[i].text);
        CHECK_INT(load_text(ctx, &p, rows[i].text), rows[i].status);
        CHECK(strstr(dlm_ctx_last_error(ctx), rows[i].part));
        CHECK(strstr(dlm_ctx_last_error(ctx), "config.json"));
    }
}

static void test_folder(struct dlm_ctx *ctx)
{
    struct dlm_processor p = *dlm_family_paligemma.processor;

    check_case("a folder without either file");
    CHECK_INT(dlm_processor_load_folder(ctx, &p, folder), DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "preprocessor_config.json"));
    check_case("preprocessor_config.json");
    write_config(ctx, "preprocessor_config.json", "{\"size\": [10, 11]}");
    write_config(ctx, "processor_config.json", "{\"processor_class\": \"OldProcessor\"}");
    CHECK(!dlm_processor_load_folder(ctx, &p, folder));
    CHECK_INT(p.width, 11);
    check_case("a nested processor_config.json comes first");
    write_config(ctx, "processor_config.json", "{\"processor_class\": \"NewProcessor\","
                                               " \"image_processor\": {\"size\": [20, 21]}}");
    CHECK(!dlm_processor_load_folder(ctx, &p, folder));
    CHECK_INT(p.width, 21);
    CHECK_STR(p.class_name, "NewProcessor");
}

/* Full arrays from transformers: shows which value differs, where test_decode.c only has hashes. */
static void test_values(struct dlm_ctx *ctx)
{
    static const char *images[][2] = {{"rgb8.png", "rgb8_png"},
                                      {"exif6.jpg", "exif6_jpg"},
                                      {"lossy.webp", "lossy_webp"}};
    struct dlm_processor p;
    char path[1024];

    p = *dlm_family_paligemma.processor;
    p.height = p.width = 28;
    for (size_t i = 0; i < DLM_ARRAY_LEN(images); i++) {
        static float got[3 * 28 * 28];
        struct dlm_image image;
        struct dlm_npz_array want;
        check_case(images[i][0]);
        snprintf(path, sizeof(path), "%s/golden/images/%s", check_data_dir(), images[i][0]);
        CHECK(!dlm_image_load(ctx, &image, path));
        snprintf(path, sizeof(path), "%s/golden/images/%s.28x28.npz", check_data_dir(),
                 images[i][1]);
        CHECK(!dlm_npz_read_f32(ctx, path, "pixel_values", &want));
        CHECK(want.num_dims == 4 && want.shape[0] == 1 && want.shape[1] == 3 &&
              want.shape[2] == 28 && want.shape[3] == 28);
        CHECK(image.rgb &&
              !dlm_preprocess(ctx, &p, &image, &(struct dlm_pixel_shape){1, 28, 28}, got));
        for (int k = 0; want.data && k < 3 * 28 * 28; k++)
            if (!CHECK(!memcmp(&got[k], &want.data[k], sizeof(float)))) {
                printf("     value %d: got %.9g, want %.9g\n", k, got[k], want.data[k]);
                break;
            }
        dlm_image_finish(&image);
        dlm_npz_array_finish(&want);
    }
}

static void test_steps(struct dlm_ctx *ctx)
{
    uint8_t rgb[6] = {0, 100, 255, 1, 2, 3};
    const struct dlm_image image = {.width = 2, .height = 1, .rgb = rgb};
    struct dlm_pixel_shape shape = {1, 1, 2};
    struct dlm_processor p;
    float v[6];

    p = *dlm_family_paligemma.processor;
    p.mean[1] = 0.25;
    p.std[2] = 0.125;
    check_case("planes, mean and std of each channel");
    CHECK(!dlm_preprocess(ctx, &p, &image, &shape, v));
    CHECK(v[0] == -1.0f && v[4] == 4.0f);
    CHECK(v[2] == ((float)(100 * (1.0 / 255.0)) - 0.25f) / 0.5f);
    check_case("without normalising");
    p.do_normalize = false;
    CHECK(!dlm_preprocess(ctx, &p, &image, &shape, v));
    CHECK(v[0] == 0.0f && v[1] == (float)(1 / 255.0) && v[4] == 1.0f);
    check_case("without rescaling");
    p.do_rescale = false;
    CHECK(!dlm_preprocess(ctx, &p, &image, &shape, v));
    CHECK(v[2] == 100.0f && v[5] == 3.0f);
    check_case("without resizing");
    p.do_resize = false;
    CHECK(!dlm_preprocess(ctx, &p, &image, &shape, v));
    shape.width = 3;
    CHECK_INT(dlm_preprocess(ctx, &p, &image, &shape, v), DLM_ERR_INVALID);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    check_case("set up");
    if (CHECK(ctx && mkdtemp(folder))) {
        test_spellings(ctx);
        test_refused(ctx);
        test_folder(ctx);
        test_values(ctx);
        test_steps(ctx);
        CHECK(!dlm_path_remove(ctx, folder));
    }
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
