/* .npz files (also numpy's own) and the pixel cache: names, hits, and misses for whatever is
 * damaged. */
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "check.h"
#include "images/npz.h"
#include "images/vl_cache.h"
#include "models/model.h"

#define BLOB "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char folder[] = "/tmp/dlm-cache-XXXXXX";
static char path_text[1024];

static const char *in_folder(const char *name)
{
    snprintf(path_text, sizeof(path_text), "%s/%s", folder, name);
    return path_text;
}

static void test_round_trip(struct dlm_ctx *ctx)
{
    static const struct dlm_npz_array shapes[] = {
        {.num_dims = 0},
        {.num_dims = 1, .shape = {5}},
        {.num_dims = 2, .shape = {0, 7}},
        {.num_dims = 4, .shape = {1, 3, 4, 5}},
        {.num_dims = 8, .shape = {1, 2, 1, 2, 1, 2, 1, 2}},
    };
    float data[60];

    for (int i = 0; i < 60; i++)
        data[i] = (float)i * 0.37f - 3.0f;
    for (size_t i = 0; i < DLM_ARRAY_LEN(shapes); i++) {
        struct dlm_npz_array array = shapes[i], back;
        size_t len = 1;
        check_case("write and read");
        array.data = data;
        CHECK(!dlm_npz_write_f32(ctx, in_folder("a.npz"), "thing", &array));
        if (!CHECK(!dlm_npz_read_f32(ctx, in_folder("a.npz"), "thing", &back)))
            continue;
        CHECK_INT(back.num_dims, array.num_dims);
        for (int d = 0; d < array.num_dims; d++) {
            CHECK_INT(back.shape[d], array.shape[d]);
            len *= (size_t)array.shape[d];
        }
        CHECK(!memcmp(back.data, data, len * sizeof(float)));
        dlm_npz_array_finish(&back);
        CHECK_INT(dlm_npz_read_f32(ctx, in_folder("a.npz"), "other", &back), DLM_ERR_PARSE);
        CHECK(!back.data && strstr(dlm_ctx_last_error(ctx), "a.npz"));
    }
    check_case("too large, too odd");
    struct dlm_npz_array array = {.num_dims = 2, .shape = {1 << 20, 1 << 20}, .data = data};
    CHECK_INT(dlm_npz_write_f32(ctx, in_folder("b.npz"), "x", &array), DLM_ERR_UNSUPPORTED);
    array.num_dims = 9;
    CHECK_INT(dlm_npz_write_f32(ctx, in_folder("b.npz"), "x", &array), DLM_ERR_INVALID);
    CHECK(!dlm_path_is_file(in_folder("b.npz")));
}

/* Every cut and every changed byte of an archive: never a crash, and never other data. */
static void test_damage(struct dlm_ctx *ctx)
{
    float data[4] = {1, 2, 3, 4};
    const struct dlm_npz_array array = {.num_dims = 1, .shape = {4}, .data = data};
    struct dlm_str file = {0};
    struct dlm_npz_view view;

    check_case("damaged archives");
    CHECK(!dlm_npz_write_f32(ctx, in_folder("c.npz"), "x", &array));
    if (!CHECK(!dlm_file_read(ctx, in_folder("c.npz"), 4096, &file)))
        return;
    CHECK(!dlm_npz_find_f32(file.data, file.len, "x", &view));
    for (size_t len = 0; len < file.len; len++) {
        uint8_t *cut = malloc(len + 1);
        if (!CHECK(cut))
            break;
        memcpy(cut, file.data, len);
        CHECK(dlm_npz_find_f32(cut, len, "x", &view));
        free(cut);
    }
    int refused = 0;
    for (size_t i = 0; i < file.len; i++) {
        file.data[i] = (char)(file.data[i] ^ 0x10);
        if (dlm_npz_find_f32(file.data, file.len, "x", &view))
            refused++;
        else
            CHECK(view.num_dims == 1 && view.shape[0] == 4 && !memcmp(view.data, data, 16));
        file.data[i] = (char)(file.data[i] ^ 0x10);
    }
    CHECK(refused > 180);
    dlm_str_finish(&file);
}

