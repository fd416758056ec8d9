/* Q4_K and Q5_K: 8 sub-blocks of 32 elements with a scale and a minimum each, value = scale * q -
 * min. Which ones is searched: a row of factors is tried, for each the codes are rounded, and scale
 * and minimum are then the least squares for these codes, weighted by how large an element is. The
 * pair with the least error wins.
 *
 * The 8 searches of a block go side by side, as lanes of vectors: what a lane does, and in which
 * order, is the search of one sub-block. */
#include <math.h>
#include <string.h>

#include "gguf/blocks_impl.h"

enum { LANES = 8, SUB = 32 };

/* Arrays by lane: [SUB][LANES] is element, sub-block. */
struct search {
    float x[SUB][LANES], w[SUB][LANES]; /* w: weight in the error */
    float sum_w[LANES], sum_wx[LANES];
    float low[LANES], high[LANES]; /* low: the minimum in hand, at most 0 */
    float scale[LANES], error[LANES];
    int32_t q[SUB][LANES], trial[SUB][LANES];
    float sum_q[LANES], sum_qq[LANES], sum_qx[LANES]; /* of a trial, weighted */
    float trial_scale[LANES], trial_low[LANES], trial_error[LANES], trial_floor[LANES];
};

/* The factors of a format: (from + step * 0.1 + most) / (high - low) for step = 0 .. steps. */
struct range {
    int32_t most; /* largest code */
    float from;
    int steps;
};
static const struct range q4 = {15, -1.0f, 20}, q5 = {31, -0.5f, 15};

static void load(struct search *s, const float *x)
{
    for (int i = 0; i < SUB; i++)
        for (int n = 0; n < LANES; n++)
            s->x[i][n] = x[n * SUB + i];
    DLM_SIMD for (int n = 0; n < LANES; n++) {
        float squares = 0;
        for (int i = 0; i < SUB; i++)
            squares += s->x[i][n] * s->x[i][n];
        s->scale[n] = sqrtf(squares / SUB);
    }
    for (int i = 0; i < SUB; i++)
        for (int n = 0; n < LANES; n++)
            s->w[i][n] = s->scale[n] + fabsf(s->x[i][n]);
    DLM_SIMD for (int n = 0; n < LANES; n++) {
        float low = s->x[0][n], high = low, sum_w = 0, sum_wx = 0;
        for (int i = 0; i < SUB; i++) {
            const float v = s->x[i][n], w = s->w[i][n];
            low = v < low ? v : low;
            high = v > high ? v : high;
            sum_w += w;
            sum_wx += w * v;
        }
        s->low[n] = low > 0 ? 0 : low;
        s->high[n] = high;
        s->sum_w[n] = sum_w;
        s->sum_wx[n] = sum_wx;
    }
}

/* The first codes: evenly from the lowest element to the highest. */
static void begin(struct search *s, int32_t most)
{
    DLM_SIMD for (int n = 0; n < LANES; n++) {
        const float low = s->low[n], factor = (float)most / (s->high[n] - low);
        const float scale = 1 / factor;
        float error = 0;
        for (int i = 0; i < SUB; i++) {
            const int32_t q =
                dlm_ggml_clamp(dlm_ggml_nearest(factor * (s->x[i][n] - low)), 0, most);
            const float diff = scale * (float)q + low - s->x[i][n];
            s->q[i][n] = q;
            error += s->w[i][n] * (diff * diff);
        }
        s->scale[n] = scale;
        s->error[n] = error;
    }
}

/* Codes for a factor, and their weighted sums. */
static void round_codes(struct search *s, int32_t most, float codes)
{
    DLM_SIMD for (int n = 0; n < LANES; n++) {
        const float low = s->low[n], factor = codes / (s->high[n] - low);
        float sum_q = 0, sum_qq = 0, sum_qx = 0;
        for (int i = 0; i < SUB; i++) {
            const int32_t code =
                dlm_ggml_clamp(dlm_ggml_nearest(factor * (s->x[i][n] - low)), 0, most);
            const float q = (float)code, wq = s->w[i][n] * q;
            s->trial[i][n] = code;
            sum_q += wq;
            sum_qq += wq * q;
            sum_qx += wq * s->x[i][n];
        }
        s->sum_q[n] = sum_q;
        s->sum_qq[n] = sum_qq;
        s->sum_qx[n] = sum_qx;
    }
}

