/* Block formats, bit for bit as ggml's quantisers make them, and back. */
#include "gguf/blocks.h"

#include "base/mem.h"
#include "base/sha256.h"
#include "tests/check.h"
#include "weights/checkpoint.h"

static struct dlm_ctx *ctx;
static struct dlm_checkpoint *golden;
static const float *x;
static int64_t x_len;

/* Plain types are kept of the ordinary numbers alone, which come first. */
static const struct format {
    const char *name;
    enum dlm_ggml_type type;
} formats[] = {
    {"F16", DLM_GGML_TYPE_F16},   {"BF16", DLM_GGML_TYPE_BF16}, {"Q4_0", DLM_GGML_TYPE_Q4_0},
    {"Q5_0", DLM_GGML_TYPE_Q5_0}, {"Q5_1", DLM_GGML_TYPE_Q5_1}, {"Q8_0", DLM_GGML_TYPE_Q8_0},
    {"Q4_K", DLM_GGML_TYPE_Q4_K}, {"Q5_K", DLM_GGML_TYPE_Q5_K}, {"Q6_K", DLM_GGML_TYPE_Q6_K},
};

/* The file's tensors are aligned to nothing. */
static float *load_x(void)
{
    const struct dlm_tensor_info *t = dlm_checkpoint_find(golden, "x");
    float *copy = t ? malloc(t->bytes) : NULL;

    if (!copy)
        return NULL;
    x_len = (int64_t)(t->bytes / sizeof(float));
    memcpy(copy, t->data, t->bytes);
    return copy;
}

static void check_codes(const struct dlm_tensor_info *want, enum dlm_ggml_type type)
{
    const struct dlm_ggml_type_info *info = dlm_ggml_type_info(type);
    uint8_t *got = malloc(want->bytes);
    const int64_t len = (int64_t)(want->bytes / info->block_bytes * info->block_len);

    memset(got, 0xaa, want->bytes);
    CHECK(len > 0 && len <= x_len);
    CHECK(dlm_ggml_quantize(type, x, len, got));
    for (size_t i = 0; i < want->bytes; i++)
        if (got[i] != want->data[i]) {
            CHECK(!"the bytes of ggml");
            printf("     block %zu, byte %zu: got %02x, want %02x\n", i / info->block_bytes,
                   i % info->block_bytes, got[i], want->data[i]);
            break;
        }
    free(got);
}

/* The values of all blocks, whose hash is ggml's. */
static void check_values(const struct dlm_tensor_info *blocks, enum dlm_ggml_type type,
                         const char *want)
{
    const struct dlm_ggml_type_info *info = dlm_ggml_type_info(type);
    const size_t len = blocks->bytes / info->block_bytes * info->block_len;
    float *values = malloc(len * sizeof(*values));
    char sha[65];

    dlm_ggml_dequantize(type, blocks->data, (int64_t)len, values);
    dlm_sha256_of(values, len * sizeof(*values), sha);
    CHECK_STR(sha, want);
    free(values);
}

static void test_golden(void)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(formats); i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_find(golden, formats[i].name);
        const char *sha = dlm_checkpoint_metadata(golden, formats[i].name);
        check_case(formats[i].name);
        CHECK(dlm_ggml_can_convert(formats[i].type));
        if (!CHECK(t))
            continue;
        check_codes(t, formats[i].type);
        if (CHECK((sha != NULL) == (formats[i].name[0] == 'Q')) && sha)
            check_values(t, formats[i].type, sha);
    }
}

static uint32_t mix(uint32_t n)
{
    n = (n ^ n >> 16) * 0x85ebca6bu;
    n = (n ^ n >> 13) * 0xc2b2ae35u;
    return n ^ n >> 16;
}

/* Numbers that the maker of the golden file makes as well; nothing rounds. */
static void fill_many(float *out, size_t len)
{
    for (uint32_t n = 0; n < len; n++) {
        const uint32_t bits = mix(n), sub = mix(n / 32 + 0x9e3779b9u);
        double fraction = (bits >> 8) / 8388608.0 - 1;
        if (!(sub >> 8 & 7))
            fraction = fabs(fraction) / 4 - 1;
        const uint32_t exponent = (bits & 7) * (sub >> 16 & 1) + (sub >> 24 & 15);
        out[n] = (float)ldexp(fraction, -(int)exponent);
    }
}

/* So many that each step of the searches is the best somewhere. */
static void test_many(void)
{
    enum { LEN = 256 * 2048 };
    float *many = malloc(LEN * sizeof(*many));
    uint8_t *out = malloc(LEN * sizeof(*many));
    char sha[65], key[16];

    check_case("many blocks");
    fill_many(many, LEN);
    for (size_t i = 0; i < DLM_ARRAY_LEN(formats); i++) {
        size_t bytes = 0;
        if (formats[i].name[0] != 'Q')
            continue;
        snprintf(key, sizeof(key), "%s.many", formats[i].name);
        CHECK(dlm_ggml_type_bytes(formats[i].type, LEN, 1, &bytes));
        CHECK(dlm_ggml_quantize(formats[i].type, many, LEN, out));
        dlm_sha256_of(out, bytes, sha);
        CHECK_STR(sha, dlm_checkpoint_metadata(golden, key));
    }
    free(many);
    free(out);
}

