/* Reading PEFT adapters: what PEFT wrote comes back as PEFT understands it; the rest is refused. */
#include "weights/adapter.h"

#include <jansson.h>

#include "base/json.h"
#include "helpers.h"

static struct dlm_ctx *ctx;

static const struct dlm_name_rule rules[] = {
    {"language_model.model", "model.language_model"},
    {"vision_tower", "model.vision_tower"},
};
static const struct dlm_name_drop drops[] = {{"model.vision_tower", "vision_model"}};
static const struct dlm_name_map map = {rules, 2, drops, 1};

static double sum_of(const struct dlm_tensor_info *t)
{
    float values[4096];
    double sum = 0;

    if (!CHECK(t->bytes <= 2 * sizeof(values) / 2 && !dlm_tensor_to_f32(ctx, t, values)))
        return NAN;
    for (int64_t i = 0; i < t->shape[0] * t->shape[1]; i++)
        sum += values[i];
    return sum;
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* Compares the adapter in golden folder `name` with what PEFT said about `expected`. */
static void expect_adapter(const char *name, const char *expected)
{
    struct dlm_adapter *a = NULL;
    json_t *want = NULL;
    char path[256];

    check_case(name);
    snprintf(path, sizeof(path), "%s/expected.json", expected);
    CHECK(!dlm_json_load(ctx, golden_path(path), 1 << 20, &want));
    if (!CHECK(!dlm_adapter_open(ctx, &a, golden_path(name), &map)))
        return;
    CHECK_INT(a->num_modules, json_array_size(want));
    for (size_t i = 0; i < json_array_size(want) && i < a->num_modules; i++) {
        const json_t *w = json_array_get(want, i);
        const struct dlm_adapter_module *m = &a->modules[i];
        CHECK_STR(m->path, json_string_value(json_object_get(w, "path")));
        CHECK_INT(m->r, number(w, "r"));
        CHECK(m->alpha == number(w, "alpha"));
        CHECK(fabs(m->scaling - number(w, "scaling")) < 1e-12);
        CHECK_INT(m->in, number(w, "in"));
        CHECK_INT(m->out, number(w, "out"));
        CHECK(fabs(sum_of(m->a) - number(w, "a_sum")) < 1e-4);
        CHECK(fabs(sum_of(m->b) - number(w, "b_sum")) < 1e-4);
        CHECK(dlm_adapter_find(a, m->path) == m);
    }
    CHECK(!dlm_adapter_find(a, "model.language_model.layers.0.self_attn.q_pro"));
    CHECK_STR(a->config.base_model, "org/tiny");
    CHECK(dlm_adapter_names_base(a, "org/tiny") && !dlm_adapter_names_base(a, "org/other"));
    dlm_adapter_destroy(&a);
    json_decref(want);
}

static const char small_config[] = "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4}";

/* Writes an adapter folder with two tensors of the given names and shapes [2, 3] and [4, 2]. */
static void put_adapter(const char *config, const char *a_name, const char *b_name, int64_t r)
{
    static const float zeros[64] = {0};
    struct dlm_tensor_out t[] = {{a_name, DLM_DTYPE_F32, 2, {r, 3}, zeros, (size_t)r * 12},
                                 {b_name, DLM_DTYPE_F32, 2, {4, 2}, zeros, 32}};

    CHECK(!dlm_dir_make(ctx, tmp_path("a")));
    CHECK(put_file(tmp_path("a/adapter_config.json"), config, strlen(config)));
    CHECK(!dlm_safetensors_write(ctx, tmp_path("a/adapter_model.safetensors"), t, b_name ? 2 : 1,
                                 NULL, 0));
}

static void expect_refused(enum dlm_status want, const char *text)
{
    struct dlm_adapter *a = NULL;

    CHECK_INT(dlm_adapter_open(ctx, &a, tmp_path("a"), &map), want);
    CHECK(!a);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), text)))
        printf("     got \"%s\", want \"%s\"\n", dlm_ctx_last_error(ctx), text);
}

