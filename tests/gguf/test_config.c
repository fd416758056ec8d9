/* What of a config.json llama.cpp computes otherwise, without a key that says so: it is refused, or
 * the file promises less. The values are those that llama.cpp's graphs have built in (0c1e57098:
 * src/models/{qwen2vl,mistral3}.cpp, tools/mtmd/clip.cpp, tools/mtmd/models/{qwen2vl,pixtral}.cpp).
 */
#include <stdio.h>
#include <string.h>

#include "base/activation.h"
#include "base/json.h"
#include "check.h"
#include "export/gguf_values.h"
#include "models/family_list.h"
#include "models/gguf_family.h"
#include "models/model.h"

static struct dlm_ctx *ctx;

static const char *base_path(const char *folder, const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/golden/models/%s/base/%s", check_data_dir(), folder, name);
    return path;
}

/* The config of a golden's base, in which the members of change count, and what it is read as. */
static enum dlm_status read_changed(const struct dlm_family *family, const char *folder,
                                    const char *change, struct dlm_gguf_vision *v)
{
    json_t *config = NULL, *changes = json_loads(change, 0, NULL);

    CHECK(!dlm_json_load(ctx, base_path(folder, "config.json"), 1 << 20, &config));
    CHECK(changes && !json_object_update_recursive(config, changes));
    const enum dlm_status st = family->gguf->read_vision(ctx, config, "c.json", v);
    json_decref(changes);
    json_decref(config);
    return st;
}

static const char qwen2_vl[] = "qwen2_vl_f32_old", mistral3[] = "mistral3_f32_old";

static void test_refused(void)
{
    static const struct {
        const char *folder, *change, *error;
    } rows[] = {
        {qwen2_vl, "{\"hidden_act\": \"gelu\"}", "'hidden_act' is \"gelu\""},
        {qwen2_vl, "{\"text_config\": {\"hidden_act\": \"gelu\"}}", "'text_config.hidden_act'"},
        {qwen2_vl, "{\"vision_config\": {\"spatial_merge_size\": 3}}",
         "cannot write 'c.json' as GGUF: 'vision_config.spatial_merge_size' is 3: not supported by "
         "llama.cpp (only 2 is)"},
        {qwen2_vl, "{\"vision_config\": {\"temporal_patch_size\": 3}}", "'vision_config.temporal"},
        {qwen2_vl, "{\"vision_config\": {\"rope_theta\": 5000}}", "'vision_config.rope_theta'"},
        {qwen2_vl, "{\"vision_config\": {\"rope_parameters\": {\"rope_theta\": 100.5}}}",
         "'vision_config.rope_parameters.rope_theta' is 100.5"},
        {mistral3, "{\"text_config\": {\"hidden_act\": \"gelu\"}}", "'text_config.hidden_act'"},
        {mistral3, "{\"projector_hidden_act\": \"silu\"}", "'projector_hidden_act' is \"silu\""},
        {mistral3, "{\"vision_config\": {\"rope_theta\": 5000}}", "'vision_config.rope_theta'"},
        {mistral3, "{\"vision_config\": {\"rope_parameters\": {\"rope_theta\": 5000}}}",
         "'vision_config.rope_parameters.rope_theta' is 5000"},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        const struct dlm_family *family =
            rows[i].folder == qwen2_vl ? &dlm_family_qwen2_vl : &dlm_family_mistral3;
        struct dlm_gguf_vision v;
        check_case(rows[i].change);
        CHECK_INT(read_changed(family, rows[i].folder, rows[i].change, &v), DLM_ERR_UNSUPPORTED);
        CHECK(strstr(dlm_ctx_last_error(ctx), rows[i].error));
    }
}

/* The tower's activation has keys, of either family. */
static void test_taken(void)
{
    static const struct {
        const char *folder, *change;
        uint32_t act;
    } rows[] = {
        {qwen2_vl, "{}", DLM_ACT_QUICK_GELU},
        {qwen2_vl, "{\"vision_config\": {\"hidden_act\": \"gelu\"}}", DLM_ACT_GELU_ERF},
        {qwen2_vl, "{\"vision_config\": {\"hidden_act\": \"silu\", \"rope_theta\": 10000.0}}",
         DLM_ACT_SILU},
        {mistral3, "{}", DLM_ACT_SILU},
        {mistral3, "{\"vision_config\": {\"hidden_act\": \"gelu\"}, \"spatial_merge_size\": 3}",
         DLM_ACT_GELU_ERF},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        const struct dlm_family *family =
            rows[i].folder == qwen2_vl ? &dlm_family_qwen2_vl : &dlm_family_mistral3;
        struct dlm_gguf_vision v = {0};
        check_case(rows[i].change);
        CHECK(!read_changed(family, rows[i].folder, rows[i].change, &v));
        CHECK_INT(v.act, rows[i].act);
    }
}

/* llama.cpp's mistral3 has no window of keys: a file's context ends where it would begin to matter.
 */
static void test_window(void)
{
    static const struct {
        const char *folder;
        int64_t context;
    } rows[] = {{"mistral3_f16_merge3", 21}, {mistral3, 512}};

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        struct dlm_model *model = NULL;
        json_t *config = NULL;
        int64_t context = 0;
        check_case(rows[i].folder);
        CHECK(!dlm_json_load(ctx, base_path(rows[i].folder, "config.json"), 1 << 20, &config));
        if (CHECK(!dlm_model_read_folder(ctx, &model, base_path(rows[i].folder, ""))))
            CHECK(!dlm_gguf_context(ctx, model, config, "c.json", &context));
        CHECK_INT(context, rows[i].context);
        dlm_model_destroy(&model);
        json_decref(config);
    }
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    test_refused();
    test_taken();
    test_window();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
