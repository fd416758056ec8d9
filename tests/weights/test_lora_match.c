/* Which modules are adapted: PEFT's own answers on a tiny PaliGemma, limits, and regexes made from
 * lists of paths. */
#include "base/json.h"
#include "base/mem.h"
#include "helpers.h"
#include "weights/adapter.h"
#include "weights/adapter_config.h"

static struct dlm_ctx *ctx;

static bool has_string(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(json_string_value(json_array_get(list, i)), text))
            return true;
    return false;
}

static bool starts_with(const char *s, const char *prefix)
{
    return !strncmp(s, prefix, strlen(prefix));
}

/* One row of matches.json: a regex must hit what PEFT hits, a list what of it is below the
 * language model. */
static void expect_hits(const json_t *keys, const json_t *row)
{
    const json_t *spec_json = json_object_get(row, "spec"), *hits = json_object_get(row, "hits");
    const char *names[8];
    struct dlm_target_spec spec = {.kind = DLM_TARGET_REGEX, .regex = json_string_value(spec_json)};
    struct dlm_lora_matcher *m = NULL;

    if (json_is_array(spec_json)) {
        spec = (struct dlm_target_spec){.names = names, .num_names = json_array_size(spec_json),
                                        .under = "model.language_model"};
        for (size_t i = 0; i < spec.num_names; i++)
            names[i] = json_string_value(json_array_get(spec_json, i));
    }
    if (!CHECK(!dlm_lora_matcher_create(ctx, &m, &spec)))
        return;
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *key = json_string_value(json_array_get(keys, i));
        bool want = has_string(hits, key), got = false;
        if (spec.kind == DLM_TARGET_LIST)
            want = want && starts_with(key, "model.language_model.");
        CHECK(!dlm_lora_matches(ctx, m, key, &got));
        if (!CHECK(got == want))
            printf("     key %s\n", key);
    }
    dlm_lora_matcher_destroy(&m);
}

static void test_peft(void)
{
    json_t *root = NULL;

    check_case("PEFT's answers");
    if (!CHECK(!dlm_json_load(ctx, golden_path("matches.json"), 1 << 20, &root)))
        return;
    const json_t *keys = json_object_get(root, "keys"), *rows = json_object_get(root, "targets");
    for (size_t i = 0; i < json_array_size(rows); i++)
        expect_hits(keys, json_array_get(rows, i));

    check_case("PEFT's answers about rank patterns");
    rows = json_object_get(root, "patterns");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        struct dlm_adapter_config_file file;
        char text[256];
        snprintf(text, sizeof(text), "{\"alpha_pattern\": {\"%s\": 3}}",
                 json_string_value(json_object_get(row, "pattern")));
        CHECK(!dlm_adapter_config_parse(ctx, &file, "x", text, strlen(text)));
        for (size_t k = 0; k < json_array_size(keys); k++) {
            const char *key = json_string_value(json_array_get(keys, k));
            double value = 0;
            CHECK(!dlm_pattern_value(ctx, &file.alpha_pattern, key, key, 1, &value));
            CHECK((value == 3) == has_string(json_object_get(row, "hits"), key));
        }
        dlm_adapter_config_finish(&file);
    }
    json_decref(root);
}

/* "all-linear" is PEFT's, of which the language model's are taken. */
static void test_all_linear(void)
{
    const struct dlm_target_spec spec = {.kind = DLM_TARGET_ALL_LINEAR,
                                           .under = "model.language_model"};
    struct dlm_lora_matcher *m = NULL;
    json_t *root = NULL;
    size_t hits = 0;

    check_case("PEFT's all-linear, below the language model");
    if (!CHECK(!dlm_json_load(ctx, golden_path("matches.json"), 1 << 20, &root)) ||
        !CHECK(!dlm_lora_matcher_create(ctx, &m, &spec)))
        return;
    const json_t *linears = json_object_get(root, "linears");
    for (size_t i = 0; i < json_array_size(linears); i++) {
        const char *path = json_string_value(json_array_get(linears, i));
        const bool want = has_string(json_object_get(root, "all_linear"), path) &&
                          starts_with(path, "model.language_model.");
        bool hit = !want;
        CHECK(!dlm_lora_matches(ctx, m, path, &hit) && hit == want);
        hits += hit;
    }
    CHECK_INT(hits, 14);
    dlm_lora_matcher_destroy(&m);
    json_decref(root);
}

