/* Weights to and from the resident panel form. Moves bits only; nothing is rounded. */
#include "kernels/panel.h"

#include <string.h>

#include "base/mem.h"
#include "base/scalar.h"

#define COLS DLM_PANEL_COLS
/* Words of a row that are moved before the next row: 16 rows by 64 words are 4 KiB, in L1. */
#define BLOCK_WORDS 64

/* A panel is [words][16] of 32-bit words for every type: one f32, or two 16-bit values of a row. */
static int64_t elems_per_word(enum dlm_dtype dtype)
{
    return dtype == DLM_DTYPE_F32 ? 1 : 2;
}

size_t dlm_panel_bytes(enum dlm_dtype dtype, int64_t n, int64_t k)
{
    size_t len, bytes;

    if (!dlm_dtype_is_float(dtype) || n < 0 || k < 0 || n > INT64_MAX / 2 || k > INT64_MAX / 2)
        return 0;
    if (!dlm_mul_size((size_t)dlm_panel_padded_n(n), (size_t)dlm_panel_padded_k(k), &len) ||
        len > INT64_MAX || !dlm_dtype_bytes(dtype, (int64_t)len, &bytes))
        return 0;
    return bytes;
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

void dlm_panel_row_to_f32(enum dlm_dtype dtype, const void *panels, int64_t row, int64_t k,
                          float *out)
{
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
