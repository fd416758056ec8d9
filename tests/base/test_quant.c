/* Quantisers against bitsandbytes and gguf: the same codes, scales to the last bit, and of the
 * second level, which those compute in ways of their own on each machine, the same values. */
#include "base/quant.h"

#include "base/ctx_impl.h"
#include "base/scalar.h"
#include "tests/check.h"
#include "weights/checkpoint.h"

static struct dlm_checkpoint *golden;

static const struct dlm_tensor_info *find(const char *of, const char *what)
{
    char name[64];

    snprintf(name, sizeof(name), "%s.%s", of, what);
    return dlm_checkpoint_find(golden, name);
}

static int64_t len_of(const struct dlm_tensor_info *t)
{
    int64_t len = 1;

    for (int i = 0; i < t->ndim; i++)
        len *= t->shape[i];
    return len;
}

/* A tensor as f32, to be freed. */
static float *values_of(const struct dlm_tensor_info *t)
{
    float *values = calloc((size_t)len_of(t) + 1, sizeof(*values));

    if (!CHECK(values) || !CHECK(dlm_dtype_to_f32(t->dtype, t->data, values, (size_t)len_of(t))))
        exit(1);
    return values;
}

static void test_codes(const char *name, enum dlm_dtype dtype)
{
    const struct dlm_tensor_info *x = find(name, "x"), *codes = find(name, dlm_dtype_name(dtype));
    const struct dlm_tensor_info *scales =
        find(name, dtype == DLM_DTYPE_Q8_0 ? "q8_0.scale" : "absmax");

    check_case(name);
    if (!CHECK(x && codes && scales))
        return;
    float *wide = values_of(x);
    uint8_t *got = calloc(1, codes->bytes), *got_scales = calloc(1, scales->bytes);
    CHECK(dlm_quantize(dtype, wide, len_of(x), got, got_scales));
    for (size_t i = 0; i < codes->bytes; i++)
        if (!CHECK_INT(got[i], codes->data[i])) {
            printf("     byte %zu of '%s'\n", i, name);
            break;
        }
    CHECK(!memcmp(got_scales, scales->data, scales->bytes));
    free(got_scales);
    free(got);
    free(wide);
}

/* An element that is no number has no code; nor has, in q8_0, one whose scale leaves f16. */
static void test_refused(void)
{
    float x[96] = {1, 2, 3};
    uint8_t codes[96];
    float scales[3];

    check_case("what cannot be quantised is refused");
    x[70] = NAN;
    CHECK(!dlm_quantize(DLM_DTYPE_NF4, x, 96, codes, scales));
    CHECK(dlm_quantize(DLM_DTYPE_NF4, x, 64, codes, scales));
    CHECK(!dlm_quantize(DLM_DTYPE_Q8_0, x, 96, codes, scales));
    x[70] = -INFINITY;
    CHECK(!dlm_quantize(DLM_DTYPE_NF4, x, 96, codes, scales));
    x[70] = 65504.0f * 127;
    CHECK(dlm_quantize(DLM_DTYPE_Q8_0, x, 96, codes, scales));
    x[70] = 65536.0f * 127;
    CHECK(!dlm_quantize(DLM_DTYPE_Q8_0, x, 96, codes, scales));
    CHECK(dlm_quantize(DLM_DTYPE_NF4, x, 96, codes, scales));
}

static void check_near(const float *got, const struct dlm_tensor_info *want, float tolerance)
{
    float *values = values_of(want), most = 0;

    for (int64_t i = 0; i < len_of(want); i++)
        most = fmaxf(most, fabsf(got[i] - values[i]));
    if (!CHECK(most <= tolerance))
        printf("     '%s': error %g, tolerance %g\n", want->name, (double)most, (double)tolerance);
    free(values);
}