static void test_bad_tensors(void)
{
    const char *good_a = "base_model.model.m.lora_A.weight";
    const char *good_b = "base_model.model.m.lora_B.weight";
    const struct {
        const char *a, *b;
        int64_t r;
        const char *text;
    } rows[] = {
        {good_a, NULL, 2, "'base_model.model.m.lora_A.weight' has no lora_B beside it"},
        {good_b, NULL, 2, "'base_model.model.m.lora_B.weight' has no lora_A beside it"},
        {good_a, "base_model.model.n.lora_B.weight", 2, "has no lora_B beside it"},
        {good_a, good_b, 3, "has another rank than its lora_A"},
        {"m.lora_A.weight", "m.lora_B.weight", 2, "'m.lora_A.weight' is no LoRA weight"},
        {"base_model.model.lora_A.weight", good_b, 2, "is no LoRA weight"},
        {"base_model.model.m.weight", NULL, 2, "'base_model.model.m.weight' is no LoRA weight"},
    };

    check_case("tensors that do not fit");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        put_adapter(small_config, rows[i].a, rows[i].b, rows[i].r);
        expect_refused(DLM_ERR_PARSE, rows[i].text);
    }
    put_adapter("{\"r\": 3}", good_a, good_b, 2);
    expect_refused(DLM_ERR_PARSE, "has rank 2, adapter_config.json says 3");
    put_adapter(small_config, "base_model.model.lm_head.modules_to_save.weight", NULL, 2);
    expect_refused(DLM_ERR_UNSUPPORTED, "modules_to_save");
    put_adapter(small_config, "base_model.model.m.lora_embedding_A", NULL, 2);
    expect_refused(DLM_ERR_UNSUPPORTED, "adapts an embedding");

    check_case("one module in two spellings");
    const float zeros[8] = {0};
    const char *names[] = {"base_model.model.vision_tower.x.lora_A.weight",
                           "base_model.model.vision_tower.x.lora_B.weight",
                           "base_model.model.model.vision_tower.vision_model.x.lora_A.weight",
                           "base_model.model.model.vision_tower.vision_model.x.lora_B.weight"};
    struct dlm_tensor_out t[4];
    for (int i = 0; i < 4; i++)
        t[i] = (struct dlm_tensor_out){names[i], DLM_DTYPE_F32, 2, {2, 2}, zeros, 16};
    CHECK(!dlm_safetensors_write(ctx, tmp_path("a/adapter_model.safetensors"), t, 4, NULL, 0));
    expect_refused(DLM_ERR_PARSE, "is there in another spelling too");
}