/* The best scale and minimum for these codes. Codes that determine none, as all 0 do, give an error
 * that is not below any other. */
static void fit_trial(struct search *s)
{
    for (int n = 0; n < LANES; n++) {
        const float sum_w = s->sum_w[n], sum_wx = s->sum_wx[n];
        const float sum_q = s->sum_q[n], sum_qq = s->sum_qq[n], sum_qx = s->sum_qx[n];
        const float det = sum_w * sum_qq - sum_q * sum_q;
        const float scale = (sum_w * sum_qx - sum_wx * sum_q) / det;
        const float low = (sum_qq * sum_wx - sum_q * sum_qx) / det;
        s->trial_scale[n] = low > 0 ? sum_qx / sum_qq : scale;
        s->trial_low[n] = low > 0 ? 0 : low;
        s->trial_floor[n] = det > 0 ? 0 : INFINITY;
    }
    DLM_SIMD for (int n = 0; n < LANES; n++) {
        const float scale = s->trial_scale[n], low = s->trial_low[n];
        float error = 0;
        for (int i = 0; i < SUB; i++) {
            const float diff = scale * (float)s->trial[i][n] + low - s->x[i][n];
            error += s->w[i][n] * (diff * diff);
        }
        s->trial_error[n] = error + s->trial_floor[n];
    }
}

/* Takes over the trial in the lanes in which it is better. */
static void keep_better(struct search *s)
{
    int32_t is_better[LANES], any = 0;

    for (int n = 0; n < LANES; n++) {
        is_better[n] = s->trial_error[n] < s->error[n] ? -1 : 0;
        any |= is_better[n];
    }
    if (!any)
        return;
    for (int n = 0; n < LANES; n++) {
        s->error[n] = is_better[n] ? s->trial_error[n] : s->error[n];
        s->scale[n] = is_better[n] ? s->trial_scale[n] : s->scale[n];
        s->low[n] = is_better[n] ? s->trial_low[n] : s->low[n];
    }
    for (int i = 0; i < SUB; i++)
        for (int n = 0; n < LANES; n++)
            s->q[i][n] = (s->trial[i][n] & is_better[n]) | (s->q[i][n] & ~is_better[n]);
}

/* Scales, minima (not negative) and codes of the 8 sub-blocks of x. */
static void search(struct search *s, const struct range *r, const float *x)
{
    bool is_flat[LANES];

    load(s, x);
    for (int n = 0; n < LANES; n++)
        is_flat[n] = s->low[n] == s->high[n];
    begin(s, r->most);
    for (int n = 0; n < LANES; n++)
        if (is_flat[n]) { /* all codes 0, and no trial is better */
            s->scale[n] = 0;
            s->error[n] = 0;
            for (int i = 0; i < SUB; i++)
                s->q[i][n] = 0;
        }
    for (int step = 0; step <= r->steps; step++) {
        round_codes(s, r->most, r->from + 0.1f * (float)step + (float)r->most);
        fit_trial(s);
        keep_better(s);
    }
}

/* The 6-bit scale and minimum of sub-block n in the 12 bytes that hold all. */
static void put_scales(uint8_t *packed, int n, uint32_t scale, uint32_t min)
{
    if (n < 4) {
        packed[n] = (uint8_t)scale; /* of 6 bits: what follows fits as well */
        packed[n + 4] = (uint8_t)min;
        return;
    }
    packed[n + 4] = (uint8_t)((scale & 15) | (min & 15) << 4);
    packed[n - 4] = (uint8_t)(packed[n - 4] | scale >> 4 << 6);
    packed[n] = (uint8_t)(packed[n] | min >> 4 << 6);
}

static void get_scales(const uint8_t *packed, int n, uint8_t *scale, uint8_t *min)
{
    if (n < 4) {
        *scale = packed[n] & 63;
        *min = packed[n + 4] & 63;
        return;
    }
    *scale = (uint8_t)((packed[n + 4] & 15) | packed[n - 4] >> 6 << 4); /* 6 bits each */
    *min = (uint8_t)(packed[n + 4] >> 4 | packed[n] >> 6 << 4);
}

