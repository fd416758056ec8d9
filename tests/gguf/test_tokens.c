/* Tokenizers as llama.cpp's converter has them, and what is no such tokenizer. */
#include "export/gguf_tokens.h"

#include <jansson.h>

#include "base/json.h"
#include "base/sha256.h"
#include "models/model.h"
#include "tests/gguf/names.h"

static struct dlm_ctx *ctx;

static enum dlm_status append(struct dlm_ctx *c, void *user, const void *data, size_t bytes)
{
    return dlm_str_append(c, user, data, bytes);
}

/* The values, written and read again; NULL with *st set when they could not be put. */
static struct dlm_gguf *make(const struct dlm_gguf_tokens *tokens, struct dlm_str *bytes,
                             enum dlm_status *st)
{
    struct dlm_gguf_writer *w = NULL;
    struct dlm_gguf *g = NULL;

    CHECK(!dlm_gguf_writer_create(ctx, &w, "values"));
    *st = dlm_gguf_put_tokens(ctx, w, tokens);
    if (!*st)
        *st = dlm_gguf_writer_begin(ctx, w, append, bytes);
    if (!*st)
        *st = dlm_gguf_open_memory(ctx, &g, "values", bytes->data, bytes->len);
    dlm_gguf_writer_destroy(&w);
    return g;
}

static enum dlm_status append_element(struct dlm_str *s, const struct dlm_gguf_value *v,
                                      const struct dlm_gguf_text *texts, size_t i)
{
    int64_t n = 0;

    if (texts)
        return dlm_str_append(ctx, s, texts[i].data, texts[i].len);
    CHECK(dlm_gguf_value_int(v, i, &n));
    return dlm_str_appendf(ctx, s, "%lld", (long long)n);
}

/* An array as the golden file has it: its length, and the hash of its elements in lines. */
static void check_array(const struct dlm_gguf_value *v, const char *want)
{
    struct dlm_gguf_text *texts = NULL;
    struct dlm_str lines = {0};
    char sha[65], got[64];

    if (v->element == DLM_GGUF_KIND_STRING)
        CHECK(!dlm_gguf_value_strings(ctx, v, &texts));
    for (size_t i = 0; i < v->len; i++) {
        if (i)
            CHECK(!dlm_str_append(ctx, &lines, "\n", 1));
        CHECK(!append_element(&lines, v, texts, i));
    }
    dlm_sha256_of(dlm_str_text(&lines), lines.len, sha);
    snprintf(got, sizeof(got), "%zu of %.16s", v->len, sha);
    CHECK_STR(got, want);
    dlm_str_finish(&lines);
    dlm_free(texts);
}

static void check_value(const struct dlm_gguf *g, const char *key, const json_t *want)
{
    const struct dlm_gguf_value *v = dlm_gguf_find_value(g, key);
    struct dlm_gguf_text text;
    int64_t n = 0;
    bool flag;

    check_case(key);
    if (!CHECK(v))
        return;
    if (v->kind == DLM_GGUF_KIND_ARRAY) {
        check_array(v, json_string_value(want));
    } else if (v->kind == DLM_GGUF_KIND_STRING) {
        CHECK(!dlm_gguf_get_string(ctx, g, key, &text));
        CHECK(text.len == json_string_length(want) &&
              !memcmp(text.data, json_string_value(want), text.len));
    } else if (v->kind == DLM_GGUF_KIND_BOOL) {
        CHECK(!dlm_gguf_get_bool(ctx, g, key, &flag) && json_is_boolean(want) &&
              flag == json_is_true(want));
    } else {
        CHECK(v->kind == DLM_GGUF_KIND_U32 && dlm_gguf_value_int(v, 0, &n));
        CHECK_INT(n, json_integer_value(want));
    }
}

static json_t *load(const char *folder, const char *name)
{
    char path[512];
    json_t *json = NULL;

    snprintf(path, sizeof(path), "%s/golden/models/%s/base/%s", check_data_dir(), folder, name);
    CHECK(!dlm_json_load(ctx, path, 1 << 20, &json));
    return json;
}

static void test_base(const json_t *golden, const char *folder, const struct dlm_family *family,
                      int64_t vocab, bool has_config, const char *template_file)
{
    const json_t *file = json_object_get(json_object_get(golden, folder), "text_f32");
    json_t *values = json_object_get(file, "values"), *entry;
    json_t *tokenizer = load(folder, "tokenizer.json"), *config = load(folder, "config.json");
    json_t *own = has_config ? load(folder, "tokenizer_config.json") : NULL;
    json_t *chat = template_file ? load(folder, template_file) : NULL;
    const struct dlm_gguf_tokens tokens = {
        .tokenizer = tokenizer, .tokenizer_config = own, .config = config, .path = folder,
        .pretokenizer = family->gguf->pretokenizer, .vocab = vocab,
        .chat_template = json_string_value(json_object_get(chat, "chat_template"))};
    struct dlm_str bytes = {0};
    enum dlm_status st;
    const char *key;
    size_t num = 0;

    check_case(folder);
    struct dlm_gguf *g = make(&tokens, &bytes, &st);
    if (CHECK(!st && g)) {
        json_object_foreach(values, key, entry)
            if (!strncmp(key, "tokenizer.", 10)) {
                check_value(g, key, json_array_get(entry, 1));
                num++;
            }
        check_case("no other values");
        CHECK_INT(dlm_gguf_num_values(g), num);
    }
    dlm_gguf_destroy(&g);
    dlm_str_finish(&bytes);
    json_decref(tokenizer);
    json_decref(config);
    json_decref(own);
    json_decref(chat);
}