static char hint[1024];

static void keep_hint(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level == DLM_LOG_HINT)
        snprintf(hint, sizeof(hint), "%s", text);
}

/* A name that no module of the language model has, and what it could have meant. */
static void expect_unknown(struct dlm_ctx *c, const char *name, const char *near)
{
    static const char *const paths[] = {
        "model.language_model.layers.0.self_attn.q_proj", "model.vision_tower.layers.0.mlp.fc1",
        "model.language_model.layers.0.mlp.gate_proj", "model.language_model.layers.0.mlp.up_proj",
        "model.language_model.layers.0.self_attn.k_proj",
        "model.language_model.layers.1.self_attn.k_proj",
        "model.language_model.layers.0.self_attn.v_proj"};
    const char *names[] = {"v_proj", name};
    const struct dlm_target_spec spec = {.names = names, .num_names = 2,
                                         .under = "model.language_model"};
    char text[256];

    hint[0] = '\0';
    CHECK_INT(dlm_target_spec_check(c, &spec, paths, DLM_ARRAY_LEN(paths)),
              near ? DLM_ERR_INVALID : DLM_OK);
    snprintf(text, sizeof(text), "target_modules: '%.100s' names no linear module", name);
    if (near && (!CHECK(strstr(dlm_ctx_last_error(c), text)) || !CHECK(strstr(hint, near))))
        printf("     got \"%s\", \"%s\"\n", dlm_ctx_last_error(c), hint);
}

static void test_unknown_names(void)
{
    const struct dlm_ctx_params params = {.log = keep_hint};
    struct dlm_ctx *c = dlm_ctx_create(&params);

    check_case("names that match nothing");
    expect_unknown(c, "k_proj", NULL);
    expect_unknown(c, "self_attn.k_proj", NULL);
    expect_unknown(c, "g_proj", "near names: 'q_proj', 'k_proj', 'v_proj', 'up_proj';");
    expect_unknown(c, "gateproj", "near names: 'gate_proj', ");
    expect_unknown(c, "fc1", "near names: '"); /* the tower's */
    expect_unknown(c, "", "near names: '");
    expect_unknown(c, "proj", "near names: 'q_proj', ");
    expect_unknown(c, "a_name_that_is_far_longer_than_any_module_has_a_right_to_be_in_its_file",
                   "near names: 'q_proj', 'gate_proj', ");
    dlm_ctx_destroy(&c);
}

