/* Ids and texts against goldens of the `tokenizers` library: encoding in both modes, decoding of
 * whole sequences with and without special tokens, and the same text from the stream. */
#include "base/sha256.h"
#include "tokens/golden.h"

static struct dlm_ctx *ctx;

static bool ids_equal(const struct dlm_ids *got, const json_t *want)
{
    if (got->len != json_array_size(want))
        return false;
    for (size_t i = 0; i < got->len; i++) {
        if (got->ids[i] != json_integer_value(json_array_get(want, i)))
            return false;
    }
    return true;
}

static void print_ids(const char *label, const struct dlm_ids *got)
{
    printf("     %s", label);
    for (size_t i = 0; i < got->len; i++)
        printf(" %d", (int)got->ids[i]);
    printf("\n");
}

/* One failing case prints what it is about; a few are enough. */
static bool report(const char *what, size_t number, const json_t *line)
{
    static int reports;
    if (reports++ < 10) {
        char *text = json_dumps(line, JSON_COMPACT);
        printf("     %s differs in case %zu: %s\n", what, number, text ? text : "?");
        free(text);
    }
    return false;
}

static bool encodes_to(const struct dlm_tokenizer *tok, const json_t *text, unsigned flags,
                       const json_t *before, const json_t *want, const json_t *after)
{
    struct dlm_ids got = {0};
    enum dlm_status st = dlm_tokenizer_encode(ctx, tok, json_string_value(text),
                                              json_string_length(text), flags, &got);
    json_t *all = json_array();
    json_array_extend(all, (json_t *)before);
    json_array_extend(all, (json_t *)want);
    json_array_extend(all, (json_t *)after);
    bool ok = !st && ids_equal(&got, all);
    if (!ok)
        print_ids("got", &got);
    json_decref(all);
    dlm_ids_finish(&got);
    return ok;
}

/* Whole and streamed; each streamed part must be valid UTF-8 by itself. */
static bool decodes_to(const struct dlm_tokenizer *tok, const json_t *ids, bool skip,
                       const char *want, size_t want_len)
{
    struct dlm_ids list = {0};
    struct dlm_str whole = {0}, streamed = {0};
    struct dlm_token_stream stream = {0};
    bool ok = true;
    for (size_t i = 0; i < json_array_size(ids); i++)
        ok = !dlm_ids_append(ctx, &list, (int32_t)json_integer_value(json_array_get(ids, i))) && ok;
    ok = !dlm_tokenizer_decode(ctx, tok, list.ids, list.len, skip, &whole) && ok;
    ok = !dlm_token_stream_init(ctx, &stream, tok, skip) && ok;
    for (size_t i = 0; ok && i < list.len; i++) {
        size_t before = streamed.len;
        ok = !dlm_token_stream_push(ctx, &stream, list.ids[i], &streamed) && ok;
        ok = dlm_utf8_is_valid(dlm_str_text(&streamed) + before, streamed.len - before, NULL) && ok;
    }
    ok = ok && !dlm_token_stream_flush(ctx, &stream, &streamed);
    ok = ok && whole.len == want_len && !memcmp(dlm_str_text(&whole), want, want_len);
    ok = ok && streamed.len == want_len && !memcmp(dlm_str_text(&streamed), want, want_len);
    if (!ok)
        printf("     got '%s' and '%s'\n", dlm_str_text(&whole), dlm_str_text(&streamed));
    dlm_token_stream_finish(&stream);
    dlm_str_finish(&whole);
    dlm_str_finish(&streamed);
    dlm_ids_finish(&list);
    return ok;
}

static const json_t *or_else(const json_t *value, const json_t *other)
{
    return json_is_null(value) ? other : value;
}

static bool run_golden_case(const struct dlm_tokenizer *tok, const json_t *header,
                            const json_t *line, size_t number)
{
    const json_t *text = json_array_get(line, 0), *ids = json_array_get(line, 1);
    const json_t *as_text = or_else(json_array_get(line, 2), ids);
    const json_t *decoded = or_else(json_array_get(line, 3), text);
    const json_t *skipped = or_else(json_array_get(line, 4), decoded);
    const json_t *before = json_object_get(header, "before");
    const json_t *after = json_object_get(header, "after");
    bool ok = true;
    if (json_is_string(text)) {
        if (!encodes_to(tok, text, 0, NULL, ids, NULL))
            ok = report("encoding", number, line);
        if (!encodes_to(tok, text, DLM_ENCODE_SPECIAL_AS_TEXT, NULL, as_text, NULL))
            ok = report("encoding of special tokens as text", number, line);
        if (!encodes_to(tok, text, DLM_ENCODE_ADD_SPECIAL, before, ids, after))
            ok = report("encoding with added special tokens", number, line);
    }
    if (!decodes_to(tok, ids, false, json_string_value(decoded), json_string_length(decoded)))
        ok = report("decoding", number, line);
    if (!decodes_to(tok, ids, true, json_string_value(skipped), json_string_length(skipped)))
        ok = report("decoding without special tokens", number, line);
    return ok;
}

