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
        (uint64_t)n > most || (uint64_t)k > most || k % dlm_panel_block(dtype) ||
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

/* The codes of 16 rows, row_bytes apart, into a panel; those of missing rows are `none`. */
static void pack_codes(enum dlm_dtype dtype, uint8_t *panel, const uint8_t *rows, size_t row_bytes,
                       int64_t num_rows, int64_t k, unsigned none)
{
    const bool is_q8 = dtype == DLM_DTYPE_Q8_0;

    if (!is_q8)
        memset(panel, 0, (size_t)k * DLM_PANEL_COLS / 2);
    for (int64_t r = 0; r < COLS; r++) {
        const uint8_t *row = rows + (size_t)r * row_bytes;
        for (int64_t i = 0; i < k; i++) {
            /* lane 2 r + i % 2 of the pair of k, or of the word of eight pairs */
            const int64_t lane = 2 * r + i % 2;
            unsigned code = none;
            if (r < num_rows)
                code = is_q8 ? row[i] : row[i / 2] >> (i % 2 ? 0 : 4) & 15u;
            if (is_q8)
                panel[i / 2 * 2 * COLS + lane] = (uint8_t)code; /* a byte */
            else
                panel[i / 16 * 8 * COLS + lane * 4 + i % 16 / 4] |=
                    (uint8_t)(code << (i % 4 / 2 * 4)); /* half of one */
        }
    }
}

/* The scales of 16 rows, `blocks` each, into a panel; those of missing rows are 0. */
static void pack_scales(uint8_t *out, const uint8_t *rows, size_t scale_bytes, int64_t num_rows,
                        size_t blocks)
{
    for (size_t b = 0; b < blocks; b++) {
        for (size_t r = 0; r < COLS; r++, out += scale_bytes) {
            if ((int64_t)r < num_rows)
                memcpy(out, rows + (r * blocks + b) * scale_bytes, scale_bytes);
            else
                memset(out, 0, scale_bytes);
        }
    }
}

static size_t scale_bytes(enum dlm_dtype dtype)
{
    if (dtype == DLM_DTYPE_NF4_DQ)
        return 1;
    return dtype == DLM_DTYPE_Q8_0 ? sizeof(uint16_t) : sizeof(float);
}

void dlm_panel_pack_quant(enum dlm_dtype dtype, void *dst, const uint8_t *codes, const void *scales,
                          int64_t n0, int64_t n1, int64_t n, int64_t k)
{
    const unsigned none = dtype == DLM_DTYPE_Q8_0 ? 0 : ZERO_NF4;
    const size_t row_bytes = (size_t)(dtype == DLM_DTYPE_Q8_0 ? k : k / 2);
    const size_t blocks = (size_t)(k / dlm_panel_block(dtype)), each = scale_bytes(dtype);
    const size_t stride = dlm_panel_stride(dtype, k);
    const size_t code_bytes = (size_t)k * dlm_panel_k_bytes(dtype);

    n1 = DLM_MIN(n1, n);
    for (int64_t row = n0; row < n1; row += COLS) {
        const size_t from = (size_t)(row - n0);
        const int64_t num = DLM_MIN(n1 - row, (int64_t)COLS);
        uint8_t *panel = (uint8_t *)dst + (size_t)row / COLS * stride;
        const size_t used = code_bytes + blocks * COLS * each;
        pack_codes(dtype, panel, codes + from * row_bytes, row_bytes, num, k, none);
        pack_scales(panel + code_bytes, (const uint8_t *)scales + from * blocks * each, each, num,
                    blocks);
        memset(panel + used, 0, stride - used);
    }
}

void dlm_panel_pack_nested(void *dst, const float *nested, int64_t n, int64_t k)
{
    const size_t bytes = tail_bytes(DLM_DTYPE_NF4_DQ, n, k);

    memcpy((uint8_t *)dst + (dlm_panel_bytes(DLM_DTYPE_NF4_DQ, n, k) - bytes), nested, bytes);
}

/* Scale of block `block` of row `row`. */
static float quant_scale(enum dlm_dtype dtype, const uint8_t *panels, int64_t row, int64_t n,
                         int64_t k, int64_t block)
{
    const uint8_t *scale = panels + (size_t)(row / COLS) * dlm_panel_stride(dtype, k) +
                           (size_t)k * dlm_panel_k_bytes(dtype) +
                           (size_t)(block * COLS + row % COLS) * scale_bytes(dtype);
    float wide, nested[2];
    uint16_t half;

    if (dtype == DLM_DTYPE_Q8_0) {
        memcpy(&half, scale, sizeof(half));
        return dlm_f16_to_f32(half);
    }
    if (dtype == DLM_DTYPE_NF4) {
        memcpy(&wide, scale, sizeof(wide));
        return wide;
    }
    const uint8_t *tail = panels + dlm_panel_bytes(dtype, n, k) - tail_bytes(dtype, n, k);
    const size_t group = (size_t)(row * (k / DLM_NF4_BLOCK) + block) / DLM_NF4_NESTED;
    memcpy(nested, tail + group * sizeof(nested), sizeof(nested));
    volatile float product = dlm_dynamic_map(*scale) * nested[0]; /* as in base/quant.c */
    return product + nested[1];
}

static void quant_row_to_f32(enum dlm_dtype dtype, const uint8_t *panels, int64_t row, int64_t n,
                             int64_t k, float *out)
{
    const uint8_t *panel = panels + (size_t)(row / COLS) * dlm_panel_stride(dtype, k);
    float scale = 0;

    for (int64_t i = 0; i < k; i++) {
        const int64_t lane = 2 * (row % COLS) + i % 2;
        if (i % dlm_panel_block(dtype) == 0)
            scale = quant_scale(dtype, panels, row, n, k, i / dlm_panel_block(dtype));
        if (dtype == DLM_DTYPE_Q8_0) {
            out[i] = (float)(int8_t)panel[i / 2 * 2 * COLS + lane] * scale;
        } else {
            const unsigned two = panel[i / 16 * 8 * COLS + lane * 4 + i % 16 / 4];
            out[i] = dlm_nf4_value(two >> (i % 4 / 2 * 4)) * scale;
        }
    }
}

void dlm_panel_row_to_f32(enum dlm_dtype dtype, const void *panels, int64_t row, int64_t n,
                          int64_t k, float *out)
{
    if (dlm_dtype_is_quant(dtype)) {
        quant_row_to_f32(dtype, panels, row, n, k, out);
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
