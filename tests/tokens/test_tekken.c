/* A tekken.json beyond its goldens: damaged and unsupported ones, the special tokens of a file that
 * names none, which file of a folder is read, and every allocation failing once. */
#include "../weights/helpers.h"
#include "tokens/golden.h"

#define NUM_SPECIAL 22
#define FIRST_BYTE NUM_SPECIAL
#define NUM_LISTED (256 + 6)

static struct dlm_ctx *ctx;

/* The bytes, "ab" and "abc", and four tokens more than count. Owned. */
static json_t *make_file(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char *const merged[] = {"YWI=", "YWJj", "YWJjZA==", "YmI=", "YmJi",
                                          "YmJiYg=="};
    json_t *vocab = json_array();

    for (int i = 0; i < NUM_LISTED; i++) {
        const char byte[] = {digits[i >> 2 & 63], digits[(i & 3) << 4], '=', '=', '\0'};
        json_array_append_new(vocab, json_pack("{s:i, s:s, s:n}", "rank", i, "token_bytes",
                                               i < 256 ? byte : merged[i - 256], "token_str"));
    }
    return json_pack("{s:{s:s, s:i, s:i, s:i, s:s}, s:o}", "config", "pattern", "\\s+|\\S+",
                     "num_vocab_tokens", NUM_LISTED, "default_vocab_size", NUM_SPECIAL + 258,
                     "default_num_special_tokens", NUM_SPECIAL, "version", "v7", "vocab", vocab);
}

static const struct bad_row {
    const char *path, *value;
    enum dlm_status status;
    const char *says;
} bad_rows[] = {
    {"config.pattern", NULL, DLM_ERR_PARSE, "config: 'pattern' is missing"},
    {"config.pattern", "\"(\"", DLM_ERR_UNSUPPORTED, "pattern '('"},
    {"config.default_vocab_size", NULL, DLM_ERR_PARSE, "'default_vocab_size' is missing"},
    {"config.default_vocab_size", "277", DLM_ERR_PARSE, "'default_vocab_size'"},
    {"config.default_vocab_size", "285", DLM_ERR_PARSE, "263 tokens by rank, the file lists 262"},
    {"config.default_vocab_size", "5000000", DLM_ERR_PARSE, "'default_vocab_size'"},
    {"config.default_num_special_tokens", "-1", DLM_ERR_PARSE, "'default_num_special_tokens'"},
    {"config.default_num_special_tokens", "19", DLM_ERR_PARSE, "20 tokens, there is room for 19"},
    {"config.version", "\"v11\"", DLM_ERR_PARSE, "special_tokens: is missing, and version 'v11'"},
    {"config.version", NULL, DLM_ERR_PARSE, "special_tokens: is missing"},
    {"special_tokens", "{}", DLM_ERR_PARSE, "special_tokens: not a list"},
    {"special_tokens", "[{\"rank\":1,\"token_str\":\"<s>\"}]", DLM_ERR_PARSE, "'rank'"},
    {"special_tokens", "[{\"rank\":0}]", DLM_ERR_PARSE, "'token_str'"},
    {"special_tokens", "[{\"rank\":0,\"token_str\":\"\"}]", DLM_ERR_PARSE, "token 0 has 0 bytes"},
    {"special_tokens", "[{\"rank\":0,\"token_str\":\"\xC3\xA9\"}]", DLM_ERR_UNSUPPORTED, "ASCII"},
    {"special_tokens", "[{\"rank\":0,\"token_str\":\"<s>\"},{\"rank\":1,\"token_str\":\"<s>\"}]",
     DLM_ERR_PARSE, "'<s>' is there twice"},
    {"special_tokens", "[{\"rank\":0,\"token_str\":\"ab\"}]", DLM_ERR_PARSE, "rank 256 repeats"},
    {"vocab.3.rank", "4", DLM_ERR_PARSE, "vocab: 'rank'"},
    {"vocab.3", "7", DLM_ERR_PARSE, "vocab: 'rank'"},
    {"vocab.65.token_bytes", "\"Qg==\"", DLM_ERR_PARSE, "rank 65 is not the byte 65"},
    {"vocab.65.token_bytes", "\"QUE=\"", DLM_ERR_PARSE, "rank 65 is not the byte 65"},
    {"vocab.257.token_bytes", "\"YWI=\"", DLM_ERR_PARSE, "rank 257 repeats"},
    {"vocab.257.token_bytes", "\"YWI=Y\"", DLM_ERR_PARSE, "'YWI=Y' is not base64"},
    {"vocab.257.token_bytes", "\"\"", DLM_ERR_PARSE, "'' is not base64"},
    {"vocab.257.token_bytes", "\"====\"", DLM_ERR_PARSE, "'====' is not base64"},
    {"vocab.257.token_bytes", "\"Y*Jj\"", DLM_ERR_PARSE, "'Y*Jj' is not base64"},
    {"vocab.257.token_bytes", NULL, DLM_ERR_PARSE, "'token_bytes' is missing"},
};

