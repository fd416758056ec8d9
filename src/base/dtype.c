/* The table of element types and conversions of whole arrays. */
#include "base/dtype.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/quant.h"
#include "cpukernels/convert.h"

static const struct {
    const char *text;
    size_t len, bytes; /* of a block */
} rows[DLM_DTYPE_COUNT] = {
#define DTYPE_ROW(name, text, len, bytes) [name] = {text, len, bytes},
    DLM_DTYPE_LIST(DTYPE_ROW)
#undef DTYPE_ROW
};

const char *dlm_dtype_name(enum dlm_dtype dtype)
{
    return (unsigned)dtype < DLM_DTYPE_COUNT ? rows[dtype].text : "?";
}

int64_t dlm_dtype_block(enum dlm_dtype dtype)
{
    return (unsigned)dtype < DLM_DTYPE_COUNT ? (int64_t)rows[dtype].len : 1; /* at most 256 */
}

bool dlm_dtype_bytes(enum dlm_dtype dtype, int64_t len, size_t *bytes)
{
    if ((unsigned)dtype >= DLM_DTYPE_COUNT || len < 0 || (uint64_t)len % rows[dtype].len)
        return false;
    uint64_t blocks = (uint64_t)len / rows[dtype].len;
    if (blocks > (uint64_t)(SIZE_MAX / rows[dtype].bytes))
        return false;
    if (dtype == DLM_DTYPE_NF4_DQ) {
        if (len > INT64_MAX / 2)
            return false;
        *bytes = dlm_quant_layout(dtype, len).bytes;
        return true;
    }
    *bytes = (size_t)blocks * rows[dtype].bytes;
    return true;
}

size_t dlm_dtype_size(enum dlm_dtype dtype, int64_t len)
{
    size_t bytes = 0;
    const bool fits = dlm_dtype_bytes(dtype, len, &bytes);

    assert(fits);
    (void)fits;
    return bytes;
}

bool dlm_f32_is_finite(const float *x, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

bool dlm_dtype_is_quant(enum dlm_dtype dtype)
{
    return dlm_quant_info(dtype) != NULL;
}

bool dlm_dtype_is_float(enum dlm_dtype dtype)
{
    return dtype == DLM_DTYPE_F32 || dtype == DLM_DTYPE_F16 || dtype == DLM_DTYPE_BF16;
}

bool dlm_dtype_to_f32(enum dlm_dtype dtype, const void *in, float *out, size_t len)
{
    const uint8_t *p = in;

    if (!dlm_dtype_is_float(dtype))
        return false;
    if (dtype == DLM_DTYPE_F32) {
        memcpy(out, in, len * sizeof(*out));
        return true;
    }
    const bool is_bf16 = dtype == DLM_DTYPE_BF16;
    for (size_t i = 0; i < len; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof(h));
        out[i] = is_bf16 ? dlm_bf16_to_f32(h) : dlm_vf16_to_f32(h);
    }
    return true;
}

bool dlm_dtype_from_f32(enum dlm_dtype dtype, const float *in, void *out, size_t len)
{
    uint8_t *p = out;

    if (!dlm_dtype_is_float(dtype))
        return false;
    if (dtype == DLM_DTYPE_F32) {
        memcpy(out, in, len * sizeof(*in));
        return true;
    }
    const bool is_bf16 = dtype == DLM_DTYPE_BF16;
    for (size_t i = 0; i < len; i++) {
        const uint32_t word = is_bf16 ? dlm_vf32_to_bf16(in[i]) : dlm_vf32_to_f16(in[i]);
        const uint16_t h = (uint16_t)word; /* the high half is zero */
        memcpy(p + 2 * i, &h, sizeof(h));
    }
    return true;
}
