/* Reading GGUF: a file of gguf's Python package, and every way in which one can lie. */
#include "gguf/reader.h"

#include <jansson.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "bytes.h"
#include "tests/countdown.h"

static struct dlm_ctx *ctx;
static struct countdown countdown = {.left = 1000000};

static const char *golden_path(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/golden/gguf/%s", check_data_dir(), name);
    return path;
}

static void check_element(const struct dlm_gguf_value *v, size_t i, const json_t *want)
{
    double number;
    int64_t n;
    struct dlm_gguf_text *texts = NULL;

    if (v->element == DLM_GGUF_KIND_STRING) {
        if (!CHECK(!dlm_gguf_value_strings(ctx, v, &texts)))
            return;
        CHECK_INT(texts[i].len, json_string_length(want));
        CHECK(!memcmp(texts[i].data, json_string_value(want), texts[i].len));
        CHECK(!dlm_gguf_value_int(v, i, &n) && !dlm_gguf_value_number(v, i, &number));
        dlm_free(texts);
    } else if (v->element == DLM_GGUF_KIND_BOOL) {
        CHECK_INT(v->data[i], json_is_true(want));
        CHECK(!dlm_gguf_value_int(v, i, &n) && !dlm_gguf_value_number(v, i, &number));
    } else if (json_is_real(want)) {
        CHECK(dlm_gguf_value_number(v, i, &number) && number == json_real_value(want));
        CHECK(!dlm_gguf_value_int(v, i, &n));
    } else {
        CHECK(dlm_gguf_value_int(v, i, &n));
        CHECK_INT(n, json_integer_value(want));
        CHECK(!dlm_gguf_value_number(v, i, &number));
    }
}

static void check_values(const struct dlm_gguf *g, json_t *values)
{
    const char *key;
    json_t *entry;

    CHECK_INT(dlm_gguf_num_values(g), json_object_size(values) + 1);
    CHECK_STR(dlm_gguf_value(g, 0)->key, "general.architecture");
    json_object_foreach(values, key, entry) {
        const struct dlm_gguf_value *v = dlm_gguf_find_value(g, key);
        const json_t *want = json_array_get(entry, 1);
        if (!CHECK(v))
            continue;
        CHECK_STR(v->key, key);
        CHECK_STR(dlm_gguf_kind_name(v->element), json_string_value(json_array_get(entry, 0)));
        CHECK((v->kind == DLM_GGUF_KIND_ARRAY) == json_is_array(want));
        if (!json_is_array(want))
            check_element(v, 0, want);
        else if (CHECK(v->len == json_array_size(want)))
            for (size_t i = 0; i < v->len; i++)
                check_element(v, i, json_array_get(want, i));
    }
}

static void check_tensors(const struct dlm_gguf *g, json_t *tensors)
{
    const char *name;
    char sha[65];
    json_t *entry;
    size_t n = 0;

    CHECK_INT(dlm_gguf_num_tensors(g), json_object_size(tensors));
    json_object_foreach(tensors, name, entry) {
        const struct dlm_gguf_tensor *t = dlm_gguf_find_tensor(g, name);
        const json_t *ne = json_object_get(entry, "ne");
        if (!CHECK(t && t == dlm_gguf_tensor(g, n++)))
            continue;
        CHECK_STR(t->name, name);
        CHECK_STR(dlm_ggml_type_name(t->type), json_string_value(json_object_get(entry, "type")));
        CHECK_INT(t->ndim, json_array_size(ne));
        for (int i = 0; i < DLM_GGUF_MAX_DIMS; i++)
            CHECK_INT(t->ne[i],
                      i < t->ndim ? json_integer_value(json_array_get(ne, (size_t)i)) : 1);
        dlm_sha256_of(t->data, t->bytes, sha);
        CHECK_STR(sha, json_string_value(json_object_get(entry, "sha256")));
        dlm_gguf_drop(g, t);
    }
}

