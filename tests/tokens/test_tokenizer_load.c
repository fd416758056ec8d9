/* Files that are damaged, hostile or of a kind that is not supported: each is refused with the
 * right status and a message that names the file and the place. And: every allocation fails
 * once. */
#include "tokens/golden.h"

static struct dlm_ctx *ctx;

static const char base[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,"
    "\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,"
    "\"rstrip\":false,\"normalized\":false,\"special\":true}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s\"},\"content\":\"_\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"_\"},"
    "\"behavior\":\"MergedWithNext\",\"invert\":false},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
    "\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
    "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[0],\"tokens\":[\"<s>\"]}}},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},"
    "{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\"_\",\"start\":1,\"stop\":1}]},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<s>\",\"fuse_unk\":true,"
    "\"byte_fallback\":true,\"vocab\":{\"<s>\":0,\"a\":1,\"b\":2,\"ab\":3,\"_\":4,\"_ab\":5},"
    "\"merges\":[\"a b\",\"_ ab\"]}}";

/* One change to `base`, and what is said about it. */
static const struct bad_row {
    const char *path, *value;
    enum dlm_status status;
    const char *says;
} bad_rows[] = {
    {"version", "\"2.0\"", DLM_ERR_UNSUPPORTED, "version"},
    {"model", NULL, DLM_ERR_PARSE, "model"},
    {"model", "[]", DLM_ERR_PARSE, "model"},
    {"model.type", "\"Unigram\"", DLM_ERR_UNSUPPORTED, "model: type 'Unigram'"},
    {"model.type", "7", DLM_ERR_PARSE, "'type'"},
    {"model.dropout", "0.1", DLM_ERR_UNSUPPORTED, "dropout"},
    {"model.fuse_unk", "\"yes\"", DLM_ERR_PARSE, "'fuse_unk'"},
    {"model.byte_fallback", "1", DLM_ERR_PARSE, "'byte_fallback'"},
    {"model.unk_token", "{}", DLM_ERR_PARSE, "'unk_token'"},
    {"model.end_of_word_suffix", "[]", DLM_ERR_PARSE, "'end_of_word_suffix'"},
    {"model.vocab", NULL, DLM_ERR_PARSE, "'vocab'"},
    {"model.vocab", "[\"a\"]", DLM_ERR_PARSE, "'vocab'"},
    {"model.vocab.a", "-1", DLM_ERR_PARSE, "the id of 'a'"},
    {"model.vocab.a", "4194304", DLM_ERR_PARSE, "the id of 'a'"},
    {"model.vocab.a", "99999999999999", DLM_ERR_PARSE, "the id of 'a'"},
    {"model.vocab.a", "1.5", DLM_ERR_PARSE, "the id of 'a'"},
    {"model.vocab.a", "2", DLM_ERR_PARSE, "same id"},
    {"model.merges", NULL, DLM_ERR_PARSE, "'merges'"},
    {"model.merges.0", "\"ab\"", DLM_ERR_PARSE, "merges[0]"},
    {"model.merges.0", "\"a b c\"", DLM_ERR_PARSE, "merges[0]"},
    {"model.merges.0", "[\"a\"]", DLM_ERR_PARSE, "merges[0]"},
    {"model.merges.0", "[\"a\",1]", DLM_ERR_PARSE, "merges[0]"},
    {"model.merges.1", "\"_ zz\"", DLM_ERR_PARSE, "merges[1]: 'zz'"},
    {"model.merges.1", "[\"b\",\"a\"]", DLM_ERR_PARSE, "merges[1] makes 'ba'"},
    {"model.continuing_subword_prefix", "\"####\"", DLM_ERR_PARSE, "shorter than the prefix"},
    {"normalizer", "{\"type\":\"Precompiled\"}", DLM_ERR_UNSUPPORTED,
     "normalizer: type 'Precompiled'"},
    {"normalizer", "[]", DLM_ERR_PARSE, "normalizer"},
    {"normalizer.normalizers", "{}", DLM_ERR_PARSE, "'normalizers'"},
    {"normalizer.normalizers.0", "{\"type\":\"Prepend\"}", DLM_ERR_PARSE, "'prepend'"},
    {"normalizer.normalizers.0", "{\"type\":\"Strip\",\"strip_left\":true}", DLM_ERR_PARSE,
     "'strip_right'"},
    {"normalizer.normalizers.1.pattern", "\"a\"", DLM_ERR_PARSE, "'pattern'"},
    {"normalizer.normalizers.1.pattern.Regex", "\"(\"", DLM_ERR_UNSUPPORTED, "pattern '('"},
    {"normalizer.normalizers.1.pattern.Regex", "\"\"", DLM_ERR_UNSUPPORTED, "pattern"},
    {"normalizer.normalizers.1.pattern.Regex", "\"[a&&b]\"", DLM_ERR_UNSUPPORTED, "'&&'"},
    {"normalizer.normalizers.1.pattern.Regex", "\"[[:alpha:]]\"", DLM_ERR_UNSUPPORTED, "class"},
    {"normalizer.normalizers.1.pattern.Regex", "\"[a\"", DLM_ERR_PARSE, "not closed"},
    {"normalizer.normalizers.1.pattern.Regex", "\"\\\\p{L\"", DLM_ERR_PARSE, "not closed"},
    {"normalizer.normalizers.1.pattern.Regex", "\"a{1,2}+\"", DLM_ERR_UNSUPPORTED, "'}+'"},
    {"normalizer.normalizers.1.pattern.Regex", "\"\\\\h\"", DLM_ERR_UNSUPPORTED, "escape"},
    {"normalizer.normalizers.1.pattern.Regex", "\"\\\\xE4\"", DLM_ERR_UNSUPPORTED, "raw byte"},
    {"normalizer.normalizers.1.pattern.Regex", "\"a(?i)b|c\"", DLM_ERR_UNSUPPORTED, "group"},
    {"normalizer.normalizers.1.pattern.Regex", "\"(*UTF)a\"", DLM_ERR_PARSE, "repeat"},
    {"normalizer.normalizers.1.pattern.Regex", "\"a\\\\\"", DLM_ERR_PARSE, "backslash"},
    {"pre_tokenizer.type", "\"Bert\"", DLM_ERR_UNSUPPORTED, "pre_tokenizer: type 'Bert'"},
    {"pre_tokenizer.behavior", "\"Kept\"", DLM_ERR_UNSUPPORTED, "behavior 'Kept'"},
    {"pre_tokenizer.invert", NULL, DLM_ERR_PARSE, "'invert'"},
    {"pre_tokenizer.pattern.String", "\"\"", DLM_ERR_UNSUPPORTED, "empty pattern"},
    {"pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", DLM_ERR_PARSE,
     "'replacement'"},
    {"pre_tokenizer",
     "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}",
     DLM_ERR_UNSUPPORTED, "prepend_scheme 'last'"},
    {"pre_tokenizer",
     "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}", DLM_ERR_PARSE,
     "contradicts"},
    {"post_processor.type", "\"BertProcessing\"", DLM_ERR_UNSUPPORTED,
     "post_processor: type 'BertProcessing'"},
    {"post_processor.single", "{}", DLM_ERR_PARSE, "'single'"},
    {"post_processor.single.1", "{\"Sequence\":{\"id\":\"B\"}}", DLM_ERR_PARSE, "'single'"},
    {"post_processor.special_tokens", "{}", DLM_ERR_PARSE, "special_tokens"},
    {"post_processor.special_tokens.<s>.ids", "[-3]", DLM_ERR_PARSE, "bad id"},
    {"decoder.type", "\"WordPiece\"", DLM_ERR_UNSUPPORTED, "decoder: type 'WordPiece'"},
    {"decoder.decoders.2.content", "\"__\"", DLM_ERR_PARSE, "'content'"},
    {"decoder.decoders.2.start", "-1", DLM_ERR_PARSE, "'start'"},
    {"decoder.decoders.2.stop", "1e3", DLM_ERR_PARSE, "'stop'"},
    {"added_tokens", "{}", DLM_ERR_PARSE, "added_tokens"},
    {"added_tokens.0", "7", DLM_ERR_PARSE, "added_tokens"},
    {"added_tokens.0.content", NULL, DLM_ERR_PARSE, "'content'"},
    {"added_tokens.0.special", NULL, DLM_ERR_PARSE, "'special'"},
    {"added_tokens.0.id", "-1", DLM_ERR_PARSE, "'id'"},
};

static void test_bad_rows(void)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(bad_rows); i++) {
        const struct bad_row *row = &bad_rows[i];
        struct dlm_tokenizer *tok = NULL;
        json_t *json = json_loads(base, 0, NULL);
        check_case(row->path);
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

/* The base of the rows must itself be good, or they prove nothing. */
static void test_base(void)
{
    static const int32_t want[] = {0, 3, 5, 0};
    struct dlm_tokenizer *tok = NULL;
    struct dlm_ids ids = {0};
    check_case("the base of the bad files is good");
    if (!CHECK(dlm_tokenizer_parse(ctx, &tok, "x.json", base, strlen(base)) == DLM_OK))
        return;
    CHECK(!dlm_tokenizer_encode(ctx, tok, "ab abz", 6, DLM_ENCODE_ADD_SPECIAL, &ids));
    CHECK(ids.len == 4 && !memcmp(ids.ids, want, sizeof(want)));
    dlm_ids_finish(&ids);
    dlm_tokenizer_destroy(&tok);
}

static void test_files(void)
{
    struct dlm_tokenizer *tok = NULL;
    check_case("files that are no tokenizer");
    CHECK(dlm_tokenizer_load(ctx, &tok, "/nonexistent/tokenizer.json") == DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "/nonexistent/tokenizer.json"));
    CHECK(dlm_tokenizer_parse(ctx, &tok, "x.json", "", 0) == DLM_ERR_PARSE);
    CHECK(dlm_tokenizer_parse(ctx, &tok, "x.json", "{", 1) == DLM_ERR_PARSE);
    CHECK(dlm_tokenizer_parse(ctx, &tok, "x.json", "[]", 2) == DLM_ERR_PARSE);
    CHECK(dlm_tokenizer_parse(ctx, &tok, "x.json", base, strlen(base) / 2) == DLM_ERR_PARSE);
    CHECK(!tok);
}

