/* Merged weights: those of PEFT's merge_and_unload, the base's own bytes for all others, in little
 * memory. tools/dev/make_export_goldens.py makes golden/export/merged.json. */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "export/merge.h"
#include "tests/export/jobs.h"
#include "weights/helpers.h"

static struct dlm_ctx *ctx;

static const char *golden(const char *name)
{
    static char buffers[4][512];
    static unsigned next;
    char *p = buffers[next++ % 4];

    snprintf(p, sizeof(buffers[0]), "%s/golden/%s", check_data_dir(), name);
    return p;
}

/* Exports the adapter in dir with the base in folder base, to tmp_root/out. */
static enum dlm_status export_merged(struct dlm_ctx *with, const char *base_dir,
                                     const char *adapter, enum dlm_dtype dtype,
                                     struct dlm_export_result *result)
{
    const struct dlm_export_job job = {.adapter = adapter,
                                       .is_merged = true,
                                       .dtype = dtype,
                                       .to = {.path = tmp_path("out")}};

    return export_folder(with, base_dir, job, dlm_export_merged, result);
}

/* --- goldens --- */

/* Whether t tells of 4-bit codes. */
static bool is_of_codes(const struct dlm_tensor_info *t)
{
    return strstr(t->name, ".weight.") != NULL;
}

static bool same_tensor(const struct dlm_tensor_info *a, const struct dlm_tensor_info *b)
{
    return a->bytes == b->bytes && a->dtype == b->dtype && a->ndim == b->ndim &&
           !memcmp(a->shape, b->shape, sizeof(a->shape)) && !memcmp(a->data, b->data, a->bytes) &&
           !strcmp(dlm_path_basename(a->file), dlm_path_basename(b->file));
}

/* Every weight of the base is there: as the golden hash has it, else as in the base. One in 4 bits
 * that no adapter names has another form, and is left to the values of others. */
static void compare(const struct dlm_checkpoint *base, const struct dlm_checkpoint *made,
                    const json_t *want)
{
    size_t num_merged = 0, num = 0;
    char sha[65];

    for (size_t i = 0; i < dlm_checkpoint_num_tensors(base); i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(base, i);
        const struct dlm_tensor_info *got = dlm_checkpoint_find(made, t->name);
        const char *hash = json_string_value(json_object_get(want, t->name));
        if (is_of_codes(t))
            continue;
        num++;
        if (!CHECK(got))
            continue;
        if (hash) {
            dlm_sha256_of(got->data, got->bytes, sha);
            if (!CHECK(!strcmp(sha, hash)))
                printf("     %s\n", t->name);
            num_merged++;
        } else {
            CHECK(t->dtype == DLM_DTYPE_U8 ? got->dtype == DLM_DTYPE_BF16 : same_tensor(t, got));
        }
    }
    CHECK(num_merged == json_object_size(want));
    CHECK(num == dlm_checkpoint_num_tensors(made));
    CHECK(dlm_checkpoint_num_files(base) == dlm_checkpoint_num_files(made));
}

static void test_case(const char *name, const json_t *want)
{
    struct dlm_export_result result;
    struct dlm_checkpoint *base = NULL, *made = NULL;
    char base_dir[600], adapter[600];
    json_t *config = NULL;

    check_case(name);
    snprintf(adapter, sizeof(adapter), "%s/%s", golden("models"), name);
    snprintf(base_dir, sizeof(base_dir), "%.*s/base", (int)(strrchr(adapter, '/') - adapter),
             adapter);
    CHECK(!export_merged(ctx, base_dir, adapter, DLM_DTYPE_COUNT, &result));
    dlm_export_result_finish(&result);
    if (CHECK(!dlm_checkpoint_open(ctx, &base, base_dir)) &&
        CHECK(!dlm_checkpoint_open(ctx, &made, tmp_path("out"))))
        compare(base, made, want);
    if (CHECK(!dlm_json_load(ctx, tmp_path("out/config.json"), 1 << 20, &config)))
        CHECK(!json_object_get(config, "quantization_config"));
    json_decref(config);
    dlm_checkpoint_destroy(&base);
    dlm_checkpoint_destroy(&made);
}

static void test_goldens(void)
{
    json_t *goldens = NULL;
    const char *name;
    json_t *want;

    if (!CHECK(!dlm_json_load(ctx, golden("export/merged.json"), 1 << 20, &goldens)))
        return;
    json_object_foreach(goldens, name, want)
        test_case(name, want);
    json_decref(goldens);
}

/* --- another type --- */

/* Half of a unit in the last place that f16 has around x. */
static float half_ulp(float x)
{
    return 0x1p-11f * fabsf(x) + 0x1p-25f;
}

