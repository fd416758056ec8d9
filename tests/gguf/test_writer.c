/* Writing GGUF: the bytes of gguf's Python package, data in pieces, and what is refused. */
#include "gguf/writer.h"

#include "base/file.h"
#include "base/mem.h"
#include "gguf/blocks.h"
#include "tests/countdown.h"
#include "tests/weights/helpers.h"
#include "weights/outfile.h"

static struct dlm_ctx *ctx;
static struct countdown countdown = {.left = 1000000};

static const char *gguf_golden(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/golden/gguf/%s", check_data_dir(), name);
    return path;
}

static enum dlm_status write_file(struct dlm_ctx *c, void *user, const void *data, size_t bytes)
{
    return dlm_outfile_write(c, user, data, bytes);
}

/* For what is refused before a byte matters. */
static enum dlm_status write_nowhere(struct dlm_ctx *c, void *user, const void *data, size_t bytes)
{
    (void)c;
    (void)data;
    *(size_t *)user += bytes;
    return DLM_OK;
}

/* Puts a value of an open file again. */
static enum dlm_status put_again(struct dlm_gguf_writer *w, const struct dlm_gguf *g,
                                 const struct dlm_gguf_value *v)
{
    struct dlm_gguf_text *texts = NULL;
    int64_t n = 0;
    double x;

    if (v->kind == DLM_GGUF_KIND_ARRAY && v->element == DLM_GGUF_KIND_STRING) {
        enum dlm_status st = dlm_gguf_value_strings(ctx, v, &texts);
        if (!st)
            st = dlm_gguf_put_strings(ctx, w, v->key, texts, v->len);
        dlm_free(texts);
        return st;
    }
    if (v->kind == DLM_GGUF_KIND_ARRAY)
        return dlm_gguf_put_array(ctx, w, v->key, v->element, v->data, v->len);
    if (v->kind == DLM_GGUF_KIND_BOOL)
        return dlm_gguf_put_bool(ctx, w, v->key, v->data[0]);
    if (dlm_gguf_value_number(v, 0, &x))
        return dlm_gguf_put_number(ctx, w, v->key, v->kind, x);
    if (v->kind == DLM_GGUF_KIND_STRING) {
        struct dlm_gguf_text text;
        char copy[64] = {0};
        CHECK(!dlm_gguf_get_string(ctx, g, v->key, &text) && text.len < sizeof(copy));
        memcpy(copy, text.data, text.len);
        return dlm_gguf_put_string(ctx, w, v->key, copy);
    }
    CHECK(dlm_gguf_value_int(v, 0, &n));
    return dlm_gguf_put_int(ctx, w, v->key, v->kind, n);
}

/* A file of gguf's package, made again from what the reader finds in it, in pieces of `piece`
 * bytes. */
static enum dlm_status write_again(const struct dlm_gguf *g, const char *path, size_t piece)
{
    struct dlm_outfile file = {0};
    struct dlm_gguf_writer *w = NULL;
    enum dlm_status st = dlm_gguf_writer_create(ctx, &w, path);

    for (size_t i = 0; !st && i < dlm_gguf_num_values(g); i++)
        st = put_again(w, g, dlm_gguf_value(g, i));
    for (size_t i = 0; !st && i < dlm_gguf_num_tensors(g); i++) {
        const struct dlm_gguf_tensor *t = dlm_gguf_tensor(g, i);
        st = dlm_gguf_put_tensor(ctx, w, t->name, t->type, t->ndim, t->ne);
    }
    const uint64_t bytes = st ? 0 : dlm_gguf_writer_bytes(w);
    if (!st)
        st = dlm_outfile_open(ctx, &file, path);
    if (!st)
        st = dlm_gguf_writer_begin(ctx, w, write_file, &file);
    for (size_t i = 0; !st && i < dlm_gguf_num_tensors(g); i++) {
        const struct dlm_gguf_tensor *t = dlm_gguf_tensor(g, i);
        for (size_t at = 0; !st && at < t->bytes; at += piece)
            st = dlm_gguf_writer_data(ctx, w, t->data + at, DLM_MIN(piece, t->bytes - at));
    }
    if (!st)
        st = dlm_gguf_writer_end(ctx, w);
    if (!st)
        st = dlm_outfile_commit(ctx, &file);
    dlm_outfile_finish(&file);
    dlm_gguf_writer_destroy(&w);
    if (!st) {
        size_t written = 0;
        free(get_file(path, &written));
        CHECK_INT(written, bytes);
    }
    return st;
}