static void test_plain(void)
{
    struct dlm_gguf *g = NULL;
    json_t *want = NULL;

    check_case("every kind of value, and tensors");
    CHECK(!dlm_json_load(ctx, golden_path("plain.json"), 1 << 20, &want));
    if (CHECK(!dlm_gguf_open(ctx, &g, golden_path("plain.gguf")))) {
        CHECK_STR(dlm_gguf_path(g), golden_path("plain.gguf"));
        check_values(g, json_object_get(want, "values"));
        check_tensors(g, json_object_get(want, "tensors"));
        CHECK(!dlm_gguf_find_value(g, "test.u") && !dlm_gguf_find_value(g, "test.u8x"));
        CHECK(!dlm_gguf_find_tensor(g, "f3") && !dlm_gguf_find_tensor(g, "one.weight "));
    }
    dlm_gguf_destroy(&g);
    CHECK(!g);
    json_decref(want);
}

static void test_version_2(void)
{
    struct dlm_gguf *g = NULL;
    struct dlm_str file = {0};

    check_case("version 2");
    CHECK(!dlm_file_read(ctx, golden_path("plain.gguf"), 1 << 20, &file));
    file.data[4] = 2;
    CHECK(!dlm_gguf_open_memory(ctx, &g, "v2", file.data, file.len));
    dlm_gguf_destroy(&g);
    dlm_str_finish(&file);
}

static void expect_error(enum dlm_status st, enum dlm_status want, const char *text)
{
    CHECK_INT(st, want);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), text)))
        printf("     got \"%s\", want \"%s\"\n", dlm_ctx_last_error(ctx), text);
}

static void test_getters(void)
{
    struct dlm_gguf *g = NULL;
    struct dlm_gguf_text text = {0};
    const struct dlm_gguf_value *v = NULL;
    int64_t n = 0;
    double x = 0;
    bool flag = false;

    check_case("values by key");
    if (!CHECK(!dlm_gguf_open(ctx, &g, golden_path("plain.gguf"))))
        return;
    CHECK(!dlm_gguf_get_int(ctx, g, "test.i16", -40000, 0, &n) && n == -30000);
    CHECK(!dlm_gguf_get_int(ctx, g, "test.u8", 200, 200, &n) && n == 200);
    CHECK(!dlm_gguf_get_number(ctx, g, "test.f32", &x) && x == 0.15625);
    CHECK(!dlm_gguf_get_number(ctx, g, "test.f64", &x) && x == 0.1);
    CHECK(!dlm_gguf_get_bool(ctx, g, "test.bool", &flag) && flag);
    CHECK(!dlm_gguf_get_string(ctx, g, "general.architecture", &text));
    CHECK(text.len == 4 && !memcmp(text.data, "test", 4));
    CHECK(!dlm_gguf_get_array(ctx, g, "test.f32s", DLM_GGUF_KIND_F32, &v) && v->len == 2);
    expect_error(dlm_gguf_get_int(ctx, g, "test.u8", 0, 199, &n), DLM_ERR_PARSE,
                 "key 'test.u8' is not between 0 and 199");
    expect_error(dlm_gguf_get_int(ctx, g, "test.none", 0, 1, &n), DLM_ERR_PARSE,
                 "plain.gguf': key 'test.none' is missing");
    expect_error(dlm_gguf_get_int(ctx, g, "test.f32", 0, 1, &n), DLM_ERR_PARSE,
                 "key 'test.f32' is of kind f32, not an integer");
    expect_error(dlm_gguf_get_int(ctx, g, "test.u8s", 0, 1, &n), DLM_ERR_PARSE,
                 "key 'test.u8s' is an array of u8, not an integer");
    expect_error(dlm_gguf_get_number(ctx, g, "test.f32s", &x), DLM_ERR_PARSE,
                 "key 'test.f32s' is an array of f32, not a floating-point number");
    expect_error(dlm_gguf_get_number(ctx, g, "test.i8", &x), DLM_ERR_PARSE,
                 "key 'test.i8' is of kind i8, not a floating-point number");
    expect_error(dlm_gguf_get_bool(ctx, g, "test.u8", &flag), DLM_ERR_PARSE, "not a bool");
    expect_error(dlm_gguf_get_string(ctx, g, "test.strings", &text), DLM_ERR_PARSE,
                 "key 'test.strings' is an array of string, not a string");
    expect_error(dlm_gguf_get_array(ctx, g, "test.u32s", DLM_GGUF_KIND_I32, &v), DLM_ERR_PARSE,
                 "key 'test.u32s' is an array of u32, not an array of i32");
    expect_error(dlm_gguf_get_array(ctx, g, "test.u32", DLM_GGUF_KIND_U32, &v), DLM_ERR_PARSE,
                 "key 'test.u32' is of kind u32, not an array of u32");
    dlm_gguf_destroy(&g);
}