static void test_bad_configs(void)
{
    static const struct {
        const char *config;
        enum dlm_status status;
        const char *text;
    } rows[] = {
        {"[]", DLM_ERR_PARSE, "no JSON object"},
        {"{\"r\": 8,}", DLM_ERR_PARSE, "line 1"},
        {"{\"peft_type\": \"IA3\"}", DLM_ERR_UNSUPPORTED, "'peft_type=IA3' is not supported"},
        {"{\"use_dora\": true}", DLM_ERR_UNSUPPORTED, "'use_dora' is not supported"},
        {"{\"bias\": \"all\"}", DLM_ERR_UNSUPPORTED, "'bias=all' is not supported"},
        {"{\"modules_to_save\": [\"lm_head\"]}", DLM_ERR_UNSUPPORTED, "'modules_to_save'"},
        {"{\"lora_bias\": true}", DLM_ERR_UNSUPPORTED, "'lora_bias'"},
        {"{\"layer_replication\": [[0, 4]]}", DLM_ERR_UNSUPPORTED, "'layer_replication'"},
        {"{\"layers_to_transform\": [0]}", DLM_ERR_UNSUPPORTED, "'layers_to_transform'"},
        {"{\"layers_to_transform\": 0}", DLM_ERR_UNSUPPORTED, "'layers_to_transform'"},
        {"{\"target_parameters\": [\"x\"]}", DLM_ERR_UNSUPPORTED, "'target_parameters'"},
        {"{\"use_qalora\": true}", DLM_ERR_UNSUPPORTED, "'use_qalora'"},
        {"{\"megatron_config\": {\"a\": 1}}", DLM_ERR_UNSUPPORTED, "'megatron_config'"},
        {"{\"trainable_token_indices\": [3]}", DLM_ERR_UNSUPPORTED, "'trainable_token_indices'"},
        {"{\"init_lora_weights\": \"pissa_niter_16\"}", DLM_ERR_UNSUPPORTED,
         "'init_lora_weights=pissa_niter_16'"},
        {"{\"r\": 0}", DLM_ERR_PARSE, "'r' is 0"},
        {"{\"r\": \"8\"}", DLM_ERR_PARSE, "'r' is not an integer"},
        {"{\"r\": 1e300}", DLM_ERR_PARSE, "'r'"},
        {"{\"lora_dropout\": 1.5}", DLM_ERR_PARSE, "'lora_dropout'"},
        {"{\"rank_pattern\": {\"(\": 2}}", DLM_ERR_INVALID, "rank_pattern: bad regex '('"},
        {"{\"rank_pattern\": {\"x\": 0.5}}", DLM_ERR_PARSE, "'x' is no rank"},
        {"{\"alpha_pattern\": [1]}", DLM_ERR_PARSE, "'alpha_pattern' is no object"},
        {"{\"r\": 2, \"alpha_pattern\": {\"((a+)+)+[bc]\": 1}}", DLM_ERR_INVALID,
         "cannot be matched"},
        {"{\"target_modules\": 3}", DLM_ERR_PARSE, "'target_modules'"},
        {"{\"target_modules\": [3]}", DLM_ERR_PARSE, "'target_modules'"},
    };
    const char *a = "base_model.model.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.lora_A.weight";
    const char *b = "base_model.model.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.lora_B.weight";

    check_case("configs that are refused");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        put_adapter(rows[i].config, a, b, 2);
        expect_refused(rows[i].status, rows[i].text);
    }
    check_case("set keys that change nothing, and unknown ones");
    put_adapter("{\"r\": 2, \"lora_alpha\": 3, \"use_dora\": false, \"modules_to_save\": [],"
                " \"init_lora_weights\": \"gaussian\", \"new_key\": {\"x\": 1}}",
                a, b, 2);
    struct dlm_adapter *adapter = NULL;
    if (CHECK(!dlm_adapter_open(ctx, &adapter, tmp_path("a"), NULL)))
        CHECK(adapter->modules[0].scaling == 1.5);
    dlm_adapter_destroy(&adapter);
}

static void test_missing(void)
{
    check_case("no folder, no tensors, a pickle");
    CHECK(!dlm_path_remove(ctx, tmp_path("a")));
    expect_refused(DLM_ERR_IO, "no such folder");
    CHECK(!dlm_dir_make(ctx, tmp_path("a")));
    expect_refused(DLM_ERR_IO, "it has no adapter_config.json");
    CHECK(put_file(tmp_path("a/adapter_config.json"), small_config, sizeof(small_config) - 1));
    expect_refused(DLM_ERR_IO, "adapter_model.safetensors': no such file");
    CHECK(put_file(tmp_path("a/adapter_model.bin"), "x", 1));
    expect_refused(DLM_ERR_UNSUPPORTED, "pickle");
}

int main(void)
{
    struct dlm_adapter *a = NULL;

    ctx = dlm_ctx_create(NULL);
    tmp_make();
    expect_adapter("adapter", "adapter");
    expect_adapter("adapter_patterns", "adapter_patterns");
    expect_adapter("adapter_old", "adapter");
    check_case("adapter_dora");
    CHECK_INT(dlm_adapter_open(ctx, &a, golden_path("adapter_dora"), &map), DLM_ERR_UNSUPPORTED);
    CHECK(strstr(dlm_ctx_last_error(ctx), "'use_dora'"));
    test_bad_tensors();
    test_bad_configs();
    test_missing();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
