/* Adapters as GGUF by themselves, beside what llama.cpp's converter makes of them
 * (golden/gguf/lora.json). */
#include <jansson.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "gguf/reader.h"
#include "tests/export/jobs.h"
#include "weights/helpers.h"

static struct dlm_ctx *ctx;

/* Writes an adapter of tests/golden/models ("qwen2_vl_f32_old/adapter") to tmp_root/made. */
static enum dlm_status export_lora(struct dlm_ctx *with, const char *name,
                                   enum dlm_gguf_quant quant, struct dlm_export_result *result)
{
    char adapter[600], base[600];

    snprintf(adapter, sizeof(adapter), "%s/golden/models/%s", check_data_dir(), name);
    snprintf(base, sizeof(base), "%.*s/base", (int)(strrchr(adapter, '/') - adapter), adapter);
    const struct dlm_export_job job = {.adapter = adapter,
                                       .is_gguf_lora = true,
                                       .quant = quant,
                                       .to = {.path = tmp_path("made")}};
    return export_folder(with, base, job, dlm_export_gguf_lora, result);
}

/* --- goldens --- */

static void check_values(const struct dlm_gguf *g, const json_t *want)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)want, key, value) {
        struct dlm_gguf_text text;
        double number;
        int64_t n;
        if (json_is_string(value))
            CHECK(!dlm_gguf_get_string(ctx, g, key, &text) &&
                  text.len == json_string_length(value) &&
                  !memcmp(text.data, json_string_value(value), text.len));
        else if (json_is_integer(value))
            CHECK(!dlm_gguf_get_int(ctx, g, key, 0, INT32_MAX, &n) &&
                  n == json_integer_value(value));
        else
            CHECK(!dlm_gguf_get_number(ctx, g, key, &number) && number == json_real_value(value));
    }
}

/* want: [type, shape, the beginning of its hash] */
static void check_tensor(const struct dlm_gguf_tensor *t, const json_t *want)
{
    const json_t *shape = json_array_get(want, 1);
    char sha[65];

    CHECK_STR(dlm_ggml_type_info(t->type)->name, json_string_value(json_array_get(want, 0)));
    CHECK_INT(t->ndim, json_array_size(shape));
    for (int i = 0; i < t->ndim; i++)
        CHECK_INT(t->ne[i], json_integer_value(json_array_get(shape, (size_t)i)));
    dlm_sha256_of(t->data, t->bytes, sha);
    sha[16] = '\0';
    CHECK_STR(sha, json_string_value(json_array_get(want, 2)));
}

static void check_file(const json_t *want)
{
    const json_t *tensors = json_object_get(want, "tensors");
    struct dlm_gguf *g = NULL;

    if (!CHECK(!dlm_gguf_open(ctx, &g, tmp_path("made/adapter.gguf"))))
        return;
    check_values(g, json_object_get(want, "values"));
    CHECK_INT(dlm_gguf_num_tensors(g), json_object_size(tensors));
    for (size_t i = 0; i < dlm_gguf_num_tensors(g); i++) {
        const struct dlm_gguf_tensor *t = dlm_gguf_tensor(g, i);
        const json_t *one = json_object_get(tensors, t->name);
        if (CHECK(one))
            check_tensor(t, one);
    }
    dlm_gguf_destroy(&g);
}

static void test_goldens(void)
{
    json_t *goldens = NULL, *want;
    const char *name;
    char path[600];

    snprintf(path, sizeof(path), "%s/golden/gguf/lora.json", check_data_dir());
    if (!CHECK(!dlm_json_load(ctx, path, 1 << 20, &goldens)))
        return;
    json_object_foreach(goldens, name, want) {
        struct dlm_export_result result;
        char adapter[128], quant[16];
        check_case(name);
        CHECK(sscanf(name, "%127s %15s", adapter, quant) == 2);
        CHECK(!export_lora(ctx, adapter, dlm_gguf_quant_by_name(quant), &result));
        CHECK_INT(result.num_files, 3);
        dlm_export_result_finish(&result);
        check_file(want);
    }
    json_decref(goldens);
}

/* --- what has no place --- */

static void refused(const char *adapter, const char *what)
{
    struct dlm_export_result result;

    check_case(adapter);
    CHECK(export_lora(ctx, adapter, DLM_GGUF_QUANT_F32, &result) == DLM_ERR_UNSUPPORTED);
    dlm_export_result_finish(&result);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), what)))
        printf("     %s\n", dlm_ctx_last_error(ctx));
}

static enum dlm_status export_small(struct dlm_ctx *with, struct dlm_export_result *result)
{
    return export_lora(with, "mistral3_f32_old/adapter", DLM_GGUF_QUANT_Q8_0, result);
}

static void test_memory(void)
{
    check_case("each allocation fails once");
    fail_allocations(export_small, 7);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    tmp_make();
    test_goldens();
    refused("qwen2_vl_f32_old/adapter_wide", "10 of its 14 modules are elsewhere, as 'model.vis");
    refused("mistral3_f32_old/adapter_wide", "as 'model.multi_modal_projector.linear_1'");
    test_memory();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