static void test_types(void)
{
    /* in the order of enum dlm_dtype */
    static const char *const words[] = {"float32", "float16", "bfloat16"};
    static float a[1 << 18], b[1 << 18];

    for (int type = DLM_DTYPE_F32; type <= DLM_DTYPE_BF16; type++) {
        struct dlm_export_result result;
        struct dlm_checkpoint *base = NULL, *made = NULL;
        json_t *config = NULL;
        check_case(words[type]);
        CHECK(!export_merged(ctx, golden("models/bf16_new/base"), golden("models/bf16_new/adapter"),
                             (enum dlm_dtype)type, &result));
        dlm_export_result_finish(&result);
        if (!CHECK(!dlm_checkpoint_open(ctx, &base, golden("models/bf16_new/base"))) ||
            !CHECK(!dlm_checkpoint_open(ctx, &made, tmp_path("out"))))
            return;
        for (size_t i = 0; i < dlm_checkpoint_num_tensors(base); i++) {
            const struct dlm_tensor_info *t = dlm_checkpoint_tensor(base, i);
            const struct dlm_tensor_info *got = dlm_checkpoint_find(made, t->name);
            if (!CHECK(got && got->dtype == (enum dlm_dtype)type && t->bytes <= sizeof(a) / 2) ||
                strstr(t->name, "self_attn"))
                continue; /* those that the adapter changes lie there */
            CHECK(!dlm_tensor_to_f32(ctx, t, a) && !dlm_tensor_to_f32(ctx, got, b));
            for (size_t k = 0; k < t->bytes / 2; k++)
                if (!CHECK(fabsf(a[k] - b[k]) <= (type == DLM_DTYPE_F16) * half_ulp(a[k])))
                    break;
        }
        if (CHECK(!dlm_json_load(ctx, tmp_path("out/config.json"), 1 << 20, &config)))
            CHECK(!strcmp(json_string_value(json_object_get(config, "torch_dtype")), words[type]));
        json_decref(config);
        dlm_checkpoint_destroy(&base);
        dlm_checkpoint_destroy(&made);
    }
}

/* --- bases of any size, and adapters that do not fit --- */

#define ROWS 2000 /* of a matrix larger than a block, whose rows are no part of one */
#define COLS 1100
#define RANK 3
#define SPARSE_BYTES ((size_t)96 << 20)
#define PATH "model.language_model.layers.0.self_attn.q_proj"

static float weight[ROWS * COLS], lora_a[RANK * COLS], lora_b[ROWS * RANK];

static void fill(float *x, size_t len, uint64_t stream)
{
    for (size_t i = 0; i < len; i++)
        x[i] = (float)((i * 2654435761u + stream * 40503u) % 20011) / 10005.5f - 1;
}

/* A base of the matrix above and, with `sparse`, a tensor of zeros that takes no room on the disk;
 * the rest is a golden's. The matrix gets value `big` somewhere. */
static void make_base(const char *dir, bool sparse, float big)
{
    static const char *const files[] = {"config.json", "preprocessor_config.json"};
    struct dlm_tensor_out tensors[] = {
        {.name = PATH ".weight", .dtype = DLM_DTYPE_F32, .ndim = 2, .shape = {ROWS, COLS},
         .data = weight, .bytes = sizeof(weight)},
        {.name = "zeros.weight", .dtype = DLM_DTYPE_F32, .ndim = 1,
         .shape = {SPARSE_BYTES / sizeof(float)}, .bytes = SPARSE_BYTES},
    };
    struct dlm_str text = {0}, header = {0};
    char path[600];

    CHECK(!dlm_dir_make(ctx, dir));
    for (size_t i = 0; i < DLM_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", golden("models/f32_old/base"), files[i]);
        CHECK(!dlm_file_read(ctx, path, 1 << 20, &text));
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        CHECK(!dlm_file_replace(ctx, path, text.data, text.len));
        dlm_str_finish(&text);
    }
    fill(weight, ROWS * COLS, 1);
    weight[12345] = big;
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    CHECK(!dlm_safetensors_plan(ctx, path, tensors, sparse ? 2 : 1, NULL, 0, &header));
    CHECK(!strcmp(tensors[0].name, PATH ".weight"));
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(write(fd, header.data, header.len) == (ssize_t)header.len);
    CHECK(write(fd, weight, sizeof(weight)) == (ssize_t)sizeof(weight));
    CHECK(!ftruncate(fd, (off_t)(header.len + sizeof(weight) + (sparse ? SPARSE_BYTES : 0))));
    close(fd);
    dlm_str_finish(&header);
}

static void make_adapter(const char *dir, const char *module, int64_t in, int64_t out)
{
    const struct dlm_adapter_write_params params = {.r = RANK, .alpha = 6};
    const struct dlm_adapter_out_module m = {.path = module, .in = in, .out = out, .a = lora_a,
                                             .b = lora_b};

    fill(lora_a, RANK * COLS, 2);
    fill(lora_b, ROWS * RANK, 3);
    CHECK(!dlm_dir_make(ctx, dir));
    CHECK(!dlm_adapter_write(ctx, dir, &params, &m, 1));
}

/* Adds up what is asked for. */
static bool add_bytes(void *user, size_t bytes)
{
    *(size_t *)user += bytes;
    return true;
}