/* Of a tokenizer.json and a tokenizer_config.json, as text; vocab 4. */
static struct dlm_gguf *make_small(const char *text, const char *config_text,
                                   struct dlm_str *bytes, enum dlm_status *st)
{
    json_t *tokenizer = json_loads(text, 0, NULL), *config = json_loads(config_text, 0, NULL);
    const struct dlm_gguf_tokens tokens = {.tokenizer = tokenizer, .tokenizer_config = config,
                                           .path = "t.json", .pretokenizer = "x", .vocab = 4};

    CHECK(tokenizer && config);
    struct dlm_gguf *g = make(&tokens, bytes, st);
    json_decref(tokenizer);
    json_decref(config);
    return g;
}

/* Rows without a token, an added token that looks special, merges of older files and with spaces,
 * and a token that the post-processor puts in front. */
static void test_small(void)
{
    static const char text[] =
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1},"
        " \"merges\": [\"a b\", [\"a \", \"b\"]]},"
        " \"added_tokens\": [{\"id\": 3, \"content\": \"<|x|>\", \"special\": false},"
        "                    {\"id\": 1, \"content\": \"b\"}],"
        " \"post_processor\": {\"type\": \"Sequence\", \"processors\": ["
        "   {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"b\"}},"
        "     {\"Sequence\": {\"id\": \"A\"}}]}, {\"type\": \"ByteLevel\"}]}}";
    static const char config[] = "{\"bos_token\": {\"content\": \"b\"}, \"eos_token\": \"<|x|>\","
                                 " \"add_bos_token\": false}";
    static const int64_t types[] = {1, 4, 5, 3};
    struct dlm_gguf_text *texts = NULL;
    const struct dlm_gguf_value *v = NULL;
    struct dlm_str bytes = {0};
    enum dlm_status st;
    int64_t n = 0;
    bool flag = false;

    check_case("a small tokenizer");
    struct dlm_gguf *g = make_small(text, config, &bytes, &st);
    if (CHECK(!st && g)) {
        CHECK(!dlm_gguf_get_array(ctx, g, "tokenizer.ggml.token_type", DLM_GGUF_KIND_I32, &v));
        for (size_t i = 0; i < 4; i++)
            CHECK(dlm_gguf_value_int(v, i, &n) && n == types[i]);
        CHECK(!dlm_gguf_value_strings(ctx, dlm_gguf_find_value(g, "tokenizer.ggml.tokens"),
                                      &texts));
        CHECK(texts[2].len == 6 && !memcmp(texts[2].data, "[PAD2]", 6));
        dlm_free(texts);
        CHECK(!dlm_gguf_value_strings(ctx, dlm_gguf_find_value(g, "tokenizer.ggml.merges"),
                                      &texts));
        CHECK(texts[0].len == 3 && !memcmp(texts[0].data, "a b", 3));
        CHECK(texts[1].len == 5 && !memcmp(texts[1].data, "a\xc4\xa0 b", 5));
        dlm_free(texts);
        CHECK(!dlm_gguf_get_int(ctx, g, "tokenizer.ggml.bos_token_id", 1, 1, &n));
        CHECK(!dlm_gguf_get_int(ctx, g, "tokenizer.ggml.eos_token_id", 3, 3, &n));
        CHECK(!dlm_gguf_get_bool(ctx, g, "tokenizer.ggml.add_bos_token", &flag) && flag);
        CHECK(!dlm_gguf_get_bool(ctx, g, "tokenizer.ggml.add_eos_token", &flag) && !flag);
        CHECK(!dlm_gguf_find_value(g, "tokenizer.chat_template"));
    }
    dlm_gguf_destroy(&g);
    dlm_str_finish(&bytes);
}

static void test_bad(void)
{
    static const struct {
        const char *text, *error;
        enum dlm_status st;
    } rows[] = {
        {"{\"model\": {\"type\": \"Unigram\"}}", "'t.json' as GGUF: its tokenizer is not",
         DLM_ERR_UNSUPPORTED},
        {"{}", "its tokenizer is not byte-level BPE", DLM_ERR_UNSUPPORTED},
        {"{\"model\": {\"type\": \"BPE\", \"byte_fallback\": true}}", "not byte-level BPE",
         DLM_ERR_UNSUPPORTED},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 4}}}",
         "cannot read 't.json': token 'a' has the id 4, of 4 rows", DLM_ERR_PARSE},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}}}", "a token has no id",
         DLM_ERR_PARSE},
        {"{\"model\": {\"type\": \"BPE\"}, \"added_tokens\": [{\"id\": 1}]}",
         "an added token has no content", DLM_ERR_PARSE},
        {"{\"model\": {\"type\": \"BPE\", \"merges\": [[\"a\"]]}}", "a merge is no pair of tokens",
         DLM_ERR_PARSE},
    };

    check_case("what is no such tokenizer");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        struct dlm_str bytes = {0};
        enum dlm_status st;
        struct dlm_gguf *g = make_small(rows[i].text, "{}", &bytes, &st);
        CHECK_INT(st, rows[i].st);
        CHECK(!g && strstr(dlm_ctx_last_error(ctx), rows[i].error));
        dlm_str_finish(&bytes);
    }
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    json_t *golden = load_names(ctx);
    if (golden) {
        test_base(golden, "qwen2_vl_f32_old", &dlm_family_qwen2_vl, 357, true,
                  "chat_template.json");
        test_base(golden, "mistral3_f32_old", &dlm_family_mistral3, 383, false, NULL);
    }
    json_decref(golden);
    test_small();
    test_bad();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
