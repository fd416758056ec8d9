/* The formats by type, those of 32 elements, and conversion of whole rows. */
#include "gguf/blocks.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/dtype.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/quant.h"
#include "gguf/blocks_impl.h"

enum { LEN = 32 };

void dlm_ggml_put_codes(const uint8_t *codes, int len, int high_bits,
                        const struct dlm_quant_parts *out)
{
    const int word = high_bits ? 32 / high_bits : len; /* elements of a word of high bits */

    for (int i = 0; i < len; i += 2)
        out->codes[i / 2] = (uint8_t)((codes[i] & 15) << 4 | (codes[i + 1] & 15));
    if (!high_bits)
        return;
    memset(out->high, 0, (size_t)(len / 8 * high_bits));
    for (int i = 0; i < len; i++) {
        uint8_t *at = &out->high[i / word * 4 + i % 8 / 2];
        *at = (uint8_t)(*at | codes[i] >> 4 << (i % word / 8 * 2 + i % 2) * high_bits);
    }
}

static bool block_to_q8_0(const float *x, uint8_t *out)
{
    uint16_t scale;

    if (!dlm_quantize(DLM_DTYPE_Q8_0, x, LEN, out + 2, &scale))
        return false;
    memcpy(out, &scale, sizeof(scale));
    return true;
}

static void block_parts_q8_0(const uint8_t *in, const struct dlm_quant_parts *out)
{
    memcpy(out->scales, in, 2);
    memcpy(out->codes, in + 2, LEN);
}

/* Of the elements of largest magnitude the first. */
static float find_extreme(const float *x)
{
    float extreme = 0;

    for (int i = 0; i < LEN; i++)
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    return extreme;
}

/* v, which is a code and a half, as a code; 0 for what is no number: where 1 / d is infinite, ggml
 * converts infinities, and gets that on x86. */
static uint32_t to_code(float v, uint32_t most)
{
    if (!(fabsf(v) < 64))
        return 0;
    const uint32_t code = (uint32_t)v; /* v is 0.5 or more */
    return code > most ? most : code;
}

/* The largest magnitude becomes the lowest code: -8, stored as 0. */
static bool block_to_q4_0(const float *x, uint8_t *out)
{
    const float d = find_extreme(x) / -8, factor = d != 0 ? 1 / d : 0;

    for (int i = 0; i < LEN / 2; i++)
        out[2 + i] = (uint8_t)(to_code(x[i] * factor + 8.5f, 15) |
                               to_code(x[i + LEN / 2] * factor + 8.5f, 15) << 4);
    return dlm_ggml_put_f16(out, d);
}

static void block_parts_q4_0(const uint8_t *in, const struct dlm_quant_parts *out)
{
    uint8_t codes[LEN];

    for (int i = 0; i < LEN; i++)
        codes[i] = in[2 + i % (LEN / 2)] >> i / (LEN / 2) * 4 & 15;
    dlm_ggml_put_codes(codes, LEN, 0, out);
    memcpy(out->scales, in, 2);
}

/* Codes of 5 bits: the fifth of element i is bit i of 4 bytes, the others follow as in Q4_0. */
static void put_5_bits(uint8_t *out, const uint32_t *codes)
{
    uint32_t fifth = 0;

    for (int i = 0; i < LEN; i++)
        fifth |= codes[i] >> 4 << i;
    memcpy(out, &fifth, sizeof(fifth));
    for (int i = 0; i < LEN / 2; i++)
        out[4 + i] = (uint8_t)((codes[i] & 15) | (codes[i + LEN / 2] & 15) << 4);
}

static uint32_t get_5_bits(const uint8_t *in, int i)
{
    const uint32_t low = (uint32_t)in[4 + i % (LEN / 2)] >> i / (LEN / 2) * 4 & 15;

    return low | ((uint32_t)in[i / 8] >> i % 8 & 1) << 4;
}

/* The largest magnitude becomes -16. */
static bool block_to_q5_0(const float *x, uint8_t *out)
{
    const float d = find_extreme(x) / -16, factor = d != 0 ? 1 / d : 0;
    uint32_t codes[LEN];

    for (int i = 0; i < LEN; i++)
        codes[i] = to_code(x[i] * factor + 16.5f, 31);
    put_5_bits(out + 2, codes);
    return dlm_ggml_put_f16(out, d);
}