static void expect_bytes(const struct bytes *b, enum dlm_status want, const char *text)
{
    struct dlm_gguf *g = NULL;

    /* of exactly this length, so that a sanitizer sees reads behind it */
    uint8_t *copy = malloc(b->len ? b->len : 1);
    memcpy(copy, b->data, b->len);
    expect_error(dlm_gguf_open_memory(ctx, &g, "bad.gguf", copy, b->len), want, text);
    CHECK(!g);
    dlm_gguf_destroy(&g);
    free(copy);
}

static void test_header(void)
{
    struct bytes b = {.len = 0};

    check_case("a header that lies");
    expect_bytes(&b, DLM_ERR_PARSE, "cannot read 'bad.gguf': the header ends past the file");
    put_header(&b, 0, 0);
    for (b.len = 1; b.len < 24; b.len++)
        expect_bytes(&b, DLM_ERR_PARSE, "the header ends past the file");
    b.data[0] = 'X';
    expect_bytes(&b, DLM_ERR_PARSE, "it is no GGUF file");
    put_header(&b, 0, 0);
    b.data[4] = 1;
    expect_bytes(&b, DLM_ERR_UNSUPPORTED, "it is of version 1 of GGUF, not of 2 or 3");
    memcpy(b.data + 4, "\0\0\0\3", 4);
    expect_bytes(&b, DLM_ERR_UNSUPPORTED, "for big-endian machines");
    put_header(&b, UINT64_MAX, 0);
    expect_bytes(&b, DLM_ERR_PARSE, "counts more tensors than the file can hold");
    put_header(&b, 0, UINT64_MAX / 8);
    expect_bytes(&b, DLM_ERR_PARSE, "counts more keys than the file can hold");
    put_header(&b, 0, 1);
    expect_bytes(&b, DLM_ERR_PARSE, "counts more keys than the file can hold");
}

/* One key with what follows its name. */
static void expect_value(const char *key, const void *data, size_t len, const char *text)
{
    struct bytes b;

    put_header(&b, 0, 1);
    put_text(&b, key);
    put_raw(&b, data, len);
    while (b.len < 24 + 14)
        put_raw(&b, "", 1);
    expect_bytes(&b, DLM_ERR_PARSE, text);
}

