/* Writing adapters: byte for byte what PEFT writes for the same modules. */
#include <jansson.h>

#include "base/json.h"
#include "base/mem.h"
#include "helpers.h"
#include "weights/adapter.h"

static struct dlm_ctx *ctx;

static const struct dlm_name_drop drops[] = {{"model.vision_tower", "vision_model"}};
static const struct dlm_name_map map = {NULL, 0, drops, 1};

struct copy {
    struct dlm_adapter_out_module modules[16];
    size_t num;
    char *all_paths[256];
    size_t num_all_paths;
};

/* Modules of a golden adapter, as the trainer would hold them, and every module of its base. */
static void load_copy(struct copy *c, const char *name)
{
    struct dlm_adapter *a = NULL;
    json_t *root = NULL;

    memset(c, 0, sizeof(*c));
    if (!CHECK(!dlm_adapter_open(ctx, &a, golden_path(name), NULL)))
        return;
    for (; c->num < a->num_modules; c->num++) {
        const struct dlm_adapter_module *m = &a->modules[c->num];
        float *x = malloc(sizeof(float) * (size_t)(m->r * m->in));
        float *y = malloc(sizeof(float) * (size_t)(m->r * m->out));
        CHECK(!dlm_tensor_to_f32(ctx, m->a, x) && !dlm_tensor_to_f32(ctx, m->b, y));
        c->modules[c->num] = (struct dlm_adapter_out_module){
            dlm_strdup(ctx, m->path), m->r, m->alpha, m->in, m->out, x, y};
    }
    dlm_adapter_destroy(&a);
    CHECK(!dlm_json_load(ctx, golden_path("matches.json"), 1 << 20, &root));
    const json_t *keys = json_object_get(root, "keys");
    for (; c->num_all_paths < json_array_size(keys); c->num_all_paths++)
        c->all_paths[c->num_all_paths] =
            dlm_strdup(ctx, json_string_value(json_array_get(keys, c->num_all_paths)));
    json_decref(root);
}

static void free_copy(struct copy *c)
{
    for (size_t i = 0; i < c->num; i++) {
        dlm_free((void *)(uintptr_t)c->modules[i].path);
        free((void *)(uintptr_t)c->modules[i].a);
        free((void *)(uintptr_t)c->modules[i].b);
    }
    for (size_t i = 0; i < c->num_all_paths; i++)
        dlm_free(c->all_paths[i]);
}

static void write_to(const struct copy *c, const char *dir,
                     const struct dlm_adapter_write_params *params)
{
    CHECK(!dlm_dir_make(ctx, dir));
    CHECK(!dlm_adapter_write(ctx, dir, params, c->modules, c->num));
}

static void test_bytes(void)
{
    struct copy c;

    check_case("PEFT's bytes");
    load_copy(&c, "adapter");
    const struct dlm_adapter_write_params params = {
        .base_model = "org/tiny", .r = 2, .alpha = 4, .dropout = 0.05,
        .target_regex = ".*language_model.*\\.(q_proj|k_proj|v_proj|o_proj)",
        .all_paths = (const char *const *)c.all_paths, .num_all_paths = c.num_all_paths};
    write_to(&c, tmp_path("w"), &params);
    CHECK(same_files(tmp_path("w/adapter_config.json"),
                     golden_path("adapter/adapter_config.json")));
    CHECK(same_files(tmp_path("w/adapter_model.safetensors"),
                     golden_path("adapter/adapter_model.safetensors")));
    check_case("a dropout that has been a float is written as it was meant");
    struct dlm_adapter_write_params wrong = params;
    wrong.dropout = 0.05f;
    write_to(&c, tmp_path("w"), &wrong);
    CHECK(same_files(tmp_path("w/adapter_config.json"),
                     golden_path("adapter/adapter_config.json")));
    check_case("a wrong regex is not written");
    wrong = params;
    wrong.target_regex = ".*q_proj";
    write_to(&c, tmp_path("w2"), &wrong);
    struct dlm_adapter *a = NULL;
    if (CHECK(!dlm_adapter_open(ctx, &a, tmp_path("w2"), NULL)))
        CHECK_STR(a->config.target_regex,
                  "model\\.language_model\\.layers\\.(0|1)\\.self_attn\\."
                  "(k_proj|o_proj|q_proj|v_proj)");
    dlm_adapter_destroy(&a);
    check_case("another regex that fits is");
    wrong.target_regex = ".*language.*(q|k|v|o)_proj";
    write_to(&c, tmp_path("w2"), &wrong);
    if (CHECK(!dlm_adapter_open(ctx, &a, tmp_path("w2"), NULL)))
        CHECK_STR(a->config.target_regex, ".*language.*(q|k|v|o)_proj");
    dlm_adapter_destroy(&a);
    free_copy(&c);
}

/* Ranks and alphas of their own, a tower, rsLoRA, transformers 4's names. */
static void test_patterns(void)
{
    struct copy c;
    struct dlm_adapter *a = NULL;

    check_case("own ranks and alphas come back");
    load_copy(&c, "adapter_patterns");
    struct dlm_adapter_write_params params = {
        .r = 4, .alpha = 6, .use_rslora = true, .map = &map,
        .all_paths = (const char *const *)c.all_paths, .num_all_paths = c.num_all_paths};
    for (int v4 = 0; v4 < 2; v4++) {
        params.names = v4 ? DLM_ADAPTER_NAMES_V4 : DLM_ADAPTER_NAMES_V5;
        write_to(&c, tmp_path("p"), &params);
        if (!CHECK(!dlm_adapter_open(ctx, &a, tmp_path("p"), &map)))
            continue;
        CHECK_INT(a->num_modules, c.num);
        CHECK(a->config.use_rslora && !a->config.base_model);
        for (size_t i = 0; i < a->num_modules; i++) {
            const struct dlm_adapter_module *m = &a->modules[i];
            CHECK_STR(m->path, c.modules[i].path);
            CHECK_INT(m->r, c.modules[i].r);
            CHECK(m->alpha == c.modules[i].alpha);
            CHECK(!memcmp(m->a->data, c.modules[i].a, m->a->bytes));
            CHECK(!memcmp(m->b->data, c.modules[i].b, m->b->bytes));
            if (strstr(m->path, "vision_tower"))
                CHECK((strstr(m->a->name, ".vision_model.") != NULL) == (v4 != 0));
        }
        CHECK((strstr(a->config.target_regex, "vision_model") != NULL) == (v4 != 0));
        dlm_adapter_destroy(&a);
    }
    check_case("no list of the base's modules: spelled out");
    params.all_paths = NULL;
    write_to(&c, tmp_path("p"), &params);
    CHECK(!dlm_adapter_open(ctx, &a, tmp_path("p"), &map));
    dlm_adapter_destroy(&a);
    check_case("nothing to write");
    CHECK_INT(dlm_adapter_write(ctx, tmp_path("p"), &params, c.modules, 0), DLM_ERR_INVALID);
    free_copy(&c);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    tmp_make();
    test_bytes();
    test_patterns();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