static void block_from_q5_0(const uint8_t *in, float *x)
{
    const float d = dlm_ggml_get_f16(in);

    for (int i = 0; i < LEN; i++)
        x[i] = ((float)get_5_bits(in + 2, i) - 16) * d;
}

static bool block_to_q5_1(const float *x, uint8_t *out)
{
    uint32_t codes[LEN];
    float low = x[0], high = x[0];

    for (int i = 1; i < LEN; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const float d = (high - low) / 31, factor = d != 0 ? 1 / d : 0;
    for (int i = 0; i < LEN; i++)
        codes[i] = to_code((x[i] - low) * factor + 0.5f, 31);
    put_5_bits(out + 4, codes);
    return dlm_ggml_put_f16(out, d) && dlm_ggml_put_f16(out + 2, low);
}

static void block_from_q5_1(const uint8_t *in, float *x)
{
    const float d = dlm_ggml_get_f16(in), low = dlm_ggml_get_f16(in + 2);

    for (int i = 0; i < LEN; i++)
        x[i] = (float)get_5_bits(in + 4, i) * d + low;
}

/* A type in blocks has functions, one to numbers or to an operand's parts; a plain one has `limit`,
 * from where on an element rounds to infinity. */
static const struct format {
    enum dlm_ggml_type type;
    enum dlm_dtype dtype; /* what it is as an operand; DLM_DTYPE_COUNT: none */
    bool (*to)(const float *x, uint8_t *out);
    void (*from)(const uint8_t *in, float *x);
    void (*parts)(const uint8_t *in, const struct dlm_quant_parts *out);
    float limit;
} formats[] = {
    {DLM_GGML_TYPE_F32, DLM_DTYPE_F32, .limit = INFINITY},
    {DLM_GGML_TYPE_F16, DLM_DTYPE_F16, .limit = 65520},
    {DLM_GGML_TYPE_BF16, DLM_DTYPE_BF16, .limit = 0x1.ffp127f},
    {DLM_GGML_TYPE_Q4_0, DLM_DTYPE_Q4_0, block_to_q4_0, .parts = block_parts_q4_0},
    {DLM_GGML_TYPE_Q5_0, DLM_DTYPE_COUNT, block_to_q5_0, .from = block_from_q5_0},
    {DLM_GGML_TYPE_Q5_1, DLM_DTYPE_COUNT, block_to_q5_1, .from = block_from_q5_1},
    {DLM_GGML_TYPE_Q8_0, DLM_DTYPE_Q8_0, block_to_q8_0, .parts = block_parts_q8_0},
    {DLM_GGML_TYPE_Q4_K, DLM_DTYPE_Q4_K, dlm_ggml_block_to_q4_k,
     .parts = dlm_ggml_block_parts_q4_k},
    {DLM_GGML_TYPE_Q5_K, DLM_DTYPE_Q5_K, dlm_ggml_block_to_q5_k,
     .parts = dlm_ggml_block_parts_q5_k},
    {DLM_GGML_TYPE_Q6_K, DLM_DTYPE_Q6_K, dlm_ggml_block_to_q6_k,
     .parts = dlm_ggml_block_parts_q6_k},
};

static const struct format *find_format(enum dlm_ggml_type type)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(formats); i++)
        if (formats[i].type == type)
            return &formats[i];
    return NULL;
}

bool dlm_ggml_can_convert(enum dlm_ggml_type type)
{
    return find_format(type) != NULL;
}

static bool all_below(const float *x, size_t len, float limit)
{
    bool all = true;

    for (size_t i = 0; i < len; i++)
        all &= fabsf(x[i]) < limit; /* false for NaN */
    return all;
}

bool dlm_ggml_quantize(enum dlm_ggml_type type, const float *x, int64_t len, void *out)
{
    const struct format *f = find_format(type);
    const struct dlm_ggml_type_info *info = dlm_ggml_type_info((uint32_t)type);
    uint8_t *at = out;

    assert(f && len % (int64_t)info->block_len == 0);
    if (!all_below(x, (size_t)len, f->to ? INFINITY : f->limit))
        return false;
    if (!f->to)
        return dlm_dtype_from_f32(f->dtype, x, out, (size_t)len);
    for (int64_t i = 0; i < len; i += (int64_t)info->block_len, at += info->block_bytes)
        if (!f->to(x + i, at))
            return false;
    return true;
}