static void test_bad_rows(void)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(bad_rows); i++) {
        const struct bad_row *row = &bad_rows[i];
        struct dlm_tokenizer *tok = NULL;
        json_t *json = make_file();
        check_case(row->says);
        set_path(json, row->path, row->value);
        if (!CHECK_INT(load_json(ctx, &tok, json), row->status) ||
            !CHECK(strstr(dlm_ctx_last_error(ctx), row->says)) ||
            !CHECK(strstr(dlm_ctx_last_error(ctx), "cannot read 'x.json'")))
            printf("     %s = %s: '%s'\n", row->path, row->value ? row->value : "(removed)",
                   dlm_ctx_last_error(ctx));
        CHECK(!tok);
        dlm_tokenizer_destroy(&tok);
        json_decref(json);
    }
}

/* The base of the rows is good, and has the special tokens of its version. */
static void test_special(void)
{
    static const int32_t want[] = {FIRST_BYTE + 257, 3, FIRST_BYTE + '[', 21};
    struct dlm_tokenizer *tok = NULL;
    struct dlm_ids ids = {0};
    json_t *json = make_file();

    check_case("special tokens by default, and fillers behind them");
    if (CHECK(!load_json(ctx, &tok, json))) {
        CHECK_INT(dlm_tokenizer_vocab_len(tok), NUM_SPECIAL + 258);
        CHECK_INT(dlm_tokenizer_id(tok, "</s>"), 2);
        CHECK_INT(dlm_tokenizer_id(tok, "[IMG]"), 10);
        CHECK_INT(dlm_tokenizer_id(tok, "[/SYSTEM_PROMPT]"), 18);
        CHECK_STR(dlm_tokenizer_content(tok, 20), "<SPECIAL_20>");
        CHECK(dlm_tokenizer_is_special(tok, 0) && !dlm_tokenizer_is_special(tok, NUM_SPECIAL));
        CHECK(!dlm_tokenizer_encode(ctx, tok, "abc[INST][<SPECIAL_21>", 22, 0, &ids));
        CHECK(ids.len == 4 && !memcmp(ids.ids, want, sizeof(want)));
        ids.len = 0;
        CHECK(!dlm_tokenizer_encode(ctx, tok, "[INST]", 6, DLM_ENCODE_SPECIAL_AS_TEXT, &ids));
        CHECK_INT(ids.len, 6);
    }
    dlm_ids_finish(&ids);
    dlm_tokenizer_destroy(&tok);
    json_decref(json);
}

static void test_folder(void)
{
    static const char other[] =
        "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}";
    struct dlm_tokenizer *tok = NULL;
    json_t *json = make_file();

    check_case("a folder's tekken.json, unless it has a tokenizer.json");
    CHECK_INT(dlm_tokenizer_load_folder(ctx, &tok, tmp_path(".")), DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "tokenizer.json"));
    CHECK(!json_dump_file(json, tmp_path("tekken.json"), 0));
    CHECK(!dlm_tokenizer_load_folder(ctx, &tok, tmp_path(".")));
    CHECK_INT(tok ? dlm_tokenizer_vocab_len(tok) : 0, NUM_SPECIAL + 258);
    dlm_tokenizer_destroy(&tok);
    CHECK(put_file(tmp_path("tokenizer.json"), other, sizeof(other) - 1));
    CHECK(!dlm_tokenizer_load_folder(ctx, &tok, tmp_path(".")));
    CHECK_INT(tok ? dlm_tokenizer_vocab_len(tok) : 0, 1);
    dlm_tokenizer_destroy(&tok);
    json_decref(json);
}

static long allocations_left;

static bool count_down(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return allocations_left-- != 0;
}

static void test_no_memory(void)
{
    struct dlm_ctx_params params = {.alloc_hook = count_down};
    allocations_left = -1;
    struct dlm_ctx *strict = dlm_ctx_create(&params);
    enum dlm_status st = DLM_ERR_MEMORY;
    json_t *json = make_file();
    long n = 0;

    check_case("every allocation fails once");
    for (; strict && st == DLM_ERR_MEMORY && n < 10000; n++) {
        struct dlm_tokenizer *tok = NULL;
        allocations_left = n;
        st = load_json(strict, &tok, json);
        CHECK(!st == (tok != NULL));
        dlm_tokenizer_destroy(&tok);
    }
    CHECK_INT(st, DLM_OK);
    CHECK(n > 20);
    allocations_left = -1;
    dlm_ctx_destroy(&strict);
    json_decref(json);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    if (!ctx)
        return 1;
    tmp_make();
    test_special();
    test_bad_rows();
    test_folder();
    test_no_memory();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
