/* AMX: the hardware's tiles as every kernel here has them. */
#ifndef DLM_CPUKERNELS_AMX_H
#define DLM_CPUKERNELS_AMX_H

#include <immintrin.h>
#include <stdint.h>

#include "base/attr.h"

/* The operand of ldtilecfg, palette 1: tiles of `rows` rows of `row_bytes`. */
struct dlm_amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* All 8 tiles have 16 rows of 64 bytes. */
static inline void dlm_amx_configure(void)
{
    struct dlm_amx_config config DLM_ALIGNED(64) = {.palette = 1};

    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    /* gcc 12 believes that the intrinsic reads 8 bytes only, and drops the stores above */
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
}

#endif