/* A form of 600 blocks put together of the codes and what the second level makes of the scales. */
static void test_double(void)
{
    const struct dlm_tensor_info *absmax = find("double", "absmax"), *map = find("double", "map");
    const struct dlm_tensor_info *want = find("double", "codes"), *codes = find("double", "nf4");
    const struct dlm_tensor_info *nested = find("double", "nested");
    const int64_t num = len_of(absmax), len = num * DLM_NF4_BLOCK;
    const struct dlm_quant_layout l = dlm_quant_layout(DLM_DTYPE_NF4_DQ, len);
    float *scales = values_of(absmax), *entries = values_of(map), values[8 * DLM_NF4_BLOCK];
    float *most = values_of(nested), pairs[3][2];
    uint8_t *form = calloc(1, l.bytes);

    check_case("scales that are quantised themselves");
    CHECK_INT(l.bytes, len / 2 + num + 3 * 8);
    CHECK_INT(l.bytes, dlm_dtype_size(DLM_DTYPE_NF4_DQ, len));
    for (unsigned q = 0; q < 256; q++)
        if (!CHECK(fabsf(dlm_dynamic_map(q) - entries[q]) <= 2e-7f * fabsf(entries[q])))
            printf("     entry %u: %.9g, want %.9g\n", q, (double)dlm_dynamic_map(q),
                   (double)entries[q]);
    const float offset = dlm_quantize_offset(scales, num);
    memcpy(form, codes->data, codes->bytes);
    check_near(&offset, find("double", "offset"), 2e-8f);
    dlm_quantize_absmax(scales, num, offset, form + l.scales, pairs[0]);
    for (int i = 0; i < 3; i++)
        CHECK(fabsf(pairs[i][0] - most[i]) < 1e-7f && pairs[i][1] == offset);
    int different = 0;
    for (int64_t i = 0; i < num; i++)
        different += form[l.scales + i] != want->data[i];
    CHECK(different <= num / 20);

    /* Ours is the nearest entry. On a CPU bitsandbytes looks v up in 65536 bins of -1 .. 1, and
     * takes a neighbour where a bin has the middle between two entries. */
    float *decoded = values_of(find("double", "decoded"));
    for (int64_t i = 0; i < num; i++) {
        const float unit = most[i / DLM_NF4_NESTED];
        const float got = dlm_dynamic_map(form[l.scales + i]) * unit + offset;
        const float error = fabsf(got - scales[i]), theirs = fabsf(decoded[i] - scales[i]);
        if (!CHECK(error <= theirs + 1e-6f * unit && theirs <= error + unit * 2 / 65536))
            printf("     scale %d: %g, want %g\n", (int)i, (double)got, (double)decoded[i]);
    }

    check_case("values of the double quantised form");
    memcpy(form + l.scales, want->data, (size_t)num);
    memcpy(form + l.nested, pairs, sizeof(pairs));
    dlm_dequantize(DLM_DTYPE_NF4_DQ, form, len, 0, 8 * DLM_NF4_BLOCK, values);
    check_near(values, find("double", "values"), 1e-7f);
    dlm_dequantize(DLM_DTYPE_NF4_DQ, form, len, 61, 2, values);
    float *whole = values_of(find("double", "values"));
    CHECK(fabsf(values[0] - whole[61]) < 1e-7f && fabsf(values[1] - whole[62]) < 1e-7f);
    free(whole);
    free(most);
    free(decoded);
    free(entries);
    free(form);
    free(scales);
}

static void test_values(void)
{
    const struct dlm_tensor_info *x = find("halves", "x");
    const int64_t len = len_of(x);
    float *wide = values_of(x);
    float values[4 * 32];

    check_case("values of q8_0 and nf4 are near what they were made of");
    for (int i = 0; i < 2; i++) {
        const enum dlm_dtype dtype = i ? DLM_DTYPE_NF4 : DLM_DTYPE_Q8_0;
        const struct dlm_quant_layout l = dlm_quant_layout(dtype, len);
        uint8_t *form = calloc(1, l.bytes);
        CHECK(dlm_quantize(dtype, wide, len, form, form + l.scales));
        dlm_dequantize(dtype, form, len, 0, len, values);
        for (int64_t k = 0; k < 32; k++)
            CHECK(fabsf(values[k] - wide[k]) <= (i ? 0.16f * 127 : 0.51f));
        CHECK(values[5] == 127 && values[2 * 32] == 0); /* the largest, and a zero */
        free(form);
    }
    free(wide);
}