static void test_values(void)
{
    struct bytes b;
    static const uint32_t kind = 13, nested[] = {9, 9, 1, 0};
    static const uint32_t strings[] = {9, 8, 2, 0, 1, 0, 'x', 0xffff, 0xffff};
    static const uint32_t many[] = {9, 6, 0, 0x40000000}, wrap[] = {9, 10, 0, 0x20000000};
    static const uint32_t most[] = {9, 10, 0xffffffff, 0x1fffffff};
    static const uint32_t alignment[] = {4, 48}, small[] = {4, 4}, none[] = {4, 0};
    static const uint32_t wide[] = {10, 32, 0}, more[] = {9, 8, 0xffffffff, 0xffffffff};

    check_case("values that lie");
    expect_value("", "\4\0\0\0\0\0\0\0", 8, "key 1 of 1 has an empty name");
    expect_value("a\xff", "\4\0\0\0\0\0\0\0", 8, "key 1 of 1 has a name that is no text");
    expect_value("k", &kind, sizeof(kind), "key 'k' has the unknown kind 13");
    expect_value("k", nested, sizeof(nested), "key 'k' is an array of arrays");
    expect_value("k", many, sizeof(many), "key 'k' ends past the file");
    expect_value("k", wrap, sizeof(wrap), "key 'k' ends past the file");
    expect_value("k", most, sizeof(most), "key 'k' ends past the file");
    expect_value("k", more, sizeof(more), "key 'k' ends past the file");
    expect_value("k", strings, sizeof(strings), "key 'k' has a string that ends past the file");
    expect_value("k", "\7\0\0\0\2", 5, "key 'k' holds a bool that is neither 0 nor 1");
    expect_value("k", "\10\0\0\0\377\377\377\377\377\377\377\377", 12,
                 "key 'k' has a string that ends past the file");
    expect_value("general.alignment", alignment, sizeof(alignment),
                 "key 'general.alignment' is no power of two of 8 or more");
    expect_value("general.alignment", small, sizeof(small), "is no power of two of 8 or more");
    expect_value("general.alignment", none, sizeof(none), "is no power of two of 8 or more");
    expect_value("general.alignment", wide, sizeof(wide), "'general.alignment' is no u32");
    put_header(&b, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_text(&b, "twice");
        put_u32(&b, DLM_GGUF_KIND_U32);
        put_u32(&b, (uint32_t)i);
    }
    expect_bytes(&b, DLM_ERR_PARSE, "key 'twice' is there twice");
    put_header(&b, 0, 1);
    put_u64(&b, UINT64_MAX - 3);
    put_raw(&b, "names that wrap around", 22);
    expect_bytes(&b, DLM_ERR_PARSE, "key 1 of 1 has a string that ends past the file");
    put_header(&b, 0, 1);
    put_u64(&b, 3);
    put_raw(&b, "a\0b\4\0\0\0\0\0\0", 11);
    expect_bytes(&b, DLM_ERR_PARSE, "key 1 of 1 has a name that is no text");
}

static void test_u64(void)
{
    struct bytes b;
    struct dlm_gguf *g = NULL;
    int64_t n = 0;

    check_case("integers beyond int64_t");
    put_header(&b, 0, 1);
    put_text(&b, "big");
    put_u32(&b, DLM_GGUF_KIND_U64);
    put_u64(&b, UINT64_MAX);
    if (CHECK(!dlm_gguf_open_memory(ctx, &g, "big", b.data, b.len))) {
        CHECK(!dlm_gguf_value_int(dlm_gguf_value(g, 0), 0, &n));
        expect_error(dlm_gguf_get_int(ctx, g, "big", 0, INT64_MAX, &n), DLM_ERR_PARSE,
                     "key 'big' is not between");
    }
    dlm_gguf_destroy(&g);
}

static void test_tensors(void)
{
    static const uint64_t two[] = {8, 2}, odd[] = {33, 2}, q4k[] = {256, 3};
    static const uint64_t five[] = {1, 1, 1, 1, 1}, most[] = {UINT64_MAX, 1};
    static const uint64_t wrap[] = {UINT64_C(1) << 32, UINT64_C(1) << 32};
    static const uint64_t sign[] = {1, UINT64_C(1) << 62, 2};
    static const uint64_t zero[] = {0, UINT64_C(1) << 40, UINT64_C(1) << 40};
    static const struct {
        const char *name;
        uint32_t ndim;
        const uint64_t *ne;
        uint32_t type;
        uint64_t offset;
        const char *text;
    } rows[] = {
        {"", 2, two, 0, 0, "tensor 1 of 1 has an empty name"},
        {"0123456789012345678901234567890123456789012345678901234567890123", 2, two, 0, 0,
         "tensor 1 of 1 has a name that is too long"},
        {"t", 5, five, 0, 0, "tensor 't' has too many dimensions"},
        {"t", 2, most, 0, 0, "tensor 't' is too large"},
        {"t", 2, wrap, 0, 0, "tensor 't' is too large"},
        {"t", 3, sign, 0, 0, "tensor 't' is too large"},
        {"t", 3, zero, 0, 0, "tensor 't' is too large"},
        {"t", 2, two, 4, 0, "tensor 't' has the unknown type 4"},
        {"t", 2, two, 0xffffffff, 0, "tensor 't' has the unknown type 4294967295"},
        {"t", 2, odd, 8, 0, "tensor 't' has rows that are not whole blocks of its type"},
        {"t", 2, two, 0, 16, "tensor 't' is not aligned"},
        {"t", 2, two, 0, 32, "tensor 't' leaves a gap before it"},
        {"t", 2, two, 28, 0, "tensor 't' ends past the file"},
        {"t", 2, q4k, 12, 0, "tensor 't' ends past the file"},
    };
    struct bytes b;

    check_case("tensors that lie");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        put_header(&b, 1, 0);
        put_tensor(&b, rows[i].name, rows[i].ndim, rows[i].ne, rows[i].type, rows[i].offset);
        put_zeros(&b, 64);
        expect_bytes(&b, DLM_ERR_PARSE, rows[i].text);
    }
    put_header(&b, 2, 0);
    put_tensor(&b, "t", 2, two, 0, 0);
    put_tensor(&b, "u", 2, two, 0, 32);
    put_zeros(&b, 128);
    expect_bytes(&b, DLM_ERR_PARSE, "tensor 'u' overlaps the one before it");
    put_header(&b, 2, 0);
    put_tensor(&b, "t", 2, two, 0, 0);
    put_tensor(&b, "t", 2, two, 0, 64);
    put_zeros(&b, 128);
    expect_bytes(&b, DLM_ERR_PARSE, "tensor 't' is there twice");
}