/* Header of a block (16 bytes) and its codes, one a byte. */
static bool quantize(const struct range *r, const float *x, uint8_t *out, uint8_t *codes)
{
    struct search s;
    float max_scale = 0, max_min = 0;
    uint8_t scale, min;

    search(&s, r, x);
    for (int n = 0; n < LANES; n++) {
        max_scale = s.scale[n] > max_scale ? s.scale[n] : max_scale;
        max_min = -s.low[n] > max_min ? -s.low[n] : max_min;
    }
    const float scale_factor = max_scale > 0 ? 63.0f / max_scale : 0;
    const float min_factor = max_min > 0 ? 63.0f / max_min : 0;
    for (int n = 0; n < LANES; n++) {
        /* a byte each, as in ggml: a scale below 0 wraps and counts as the largest */
        const uint8_t ls = (uint8_t)dlm_ggml_nearest(scale_factor * s.scale[n]);
        const uint8_t lm = (uint8_t)dlm_ggml_nearest(min_factor * -s.low[n]);
        put_scales(out + 4, n, DLM_MIN(ls, 63u), DLM_MIN(lm, 63u));
    }
    if (!dlm_ggml_put_f16(out, max_scale / 63.0f) || !dlm_ggml_put_f16(out + 2, max_min / 63.0f))
        return false;
    for (int n = 0; n < LANES; n++) {
        get_scales(out + 4, n, &scale, &min);
        const float d = dlm_ggml_get_f16(out) * (float)scale;
        const float m = dlm_ggml_get_f16(out + 2) * (float)min;
        for (int i = 0; i < SUB; i++) {
            const int32_t q = dlm_ggml_clamp(dlm_ggml_nearest((s.x[i][n] + m) / d), 0, r->most);
            codes[n * SUB + i] = (uint8_t)(d != 0 ? q : s.q[i][n]); /* 0 .. most */
        }
    }
    return true;
}

bool dlm_ggml_block_to_q4_k(const float *x, uint8_t *out)
{
    uint8_t codes[DLM_GGUF_K_LEN];

    if (!quantize(&q4, x, out, codes))
        return false;
    for (int c = 0; c < DLM_GGUF_K_LEN; c += 64)
        for (int i = 0; i < 32; i++)
            out[16 + c / 2 + i] = (uint8_t)(codes[c + i] | codes[c + 32 + i] << 4);
    return true;
}

bool dlm_ggml_block_to_q5_k(const float *x, uint8_t *out)
{
    uint8_t codes[DLM_GGUF_K_LEN];

    if (!quantize(&q5, x, out, codes))
        return false;
    memset(out + 16, 0, 32);
    for (int c = 0; c < DLM_GGUF_K_LEN; c += 64)
        for (int i = 0; i < 32; i++) {
            const uint8_t low = codes[c + i], high = codes[c + 32 + i];
            out[48 + c / 2 + i] = (uint8_t)((low & 15) | (high & 15) << 4);
            /* sub-block n has its fifth bits at bit n */
            out[16 + i] = (uint8_t)(out[16 + i] | low >> 4 << c / 32 | high >> 4 << (c / 32 + 1));
        }
    return true;
}

/* Scales and minima; high: the fifth bits, or NULL. */
static void to_parts(const uint8_t *in, const uint8_t *low, const uint8_t *high,
                     const struct dlm_quant_parts *out)
{
    uint8_t codes[DLM_GGUF_K_LEN];

    memcpy(out->nested, in, 4);
    for (int n = 0; n < LANES; n++) {
        get_scales(in + 4, n, out->scales + n, out->mins + n);
        for (int i = 0; i < SUB; i++) {
            const unsigned fifth = high ? (unsigned)high[i] >> n & 1 : 0;
            codes[n * SUB + i] =
                (uint8_t)((low[n / 2 * SUB + i] >> n % 2 * 4 & 15) | fifth << 4); /* 0 .. 31 */
        }
    }
    dlm_ggml_put_codes(codes, DLM_GGUF_K_LEN, high != NULL, out);
}

void dlm_ggml_block_parts_q4_k(const uint8_t *in, const struct dlm_quant_parts *out)
{
    to_parts(in, in + 16, NULL, out);
}

void dlm_ggml_block_parts_q5_k(const uint8_t *in, const struct dlm_quant_parts *out)
{
    to_parts(in, in + 48, in + 16, out);
}