static void test_same(void)
{
    struct dlm_gguf *g = NULL;

    check_case("the bytes of gguf's Python package");
    if (!CHECK(!dlm_gguf_open(ctx, &g, gguf_golden("plain.gguf"))))
        return;
    for (size_t piece = 1; piece <= 1000; piece = piece * 3 + 1) {
        CHECK(!write_again(g, tmp_path("again.gguf"), piece));
        CHECK(same_files(tmp_path("again.gguf"), gguf_golden("plain.gguf")));
        unlink(tmp_path("again.gguf"));
    }
    dlm_gguf_destroy(&g);
}

static void test_rows(void)
{
    enum { ROW = 256, ROWS = 5 };
    static const enum dlm_ggml_type types[] = {DLM_GGML_TYPE_F32, DLM_GGML_TYPE_BF16,
                                               DLM_GGML_TYPE_Q8_0, DLM_GGML_TYPE_Q4_K};
    static const int64_t ne[] = {ROW, ROWS};
    struct dlm_gguf_writer *w = NULL;
    struct dlm_gguf *g = NULL;
    struct dlm_outfile file = {0};
    float x[ROW * ROWS];
    uint8_t want[sizeof(x)];

    check_case("rows, a few at a time");
    for (int i = 0; i < ROW * ROWS; i++)
        x[i] = sinf((float)i) * 0.1f;
    CHECK(!dlm_gguf_writer_create(ctx, &w, tmp_path("rows.gguf")));
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++)
        CHECK(!dlm_gguf_put_tensor(ctx, w, dlm_ggml_type_name(types[i]), types[i], 2, ne));
    CHECK(!dlm_outfile_open(ctx, &file, tmp_path("rows.gguf")));
    CHECK(!dlm_gguf_writer_begin(ctx, w, write_file, &file));
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++)
        for (int64_t at = 0, num = 1; at < ROWS; at += num, num = DLM_MIN(num + 1, ROWS - at))
            CHECK(!dlm_gguf_writer_rows(ctx, w, x + at * ROW, num));
    CHECK(!dlm_gguf_writer_end(ctx, w));
    CHECK(!dlm_outfile_commit(ctx, &file));
    dlm_outfile_finish(&file);
    dlm_gguf_writer_destroy(&w);
    if (!CHECK(!dlm_gguf_open(ctx, &g, tmp_path("rows.gguf"))))
        return;
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++) {
        const struct dlm_gguf_tensor *t = dlm_gguf_find_tensor(g, dlm_ggml_type_name(types[i]));
        CHECK(t && t->ne[0] == ROW && t->ne[1] == ROWS && t->type == types[i]);
        CHECK(dlm_ggml_quantize(types[i], x, ROW * ROWS, want));
        CHECK(t && !memcmp(t->data, want, t->bytes));
    }
    dlm_gguf_destroy(&g);
}

static void expect_error(enum dlm_status st, const char *text)
{
    CHECK_INT(st, DLM_ERR_INVALID);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), text)))
        printf("     got \"%s\", want \"%s\"\n", dlm_ctx_last_error(ctx), text);
}