/* Each cut before the last byte of data is an error; the padding behind it need not be there. */
static void test_cuts(void)
{
    struct dlm_gguf *g = NULL;
    struct dlm_str file = {0};
    size_t whole = 0;

    check_case("cut at every byte");
    CHECK(!dlm_file_read(ctx, golden_path("plain.gguf"), 1 << 20, &file));
    if (CHECK(!dlm_gguf_open_memory(ctx, &g, "cut", file.data, file.len))) {
        const struct dlm_gguf_tensor *t = dlm_gguf_tensor(g, dlm_gguf_num_tensors(g) - 1);
        whole = (size_t)(t->data - (const uint8_t *)file.data) + t->bytes;
    }
    dlm_gguf_destroy(&g);
    dlm_log_mute(ctx);
    for (size_t n = 0; n <= file.len; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, file.data, n);
        const enum dlm_status st = dlm_gguf_open_memory(ctx, &g, "cut", copy, n);
        CHECK_INT(st, n < whole ? DLM_ERR_PARSE : DLM_OK);
        dlm_gguf_destroy(&g);
        free(copy);
    }
    dlm_log_excuse(ctx, DLM_OK);
    dlm_str_finish(&file);
}

static void test_shapes(void)
{
    static const uint64_t empty[] = {0, 3};
    struct bytes b;
    struct dlm_gguf *g = NULL;

    check_case("a scalar, and a tensor without elements");
    put_header(&b, 2, 0);
    put_tensor(&b, "none", 2, empty, 12, 0);
    put_tensor(&b, "scalar", 0, NULL, 0, 0);
    put_zeros(&b, 4);
    if (CHECK(!dlm_gguf_open_memory(ctx, &g, "shapes", b.data, b.len))) {
        CHECK_INT(dlm_gguf_tensor(g, 0)->bytes, 0);
        CHECK_INT(dlm_gguf_tensor(g, 1)->bytes, 4);
        CHECK_INT(dlm_gguf_tensor(g, 1)->ne[0], 1);
    }
    dlm_gguf_destroy(&g);
}

static void test_memory(void)
{
    struct dlm_gguf *g = NULL;
    enum dlm_status st = DLM_ERR_MEMORY;

    check_case("each allocation fails once");
    for (long n = 0; st && n < 1000; n++) {
        countdown.left = n;
        st = dlm_gguf_open(ctx, &g, golden_path("plain.gguf"));
        CHECK(st == DLM_OK || (st == DLM_ERR_MEMORY && !g));
    }
    CHECK_INT(st, DLM_OK);
    countdown.left = 1000000;
    dlm_gguf_destroy(&g);
}

int main(void)
{
    const struct dlm_ctx_params params = {.alloc_hook = allow, .alloc_user = &countdown};

    ctx = dlm_ctx_create(&params);
    test_plain();
    test_version_2();
    test_getters();
    test_header();
    test_values();
    test_u64();
    test_tensors();
    test_cuts();
    test_shapes();
    test_memory();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
