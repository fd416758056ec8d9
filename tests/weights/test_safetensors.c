/* Reading safetensors: files of the safetensors library, and every way in which one can lie. */
#include "weights/checkpoint.h"

#include <jansson.h>

#include "base/json.h"
#include "helpers.h"

static struct dlm_ctx *ctx;

static double sum_of(const struct dlm_tensor_info *t)
{
    double sum = 0;
    float values[64];

    if (dlm_dtype_is_float(t->dtype)) {
        size_t len = t->bytes / dlm_dtype_size(t->dtype, 1);
        CHECK(dlm_dtype_to_f32(t->dtype, t->data, values, len));
        for (size_t i = 0; i < len; i++)
            sum += values[i];
    }
    for (size_t i = 0; t->dtype == DLM_DTYPE_U8 && i < t->bytes; i++)
        sum += t->data[i];
    for (size_t i = 0; t->dtype == DLM_DTYPE_I32 && i < t->bytes; i += 4) {
        int32_t n;
        memcpy(&n, t->data + i, 4);
        sum += n;
    }
    return sum;
}

static void test_plain(void)
{
    struct dlm_checkpoint *c = NULL;
    json_t *want = NULL, *entry;
    const char *name;

    check_case("every type of the library");
    CHECK(!dlm_json_load(ctx, golden_path("plain.json"), 1 << 20, &want));
    if (!CHECK(!dlm_checkpoint_open(ctx, &c, golden_path("plain.safetensors"))))
        return;
    CHECK_INT(dlm_checkpoint_num_tensors(c), json_object_size(want));
    json_object_foreach(want, name, entry) {
        const struct dlm_tensor_info *t = dlm_checkpoint_find(c, name);
        if (!CHECK(t))
            continue;
        CHECK_STR(t->st_type, json_string_value(json_object_get(entry, "dtype")));
        const json_t *shape = json_object_get(entry, "shape");
        CHECK_INT(t->ndim, json_array_size(shape));
        for (int i = 0; i < t->ndim; i++)
            CHECK_INT(t->shape[i], json_integer_value(json_array_get(shape, (size_t)i)));
        if (t->dtype != DLM_DTYPE_COUNT)
            CHECK(fabs(sum_of(t) - json_number_value(json_object_get(entry, "sum"))) < 1e-5);
        CHECK((t->dtype == DLM_DTYPE_COUNT) == (dlm_tensor_check_dtype(ctx, t) != DLM_OK));
        dlm_checkpoint_drop(c, t);
    }
    CHECK_STR(dlm_checkpoint_metadata(c, "format"), "pt");
    CHECK(!dlm_checkpoint_metadata(c, "nothing"));
    CHECK(!dlm_checkpoint_find(c, "f3"));
    for (size_t i = 1; i < dlm_checkpoint_num_tensors(c); i++)
        CHECK(strcmp(dlm_checkpoint_tensor(c, i - 1)->name, dlm_checkpoint_tensor(c, i)->name) < 0);
    const int64_t shape[] = {3, 6};
    CHECK_INT(dlm_tensor_check_shape(ctx, dlm_checkpoint_find(c, "f32"), 2, shape),
              DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx), "'f32' has shape [3, 5], not [3, 6]"));
    dlm_checkpoint_destroy(&c);
    CHECK(!c);
    json_decref(want);
}

static void test_sharded(void)
{
    struct dlm_checkpoint *c = NULL;
    json_t *want = NULL, *values;
    const char *name;
    float got[16];

    check_case("sharded, with an index");
    CHECK(!dlm_json_load(ctx, golden_path("sharded/values.json"), 1 << 20, &want));
    if (!CHECK(!dlm_checkpoint_open(ctx, &c, golden_path("sharded"))))
        return;
    CHECK_INT(dlm_checkpoint_num_tensors(c), 3);
    CHECK_INT(dlm_checkpoint_num_files(c), 2);
    CHECK_INT(strlen(dlm_checkpoint_file_at(c, 1)->header_sha256), 64);
    CHECK_INT(dlm_checkpoint_file_at(c, 1)->bytes, 112);
    json_object_foreach(want, name, values) {
        const struct dlm_tensor_info *t = dlm_checkpoint_find(c, name);
        if (!CHECK(t))
            continue;
        CHECK(dlm_dtype_to_f32(t->dtype, t->data, got, json_array_size(values)));
        for (size_t i = 0; i < json_array_size(values); i++)
            CHECK(got[i] == (float)json_number_value(json_array_get(values, i)));
    }
    dlm_checkpoint_destroy(&c);
    json_decref(want);
}