static void check_values(const struct dlm_checkpoint *made)
{
    const struct dlm_tensor_info *t = dlm_checkpoint_find(made, PATH ".weight");
    size_t num_wrong = 0;

    if (!CHECK(t && t->bytes == sizeof(weight)))
        return;
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t c = 0; c < COLS; c++) {
            double sum = 0;
            float got;
            for (size_t k = 0; k < RANK; k++)
                sum += (double)lora_b[row * RANK + k] * lora_a[k * COLS + c];
            memcpy(&got, t->data + (row * COLS + c) * sizeof(got), sizeof(got));
            num_wrong += got != (float)(weight[row * COLS + c] + 2 * sum);
        }
    }
    CHECK(num_wrong == 0);
}

/* Files of many chunks, of one, and of some bytes. */
static void check_hashes(const struct dlm_export_result *result)
{
    char sha[65], name[200];

    CHECK(result->num_files == 5);
    for (size_t i = 0; i < result->num_files; i++) {
        const struct dlm_export_file *file = &result->files[i];
        struct dlm_map map = {0};
        snprintf(name, sizeof(name), "out/%.100s", file->path);
        CHECK(!dlm_map_open(ctx, &map, tmp_path(name)) && map.bytes == file->bytes);
        dlm_sha256_of(map.data, map.bytes, sha);
        CHECK(!strcmp(sha, file->sha256));
        dlm_map_close(&map);
    }
}

static void test_large(void)
{
    struct dlm_export_result result;
    struct dlm_checkpoint *made = NULL;
    size_t bytes = 0;
    const struct dlm_ctx_params counting = {.alloc_hook = add_bytes, .alloc_user = &bytes};

    check_case("a base larger than all memory that is taken, freed or not");
    make_base(tmp_path("base"), true, 0);
    make_adapter(tmp_path("adapter"), PATH, COLS, ROWS);
    struct dlm_ctx *with = dlm_ctx_create(&counting);
    CHECK(!export_merged(with, tmp_path("base"), tmp_path("adapter"), DLM_DTYPE_COUNT, &result));
    check_hashes(&result);
    dlm_export_result_finish(&result);
    dlm_ctx_destroy(&with);
    printf("# %.1f MB were taken for %.1f MB\n", (double)bytes * 1e-6, (double)SPARSE_BYTES * 1e-6);
    CHECK(bytes > 0 && bytes < SPARSE_BYTES / 8);
    if (CHECK(!dlm_checkpoint_open(ctx, &made, tmp_path("out")))) {
        check_values(made);
        const struct dlm_tensor_info *t = dlm_checkpoint_find(made, "zeros.weight");
        CHECK(t && t->bytes == SPARSE_BYTES);
    }
    dlm_checkpoint_destroy(&made);
}

static void refused(enum dlm_dtype dtype, const char *what)
{
    struct dlm_export_result result;

    CHECK(export_merged(ctx, tmp_path("base"), tmp_path("adapter"), dtype, &result) ==
          DLM_ERR_INVALID);
    dlm_export_result_finish(&result);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), what)))
        printf("     %s\n", dlm_ctx_last_error(ctx));
}

static void test_refused(void)
{
    struct dlm_export_result result;

    check_case("modules that the base has not, or otherwise");
    make_base(tmp_path("base"), false, 0);
    make_adapter(tmp_path("adapter"), "model.language_model.layers.9.self_attn.q_proj", COLS, ROWS);
    refused(DLM_DTYPE_COUNT, "no tensor of the module 'model.language_model.layers.9");
    make_adapter(tmp_path("adapter"), PATH, COLS - 1, ROWS);
    refused(DLM_DTYPE_COUNT, PATH ".weight' of '");
    check_case("numbers beyond f16");
    make_adapter(tmp_path("adapter"), PATH, COLS, ROWS);
    make_base(tmp_path("base"), false, 65500);
    CHECK(!export_merged(ctx, tmp_path("base"), tmp_path("adapter"), DLM_DTYPE_F16, &result));
    dlm_export_result_finish(&result);
    make_base(tmp_path("base"), false, -66000);
    refused(DLM_DTYPE_F16, PATH ".weight' in f16: it has numbers beyond 65504");
    CHECK(!export_merged(ctx, tmp_path("base"), tmp_path("adapter"), DLM_DTYPE_BF16, &result));
    dlm_export_result_finish(&result);
}

static enum dlm_status snapshot_small(struct dlm_ctx *with, struct dlm_export_result *result)
{
    const struct dlm_export_job job = {.adapter = golden("models/qwen2_vl_f16_merge3/adapter"),
                                       .to = {.path = tmp_path("snapshot.tar"), .is_tar = true}};

    return export_folder(with, golden("models/qwen2_vl_f16_merge3/base"), job, dlm_export_snapshot,
                         result);
}

static enum dlm_status merge_small(struct dlm_ctx *with, struct dlm_export_result *result)
{
    return export_merged(with, golden("models/qwen2_vl_f16_merge3/base"),
                         golden("models/qwen2_vl_f16_merge3/adapter"), DLM_DTYPE_F32, result);
}

static void test_memory(void)
{
    check_case("snapshot: each allocation fails once");
    fail_allocations(snapshot_small, 7);
    check_case("merged: each allocation fails once");
    fail_allocations(merge_small, 7);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    tmp_make();
    test_goldens();
    test_types();
    test_large();
    test_refused();
    test_memory();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
