/* Weights to and from the resident panel form. Moves bits only; nothing is rounded. */
#include "kernels/panel.h"

#include <string.h>

#include "base/mem.h"
#include "base/quant.h"
#include "base/scalar.h"

#define COLS DLM_PANEL_COLS
#define ZERO_NF4 7u /* the code of zero */
/* Words of a row that are moved before the next row: 16 rows by 64 words are 4 KiB, in L1. */
#define BLOCK_WORDS 64

/* A panel is [words][16] of 32-bit words for every type: one f32, or two 16-bit values of a row. */
static int64_t elems_per_word(enum dlm_dtype dtype)
{
    return dtype == DLM_DTYPE_F32 ? 1 : 2;
}

/* Bytes of nf4_dq after the panels. */
static size_t tail_bytes(enum dlm_dtype dtype, int64_t n, int64_t k)
{
    const size_t blocks = (size_t)n * (size_t)(k / DLM_NF4_BLOCK);

    if (dtype != DLM_DTYPE_NF4_DQ)
        return 0;
    return 2 * sizeof(float) * ((blocks + DLM_NF4_NESTED - 1) / DLM_NF4_NESTED);
}

size_t dlm_panel_bytes(enum dlm_dtype dtype, int64_t n, int64_t k)
{
    const size_t most = SIZE_MAX / 256; /* a panel has at most 64 bytes for each k */
    size_t bytes;

    if (!(dlm_dtype_is_float(dtype) || dlm_dtype_is_quant(dtype)) || n < 0 || k < 0 ||
        (uint64_t)n > most || (uint64_t)k > most || k % dlm_dtype_block(dtype) ||
        !dlm_mul_size((size_t)dlm_panel_padded_n(n) / COLS, dlm_panel_stride(dtype, k), &bytes) ||
        bytes > most)
        return 0;
    return bytes + tail_bytes(dtype, n, k);
}

/* Word `at` of a row of row_bytes; what lies past the end is zero. */
static uint32_t load_word(const uint8_t *row, size_t row_bytes, size_t at)
{
    const size_t offset = at * sizeof(uint32_t);
    uint32_t word = 0;

    if (offset + sizeof(word) <= row_bytes)
        memcpy(&word, row + offset, sizeof(word));
    else if (offset < row_bytes)
        memcpy(&word, row + offset, row_bytes - offset);
    return word;
}

/* Packs up to 16 rows into one panel of `words`; missing rows become zero. */
static void pack_panel(uint32_t *panel, size_t words, const uint8_t *rows, size_t row_bytes,
                       int64_t num_rows)
{
    const size_t full = row_bytes / sizeof(uint32_t);

    for (size_t w0 = 0; w0 < words; w0 += BLOCK_WORDS) {
        const size_t w1 = DLM_MIN(words, w0 + BLOCK_WORDS);
        for (int64_t r = 0; r < COLS; r++) {
            const uint8_t *row = rows + (size_t)r * row_bytes;
            size_t w = w0;
            if (r < num_rows) {
                for (; w < DLM_MIN(w1, full); w++)
                    memcpy(&panel[w * COLS + (size_t)r], row + 4 * w, 4);
                for (; w < w1; w++)
                    panel[w * COLS + (size_t)r] = load_word(row, row_bytes, w);
            }
            for (; w < w1; w++)
                panel[w * COLS + (size_t)r] = 0;
        }
    }
}

void dlm_panel_pack_rows(enum dlm_dtype dtype, void *dst, const void *src, int64_t n0, int64_t n1,
                         int64_t n, int64_t k)
{
    const size_t words = (size_t)(dlm_panel_padded_k(k) / elems_per_word(dtype));
    const size_t row_bytes = dlm_dtype_size(dtype, k);
    uint32_t *panels = dst;

    n1 = DLM_MIN(n1, n);
    for (int64_t row = n0; row < n1; row += COLS) {
        const uint8_t *rows = (const uint8_t *)src + (size_t)(row - n0) * row_bytes;
        pack_panel(panels + (size_t)row * words, words, rows, row_bytes,
                   DLM_MIN(n1 - row, (int64_t)COLS));
    }
}