/* Blocks of any bits, as the maker of the golden file makes them. */
static void fill_bits(enum dlm_ggml_type type, uint8_t *out, size_t num)
{
    const size_t bytes = dlm_ggml_type_info(type)->block_bytes;
    const bool has_two = type == DLM_GGML_TYPE_Q5_1 || type == DLM_GGML_TYPE_Q4_K ||
                         type == DLM_GGML_TYPE_Q5_K;
    const size_t first = type == DLM_GGML_TYPE_Q6_K ? 208 : 0;
    static const int same[] = {0, 128, 255};

    for (size_t b = 0; b < num; b++) {
        uint8_t *block = out + b * bytes;
        for (size_t i = 0; i < bytes; i++)
            block[i] = (uint8_t)mix((uint32_t)(b * bytes + i));
        if (b % 8 >= 5)
            memset(block, same[b % 8 - 5], bytes);
        for (size_t at = first; at <= first + (has_two ? 2 : 0); at += 2) {
            const uint32_t scale = mix((uint32_t)(b + 1000000 * (at + 1))) & 0xfbffu;
            block[at] = (uint8_t)scale;
            block[at + 1] = (uint8_t)(scale >> 8);
        }
    }
}

/* As an operand, in two steps: the form's parts may be filled from any group of blocks on. */
static void check_operand(enum dlm_ggml_type type, const uint8_t *blocks, int64_t len,
                          float *values)
{
    const enum dlm_dtype dtype = dlm_ggml_operand(type);
    const struct dlm_ggml_type_info *info = dlm_ggml_type_info(type);
    const int64_t head = 3 * (int64_t)info->block_len;
    uint8_t *form = malloc(dlm_dtype_size(dtype, len));
    float *apart = calloc(256, sizeof(*apart));

    const struct dlm_quant_parts begin = dlm_quant_parts(dtype, form, len, 0);
    const struct dlm_quant_parts rest = dlm_quant_parts(dtype, form, len, head);
    memset(form, 0xaa, dlm_dtype_size(dtype, len));
    dlm_ggml_to_parts(type, blocks + 3 * info->block_bytes, len - head, &rest);
    dlm_ggml_to_parts(type, blocks, head, &begin);
    dlm_dequantize(dtype, form, len, 0, len, values);
    dlm_dequantize(dtype, form, len, head + 5, 251, apart); /* no whole blocks */
    CHECK(!memcmp(values + head + 5, apart, 251 * sizeof(*apart)));
    free(apart);
    free(form);
}

static void test_bits(void)
{
    enum { NUM = 512 };
    static uint8_t blocks[NUM * 256];
    static float values[NUM * 256];
    char sha[65], key[16];

    for (size_t i = 0; i < DLM_ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        const int64_t len = NUM * (int64_t)dlm_ggml_type_info(f->type)->block_len;
        if (f->name[0] != 'Q')
            continue;
        snprintf(key, sizeof(key), "%s.bits", f->name);
        check_case(key);
        fill_bits(f->type, blocks, NUM);
        dlm_ggml_dequantize(f->type, blocks, len, values);
        dlm_sha256_of(values, (size_t)len * sizeof(*values), sha);
        CHECK_STR(sha, dlm_checkpoint_metadata(golden, key));
        if (!CHECK((dlm_ggml_operand(f->type) == DLM_DTYPE_COUNT) == (f->name[1] == '5' &&
                                                                      f->name[3] != 'K')) ||
            dlm_ggml_operand(f->type) == DLM_DTYPE_COUNT)
            continue;
        memset(values, 0, sizeof(values));
        check_operand(f->type, blocks, len, values);
        dlm_sha256_of(values, (size_t)len * sizeof(*values), sha);
        CHECK_STR(sha, dlm_checkpoint_metadata(golden, key));
    }
}