static void copy_sharded(const char *folder)
{
    static const char *const files[] = {"model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors",
                                        "model.safetensors.index.json"};
    char name[256];

    CHECK(!dlm_dir_make(ctx, tmp_path(folder)));
    for (size_t i = 0; i < DLM_ARRAY_LEN(files); i++) {
        size_t bytes = 0;
        snprintf(name, sizeof(name), "sharded/%s", files[i]);
        char *data = get_file(golden_path(name), &bytes);
        snprintf(name, sizeof(name), "%s/%s", folder, files[i]);
        CHECK(data && put_file(tmp_path(name), data, bytes));
        free(data);
    }
}

static void expect_open_error(const char *path, enum dlm_status want, const char *text)
{
    struct dlm_checkpoint *c = NULL;

    CHECK_INT(dlm_checkpoint_open(ctx, &c, path), want);
    CHECK(!c);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), text)))
        printf("     got \"%s\", want \"%s\"\n", dlm_ctx_last_error(ctx), text);
}

static void test_bad_index(void)
{
    static const struct {
        const char *index, *text;
    } rows[] = {
        {"{}", "no 'weight_map'"},
        {"{\"weight_map\": {}}", "lists no tensors"},
        {"{\"weight_map\": {\"x.weight\": 3}}", "tensor 'x.weight' has no shard"},
        {"{\"weight_map\": {\"x\": \"../x.safetensors\"}}", "in a shard outside the folder"},
        {"{\"weight_map\": {\"x\": \"gone.safetensors\"}}", "shard 'gone.safetensors' is missing"},
        {"{\"weight_map\": {\"q\": \"model-00001-of-00002.safetensors\"}}",
         "tensor 'q' is not in shard 'model-00001-of-00002.safetensors'"},
        {"{\"weight_map\": {\"x.weight\": \"model-00002-of-00002.safetensors\"}}",
         "tensor 'x.weight' is not in shard 'model-00002-of-00002.safetensors'"},
        {"{\"weight_map\": ", "line 1"},
    };

    check_case("an index that lies");
    copy_sharded("bad_index");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        CHECK(put_file(tmp_path("bad_index/model.safetensors.index.json"), rows[i].index,
                       strlen(rows[i].index)));
        struct dlm_checkpoint *c = NULL;
        CHECK(dlm_checkpoint_open(ctx, &c, tmp_path("bad_index")));
        if (!CHECK(strstr(dlm_ctx_last_error(ctx), rows[i].text)))
            printf("     got \"%s\", want \"%s\"\n", dlm_ctx_last_error(ctx), rows[i].text);
    }
    check_case("a tensor in two shards");
    copy_sharded("twice");
    size_t bytes = 0;
    char *data = get_file(golden_path("sharded/model-00001-of-00002.safetensors"), &bytes);
    CHECK(put_file(tmp_path("twice/model-00002-of-00002.safetensors"), data, bytes));
    free(data);
    expect_open_error(tmp_path("twice"), DLM_ERR_PARSE, "is also in '");

    check_case("nothing, or a pickle");
    CHECK(!dlm_dir_make(ctx, tmp_path("none")));
    expect_open_error(tmp_path("none"), DLM_ERR_IO, "neither model.safetensors nor");
    expect_open_error(tmp_path("missing.safetensors"), DLM_ERR_IO, "missing.safetensors");
    CHECK(put_file(tmp_path("none/pytorch_model.bin"), "x", 1));
    expect_open_error(tmp_path("none"), DLM_ERR_UNSUPPORTED, "pickle");
}

/* Opens header + `body` zero bytes; NULL text: it must open. */
static void expect_header(const char *header, size_t body, const char *text)
{
    static uint8_t file[4096];
    size_t len = strlen(header);
    struct dlm_checkpoint *c = NULL;

    memset(file, 0, sizeof(file));
    file[0] = (uint8_t)len;
    file[1] = (uint8_t)(len >> 8);
    memcpy(file + 8, header, len);
    enum dlm_status st = dlm_checkpoint_open_memory(ctx, &c, "a.safetensors", file, 8 + len + body);
    if (!CHECK(text ? st == DLM_ERR_PARSE : st == DLM_OK))
        printf("     header %s\n", header);
    if (text && !CHECK(strstr(dlm_ctx_last_error(ctx), text)))
        printf("     got \"%s\", want \"%s\"\n", dlm_ctx_last_error(ctx), text);
    dlm_checkpoint_destroy(&c);
}