/* A view of the rows from `rows` on, each of k elements. */
static struct dlm_quant_view skip_rows(const struct dlm_quant_view *v, int64_t rows, int64_t k)
{
    const struct dlm_quant_info *q = dlm_quant_info(v->dtype);
    const size_t bits = (size_t)(rows * k / 8), blocks = (size_t)(rows * (k / q->block));
    struct dlm_quant_view at = *v;

    at.codes += bits * (size_t)q->code_bits;
    at.scales += blocks * q->scale_bytes;
    if (q->high_bits)
        at.high += bits * (size_t)q->high_bits;
    if (q->min_bytes)
        at.mins += blocks * q->min_bytes;
    if (dlm_panel_has_nested(q))
        at.nested += (size_t)(rows * (k / q->group)) * q->nested_bytes;
    return at;
}

/* The codes of 16 rows into a panel; those of missing rows are `none`. */
DLM_INLINE void pack_codes(uint8_t *panel, const struct dlm_quant_view *rows,
                           const struct dlm_quant_info *q, int code_bits, int high_bits,
                           int64_t num_rows, int64_t k, unsigned none)
{
    if (code_bits != 8)
        memset(panel, 0, (size_t)k * dlm_panel_k_bytes(rows->dtype));
    for (int64_t r = 0; r < COLS; r++) {
        for (int64_t i = 0; i < k; i++) {
            /* lane 2 r + i % 2 of the pair of k, or of the word of eight pairs */
            const int64_t lane = 2 * r + i % 2;
            const unsigned code =
                r < num_rows ? dlm_quant_code(rows, code_bits, high_bits, r * k + i) : none;
            if (code_bits == 8) {
                panel[i / 2 * 2 * COLS + lane] = (uint8_t)code; /* a byte */
                continue;
            }
            const size_t at = (size_t)(lane * 4 + i % 16 / 4), odd = (size_t)(i % 4 / 2);
            uint8_t *low = panel + dlm_panel_code_at(q, i / 16 * 16) + at;
            *low = (uint8_t)(*low | (code & 15) << 4 * odd); /* half of one */
            if (high_bits) {
                const size_t word = (size_t)(i % dlm_panel_unit(q) / 16);
                uint8_t *high = panel + dlm_panel_high_at(q, i / 16 * 16) + at;
                *high = (uint8_t)(*high | code >> 4 << (2 * word + odd) * (size_t)high_bits);
            }
        }
    }
}

static void pack_panel_codes(uint8_t *panel, const struct dlm_quant_view *rows, int64_t num_rows,
                             int64_t k)
{
    const struct dlm_quant_info *q = dlm_quant_info(rows->dtype);
    const bool is_nf4 = rows->dtype == DLM_DTYPE_NF4 || rows->dtype == DLM_DTYPE_NF4_DQ;

    if (q->code_bits == 8)
        pack_codes(panel, rows, q, 8, 0, num_rows, k, 0);
    else if (q->high_bits == 0)
        pack_codes(panel, rows, q, 4, 0, num_rows, k, is_nf4 ? ZERO_NF4 : 0);
    else if (q->high_bits == 1)
        pack_codes(panel, rows, q, 4, 1, num_rows, k, 0);
    else
        pack_codes(panel, rows, q, 4, 2, num_rows, k, 0);
}

/* Numbers of 16 rows, of `bytes` bytes and `num` of them a row, into a panel; those of missing rows
 * are 0. parts: what stands side by side in a row's number stands row after row in the panel.
 * Returns where they end. */
static uint8_t *pack_scales(uint8_t *out, const uint8_t *rows, size_t bytes, size_t parts,
                            int64_t num_rows, size_t num)
{
    const size_t each = bytes / parts;

    for (size_t i = 0; i < num * parts; i++) {
        for (size_t r = 0; r < COLS; r++, out += each) {
            if ((int64_t)r < num_rows)
                memcpy(out, rows + r * num * bytes + i * each, each);
            else
                memset(out, 0, each);
        }
    }
    return out;
}