/* The tokenizer of a section: embedded, or the file at `path`, which must be the one it was made
 * from. */
static struct dlm_tokenizer *open_section(const json_t *header, const char *path)
{
    struct dlm_tokenizer *tok = NULL;
    const json_t *embedded = json_object_get(header, "tokenizer"), *pair = NULL;
    size_t i = 0;
    if (json_is_object(embedded)) {
        CHECK(load_json(ctx, &tok, embedded) == DLM_OK);
    } else {
        struct dlm_str text = {0};
        char hex[65] = "";
        if (CHECK(dlm_file_read(ctx, path, 64 << 20, &text) == DLM_OK))
            dlm_sha256_of(dlm_str_text(&text), text.len, hex);
        dlm_str_finish(&text);
        if (!CHECK_STR(hex, json_string_value(json_object_get(header, "sha256"))))
            printf("     the tokenizer has changed: run tools/dev/make_tokens_goldens.py "
                   "--bundled %s\n", path);
        else
            CHECK(dlm_tokenizer_load(ctx, &tok, path) == DLM_OK);
    }
    json_array_foreach(json_object_get(header, "add"), i, pair)
    {
        int32_t id = -1;
        const char *content = json_string_value(json_array_get(pair, 0));
        if (tok && CHECK(!dlm_tokenizer_add(ctx, tok, content,
                                            json_is_true(json_array_get(pair, 1)), &id)))
            CHECK_INT(dlm_tokenizer_id(tok, content), id);
    }
    return tok;
}

/* All sections of a golden; returns the number of cases. */
static size_t run_golden(const char *name, const char *tokenizer_path)
{
    char path[4096], title[160] = "";
    size_t len = 0, number = 0, failed = 0, total = 0;
    struct dlm_tokenizer *tok = NULL;
    json_t *header = NULL, *line = NULL;
    snprintf(path, sizeof(path), "%s/golden/tokens/%s.jsonl.zst", check_data_dir(), name);
    char *data = golden_read(path, &len);
    check_case(name);
    if (!CHECK(data))
        return 0;
    const char *at = data, *end = data + len;
    while ((line = golden_line(&at, end))) {
        if (json_is_array(line)) {
            failed += tok && !run_golden_case(tok, header, line, ++number);
            total++;
            json_decref(line);
            continue;
        }
        CHECK_INT(failed, 0);
        dlm_tokenizer_destroy(&tok);
        json_decref(header);
        header = line;
        snprintf(title, sizeof(title), "golden %s",
                 json_string_value(json_object_get(header, "name")));
        check_case(title);
        tok = open_section(header, tokenizer_path);
        number = failed = 0;
    }
    CHECK_INT(failed, 0);
    CHECK(at == end);
    check_case("every case of the golden was run");
    CHECK(total > 0);
    dlm_tokenizer_destroy(&tok);
    json_decref(header);
    free(data);
    return total;
}

static void run_bundled(void)
{
    char tokenizer[4096], golden[4096];
    snprintf(tokenizer, sizeof(tokenizer), "%s/../share/tiny-shapes/tokenizer.json",
             check_data_dir());
    snprintf(golden, sizeof(golden), "%s/golden/tokens/bundled.jsonl.zst", check_data_dir());
    if (!dlm_path_is_file(tokenizer) && !dlm_path_is_file(golden)) {
        check_skip("golden bundled", "there is no bundled tokenizer");
        return;
    }
    CHECK_INT(run_golden("bundled", tokenizer), 10500);
}

/* The first tokenizer of a golden. */
static struct dlm_tokenizer *open_first(const char *name)
{
    char path[4096];
    size_t len = 0;
    snprintf(path, sizeof(path), "%s/golden/tokens/%s.jsonl.zst", check_data_dir(), name);
    char *data = golden_read(path, &len);
    const char *at = data;
    json_t *header = data ? golden_line(&at, data + len) : NULL;
    struct dlm_tokenizer *tok = header ? open_section(header, NULL) : NULL;
    json_decref(header);
    free(data);
    return tok;
}

static void test_lookup(void)
{
    struct dlm_tokenizer *tok = open_first("gemma-like");
    check_case("ids and contents");
    if (!CHECK(tok))
        return;
    int32_t len = dlm_tokenizer_vocab_len(tok);
    CHECK_INT(dlm_tokenizer_id(tok, "<pad>"), 0);
    CHECK_INT(dlm_tokenizer_id(tok, "no such token"), -1);
    CHECK_STR(dlm_tokenizer_content(tok, 2), "<bos>");
    CHECK(!dlm_tokenizer_content(tok, -1));
    CHECK(!dlm_tokenizer_content(tok, len));
    CHECK(dlm_tokenizer_is_special(tok, dlm_tokenizer_id(tok, "<image>")));
    CHECK(!dlm_tokenizer_is_special(tok, dlm_tokenizer_id(tok, "<loc0000>")));
    CHECK(!dlm_tokenizer_is_special(tok, -1));
    for (int32_t id = 0; id < len; id++)
        CHECK_INT(dlm_tokenizer_id(tok, dlm_tokenizer_content(tok, id)), id);
    int32_t id = -1;
    CHECK(!dlm_tokenizer_add(ctx, tok, "<new>", true, &id));
    CHECK_INT(id, len);
    CHECK_INT(dlm_tokenizer_vocab_len(tok), len + 1);
    CHECK(!dlm_tokenizer_add(ctx, tok, "<new>", true, &id));
    CHECK_INT(id, len);
    CHECK(dlm_tokenizer_add(ctx, tok, "", true, &id) == DLM_ERR_INVALID);
    CHECK(dlm_tokenizer_add(ctx, tok, "\xFF", true, &id) == DLM_ERR_INVALID);
    dlm_tokenizer_destroy(&tok);
    CHECK(!tok);
    dlm_tokenizer_destroy(NULL);
}

