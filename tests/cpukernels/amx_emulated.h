/* The tile instructions of AMX emulated as the manual describes them (Intel SDM, TILELOADD,
 * TDPBF16PS, TILESTORED): for kernels that are included behind this, it checks addressing, packing
 * and tails on machines without AMX. What it cannot check: speed, and that the system grants the
 * tiles. */
#ifndef DLM_TESTS_CPUKERNELS_AMX_EMULATED_H
#define DLM_TESTS_CPUKERNELS_AMX_EMULATED_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/scalar.h"

static struct {
    uint8_t rows[8][16][64];
    bool is_configured;
} tile_state;

static void emulated_load(int tile, const void *base, size_t stride)
{
    for (int r = 0; r < 16; r++)
        memcpy(tile_state.rows[tile][r], (const char *)base + (size_t)r * stride, 64);
}

static void emulated_store(int tile, void *base, size_t stride)
{
    for (int r = 0; r < 16; r++)
        memcpy((char *)base + (size_t)r * stride, tile_state.rows[tile][r], 64);
}

static void emulated_zero(int tile)
{
    memset(tile_state.rows[tile], 0, sizeof(tile_state.rows[tile]));
}

static float bf16_at(int tile, int row, int at)
{
    uint16_t half;

    memcpy(&half, tile_state.rows[tile][row] + 2 * at, 2);
    return dlm_bf16_to_f32(half);
}

static void emulated_dp(int c, int a, int b)
{
    if (!tile_state.is_configured) {
        memset(tile_state.rows[c], 0xff, sizeof(tile_state.rows[c])); /* NaN */
        return;
    }
    for (int m = 0; m < 16; m++) {
        float sums[16];
        memcpy(sums, tile_state.rows[c][m], 64);
        for (int k = 0; k < 16; k++) {
            for (int n = 0; n < 16; n++) {
                sums[n] += bf16_at(a, m, 2 * k) * bf16_at(b, k, 2 * n);
                sums[n] += bf16_at(a, m, 2 * k + 1) * bf16_at(b, k, 2 * n + 1);
            }
        }
        memcpy(tile_state.rows[c][m], sums, 64);
    }
}

/* Palette 1 and 16 rows of 64 bytes for all eight tiles, or nothing works. */
static void emulated_config(const void *config)
{
    const uint8_t *c = config;
    bool ok = c[0] == 1 && c[1] == 0;

    for (int i = 0; i < 8; i++)
        ok = ok && c[16 + 2 * i] == 64 && c[17 + 2 * i] == 0 && c[48 + i] == 16;
    tile_state.is_configured = ok;
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) emulated_config(config)
#define _tile_release() (tile_state.is_configured = false)
#define _tile_loadd(tile, base, stride) emulated_load(tile, base, stride)
#define _tile_stored(tile, base, stride) emulated_store(tile, base, stride)
#define _tile_zero(tile) emulated_zero(tile)
#define _tile_dpbf16ps(c, a, b) emulated_dp(c, a, b)

#endif