/* Sequences in sequences, and steps that double the text each time. */
static void test_hostile(void)
{
    struct dlm_tokenizer *tok = NULL;
    struct dlm_ids ids = {0};
    struct dlm_str text = {0};
    json_t *json = json_loads(base, 0, NULL);
    json_t *nested = json_pack("{s:s}", "type", "NFC"), *steps = json_array();
    check_case("a sequence nested too deep");
    for (int i = 0; i < 100; i++)
        nested = json_pack("{s:s, s:[o]}", "type", "Sequence", "normalizers", nested);
    json_object_set_new(json, "normalizer", nested);
    CHECK(load_json(ctx, &tok, json) == DLM_ERR_UNSUPPORTED);

    check_case("steps that double the text");
    for (int i = 0; i < 30; i++)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern",
                                               "String", "a", "content", "aaaaaaaaaaaaaaaaaaaa"));
    json_object_set_new(json, "normalizer",
                        json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps));
    if (CHECK(load_json(ctx, &tok, json) == DLM_OK)) {
        for (int i = 0; i < 10; i++)
            CHECK(!dlm_str_appendz(ctx, &text, "aaaaaaaaaaaaaaaaaaaa"));
        CHECK(dlm_tokenizer_encode(ctx, tok, text.data, text.len, 0, &ids) == DLM_ERR_INVALID);
        CHECK_INT(ids.len, 0);
    }
    dlm_tokenizer_destroy(&tok);

    check_case("a pattern that never ends");
    json_object_set_new(json, "normalizer",
                        json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "Regex",
                                  "(a|aa)+$", "content", ""));
    if (CHECK(load_json(ctx, &tok, json) == DLM_OK)) {
        CHECK(!dlm_str_appendz(ctx, &text, "b"));
        CHECK(dlm_tokenizer_encode(ctx, tok, text.data, text.len, 0, &ids) == DLM_ERR_INVALID);
        CHECK(strstr(dlm_ctx_last_error(ctx), "gives up"));
    }
    dlm_tokenizer_destroy(&tok);
    dlm_str_finish(&text);
    dlm_ids_finish(&ids);
    json_decref(json);
}