static void test_plain(void)
{
    const float in[] = {1, -0.0f, 65504, 1e-8f, 65519};
    float out[5], same[5];
    uint16_t bits[5];

    check_case("plain types, there and back");
    CHECK(dlm_ggml_can_convert(DLM_GGML_TYPE_F32) && !dlm_ggml_can_convert(DLM_GGML_TYPE_Q2_K));
    CHECK(dlm_ggml_quantize(DLM_GGML_TYPE_F32, in, 5, same) && !memcmp(in, same, sizeof(in)));
    dlm_ggml_dequantize(DLM_GGML_TYPE_F32, same, 5, out);
    CHECK(!memcmp(in, out, sizeof(in)));
    CHECK(dlm_ggml_quantize(DLM_GGML_TYPE_F16, in, 5, bits));
    dlm_ggml_dequantize(DLM_GGML_TYPE_F16, bits, 5, out);
    CHECK(out[0] == 1 && out[1] == 0 && signbit(out[1]) && out[2] == 65504 && out[3] == 0);
    CHECK(out[4] == 65504);
    CHECK(dlm_ggml_quantize(DLM_GGML_TYPE_BF16, in, 5, bits));
    dlm_ggml_dequantize(DLM_GGML_TYPE_BF16, bits, 5, out);
    CHECK(bits[0] == 0x3f80 && out[2] == 65536);
    CHECK(!dlm_ggml_quantize(DLM_GGML_TYPE_F16, (const float[]){-65520}, 1, bits));
    CHECK(dlm_ggml_quantize(DLM_GGML_TYPE_BF16, (const float[]){3.39e38f}, 1, bits));
    CHECK(!dlm_ggml_quantize(DLM_GGML_TYPE_BF16, (const float[]){-3.4e38f}, 1, bits));
}

/* Of each format the largest power of 4 that it can hold, and the next, which it cannot. */
static void test_limits(void)
{
    float block[256];
    uint8_t out[sizeof(block)];

    for (size_t i = 0; i < DLM_ARRAY_LEN(formats); i++) {
        const enum dlm_ggml_type type = formats[i].type;
        int power = 0;
        check_case("limits");
        for (; power < 64; power++) {
            for (int k = 0; k < 256; k++)
                block[k] = ldexpf(k % 2 ? -1.0f : 0.75f, 2 * power);
            if (!dlm_ggml_quantize(type, block, 256, out))
                break;
            dlm_ggml_dequantize(type, out, 256, block);
            for (int k = 0; k < 256; k++)
                CHECK(fabsf(block[k] - ldexpf(k % 2 ? -1.0f : 0.75f, 2 * power)) <=
                      ldexpf(0.15f, 2 * power));
        }
        CHECK(type == DLM_GGML_TYPE_BF16 ? power == 64 : power >= 8 && power < 16);
        for (int k = 0; k < 256; k++)
            block[k] = 1;
        CHECK(dlm_ggml_quantize(type, block, 256, out));
        block[255] = NAN;
        CHECK(!dlm_ggml_quantize(type, block, 256, out));
        block[255] = -INFINITY;
        CHECK(!dlm_ggml_quantize(type, block, 256, out));
    }
}

static void test_rows(void)
{
    static const float bad[512] = {[300] = NAN};
    uint8_t small[1024];
    enum { ROW = 512 };

    check_case("rows on threads");
    for (int threads = 1; threads <= 3; threads++) {
        struct dlm_ctx *c = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = threads});
        for (size_t i = 0; c && i < DLM_ARRAY_LEN(formats); i++) {
            const int64_t rows = x_len / ROW;
            size_t bytes = 0;
            CHECK(dlm_ggml_type_bytes(formats[i].type, ROW, rows, &bytes));
            uint8_t *one = malloc(bytes), *all = malloc(bytes);
            for (size_t n = 0; n < 2; n++) { /* few rows, and more than an item's */
                const int64_t num = n ? rows : 1;
                CHECK(dlm_ggml_quantize(formats[i].type, x, num * ROW, one));
                CHECK(!dlm_ggml_quantize_rows(c, "t", formats[i].type, x, ROW, num, all));
                CHECK(!memcmp(one, all, bytes / (size_t)rows * (size_t)num));
            }
            free(one);
            free(all);
        }
        dlm_ctx_destroy(&c);
    }
    CHECK_INT(dlm_ggml_quantize_rows(ctx, "blk.0.t", DLM_GGML_TYPE_Q4_K, bad, 256, 2, small),
              DLM_ERR_INVALID);
    CHECK_STR(dlm_ctx_last_error(ctx),
              "cannot convert tensor 'blk.0.t': it holds numbers that are not finite, or too "
              "large for Q4_K");
    CHECK_INT(dlm_ggml_quantize_rows(ctx, "blk.0.t", DLM_GGML_TYPE_Q4_K, bad, 128, 4, small),
              DLM_ERR_INVALID);
    CHECK_STR(dlm_ctx_last_error(ctx),
              "cannot convert tensor 'blk.0.t': rows of 128 are no whole blocks of Q4_K");
    CHECK(!dlm_ggml_quantize_rows(ctx, "none", DLM_GGML_TYPE_Q4_K, bad, 256, 0, small));
}

int main(void)
{
    char path[512];

    ctx = dlm_ctx_create(NULL);
    snprintf(path, sizeof(path), "%s/golden/gguf/blocks.safetensors", check_data_dir());
    check_case("golden file");
    CHECK(!dlm_checkpoint_open(ctx, &golden, path));
    float *copy = golden ? load_x() : NULL;
    x = copy;
    if (CHECK(x)) {
        test_golden();
        test_many();
    test_bits();
        test_plain();
        test_limits();
        test_rows();
    }
    free(copy);
    dlm_checkpoint_destroy(&golden);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