enum dlm_dtype dlm_ggml_operand(enum dlm_ggml_type type)
{
    const struct format *f = find_format(type);

    return f ? f->dtype : DLM_DTYPE_COUNT;
}

void dlm_ggml_to_parts(enum dlm_ggml_type type, const void *in, int64_t len,
                       const struct dlm_quant_parts *out)
{
    const struct format *f = find_format(type);
    const struct dlm_ggml_type_info *info = dlm_ggml_type_info((uint32_t)type);
    const int64_t block_len = (int64_t)info->block_len;
    const struct dlm_quant_layout step = dlm_quant_layout(f->dtype, block_len);
    struct dlm_quant_parts at = *out;
    const uint8_t *block = in;

    assert(f->parts && len % block_len == 0);
    for (int64_t i = 0; i < len; i += block_len, block += info->block_bytes) {
        f->parts(block, &at);
        at.codes += step.high;
        at.high += step.scales - step.high;
        at.scales += step.mins - step.scales;
        at.mins += step.nested - step.mins;
        at.nested += step.bytes - step.nested;
    }
}

/* Through a block's parts: base/quant.c knows what they stand for. */
static void from_parts(const struct format *f, int64_t len, const uint8_t *in, float *x)
{
    uint8_t form[256]; /* of at most 210 bytes */
    const struct dlm_quant_parts parts = dlm_quant_parts(f->dtype, form, len, 0);

    f->parts(in, &parts);
    dlm_dequantize(f->dtype, form, len, 0, len, x);
}

void dlm_ggml_dequantize(enum dlm_ggml_type type, const void *in, int64_t len, float *out)
{
    const struct format *f = find_format(type);
    const struct dlm_ggml_type_info *info = dlm_ggml_type_info((uint32_t)type);
    const int64_t block_len = (int64_t)info->block_len;
    const uint8_t *at = in;

    assert(f && len % block_len == 0);
    if (!f->to) {
        const bool is_plain = dlm_dtype_to_f32(f->dtype, in, out, (size_t)len);
        assert(is_plain);
        (void)is_plain;
        return;
    }
    for (int64_t i = 0; i < len; i += block_len, at += info->block_bytes) {
        if (f->parts)
            from_parts(f, block_len, at, out + i);
        else
            f->from(at, out + i);
    }
}

/* --- rows, on the context's threads --- */

struct rows {
    enum dlm_ggml_type type;
    const float *x;
    int64_t row_len, num, chunk;
    size_t row_bytes;
    uint8_t *out;
    atomic_bool is_bad;
};

static void quantize_chunk(void *user, int64_t item, int worker)
{
    struct rows *r = user;
    const int64_t first = item * r->chunk, num = DLM_MIN(r->chunk, r->num - first);

    (void)worker;
    if (!dlm_ggml_quantize(r->type, r->x + first * r->row_len, num * r->row_len,
                           r->out + (size_t)first * r->row_bytes))
        atomic_store(&r->is_bad, true);
}

enum dlm_status dlm_ggml_quantize_rows(struct dlm_ctx *ctx, const char *name,
                                       enum dlm_ggml_type type, const float *x, int64_t row_len,
                                       int64_t rows, void *out)
{
    enum { CHUNK_LEN = 1 << 14 }; /* elements that are worth an item */
    struct rows r = {.type = type, .x = x, .row_len = row_len, .num = rows, .out = out};
    struct dlm_pool *pool = dlm_ctx_pool(ctx);

    if (!pool)
        return DLM_ERR_MEMORY;
    if (!dlm_ggml_type_bytes(type, row_len, 1, &r.row_bytes))
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "cannot convert tensor '%.200s': rows of %lld are no whole blocks of %s",
                        name, (long long)row_len, dlm_ggml_type_name((uint32_t)type));
    r.chunk = DLM_MAX(1, CHUNK_LEN / DLM_MAX(row_len, 1));
    dlm_pool_run(pool, quantize_chunk, &r, (rows + r.chunk - 1) / r.chunk);
    if (atomic_load(&r.is_bad))
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "cannot convert tensor '%.200s': it holds numbers that are not finite, or "
                        "too large for %s",
                        name, dlm_ggml_type_name((uint32_t)type));
    return DLM_OK;
}
