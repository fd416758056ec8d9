/* Q6_K: 16 sub-blocks of 16 elements, value = scale * q with q in -32 .. 31. The scale is searched:
 * factors around the one that makes the largest element -32 are tried, for each the codes are
 * rounded, and the scale is then the least squares for these codes, weighted by the elements'
 * squares. The searches go side by side, as in blocks_q45_k.c. */
#include <math.h>
#include <string.h>

#include "gguf/blocks_impl.h"

#define TINY 1e-15f /* a sub-block of nothing larger is zero */

enum { LANES = 16, SUB = 16, BYTES = 210 };

/* [SUB][LANES]: element, sub-block. */
struct search {
    float x[SUB][LANES];
    float extreme[LANES]; /* the element of largest magnitude; the first of those as large */
    float scale[LANES], gain[LANES]; /* gain: what the scale takes off the weighted error */
    int32_t q[SUB][LANES], trial[SUB][LANES];
    float sum_qx[LANES], sum_qq[LANES]; /* weighted sums of a trial */
};

static void load(struct search *s, const float *x)
{
    for (int i = 0; i < SUB; i++)
        for (int n = 0; n < LANES; n++)
            s->x[i][n] = x[n * SUB + i];
    DLM_SIMD for (int n = 0; n < LANES; n++) {
        float extreme = 0;
        for (int i = 0; i < SUB; i++)
            extreme = fabsf(s->x[i][n]) > fabsf(extreme) ? s->x[i][n] : extreme;
        s->extreme[n] = extreme;
    }
}

/* The codes that -most / extreme gives, and their sums. */
static void try_factor(struct search *s, float most)
{
    DLM_SIMD for (int n = 0; n < LANES; n++) {
        const float factor = -most / s->extreme[n];
        float sum_qx = 0, sum_qq = 0;
        for (int i = 0; i < SUB; i++) {
            const float x = s->x[i][n], w = x * x;
            const int32_t code = dlm_ggml_clamp(dlm_ggml_nearest(factor * x), -32, 31);
            const float q = (float)code;
            s->trial[i][n] = code;
            sum_qx += w * x * q;
            sum_qq += w * q * q;
        }
        s->sum_qx[n] = sum_qx;
        s->sum_qq[n] = sum_qq;
    }
}

static void keep_better(struct search *s)
{
    int32_t is_better[LANES], any = 0;

    for (int n = 0; n < LANES; n++) {
        const float qx = s->sum_qx[n], qq = s->sum_qq[n];
        is_better[n] = qx * qx > s->gain[n] * qq ? -1 : 0;
        any |= is_better[n];
    }
    if (!any)
        return;
    for (int n = 0; n < LANES; n++)
        if (is_better[n]) {
            s->scale[n] = s->sum_qx[n] / s->sum_qq[n];
            s->gain[n] = s->scale[n] * s->sum_qx[n];
        }
    for (int i = 0; i < SUB; i++)
        for (int n = 0; n < LANES; n++)
            s->q[i][n] = (s->trial[i][n] & is_better[n]) | (s->q[i][n] & ~is_better[n]);
}

static void search(struct search *s, const float *x)
{
    load(s, x);
    try_factor(s, 32);
    for (int n = 0; n < LANES; n++) {
        s->scale[n] = s->sum_qq[n] != 0 ? s->sum_qx[n] / s->sum_qq[n] : 0;
        s->gain[n] = s->scale[n] * s->sum_qx[n];
    }
    memcpy(s->q, s->trial, sizeof(s->q));
    for (int step = -9; step <= 9; step++) {
        if (!step)
            continue;
        try_factor(s, 32 + 0.1f * (float)step);
        keep_better(s);
    }
    for (int n = 0; n < LANES; n++)
        if (fabsf(s->extreme[n]) < TINY) { /* the lowest code, and a scale that makes it 0 */
            s->scale[n] = 0;
            for (int i = 0; i < SUB; i++)
                s->q[i][n] = -32;
        }
}

/* codes: 0 .. 63, one a byte. Layout of a block: low halves [128], high halves [64], scales [16],
 * d; in each half of the block an element's code shares its bytes with those 32, 64 and 96 on. */
static void pack(const uint8_t *codes, uint8_t *out)
{
    for (int h = 0; h < 2; h++, codes += 128)
        for (int i = 0; i < 32; i++) {
            const uint32_t q1 = codes[i], q2 = codes[i + 32];
            const uint32_t q3 = codes[i + 64], q4 = codes[i + 96];
            out[64 * h + i] = (uint8_t)((q1 & 15) | (q3 & 15) << 4);
            out[64 * h + 32 + i] = (uint8_t)((q2 & 15) | (q4 & 15) << 4);
            out[128 + 32 * h + i] =
                (uint8_t)(q1 >> 4 | q2 >> 4 << 2 | q3 >> 4 << 4 | q4 >> 4 << 6); /* 2 bits each */
        }
}

bool dlm_ggml_block_to_q6_k(const float *x, uint8_t *out)
{
    struct search s;
    uint8_t codes[DLM_GGUF_K_LEN];
    float extreme = 0;

    search(&s, x);
    for (int n = 0; n < LANES; n++)
        extreme = fabsf(s.scale[n]) > fabsf(extreme) ? s.scale[n] : extreme;
    if (fabsf(extreme) < TINY) {
        memset(out, 0, BYTES);
        return true;
    }
    const float factor = -128.0f / extreme;
    if (!dlm_ggml_put_f16(out + 208, 1 / factor))
        return false;
    for (int n = 0; n < LANES; n++) {
        const int32_t scale = DLM_MIN(127, dlm_ggml_nearest(factor * s.scale[n]));
        const float d = dlm_ggml_get_f16(out + 208) * (float)scale;
        out[192 + n] = (uint8_t)(int8_t)scale; /* -128 .. 127 */
        for (int i = 0; i < SUB; i++) {
            const int32_t q = dlm_ggml_clamp(dlm_ggml_nearest(s.x[i][n] / d), -32, 31);
            codes[n * SUB + i] = (uint8_t)((d != 0 ? q : s.q[i][n]) + 32);
        }
    }
    pack(codes, out);
    return true;
}

void dlm_ggml_block_parts_q6_k(const uint8_t *in, const struct dlm_quant_parts *out)
{
    uint8_t codes[DLM_GGUF_K_LEN];

    for (int k = 0; k < DLM_GGUF_K_LEN; k++) {
        const int h = k / 128, i = k % 32, part = k % 128 / 32;
        const int low = in[64 * h + part % 2 * 32 + i] >> part / 2 * 4 & 15;
        const int high = in[128 + 32 * h + i] >> part * 2 & 3;
        codes[k] = (uint8_t)(low | high << 4); /* 0 .. 63 */
    }
    dlm_ggml_put_codes(codes, DLM_GGUF_K_LEN, 2, out);
    memcpy(out->scales, in + 192, 16);
    memcpy(out->nested, in + 208, 2);
}