void dlm_panel_pack_quant(void *dst, const struct dlm_quant_view *src, int64_t n0, int64_t n1,
                          int64_t n, int64_t k)
{
    const struct dlm_quant_info *q = dlm_quant_info(src->dtype);
    const size_t blocks = (size_t)(k / q->block), stride = dlm_panel_stride(src->dtype, k);
    const size_t code_bytes = (size_t)k * dlm_panel_k_bytes(src->dtype);

    n1 = DLM_MIN(n1, n);
    for (int64_t row = n0; row < n1; row += COLS) {
        const struct dlm_quant_view rows = skip_rows(src, row - n0, k);
        const int64_t num = DLM_MIN(n1 - row, (int64_t)COLS);
        uint8_t *panel = (uint8_t *)dst + (size_t)row / COLS * stride;
        pack_panel_codes(panel, &rows, num, k);
        uint8_t *out = pack_scales(panel + code_bytes, rows.scales, q->scale_bytes, 1, num, blocks);
        if (q->min_bytes)
            out = pack_scales(out, rows.mins, q->min_bytes, 1, num, blocks);
        if (dlm_panel_has_nested(q))
            out = pack_scales(out, rows.nested, q->nested_bytes, q->nested_bytes / 2, num,
                              (size_t)(k / q->group));
        memset(out, 0, (size_t)(panel + stride - out));
    }
}

void dlm_panel_pack_nested(void *dst, const float *nested, int64_t n, int64_t k)
{
    const size_t bytes = tail_bytes(DLM_DTYPE_NF4_DQ, n, k);

    memcpy((uint8_t *)dst + (dlm_panel_bytes(DLM_DTYPE_NF4_DQ, n, k) - bytes), nested, bytes);
}

static float half_at(const uint8_t *halves, size_t i)
{
    uint16_t half;

    memcpy(&half, halves + 2 * i, sizeof(half));
    return dlm_f16_to_f32(half);
}

/* A weight's panels, and what lies where in the one with the row that is wanted. */
struct quant_row {
    enum dlm_dtype dtype;
    const struct dlm_quant_info *info;
    const uint8_t *panel, *scales, *mins, *nested;
    int64_t row, k;
};

/* Scale of block `block`, and what is taken off its values. */
static float quant_scale(const struct quant_row *q, int64_t block, float *min)
{
    const size_t col = (size_t)(q->row % COLS), at = (size_t)block * COLS + col;
    const size_t group = (size_t)(block * q->info->block / 256);
    float wide, pair[2];

    *min = 0;
    switch (q->dtype) {
    case DLM_DTYPE_NF4:
        memcpy(&wide, q->scales + 4 * at, sizeof(wide));
        return wide;
    case DLM_DTYPE_NF4_DQ: {
        const size_t flat = (size_t)(q->row * (q->k / DLM_NF4_BLOCK) + block);
        memcpy(pair, q->nested + flat / DLM_NF4_NESTED * sizeof(pair), sizeof(pair));
        volatile float product = dlm_dynamic_map(q->scales[at]) * pair[0]; /* as in base/quant.c */
        return product + pair[1];
    }
    case DLM_DTYPE_Q4_K:
    case DLM_DTYPE_Q5_K:
        *min = half_at(q->nested, (2 * group + 1) * COLS + col) * (float)q->mins[at];
        return half_at(q->nested, 2 * group * COLS + col) * (float)q->scales[at];
    case DLM_DTYPE_Q6_K:
        return half_at(q->nested, group * COLS + col) * (float)(int8_t)q->scales[at];
    default: /* q8_0, q4_0 */
        return half_at(q->scales, at);
    }
}

