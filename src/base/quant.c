/* Quantisers with the arithmetic of their models: what is multiplied, divided and compared in f32
 * here is there too, because one bit more or less is another code at a threshold. */
#include "base/quant.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/quant_tables.h"
#include "base/scalar.h"

static const float nf4[] = {DLM_NF4_VALUES};
static const float dynamic_map[] = {DLM_DYNAMIC_MAP_VALUES};

struct dlm_quant_layout dlm_quant_layout(enum dlm_dtype dtype, int64_t len)
{
    const bool is_q8 = dtype == DLM_DTYPE_Q8_0;
    struct dlm_quant_layout l = {.blocks = len / (is_q8 ? DLM_Q8_0_BLOCK : DLM_NF4_BLOCK)};
    const size_t blocks = (size_t)l.blocks;

    l.scales = is_q8 ? (size_t)len : (size_t)len / 2;
    l.bytes = l.nested = l.scales + blocks * (is_q8 ? sizeof(uint16_t) : sizeof(float));
    if (dtype == DLM_DTYPE_NF4_DQ) {
        l.nested = l.scales + (blocks + 3) / 4 * 4;
        l.bytes = l.nested + (blocks + DLM_NF4_NESTED - 1) / DLM_NF4_NESTED * 2 * sizeof(float);
    }
    return l;
}

float dlm_nf4_value(unsigned q)
{
    return nf4[q & 15];
}

float dlm_dynamic_map(unsigned q)
{
    if (q >= 128)
        return dynamic_map[(q & 255) - 128];
    return q == 127 ? 0 : -dynamic_map[126 - q];
}

/* False when an element is not finite. */
static bool find_absmax(const float *x, int64_t len, float *absmax)
{
    float most = 0, rest = 0;

    for (int64_t i = 0; i < len; i++) {
        most = fmaxf(most, fabsf(x[i]));
        rest += x[i] - x[i]; /* 0, or NaN for ever */
    }
    *absmax = most;
    return rest == 0;
}

/* Codes of a block, one a byte: as many of the midpoints between neighbours as lie below. */
static void quantize_nf4(const float *x, int64_t len, float absmax, uint8_t *codes)
{
    const float floor = fmaxf(absmax, 1e-38f), factor = 1 / floor;
    float v[DLM_NF4_BLOCK];
    int32_t q[DLM_NF4_BLOCK] = {0};

    /* bitsandbytes divides in a short last block and multiplies in the others */
    for (int64_t i = 0; i < len; i++)
        v[i] = len < DLM_NF4_BLOCK ? x[i] / floor : x[i] * factor;
    for (int t = 0; t < 15; t++) {
        const float middle = (nf4[t] + nf4[t + 1]) / 2;
        for (int64_t i = 0; i < len; i++)
            q[i] += v[i] > middle;
    }
    for (int64_t i = 0; i < len; i++)
        codes[i] = (uint8_t)q[i]; /* 0 .. 15 */
}

static bool quantize_block_nf4(const float *x, int64_t len, uint8_t *codes, float *absmax)
{
    enum { ZERO = 7 };
    uint8_t wide[DLM_NF4_BLOCK + 1];

    if (!find_absmax(x, len, absmax))
        return false;
    quantize_nf4(x, len, *absmax, wide);
    if (len % 2)
        wide[len] = ZERO;
    if (len < DLM_NF4_BLOCK)
        *absmax = fmaxf(*absmax, 1e-38f);
    for (int64_t i = 0; i < len; i += 2)
        codes[i / 2] = (uint8_t)(wide[i] << 4 | wide[i + 1]); /* both below 16 */
    return true;
}

static bool quantize_block_q8_0(const float *x, int64_t len, uint8_t *codes, uint16_t *scale)
{
    float absmax;

    if (!find_absmax(x, len, &absmax))
        return false;
    const float d = absmax / 127;
    const float factor = isfinite(1 / d) ? 1 / d : 0; /* below, d is 0 in f16 anyway */
    const uint32_t half = dlm_f32_to_f16(d);
    if (half == 0x7c00u)
        return false;
    *scale = (uint16_t)half; /* 16 bits */
    for (int64_t i = 0; i < len; i++)
        codes[i] = (uint8_t)(int8_t)roundf(x[i] * factor); /* -127 .. 127 */
    return true;
}

