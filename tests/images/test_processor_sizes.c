/* Processors that give an image a size by its own: sizes and pixels of transformers' classes. */
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "check.h"
#include "images/processor.h"

static char folder[] = "/tmp/dlm-sizes-XXXXXX";

/* The defaults of the classes that the goldens' names stand for. */
static const struct {
    const char *name;
    struct dlm_processor processor;
} classes[] = {
#define CLIP_PIXELS                                                                                \
    .resample = DLM_RESAMPLE_BICUBIC, .do_convert_rgb = true, .do_resize = true,                   \
    .do_rescale = true, .do_normalize = true, .rescale_factor = 1.0 / 255.0,                       \
    .mean = {0.48145466, 0.4578275, 0.40821073}, .std = {0.26862954, 0.26130258, 0.27577711}
    {"area", {.size_rule = DLM_SIZE_AREA, .min_pixels = 56 * 56, .max_pixels = 28 * 28 * 1280,
              .patch = 14, .merge = 2, .temporal_patch = 2, CLIP_PIXELS}},
    {"longest", {.size_rule = DLM_SIZE_LONGEST, .height = 1024, .width = 1024, .patch = 16,
                 .merge = 1, CLIP_PIXELS}},
#undef CLIP_PIXELS
};

static void default_of(const char *name, struct dlm_processor *p)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(classes); i++)
        if (!strcmp(classes[i].name, name))
            *p = classes[i].processor;
}

static enum dlm_status load_text(struct dlm_ctx *ctx, struct dlm_processor *p, const char *text)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/preprocessor_config.json", folder);
    CHECK(!dlm_file_replace(ctx, path, text, strlen(text)));
    return dlm_processor_load(ctx, p, path);
}

/* A line `CLASS SETTINGS` of a golden: false for another line. What would pin a size does not, as
 * in transformers. */
static bool is_settings(struct dlm_ctx *ctx, char *line, struct dlm_processor *p)
{
    char *text = strchr(line, '{');

    line[strcspn(line, "\n")] = '\0';
    if (!text)
        return false;
    check_case(line);
    text[-1] = '\0';
    default_of(line, p);
    CHECK(!load_text(ctx, p, text));
    p->pinned = 0;
    return true;
}

static FILE *open_golden(const char *name)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/golden/processors/%s", check_data_dir(), name);
    return fopen(path, "r");
}

static void test_sizes(struct dlm_ctx *ctx)
{
    FILE *file = open_golden("sizes.txt");
    struct dlm_processor p = {0};
    char line[512];
    int num = 0, num_errors = 0;

    while (CHECK(file) && fgets(line, sizeof(line), file)) {
        struct dlm_image_size size = {.name = {"x.png", 0}};
        struct dlm_pixel_shape got = {0};
        int width, height, at = 0;
        if (is_settings(ctx, line, &p))
            continue;
        CHECK(sscanf(line, "%d %d -> %n", &size.width, &size.height, &at) == 2 && at);
        enum dlm_status st = dlm_processor_plan(ctx, &p, &size, &got);
        num++;
        if (sscanf(line + at, "%d %d", &width, &height) == 2) {
            if (!CHECK(!st && got.num == 1 && got.width == width && got.height == height))
                printf("     %s: got %d %d\n", line, got.width, got.height);
            continue;
        }
        num_errors++;
        if (!CHECK_INT(st, DLM_ERR_INVALID))
            printf("     %s: got %d %d\n", line, got.width, got.height);
        CHECK(strstr(dlm_ctx_last_error(ctx), "'x.png'"));
    }
    CHECK(num > 1000 && num_errors > 50);
    if (file)
        fclose(file);
}