static struct quant_row quant_row(enum dlm_dtype dtype, const uint8_t *panels, int64_t row,
                                  int64_t n, int64_t k)
{
    struct quant_row q = {.dtype = dtype, .info = dlm_quant_info(dtype), .row = row, .k = k};
    const size_t numbers = (size_t)(k / q.info->block) * COLS;

    q.panel = panels + (size_t)(row / COLS) * dlm_panel_stride(dtype, k);
    q.scales = q.panel + (size_t)k * dlm_panel_k_bytes(dtype);
    q.mins = q.scales + numbers * q.info->scale_bytes;
    q.nested = dlm_panel_has_nested(q.info)
                   ? q.mins + numbers * q.info->min_bytes
                   : panels + dlm_panel_bytes(dtype, n, k) - tail_bytes(dtype, n, k);
    return q;
}

/* What is multiplied by the scale. */
static float quant_unit(const struct quant_row *q, int64_t i)
{
    const int64_t lane = 2 * (q->row % COLS) + i % 2;
    const struct dlm_quant_info *info = q->info;

    if (info->code_bits == 8)
        return (float)(int8_t)q->panel[i / 2 * 2 * COLS + lane];
    const size_t at = (size_t)(lane * 4 + i % 16 / 4), odd = (size_t)(i % 4 / 2);
    unsigned code = q->panel[dlm_panel_code_at(info, i / 16 * 16) + at] >> 4 * odd & 15u;
    if (info->high_bits) {
        const size_t word = (size_t)(i % dlm_panel_unit(info) / 16);
        const unsigned high = q->panel[dlm_panel_high_at(info, i / 16 * 16) + at];
        code |= (high >> (2 * word + odd) * (size_t)info->high_bits &
                 ((1u << info->high_bits) - 1)) << 4;
    }
    if (q->dtype == DLM_DTYPE_NF4 || q->dtype == DLM_DTYPE_NF4_DQ)
        return dlm_nf4_value(code);
    return (float)((int)code - info->zero); /* below 64 */
}

static void quant_row_to_f32(const struct quant_row *q, float *out)
{
    float scale = 0, min = 0;

    for (int64_t i = 0; i < q->k; i++) {
        if (i % q->info->block == 0)
            scale = quant_scale(q, i / q->info->block, &min);
        out[i] = quant_unit(q, i) * scale - min;
    }
}

void dlm_panel_row_to_f32(enum dlm_dtype dtype, const void *panels, int64_t row, int64_t n,
                          int64_t k, float *out)
{
    if (dlm_dtype_is_quant(dtype)) {
        const struct quant_row q = quant_row(dtype, panels, row, n, k);
        quant_row_to_f32(&q, out);
        return;
    }
    const size_t words = (size_t)(dlm_panel_padded_k(k) / elems_per_word(dtype));
    const uint32_t *panel = (const uint32_t *)panels + (size_t)(row / COLS * COLS) * words;
    const uint32_t *word = panel + row % COLS;

    if (dtype == DLM_DTYPE_F32) {
        for (int64_t i = 0; i < k; i++)
            out[i] = dlm_as_f32_(word[i * COLS]);
        return;
    }
    for (int64_t i = 0; i < k; i++) {
        const uint32_t half = word[i / 2 * COLS] >> (i % 2 * 16) & 0xffffu;
        out[i] = dtype == DLM_DTYPE_BF16 ? dlm_bf16_to_f32(half) : dlm_f16_to_f32(half);
    }
}

void dlm_panel_unpack_rows(enum dlm_dtype dtype, const void *panels, void *dst, int64_t n0,
                           int64_t n1, int64_t k)
{
    const size_t words = (size_t)(dlm_panel_padded_k(k) / elems_per_word(dtype));
    const size_t row_bytes = dlm_dtype_size(dtype, k);

    for (int64_t row = n0; row < n1; row++) {
        const uint32_t *panel = (const uint32_t *)panels + (size_t)(row / COLS * COLS) * words;
        uint8_t *out = (uint8_t *)dst + (size_t)(row - n0) * row_bytes;
        for (size_t offset = 0, w = 0; offset < row_bytes; offset += 4, w++) {
            memcpy(out + offset, &panel[w * COLS + (size_t)(row % COLS)],
                   DLM_MIN((size_t)4, row_bytes - offset));
        }
    }
}
