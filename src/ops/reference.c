/* Element access for the C references. */
#include "ops/reference.h"

#include "base/quant.h"
#include "base/scalar.h"

static int64_t host_offset(const struct dlm_host_tensor *t, const int64_t *idx)
{
    int64_t at = t->desc.lead;

    for (int i = 0; i < t->desc.ndim; i++)
        at += idx[i] * t->desc.stride[i];
    return at;
}

static int64_t host_offset_flat(const struct dlm_host_tensor *t, int64_t flat)
{
    int64_t idx[DLM_MAX_DIMS];

    for (int i = t->desc.ndim - 1; i >= 0; i--) {
        idx[i] = flat % t->desc.shape[i];
        flat /= t->desc.shape[i];
    }
    return host_offset(t, idx);
}

static double get_at(const struct dlm_host_tensor *t, int64_t at)
{
    float value = 0;

    switch (t->desc.dtype) {
    case DLM_DTYPE_F32:
        return ((const float *)t->data)[at];
    case DLM_DTYPE_F16:
        return dlm_f16_to_f32(((const uint16_t *)t->data)[at]);
    case DLM_DTYPE_BF16:
        return dlm_bf16_to_f32(((const uint16_t *)t->data)[at]);
    case DLM_DTYPE_I32:
        return ((const int32_t *)t->data)[at];
    case DLM_DTYPE_U32:
        return ((const uint32_t *)t->data)[at];
    case DLM_DTYPE_U8:
        return ((const uint8_t *)t->data)[at];
    case DLM_DTYPE_Q8_0: /* a whole weight or a transpose of one: no view has fewer elements */
    case DLM_DTYPE_NF4:
    case DLM_DTYPE_NF4_DQ:
    case DLM_DTYPE_Q4_0:
    case DLM_DTYPE_Q4_K:
    case DLM_DTYPE_Q5_K:
    case DLM_DTYPE_Q6_K:
        dlm_dequantize(t->desc.dtype, t->data, dlm_desc_len(&t->desc), at, 1, &value);
        break;
    case DLM_DTYPE_COUNT:
        break;
    }
    return value;
}

static void set_at(const struct dlm_host_tensor *t, int64_t at, double value)
{
    float f = (float)value;

    switch (t->desc.dtype) {
    case DLM_DTYPE_F32:
        ((float *)t->data)[at] = f;
        break;
    case DLM_DTYPE_F16:
        ((uint16_t *)t->data)[at] = (uint16_t)dlm_f32_to_f16(f); /* the high half is zero */
        break;
    case DLM_DTYPE_BF16:
        ((uint16_t *)t->data)[at] = (uint16_t)dlm_f32_to_bf16(f);
        break;
    case DLM_DTYPE_I32:
        ((int32_t *)t->data)[at] = (int32_t)value;
        break;
    case DLM_DTYPE_U32:
        ((uint32_t *)t->data)[at] = (uint32_t)value;
        break;
    case DLM_DTYPE_U8:
        ((uint8_t *)t->data)[at] = (uint8_t)value;
        break;
    case DLM_DTYPE_Q8_0: /* no op writes them */
    case DLM_DTYPE_NF4:
    case DLM_DTYPE_NF4_DQ:
    case DLM_DTYPE_Q4_0:
    case DLM_DTYPE_Q4_K:
    case DLM_DTYPE_Q5_K:
    case DLM_DTYPE_Q6_K:
    case DLM_DTYPE_COUNT:
        break;
    }
}

double dlm_host_get(const struct dlm_host_tensor *t, const int64_t *idx)
{
    return get_at(t, host_offset(t, idx));
}

void dlm_host_set(const struct dlm_host_tensor *t, const int64_t *idx, double value)
{
    set_at(t, host_offset(t, idx), value);
}

double dlm_host_get_flat(const struct dlm_host_tensor *t, int64_t i)
{
    return get_at(t, host_offset_flat(t, i));
}

void dlm_host_set_flat(const struct dlm_host_tensor *t, int64_t i, double value)
{
    set_at(t, host_offset_flat(t, i), value);
}

int32_t dlm_host_get_i32(const struct dlm_host_tensor *t, int64_t i)
{
    return (int32_t)get_at(t, host_offset_flat(t, i));
}
