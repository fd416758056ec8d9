/* The table of element types and conversions of whole arrays. */
#include "base/dtype.h"

#include <math.h>
#include <string.h>

#include "base/scalar.h"

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

bool dlm_dtype_bytes(enum dlm_dtype dtype, int64_t len, size_t *bytes)
{
    if ((unsigned)dtype >= DLM_DTYPE_COUNT || len < 0 || (uint64_t)len % rows[dtype].len)
        return false;
    uint64_t blocks = (uint64_t)len / rows[dtype].len;
    if (blocks > (uint64_t)(SIZE_MAX / rows[dtype].bytes))
        return false;
    *bytes = (size_t)blocks * rows[dtype].bytes;
    return true;
}

size_t dlm_dtype_elem_bytes(enum dlm_dtype dtype)
{
    return rows[dtype].bytes / rows[dtype].len;
}

bool dlm_f32_is_finite(const float *x, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

void dlm_dtype_to_f32(enum dlm_dtype dtype, const void *in, float *out, size_t len)
{
    const uint8_t *p = in;

    if (dtype == DLM_DTYPE_F32) {
        memcpy(out, in, len * sizeof(*out));
        return;
    }
    for (size_t i = 0; i < len; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof(h));
        out[i] = dtype == DLM_DTYPE_BF16 ? dlm_bf16_to_f32(h) : dlm_f16_to_f32(h);
    }
}

void dlm_dtype_from_f32(enum dlm_dtype dtype, const float *in, void *out, size_t len)
{
    uint8_t *p = out;

    if (dtype == DLM_DTYPE_F32) {
        memcpy(out, in, len * sizeof(*in));
        return;
    }
    for (size_t i = 0; i < len; i++) {
        uint32_t word = dtype == DLM_DTYPE_BF16 ? dlm_f32_to_bf16(in[i]) : dlm_f32_to_f16(in[i]);
        uint16_t h = (uint16_t)word; /* the high half is zero */
        memcpy(p + 2 * i, &h, sizeof(h));
    }
}