static void test_names(struct dlm_ctx *ctx)
{
    struct dlm_processor p;
    char hex[65];

    p = *dlm_family_paligemma.processor;
    p.do_convert_rgb = false;
    check_case("identity of a processor");
    CHECK(!dlm_processor_sha256(ctx, &p, hex));
    CHECK_STR(hex, "eff0be19e981d41c6d17c956b01a4c90aef8497fd18e2e63a333d5ac919df6fa");
    /* sha256(json.dumps({...}, sort_keys=True)) of the settings below, by Python 3.11. */
    p.height = 30;
    p.width = 1000;
    p.resample = DLM_RESAMPLE_LANCZOS;
    p.do_normalize = false;
    p.rescale_factor = 1e-5;
    p.mean[0] = 0.48145466;
    p.mean[1] = 0.0;
    p.mean[2] = 1e16;
    p.std[0] = 123456789.125;
    p.std[1] = 0.0001;
    p.std[2] = -3.0;
    CHECK(!dlm_processor_sha256(ctx, &p, hex));
    CHECK_STR(hex, "68dbc900494648d27a8027ac85b98f491407dbf97b0be14cdb70bdff721e087a");

    const struct dlm_pixel_shape one = {1, 224, 224};
    check_case("path of an entry");
    p = *dlm_family_paligemma.processor;
    p.do_convert_rgb = false;
    char *path = dlm_vl_cache_path(ctx, "/store", BLOB, &p, &one);
    CHECK_STR(path, "/store/vl-cache/00/" BLOB ".eff0be19e981.224x224.npz");
    dlm_free(path);
    path = dlm_vl_cache_path(ctx, "/store", BLOB, &p, &(struct dlm_pixel_shape){5, 224, 112});
    CHECK_STR(path, "/store/vl-cache/00/" BLOB ".eff0be19e981.5x224x112.npz");
    dlm_free(path);
    p.do_convert_rgb = true; /* gives other pixels: another entry */
    path = dlm_vl_cache_path(ctx, "/store", BLOB, &p, &one);
    CHECK(path && !strstr(path, "eff0be19e981"));
    dlm_free(path);
    CHECK(!dlm_vl_cache_path(ctx, "/store", "../../etc/passwd", &p, &one));
    CHECK(!dlm_vl_cache_path(ctx, "/store", "", &p, &one));
}

static void test_cache(struct dlm_ctx *ctx)
{
    static float in[3 * 4 * 6], out[3 * 4 * 6];
    const struct dlm_processor p = *dlm_family_paligemma.processor;
    struct dlm_pixel_shape shape = {1, 4, 6};

    for (int i = 0; i < 3 * 4 * 6; i++)
        in[i] = (float)i / 7.0f;
    char *path = dlm_vl_cache_path(ctx, folder, BLOB, &p, &shape);
    check_case("miss, put, hit");
    if (!CHECK(path))
        return;
    CHECK(!dlm_vl_cache_get(ctx, path, &shape, out));
    CHECK(!dlm_vl_cache_put(ctx, path, &shape, in));
    CHECK(dlm_vl_cache_get(ctx, path, &shape, out));
    CHECK(!memcmp(in, out, sizeof(in)));
    check_case("an entry of another size is a miss");
    shape = (struct dlm_pixel_shape){1, 6, 4};
    CHECK(!dlm_vl_cache_get(ctx, path, &shape, out));
    shape = (struct dlm_pixel_shape){2, 4, 3};
    CHECK(!dlm_vl_cache_get(ctx, path, &shape, out));
    shape = (struct dlm_pixel_shape){1, 4, 6};
    check_case("a damaged entry is a miss, and is replaced");
    CHECK(!dlm_file_replace(ctx, path, "junk", 4));
    CHECK(!dlm_vl_cache_get(ctx, path, &shape, out));
    CHECK(!dlm_file_replace(ctx, path, "", 0));
    CHECK(!dlm_vl_cache_get(ctx, path, &shape, out));
    CHECK(!dlm_vl_cache_put(ctx, path, &shape, in));
    CHECK(dlm_vl_cache_get(ctx, path, &shape, out));
    dlm_free(path);

    check_case("numpy's own archive is a hit");
    char golden[1024];
    static float pixel_values[3 * 28 * 28];
    shape = (struct dlm_pixel_shape){1, 28, 28};
    snprintf(golden, sizeof(golden), "%s/golden/images/rgb8_png.28x28.npz", check_data_dir());
    CHECK(dlm_vl_cache_get(ctx, golden, &shape, pixel_values));
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    check_case("set up");
    if (CHECK(ctx && mkdtemp(folder))) {
        test_round_trip(ctx);
        test_damage(ctx);
        test_names(ctx);
        test_cache(ctx);
        CHECK(!dlm_path_remove(ctx, folder));
    }
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