static void test_bad_values(void)
{
    struct dlm_gguf_writer *w = NULL;
    static const struct {
        enum dlm_gguf_kind kind;
        int64_t low, high;
    } ranges[] = {
        {DLM_GGUF_KIND_U8, 0, 255},          {DLM_GGUF_KIND_I8, -128, 127},
        {DLM_GGUF_KIND_U16, 0, 65535},       {DLM_GGUF_KIND_I16, -32768, 32767},
        {DLM_GGUF_KIND_U32, 0, UINT32_MAX},  {DLM_GGUF_KIND_I32, INT32_MIN, INT32_MAX},
        {DLM_GGUF_KIND_U64, 0, INT64_MAX},   {DLM_GGUF_KIND_I64, INT64_MIN, INT64_MAX},
    };
    char key[16];
    size_t bytes = 0;

    check_case("values that a kind cannot hold");
    CHECK(!dlm_gguf_writer_create(ctx, &w, tmp_path("bad.gguf")));
    for (size_t i = 0; i < DLM_ARRAY_LEN(ranges); i++) {
        const enum dlm_gguf_kind kind = ranges[i].kind;
        snprintf(key, sizeof(key), "low.%zu", i);
        CHECK(!dlm_gguf_put_int(ctx, w, key, kind, ranges[i].low));
        snprintf(key, sizeof(key), "high.%zu", i);
        CHECK(!dlm_gguf_put_int(ctx, w, key, kind, ranges[i].high));
        if (ranges[i].low != INT64_MIN)
            expect_error(dlm_gguf_put_int(ctx, w, "k", kind, ranges[i].low - 1), "key 'k': -");
        if (ranges[i].high != INT64_MAX)
            expect_error(dlm_gguf_put_int(ctx, w, "k", kind, ranges[i].high + 1), "is no ");
    }
    expect_error(dlm_gguf_put_int(ctx, w, "k", DLM_GGUF_KIND_BOOL, 1), "key 'k': 1 is no bool");
    expect_error(dlm_gguf_put_int(ctx, w, "", DLM_GGUF_KIND_U8, 1), "key '' is no name of a key");
    expect_error(dlm_gguf_put_number(ctx, w, "k", DLM_GGUF_KIND_I8, 1),
                 "key 'k' is of a kind without fractions");
    expect_error(dlm_gguf_put_array(ctx, w, "k", DLM_GGUF_KIND_STRING, "", 0),
                 "key 'k' is no array of numbers");
    CHECK(!dlm_gguf_put_bool(ctx, w, "low.0", true));
    expect_error(dlm_gguf_writer_begin(ctx, w, write_nowhere, &bytes),
                 "bad.gguf': key 'low.0' is there twice");
    CHECK_INT(bytes, 0);
    dlm_gguf_writer_destroy(&w);
}