bool dlm_quantize(enum dlm_dtype dtype, const float *x, int64_t len, uint8_t *codes, void *scales)
{
    const bool is_q8 = dtype == DLM_DTYPE_Q8_0;
    const int64_t block = is_q8 ? DLM_Q8_0_BLOCK : DLM_NF4_BLOCK;
    bool is_good = true;

    for (int64_t i = 0, b = 0; is_good && i < len; i += block, b++) {
        const int64_t num = len - i < block ? len - i : block;
        is_good = is_q8 ? quantize_block_q8_0(x + i, num, codes + i, (uint16_t *)scales + b)
                        : quantize_block_nf4(x + i, num, codes + i / 2, (float *)scales + b);
    }
    return is_good;
}

bool dlm_quantize_scales(const float *x, int64_t len, float *absmax)
{
    bool is_good = true;

    for (int64_t b = 0; is_good && b < len / DLM_NF4_BLOCK; b++)
        is_good = find_absmax(x + b * DLM_NF4_BLOCK, DLM_NF4_BLOCK, &absmax[b]);
    return is_good;
}

float dlm_quantize_offset(const float *absmax, int64_t num)
{
    double sum = 0;

    for (int64_t i = 0; i < num; i++)
        sum += absmax[i];
    return num ? (float)(sum / (double)num) : 0;
}

/* The entry of the map that is nearest; of two as near, the lower. */
static uint8_t nearest_entry(float v)
{
    unsigned low = 0, high = 255; /* the entry is one of low .. high */

    while (low < high) {
        const unsigned middle = (low + high) / 2;
        if (v > (dlm_dynamic_map(middle) + dlm_dynamic_map(middle + 1)) / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint8_t)low; /* at most 255 */
}

void dlm_quantize_absmax(const float *absmax, int64_t num, float offset, uint8_t *codes,
                         float *nested)
{
    for (int64_t i = 0; i < num; i += DLM_NF4_NESTED) {
        const int64_t end = num - i < DLM_NF4_NESTED ? num : i + DLM_NF4_NESTED;
        float most = 0;
        for (int64_t b = i; b < end; b++)
            most = fmaxf(most, fabsf(absmax[b] - offset));
        nested[i / DLM_NF4_NESTED * 2] = most;
        nested[i / DLM_NF4_NESTED * 2 + 1] = offset;
        for (int64_t b = i; b < end; b++)
            codes[b] = nearest_entry((absmax[b] - offset) * (1 / fmaxf(most, 1e-38f)));
    }
}

static float scale_at(const struct dlm_quant_view *v, int64_t block)
{
    float absmax, nested[2];
    uint16_t half;

    if (v->dtype == DLM_DTYPE_Q8_0) {
        memcpy(&half, v->scales + 2 * block, sizeof(half));
        return dlm_f16_to_f32(half);
    }
    if (v->dtype == DLM_DTYPE_NF4) {
        memcpy(&absmax, v->scales + 4 * block, sizeof(absmax));
        return absmax;
    }
    memcpy(nested, v->nested + block / DLM_NF4_NESTED * (int64_t)sizeof(nested), sizeof(nested));
    /* rounded twice, as PyTorch does: not the fused step that some CPUs have */
    volatile float product = dlm_dynamic_map(v->scales[block]) * nested[0];
    return product + nested[1];
}

void dlm_quant_view_to_f32(const struct dlm_quant_view *view, int64_t first, int64_t num,
                           float *out)
{
    const bool is_q8 = view->dtype == DLM_DTYPE_Q8_0;
    const int64_t block = is_q8 ? DLM_Q8_0_BLOCK : DLM_NF4_BLOCK;

    for (int64_t i = first; i < first + num;) {
        const int64_t next = (i / block + 1) * block;
        const int64_t end = next < first + num ? next : first + num;
        const float scale = scale_at(view, i / block);
        for (; i < end; i++)
            *out++ = is_q8 ? (float)(int8_t)view->codes[i] * scale
                           : nf4[view->codes[i / 2] >> (i % 2 ? 0 : 4) & 15] * scale;
    }
}

void dlm_dequantize(enum dlm_dtype dtype, const void *data, int64_t len, int64_t first, int64_t num,
                    float *out)
{
    const struct dlm_quant_layout l = dlm_quant_layout(dtype, len);
    const uint8_t *form = data;
    const struct dlm_quant_view view = {dtype, form, form + l.scales, form + l.nested};

    assert(first >= 0 && num >= 0 && num <= len - first);
    dlm_quant_view_to_f32(&view, first, num, out);
}