/* Where the bits of two groups of 256 lie, by hand; tests/gguf/test_blocks.c has the values. */
static void test_ggml_layout(void)
{
    static const struct {
        enum dlm_dtype dtype;
        size_t high, scales, mins, nested, bytes;
    } rows[] = {
        {DLM_DTYPE_Q4_0, 256, 256, 288, 288, 288},
        {DLM_DTYPE_Q4_K, 256, 256, 272, 288, 296},
        {DLM_DTYPE_Q5_K, 256, 320, 336, 352, 360},
        {DLM_DTYPE_Q6_K, 256, 384, 416, 416, 420},
    };
    enum { LEN = 512 };
    uint8_t form[420];
    float v[LEN];

    check_case("forms of ggml's blocks");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        const struct dlm_quant_layout l = dlm_quant_layout(rows[i].dtype, LEN);
        CHECK(l.high == rows[i].high && l.scales == rows[i].scales && l.mins == rows[i].mins);
        CHECK(l.nested == rows[i].nested && l.bytes == rows[i].bytes);
        CHECK_INT(dlm_dtype_size(rows[i].dtype, LEN), l.bytes);
        CHECK(dlm_dtype_is_quant(rows[i].dtype) && !dlm_quant_can_make(rows[i].dtype));
    }
    memset(form, 0, sizeof(form));
    memcpy(form + 256 + 2 * 15, (const uint16_t[]){0x4000}, 2); /* 2 */
    form[15 * 16 + 3] = 0x9c;
    dlm_dequantize(DLM_DTYPE_Q4_0, form, LEN, 0, LEN, v);
    CHECK(v[480 + 6] == 2 && v[480 + 7] == 8 && v[480 + 8] == -16 && v[0] == 0);

    memset(form, 0, sizeof(form));
    memcpy(form + 352 + 4, (const uint16_t[]){0x3c00, 0x3800}, 4); /* 1, 1/2: of the second 256 */
    form[320 + 9] = 3; /* of elements 288 .. 319 */
    form[336 + 9] = 63;
    form[128 + 16] = 0x50;
    form[256 + 32 + 4 + 1] = 1 << 3;
    dlm_dequantize(DLM_DTYPE_Q5_K, form, LEN, 0, LEN, v);
    CHECK(v[288] == 5 * 3 - 31.5f && v[288 + 11] == 16 * 3 - 31.5f && v[288 + 10] == -31.5f);
    CHECK(v[287] == 0 && v[320] == 0);

    memset(form, 0, sizeof(form));
    memcpy(form + 416 + 2, (const uint16_t[]){0x3c00}, 2);
    form[384 + 17] = 0xfe; /* -2, of elements 272 .. 287 */
    form[256 + 64 + 4 + 2] = 3 << 4;
    form[128 + 8 + 6] = 0x10;
    dlm_dequantize(DLM_DTYPE_Q6_K, form, LEN, 0, LEN, v);
    CHECK(v[272] == 64 && v[272 + 12] == (48 + 1 - 32) * -2.0f && v[272 + 13] == 64 && v[271] == 0);
}

int main(void)
{
    static const char *const names[] = {"random", "tails", "halves", "thresholds", "extremes",
                                        "short", "single"};
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    char path[512];

    snprintf(path, sizeof(path), "%s/golden/quant/blocks.safetensors", check_data_dir());
    if (!CHECK(ctx) || !CHECK(!dlm_checkpoint_open(ctx, &golden, path)))
        return check_summary();
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        test_codes(names[i], DLM_DTYPE_NF4);
        if (find(names[i], "q8_0"))
            test_codes(names[i], DLM_DTYPE_Q8_0);
    }
    test_refused();
    test_double();
    test_values();
    test_ggml_layout();
    dlm_checkpoint_destroy(&golden);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