/* A warning, not an error: the library hands out ids itself. */
static char last_warning[256];

static void keep_warning(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level == DLM_LOG_WARNING)
        snprintf(last_warning, sizeof(last_warning), "%s", text);
}

static void test_wrong_added_id(void)
{
    struct dlm_ctx_params params = {.log = keep_warning};
    struct dlm_ctx *loud = dlm_ctx_create(&params);
    struct dlm_tokenizer *tok = NULL;
    json_t *json = json_loads(base, 0, NULL);
    check_case("an added token with another id than the library gives");
    set_path(json, "added_tokens.0.content", "\"<new>\"");
    set_path(json, "added_tokens.0.id", "40");
    if (CHECK(loud) && CHECK(load_json(loud, &tok, json) == DLM_OK)) {
        CHECK_INT(dlm_tokenizer_id(tok, "<new>"), 6);
        CHECK(strstr(last_warning, "'<new>' says id 40 but gets 6"));
    }
    dlm_tokenizer_destroy(&tok);
    dlm_ctx_destroy(&loud);
    json_decref(json);
}

static long allocations_left;

static bool count_down(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return allocations_left-- != 0;
}

static enum dlm_status use_all(struct dlm_ctx *strict)
{
    static const char text[] = "ab e\xCC\x81\xCC\xA7 <s> ab";
    struct dlm_tokenizer *tok = NULL;
    struct dlm_ids ids = {0};
    struct dlm_str out = {0};
    enum dlm_status st = dlm_tokenizer_parse(strict, &tok, "x.json", base, strlen(base));
    if (!st)
        st = dlm_tokenizer_add(strict, tok, "<new>", false, NULL);
    if (!st)
        st = dlm_tokenizer_encode(strict, tok, text, strlen(text), 0, &ids);
    if (!st)
        st = dlm_tokenizer_decode(strict, tok, ids.ids, ids.len, false, &out);
    dlm_str_finish(&out);
    dlm_ids_finish(&ids);
    dlm_tokenizer_destroy(&tok);
    return st;
}

static void test_no_memory(void)
{
    struct dlm_ctx_params params = {.alloc_hook = count_down};
    allocations_left = -1;
    struct dlm_ctx *strict = dlm_ctx_create(&params);
    enum dlm_status st = DLM_ERR_MEMORY;
    long n = 0;
    check_case("every allocation fails once");
    if (!CHECK(strict))
        return;
    for (; st == DLM_ERR_MEMORY && n < 10000; n++) {
        allocations_left = n;
        st = use_all(strict);
    }
    CHECK_INT(st, DLM_OK);
    CHECK(n > 20);
    allocations_left = -1;
    dlm_ctx_destroy(&strict);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    if (!ctx)
        return 1;
    test_base();
    test_bad_rows();
    test_files();
    test_hostile();
    test_wrong_added_id();
    test_no_memory();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