static void test_hostile(void)
{
    static const struct {
        const char *regex, *text;
    } bad[] = {
        {"(", "target_modules: bad regex '('"},
        {"(((((a{100}){100}){100}){100}){100})", "bad regex"},
        {"\\C+", "bad regex"},
        {"\xff", "bad regex"},
    };
    static const char *const slow[] = {"(a*)*b", "(a|a|aa)+$b", "(?:a+)+(?:a+)+(?:a+)+(?:a+)+b",
                                       "(a?){60}a{60}b"};
    struct dlm_lora_matcher *m = NULL;
    bool hit;

    check_case("regexes that do not compile");
    for (size_t i = 0; i < DLM_ARRAY_LEN(bad); i++) {
        const struct dlm_target_spec spec = {.kind = DLM_TARGET_REGEX, .regex = bad[i].regex};
        CHECK_INT(dlm_lora_matcher_create(ctx, &m, &spec), DLM_ERR_INVALID);
        CHECK(!m && strstr(dlm_ctx_last_error(ctx), bad[i].text));
    }
    check_case("regexes that take for ever");
    for (size_t i = 0; i < DLM_ARRAY_LEN(slow); i++) {
        const struct dlm_target_spec spec = {.kind = DLM_TARGET_REGEX, .regex = slow[i]};
        if (!CHECK(!dlm_lora_matcher_create(ctx, &m, &spec)))
            continue;
        enum dlm_status st = dlm_lora_matches(
            ctx, m, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", &hit);
        CHECK(!hit && (st == DLM_OK || st == DLM_ERR_INVALID));
        dlm_lora_matcher_destroy(&m);
    }
}

static void test_kinds(void)
{
    static const char *const names[] = {"q_proj"};
    struct dlm_target_spec spec = {.names = names, .num_names = 1, .under = "model.visual"};
    struct dlm_lora_matcher *m = NULL;
    bool hit = false;

    check_case("a list below another path");
    CHECK(!dlm_lora_matcher_create(ctx, &m, &spec));
    CHECK(!dlm_lora_matches(ctx, m, "model.visual.q_proj", &hit) && hit);
    CHECK(!dlm_lora_matches(ctx, m, "model.visualx.q_proj", &hit) && !hit);
    CHECK(!dlm_lora_matches(ctx, m, "model.visual.xq_proj", &hit) && !hit);
    dlm_lora_matcher_destroy(&m);
    check_case("all-linear");
    spec = (struct dlm_target_spec){.kind = DLM_TARGET_ALL_LINEAR, .under = "model.language"};
    CHECK(!dlm_lora_matcher_create(ctx, &m, &spec));
    CHECK(!dlm_lora_matches(ctx, m, "model.language.layers.0.fc1", &hit) && hit);
    CHECK(!dlm_lora_matches(ctx, m, "model.vision_tower.fc1", &hit) && !hit);
    CHECK(!dlm_lora_matches(ctx, m, "lm_head", &hit) && !hit);
    dlm_lora_matcher_destroy(&m);
    spec.under = NULL;
    CHECK(!dlm_lora_matcher_create(ctx, &m, &spec));
    CHECK(!dlm_lora_matches(ctx, m, "model.vision_tower.fc1", &hit) && hit);
    dlm_lora_matcher_destroy(&m);
    check_case("nothing");
    spec = (struct dlm_target_spec){0};
    CHECK(!dlm_lora_matcher_create(ctx, &m, &spec));
    CHECK(!dlm_lora_matches(ctx, m, "model.language_model.x", &hit) && !hit);
    dlm_lora_matcher_destroy(&m);
}

/* The regex of a random subset hits that subset and nothing else. */
static void test_regex_of(void)
{
    json_t *root = NULL;
    const char *adapted[256];
    unsigned seed = 12345;

    check_case("a regex of a list hits exactly the list");
    if (!CHECK(!dlm_json_load(ctx, golden_path("matches.json"), 1 << 20, &root)))
        return;
    const json_t *keys = json_object_get(root, "keys");
    for (int round = 0; round < 50; round++) {
        size_t num = 0;
        for (size_t i = 0; i < json_array_size(keys) && num < 256; i++) {
            seed = seed * 1664525u + 1013904223u;
            if (seed >> 24 < (unsigned)round * 5)
                adapted[num++] = json_string_value(json_array_get(keys, i));
        }
        char *regex = dlm_target_regex_of(ctx, adapted, num);
        const struct dlm_target_spec spec = {.kind = DLM_TARGET_REGEX, .regex = regex};
        struct dlm_lora_matcher *m = NULL;
        if (CHECK(regex) && CHECK(!dlm_lora_matcher_create(ctx, &m, &spec))) {
            for (size_t i = 0, at = 0; i < json_array_size(keys); i++) {
                const char *key = json_string_value(json_array_get(keys, i));
                const bool want = at < num && !strcmp(adapted[at], key);
                bool hit = !want;
                at += want;
                CHECK(!dlm_lora_matches(ctx, m, key, &hit) && hit == want);
            }
        }
        dlm_lora_matcher_destroy(&m);
        dlm_free(regex);
    }
    json_decref(root);

    check_case("and is compact");
    static const char *const paths[] = {
        "m.layers.0.a.q_proj", "m.layers.0.a.k_proj", "m.layers.10.a.q_proj",
        "m.layers.10.a.k_proj", "m.layers.2.a.k_proj", "m.layers.2.a.q_proj"};
    char *regex = dlm_target_regex_of(ctx, paths, DLM_ARRAY_LEN(paths));
    CHECK_STR(regex, "m\\.layers\\.(0|2|10)\\.a\\.(k_proj|q_proj)");
    dlm_free(regex);
    static const char *const odd[] = {"a|b.c+d", "a|b.e"};
    regex = dlm_target_regex_of(ctx, odd, 2);
    CHECK_STR(regex, "a\\|b\\.(c\\+d|e)");
    dlm_free(regex);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    test_peft();
    test_all_linear();
    test_unknown_names();
    test_hostile();
    test_kinds();
    test_regex_of();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