static void test_bad_text(void)
{
    struct dlm_tokenizer *tok = open_first("gemma-like");
    struct dlm_ids ids = {0};
    check_case("text that is not UTF-8");
    if (!CHECK(tok))
        return;
    CHECK(!dlm_tokenizer_encode(ctx, tok, "a", 1, 0, &ids));
    size_t before = ids.len;
    CHECK(dlm_tokenizer_encode(ctx, tok, "ab\xC3", 3, 0, &ids) == DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx), "byte 2"));
    CHECK_INT(ids.len, before);
    dlm_ids_finish(&ids);
    dlm_tokenizer_destroy(&tok);
}

/* A piece of a megabyte must not take quadratic time, and equals its halves where they meet at an
 * added token. */
static void test_long_text(void)
{
    struct dlm_tokenizer *tok = open_first("gemma-like");
    struct dlm_str text = {0}, twice = {0};
    struct dlm_ids whole = {0}, part = {0};
    bool ok = true;
    check_case("a long piece");
    if (!CHECK(tok))
        return;
    for (int i = 0; ok && i < 40000; i++)
        ok = !dlm_str_appendz(ctx, &text, "the cat  détecte 语言 ");
    ok = ok && !dlm_tokenizer_encode(ctx, tok, text.data, text.len, 0, &part);
    ok = ok && !dlm_str_append(ctx, &twice, text.data, text.len);
    ok = ok && !dlm_str_appendz(ctx, &twice, "<bos>");
    ok = ok && !dlm_str_append(ctx, &twice, text.data, text.len);
    ok = ok && !dlm_tokenizer_encode(ctx, tok, twice.data, twice.len, 0, &whole);
    CHECK(ok);
    if (CHECK_INT(whole.len, 2 * part.len + 1)) {
        CHECK(!memcmp(whole.ids, part.ids, part.len * sizeof(*part.ids)));
        CHECK(!memcmp(whole.ids + part.len + 1, part.ids, part.len * sizeof(*part.ids)));
    }
    dlm_str_finish(&text);
    dlm_str_finish(&twice);
    dlm_ids_finish(&whole);
    dlm_ids_finish(&part);
    dlm_tokenizer_destroy(&tok);
}

/* Text comes out with its token; only byte runs and unfinished characters wait. */
static void test_stream_is_prompt(const char *name, const char *text)
{
    struct dlm_tokenizer *tok = open_first(name);
    struct dlm_ids ids = {0};
    struct dlm_str out = {0};
    struct dlm_token_stream stream = {0};
    check_case("a stream gives text at once");
    if (!CHECK(tok))
        return;
    CHECK(!dlm_tokenizer_encode(ctx, tok, text, strlen(text), 0, &ids));
    CHECK(!dlm_token_stream_init(ctx, &stream, tok, true));
    for (size_t i = 0; i < ids.len; i++) {
        size_t before = out.len;
        CHECK(!dlm_token_stream_push(ctx, &stream, ids.ids[i], &out));
        CHECK(out.len > before);
    }
    CHECK(!dlm_token_stream_flush(ctx, &stream, &out));
    CHECK_STR(dlm_str_text(&out), text);
    check_case("a flushed stream is as new");
    out.len = 0;
    for (size_t i = 0; i < ids.len; i++)
        CHECK(!dlm_token_stream_push(ctx, &stream, ids.ids[i], &out));
    CHECK(!dlm_token_stream_flush(ctx, &stream, &out));
    CHECK_STR(dlm_str_text(&out), text);
    dlm_token_stream_finish(&stream);
    dlm_str_finish(&out);
    dlm_ids_finish(&ids);
    dlm_tokenizer_destroy(&tok);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    if (!ctx)
        return 1;
    run_golden("gemma-like", NULL);
    run_golden("qwen-like", NULL);
    run_golden("llama-like", NULL);
    run_golden("parts", NULL);
    run_golden("tekken", NULL);
    run_bundled();
    test_lookup();
    test_bad_text();
    test_long_text();
    test_stream_is_prompt("gemma-like", "detect the cat, What is 2024 in image?");
    test_stream_is_prompt("qwen-like", "detect the cat, What is 2024 in image?");
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