static void check_pixels(struct dlm_ctx *ctx, const struct dlm_processor *p, const char *line)
{
    char path[1024], name[64], want[65], hex[65];
    struct dlm_image image;
    struct dlm_pixel_shape shape = {0};
    int width, height;

    if (!CHECK(sscanf(line, "%63s %d %d %64s", name, &width, &height, want) == 4))
        return;
    snprintf(path, sizeof(path), "%s/golden/images/%s", check_data_dir(), name);
    CHECK(!dlm_image_load(ctx, &image, path));
    const struct dlm_image_size size = {image.width, image.height, {path, 0}};
    CHECK(!dlm_processor_plan(ctx, p, &size, &shape));
    CHECK_INT(shape.width, width);
    CHECK_INT(shape.height, height);
    float *values = dlm_alloc_array(ctx, dlm_pixels_len(&shape), sizeof(*values));
    if (CHECK(values && !dlm_preprocess(ctx, p, &image, &shape, values))) {
        dlm_sha256_of(values, dlm_pixels_len(&shape) * sizeof(*values), hex);
        if (!CHECK(!strcmp(hex, want)))
            printf("     %s\n", line);
    }
    dlm_free(values);
    dlm_image_finish(&image);
}

static void test_pixels(struct dlm_ctx *ctx)
{
    FILE *file = open_golden("pixels.txt");
    struct dlm_processor p = {0};
    char line[512];
    int num = 0;

    while (CHECK(file) && fgets(line, sizeof(line), file))
        if (!is_settings(ctx, line, &p)) {
            check_pixels(ctx, &p, line);
            num++;
        }
    CHECK(num > 40);
    if (file)
        fclose(file);
}

static void test_spellings(struct dlm_ctx *ctx)
{
    static const struct {
        const char *name, *text;
        int height, width;
        int64_t min_pixels, max_pixels;
        int patch, merge, pinned;
    } rows[] = {
        {"area", "{}", 0, 0, 3136, 1003520, 14, 2, 0},
        {"area", "{\"min_pixels\": 784, \"max_pixels\": 7840, \"patch_size\": 7,"
                 " \"merge_size\": 4, \"temporal_patch_size\": 2}", 0, 0, 784, 7840, 7, 4, 0},
        {"area", "{\"size\": {\"shortest_edge\": 784, \"longest_edge\": 9000}}", 0, 0, 784, 9000,
         14, 2, 0},
        {"area", "{\"size\": {\"min_pixels\": 785, \"max_pixels\": 9001}}", 0, 0, 785, 9001, 14, 2,
         0},
        {"area", "{\"size\": {\"shortest_edge\": 784, \"longest_edge\": 9000},"
                 " \"max_pixels\": 8000}", 0, 0, 784, 8000, 14, 2, 0},
        {"area", "{\"min_pixels\": 451584, \"max_pixels\": 451584}", 0, 0, 451584, 451584, 14, 2,
         672},
        {"area", "{\"min_pixels\": 451585, \"max_pixels\": 451585}", 0, 0, 451585, 451585, 14, 2,
         0}, /* no square */
        {"area", "{\"min_pixels\": 900, \"max_pixels\": 900}", 0, 0, 900, 900, 14, 2,
         0}, /* 30, no whole patches */
        {"longest", "{\"size\": {\"longest_edge\": 1540}, \"patch_size\": {\"height\": 14,"
                    " \"width\": 14}, \"do_pad\": true, \"do_center_crop\": null}", 1540, 1540, 0,
         0, 14, 1, 0},
        {"longest", "{\"size\": 300, \"patch_size\": 8}", 300, 300, 0, 0, 8, 1, 0},
        {"longest", "{\"size\": {\"height\": 30, \"width\": 40}}", 30, 40, 0, 0, 16, 1, 0},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        struct dlm_processor p;
        check_case(rows[i].text);
        default_of(rows[i].name, &p);
        CHECK(!load_text(ctx, &p, rows[i].text));
        CHECK(p.height == rows[i].height && p.width == rows[i].width);
        CHECK(p.min_pixels == rows[i].min_pixels && p.max_pixels == rows[i].max_pixels);
        CHECK(p.patch == rows[i].patch && p.merge == rows[i].merge);
        CHECK_INT(p.pinned, rows[i].pinned);
    }
}