#define ENTRY(name, type, shape, offsets)                                                          \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_bad_headers(void)
{
    static const struct {
        const char *header;
        size_t body;
        const char *text; /* NULL: fine */
    } rows[] = {
        {"{}", 0, NULL},
        {"{}", 1, "bytes follow the header"},
        {"{" ENTRY("x", "F32", "[2]", "[0,8]") "}", 8, NULL},
        {"{" ENTRY("x", "F32", "[2]", "[0,8]") "}", 7,
         "cannot read 'a.safetensors': tensor 'x' ends past the file"},
        {"{" ENTRY("x", "F32", "[2]", "[0,8]") "}", 9, "bytes follow the last tensor"},
        {"{" ENTRY("x", "F32", "[3]", "[0,8]") "}", 8, "tensor 'x' has another size than"},
        {"{" ENTRY("x", "F99", "[2]", "[0,8]") "}", 8, "tensor 'x' has the unknown type 'F99'"},
        {"{" ENTRY("x", "F32", "[-2]", "[0,8]") "}", 8, "tensor 'x' has a bad shape"},
        {"{" ENTRY("x", "F32", "[2.0]", "[0,8]") "}", 8, "tensor 'x' has a bad shape"},
        {"{" ENTRY("x", "F32", "2", "[0,8]") "}", 8, "tensor 'x' has no shape"},
        {"{" ENTRY("x", "F32", "[4294967296,4294967296]", "[0,8]") "}", 8,
         "tensor 'x' is too large"},
        {"{" ENTRY("x", "F32", "[4611686018427387904,4]", "[0,8]") "}", 8,
         "tensor 'x' is too large"},
        {"{" ENTRY("x", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "too many dimensions"},
        {"{" ENTRY("x", "F32", "[2]", "[8,0]") "}", 8, "tensor 'x' has offsets out of order"},
        {"{" ENTRY("x", "F32", "[2]", "[-8,0]") "}", 8, "tensor 'x' has offsets out of order"},
        {"{" ENTRY("x", "F32", "[2]", "[0]") "}", 8, "tensor 'x' has no data_offsets"},
        {"{" ENTRY("x", "F32", "[2]", "[0,18446744073709551615]") "}", 8, "header: "},
        {"{" ENTRY("x", "F32", "[2]", "[1,9]") "}", 9, "tensor 'x' leaves a gap before it"},
        {"{" ENTRY("x", "U8", "[4]", "[0,4]") "," ENTRY("y", "U8", "[4]", "[4,8]") "}", 8, NULL},
        {"{" ENTRY("y", "U8", "[4]", "[4,8]") "," ENTRY("x", "U8", "[4]", "[0,4]") "}", 8, NULL},
        {"{" ENTRY("x", "U8", "[4]", "[0,4]") "," ENTRY("y", "U8", "[5]", "[3,8]") "}", 8,
         "tensor 'y' overlaps another"},
        {"{" ENTRY("x", "U8", "[4]", "[0,4]") "," ENTRY("y", "U8", "[3]", "[5,8]") "}", 8,
         "tensor 'y' leaves a gap"},
        {"{" ENTRY("x", "U8", "[4]", "[0,4]") "," ENTRY("x", "U8", "[4]", "[4,8]") "}", 8,
         "duplicate"},
        {"{" ENTRY("x", "U8", "[0]", "[0,0]") "," ENTRY("y", "U8", "[4]", "[0,4]") "}", 4, NULL},
        {"{" ENTRY("x", "F4", "[3]", "[0,2]") "}", 2, "no whole number of bytes"},
        {"{\"x\":3}", 0, "tensor 'x' has no dtype"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"more\":1}}", 1,
         "unknown field"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "'__metadata__' holds more than strings"},
        {"{\"__metadata__\":[]}", 0, "'__metadata__' is no object"},
        {"{\"__metadata__\":{\"a\":\"b\"}}   ", 0, NULL},
        {"[]", 0, "no JSON object"},
        {" {}", 0, "no JSON object"},
        {"{\"x\"", 0, "header: "},
        {"{\"\\u0000\":{}}", 0, "header: "},
        {"{\"\xff\":{}}", 0, "header: "},
    };

    check_case("headers that lie");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++)
        expect_header(rows[i].header, rows[i].body, rows[i].text);
}