static void test_bad_tensors(void)
{
    static const int64_t four[] = {4, 2}, none[] = {4, 0}, huge[] = {INT64_MAX, INT64_MAX};
    static const int64_t rows[] = {32, INT64_MAX, 2};
    static const char long_name[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    const enum dlm_ggml_type f32 = DLM_GGML_TYPE_F32;
    struct dlm_gguf_writer *w = NULL;
    float x[12] = {0};
    size_t bytes = 0;

    check_case("tensors that do not fit");
    CHECK(!dlm_gguf_writer_create(ctx, &w, tmp_path("bad.gguf")));
    expect_error(dlm_gguf_put_tensor(ctx, w, "", f32, 2, four), "tensor '' has a bad name");
    expect_error(dlm_gguf_put_tensor(ctx, w, long_name, f32, 2, four), "has a bad name");
    expect_error(dlm_gguf_put_tensor(ctx, w, "t", f32, 0, four), "tensor 't' has a bad shape");
    expect_error(dlm_gguf_put_tensor(ctx, w, "t", f32, 5, four), "has a bad shape");
    expect_error(dlm_gguf_put_tensor(ctx, w, "t", f32, 2, none), "has a bad shape");
    expect_error(dlm_gguf_put_tensor(ctx, w, "t", f32, 3, rows), "has a bad shape");
    expect_error(dlm_gguf_put_tensor(ctx, w, "t", f32, 2, huge), "no whole blocks of its type");
    expect_error(dlm_gguf_put_tensor(ctx, w, "t", DLM_GGML_TYPE_Q8_0, 2, four),
                 "tensor 't' has rows that are no whole blocks of its type");
    CHECK(!dlm_gguf_put_tensor(ctx, w, long_name + 1, f32, 2, four));
    CHECK(!dlm_gguf_put_tensor(ctx, w, "u", DLM_GGML_TYPE_I32, 1, four));
    CHECK(!dlm_gguf_writer_begin(ctx, w, write_nowhere, &bytes));
    expect_error(dlm_gguf_writer_data(ctx, w, x, 33), "gets more bytes than it has");
    expect_error(dlm_gguf_writer_rows(ctx, w, x, 3), "gets more bytes than it has");
    CHECK(!dlm_gguf_writer_rows(ctx, w, x, 1));
    expect_error(dlm_gguf_writer_rows(ctx, w, x, 2), "gets more bytes than it has");
    x[3] = INFINITY;
    expect_error(dlm_gguf_writer_rows(ctx, w, x, 1), "it holds numbers that are not finite");
    expect_error(dlm_gguf_writer_end(ctx, w), "is not whole");
    CHECK(!dlm_gguf_writer_data(ctx, w, x, 16));
    expect_error(dlm_gguf_writer_rows(ctx, w, x, 1),
                 "tensor 'u' has a type that nothing is converted to");
    expect_error(dlm_gguf_writer_end(ctx, w), "tensor 'u' is not whole");
    CHECK(!dlm_gguf_writer_data(ctx, w, x, 16));
    expect_error(dlm_gguf_writer_data(ctx, w, x, 1), "all its tensors are whole");
    expect_error(dlm_gguf_writer_rows(ctx, w, x, 1), "all its tensors are whole");
    CHECK(!dlm_gguf_writer_end(ctx, w));
    CHECK_INT(bytes, dlm_gguf_writer_bytes(w));
    dlm_gguf_writer_destroy(&w);
    CHECK(!dlm_gguf_writer_create(ctx, &w, tmp_path("bad.gguf")));
    CHECK(!dlm_gguf_put_tensor(ctx, w, "t", f32, 2, four));
    CHECK(!dlm_gguf_put_tensor(ctx, w, "t", f32, 1, four));
    expect_error(dlm_gguf_writer_begin(ctx, w, write_nowhere, &bytes),
                 "tensor 't' is there twice");
    dlm_gguf_writer_destroy(&w);
}

static void test_memory(void)
{
    struct dlm_gguf *g = NULL;
    enum dlm_status st = DLM_ERR_MEMORY;
    char **names = NULL;

    check_case("each allocation fails once");
    CHECK(!dlm_gguf_open(ctx, &g, gguf_golden("plain.gguf")));
    for (long n = 0; g && st && n < 1000; n++) {
        countdown.left = n;
        st = write_again(g, tmp_path("memory.gguf"), 1 << 20);
        CHECK(st == DLM_OK || st == DLM_ERR_MEMORY);
        CHECK(!st == dlm_path_is_file(tmp_path("memory.gguf")));
    }
    CHECK_INT(st, DLM_OK);
    countdown.left = 1000000;
    dlm_gguf_destroy(&g);
    size_t num = 0;
    CHECK(!dlm_dir_list(ctx, tmp_root, &names));
    for (; names && names[num]; num++)
        CHECK(!strstr(names[num], ".tmp."));
    CHECK_INT(num, 2); /* memory.gguf, rows.gguf */
    dlm_names_free(names);
}

int main(void)
{
    const struct dlm_ctx_params params = {
        .num_threads = 2, .alloc_hook = allow, .alloc_user = &countdown};

    ctx = dlm_ctx_create(&params);
    tmp_make();
    test_same();
    test_rows();
    test_bad_values();
    test_bad_tensors();
    test_memory();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