static void test_refused(struct dlm_ctx *ctx)
{
    static const struct {
        const char *name, *text, *part;
        enum dlm_status status;
    } rows[] = {
        {"area", "{\"size\": 224}", "'shortest_edge' and 'longest_edge'", DLM_ERR_UNSUPPORTED},
        {"area", "{\"size\": {\"height\": 2, \"width\": 2}}", "'shortest_edge'",
         DLM_ERR_UNSUPPORTED},
        {"area", "{\"size\": {\"longest_edge\": 9000}}", "'shortest_edge'", DLM_ERR_UNSUPPORTED},
        {"area", "{\"size\": {\"shortest_edge\": 0, \"longest_edge\": 9000}}", "'size'",
         DLM_ERR_PARSE},
        {"area", "{\"min_pixels\": 0}", "'min_pixels'", DLM_ERR_PARSE},
        {"area", "{\"max_pixels\": \"many\"}", "'max_pixels'", DLM_ERR_PARSE},
        {"area", "{\"merge_size\": 0}", "'merge_size'", DLM_ERR_PARSE},
        {"area", "{\"patch_size\": 0}", "'patch_size'", DLM_ERR_PARSE},
        {"area", "{\"temporal_patch_size\": 1000}", "'temporal_patch_size'", DLM_ERR_PARSE},
        {"area", "{\"do_center_crop\": true}", "'do_center_crop'", DLM_ERR_UNSUPPORTED},
        {"longest", "{\"size\": {\"shortest_edge\": 5}}", "'longest_edge', or",
         DLM_ERR_UNSUPPORTED},
        {"longest", "{\"size\": {\"longest_edge\": 16385}}", "between 1 and 16384", DLM_ERR_PARSE},
        {"longest", "{\"patch_size\": {\"height\": 14, \"width\": 16}}", "14 x 16",
         DLM_ERR_UNSUPPORTED},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        struct dlm_processor p;
        check_case(rows[i].text);
        default_of(rows[i].name, &p);
        CHECK_INT(load_text(ctx, &p, rows[i].text), rows[i].status);
        CHECK(strstr(dlm_ctx_last_error(ctx), rows[i].part));
        CHECK(strstr(dlm_ctx_last_error(ctx), "preprocessor_config.json"));
    }
}

/* Plans that no golden has: ours alone, and what has no pixels. */
static void test_plans(struct dlm_ctx *ctx)
{
    struct dlm_image_size size = {300, 100, {"x.png", 0}};
    struct dlm_pixel_shape shape = {0};
    struct dlm_processor p;

    check_case("a pinned size");
    default_of("area", &p);
    p.pinned = 56;
    CHECK(!dlm_processor_plan(ctx, &p, &size, &shape));
    CHECK(shape.num == 1 && shape.width == 56 && shape.height == 56);
    check_case("a fixed size");
    p = (struct dlm_processor){.height = 12, .width = 34};
    CHECK(!dlm_processor_plan(ctx, &p, &size, &shape));
    CHECK(shape.width == 34 && shape.height == 12);
    check_case("without resizing");
    default_of("area", &p);
    p.do_resize = false;
    CHECK_INT(dlm_processor_plan(ctx, &p, &size, &shape), DLM_ERR_INVALID);
    size = (struct dlm_image_size){280, 56, {"x.png", 0}};
    CHECK(!dlm_processor_plan(ctx, &p, &size, &shape));
    CHECK(shape.width == 280 && shape.height == 56);
    check_case("more pixels than an image may have");
    default_of("area", &p);
    p.min_pixels = p.max_pixels = (int64_t)1 << 40;
    CHECK_INT(dlm_processor_plan(ctx, &p, &size, &shape), DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx), "'x.png'"));
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    check_case("set up");
    if (CHECK(ctx && mkdtemp(folder))) {
        test_sizes(ctx);
        test_pixels(ctx);
        test_spellings(ctx);
        test_refused(ctx);
        test_plans(ctx);
        CHECK(!dlm_path_remove(ctx, folder));
    }
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