static void test_cut(void)
{
    size_t bytes = 0;
    char *data = get_file(golden_path("plain.safetensors"), &bytes);
    struct dlm_checkpoint *c = NULL;
    size_t num_open = 0;

    check_case("cut at every byte");
    if (!CHECK(data))
        return;
    for (size_t len = 0; len < bytes; len++) {
        char *cut = malloc(len ? len : 1); /* exact size: a sanitizer sees a read past it */
        memcpy(cut, data, len);
        num_open += dlm_checkpoint_open_memory(ctx, &c, "cut", cut, len) == DLM_OK;
        dlm_checkpoint_destroy(&c);
        free(cut);
    }
    CHECK_INT(num_open, 0);
    check_case("a header of 2^63 bytes");
    memset(data, 0xff, 8);
    CHECK_INT(dlm_checkpoint_open_memory(ctx, &c, "x", data, bytes), DLM_ERR_PARSE);
    free(data);
}

static void test_identity(void)
{
    struct dlm_checkpoint *c = NULL;
    char a[65] = "", b[65] = "", d[65] = "";
    size_t bytes = 0;
    char *data = get_file(golden_path("writer.safetensors"), &bytes);

    check_case("identity: the hub's blob, else size, time and header");
    if (!CHECK(data))
        return;
    CHECK(!dlm_dir_make(ctx, tmp_path("hub/blobs")) && !dlm_dir_make(ctx, tmp_path("hub/s/r")));
    const char *blob = tmp_path(
        "hub/blobs/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    CHECK(put_file(blob, data, bytes));
    CHECK(!symlink("../../blobs/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                   tmp_path("hub/s/r/model.safetensors")));
    CHECK(!dlm_checkpoint_open(ctx, &c, tmp_path("hub/s/r")) &&
          !dlm_checkpoint_identity(ctx, c, a));
    dlm_checkpoint_destroy(&c);
    CHECK(put_file(blob, data, bytes)); /* another time, the same name */
    CHECK(!dlm_checkpoint_open(ctx, &c, tmp_path("hub/s/r")) &&
          !dlm_checkpoint_identity(ctx, c, b));
    dlm_checkpoint_destroy(&c);
    CHECK_STR(a, b);
    CHECK(put_file(tmp_path("model.safetensors"), data, bytes));
    CHECK(!dlm_checkpoint_open(ctx, &c, tmp_path("model.safetensors")) &&
          !dlm_checkpoint_identity(ctx, c, d));
    dlm_checkpoint_destroy(&c);
    CHECK(strcmp(a, d));
    free(data);
}

static void fingerprint(const char *path, char sha[65])
{
    struct dlm_checkpoint *c = NULL;

    sha[0] = '\0';
    if (CHECK(!dlm_checkpoint_open(ctx, &c, path)))
        dlm_checkpoint_fingerprint(c, sha);
    dlm_checkpoint_destroy(&c);
}

static void test_fingerprint(void)
{
    const char *one = tmp_path("one.safetensors"), *two = tmp_path("two.safetensors");
    char a[65], b[65];
    size_t bytes = 0;
    char *data = get_file(golden_path("writer.safetensors"), &bytes);

    check_case("fingerprint: of what the file holds, whatever its name and time");
    if (!CHECK(data) || !CHECK(put_file(one, data, bytes)) || !CHECK(put_file(two, data, bytes)))
        return;
    fingerprint(one, a);
    fingerprint(two, b);
    CHECK_STR(a, b);
    CHECK_INT(strlen(a), 64);
    data[bytes - 1] ^= 1; /* in the last tensor, which is small */
    CHECK(put_file(two, data, bytes));
    fingerprint(two, b);
    CHECK(strcmp(a, b));
    free(data);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    tmp_make();
    test_plain();
    test_sharded();
    test_bad_index();
    test_bad_headers();
    test_cut();
    test_identity();
    test_fingerprint();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
