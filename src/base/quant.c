/* Quantisers with the arithmetic of their models: what is multiplied, divided and compared in f32
 * here is there too, because one bit more or less is another code at a threshold. */
#include "base/quant.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/attr.h"
#include "base/quant_tables.h"
#include "base/scalar.h"

static const float nf4[] = {DLM_NF4_VALUES};
static const float dynamic_map[] = {DLM_DYNAMIC_MAP_VALUES};

static const struct dlm_quant_info infos[DLM_DTYPE_COUNT] = {
    [DLM_DTYPE_Q8_0] = {.block = DLM_Q8_0_BLOCK, .code_bits = 8, .scale_bytes = 2},
    [DLM_DTYPE_NF4] = {.block = DLM_NF4_BLOCK, .code_bits = 4, .scale_bytes = 4},
    [DLM_DTYPE_NF4_DQ] = {.block = DLM_NF4_BLOCK, .group = DLM_NF4_BLOCK * DLM_NF4_NESTED,
                          .code_bits = 4, .scale_bytes = 1, .nested_bytes = 8},
    [DLM_DTYPE_Q4_0] = {.block = 32, .code_bits = 4, .zero = 8, .scale_bytes = 2},
    [DLM_DTYPE_Q4_K] = {.block = 32, .group = 256, .code_bits = 4, .scale_bytes = 1, .min_bytes = 1,
                        .nested_bytes = 4},
    [DLM_DTYPE_Q5_K] = {.block = 32, .group = 256, .code_bits = 4, .high_bits = 1, .scale_bytes = 1,
                        .min_bytes = 1, .nested_bytes = 4},
    [DLM_DTYPE_Q6_K] = {.block = 16, .group = 256, .code_bits = 4, .high_bits = 2, .zero = 32,
                        .scale_bytes = 1, .nested_bytes = 2},
};

const struct dlm_quant_info *dlm_quant_info(enum dlm_dtype dtype)
{
    return (unsigned)dtype < DLM_DTYPE_COUNT && infos[dtype].block ? &infos[dtype] : NULL;
}

bool dlm_quant_can_make(enum dlm_dtype dtype)
{
    return dtype == DLM_DTYPE_Q8_0 || dtype == DLM_DTYPE_NF4 || dtype == DLM_DTYPE_NF4_DQ;
}

/* As a part, the bytes that a number of blocks or groups has; only nf4_dq's scales may end within a
 * word and have another part after them. */
struct dlm_quant_layout dlm_quant_layout(enum dlm_dtype dtype, int64_t len)
{
    const struct dlm_quant_info *info = &infos[dtype];
    struct dlm_quant_layout l = {.blocks = len / info->block};
    const size_t num = (size_t)len, blocks = (size_t)l.blocks;
    const size_t groups =
        info->group ? (num + (size_t)info->group - 1) / (size_t)info->group : 0;

    l.high = num / 8 * (size_t)info->code_bits;
    l.scales = l.high + num / 8 * (size_t)info->high_bits;
    l.mins = l.scales + blocks * info->scale_bytes;
    if (dtype == DLM_DTYPE_NF4_DQ)
        l.mins = (l.mins + 3) / 4 * 4;
    l.nested = l.mins + blocks * info->min_bytes;
    l.bytes = l.nested + groups * info->nested_bytes;
    return l;
}

struct dlm_quant_view dlm_quant_view(enum dlm_dtype dtype, const void *data, int64_t len,
                                     int64_t first)
{
    const struct dlm_quant_info *info = &infos[dtype];
    const struct dlm_quant_layout l = dlm_quant_layout(dtype, len);
    const size_t bits = (size_t)first / 8, block = (size_t)(first / info->block);
    const size_t group = info->group ? (size_t)(first / info->group) : 0;
    const uint8_t *form = data;

    assert(first >= 0 && first <= len && first % info->block == 0);
    return (struct dlm_quant_view){
        .dtype = dtype,
        .codes = form + bits * (size_t)info->code_bits,
        .high = form + l.high + bits * (size_t)info->high_bits,
        .scales = form + l.scales + block * info->scale_bytes,
        .mins = form + l.mins + block * info->min_bytes,
        .nested = form + l.nested + group * info->nested_bytes,
    };
}

struct dlm_quant_parts dlm_quant_parts(enum dlm_dtype dtype, void *data, int64_t len, int64_t first)
{
    const struct dlm_quant_view v = dlm_quant_view(dtype, data, len, first);
    const uint8_t *form = data;
    uint8_t *to = data;

    assert(!infos[dtype].group || first % infos[dtype].group == 0);
    return (struct dlm_quant_parts){
        .codes = to + (v.codes - form),
        .high = to + (v.high - form),
        .scales = to + (v.scales - form),
        .mins = to + (v.mins - form),
        .nested = to + (v.nested - form),
    };
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

    assert(dlm_quant_can_make(dtype));
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

static float f16_at(const uint8_t *at)
{
    uint16_t half;

    memcpy(&half, at, sizeof(half));
    return dlm_f16_to_f32(half);
}

static float f32_at(const uint8_t *at)
{
    float value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* Of a block, and what is then taken off its values. */
static float scale_at(const struct dlm_quant_view *v, int64_t block, float *min)
{
    const struct dlm_quant_info *info = &infos[v->dtype];
    const uint8_t *nested =
        info->group ? v->nested + block * info->block / info->group * (int64_t)info->nested_bytes
                    : NULL;

    *min = 0;
    switch (v->dtype) {
    case DLM_DTYPE_NF4:
        return f32_at(v->scales + 4 * block);
    case DLM_DTYPE_NF4_DQ: {
        /* rounded twice, as PyTorch does: not the fused step that some CPUs have */
        volatile float product = dlm_dynamic_map(v->scales[block]) * f32_at(nested);
        return product + f32_at(nested + 4);
    }
    case DLM_DTYPE_Q4_K:
    case DLM_DTYPE_Q5_K:
        *min = f16_at(nested + 2) * (float)v->mins[block];
        return f16_at(nested) * (float)v->scales[block];
    case DLM_DTYPE_Q6_K:
        return f16_at(nested) * (float)(int8_t)v->scales[block];
    default: /* q8_0, q4_0 */
        return f16_at(v->scales + 2 * block);
    }
}

/* What element i has times its block's scale. */
static float unit_at(const struct dlm_quant_view *v, const struct dlm_quant_info *info, int64_t i)
{
    const unsigned code = dlm_quant_code(v, info->code_bits, info->high_bits, i);

    if (info->code_bits == 8)
        return (float)(int8_t)code;
    if (v->dtype == DLM_DTYPE_NF4 || v->dtype == DLM_DTYPE_NF4_DQ)
        return nf4[code];
    return (float)((int)code - info->zero); /* below 64 */
}

void dlm_quant_view_to_f32(const struct dlm_quant_view *view, int64_t first, int64_t num,
                           float *out)
{
    const struct dlm_quant_info *info = &infos[view->dtype];
    const int64_t block = info->block;

    for (int64_t i = first; i < first + num;) {
        const int64_t next = (i / block + 1) * block;
        const int64_t end = next < first + num ? next : first + num;
        float min;
        const float scale = scale_at(view, i / block, &min);
        for (; i < end; i++)
            *out++ = unit_at(view, info, i) * scale - min;
    }
}

void dlm_dequantize(enum dlm_dtype dtype, const void *data, int64_t len, int64_t first, int64_t num,
                    float *out)
{
    const struct dlm_quant_view view = dlm_quant_view(dtype, data, len, 0);

    assert(first >= 0 && num >= 0 && num <= len - first);
    dlm_quant_view_to_f32(&view, first, num, out);
}
