/* The op table, and what the files of the ops share: descriptors, lowering, host tensors. */
#include "ops/op.h"

#include <stdio.h>

const struct dlm_op *dlm_op_get(enum dlm_op_kind kind)
{
    static const struct dlm_op *const table[DLM_OP_COUNT] = {
#define OP_ROW(op, file) [DLM_OP_##op] = &dlm_op_##op,
        DLM_OP_LIST(OP_ROW)
#undef OP_ROW
    };
    return table[kind];
}

struct dlm_desc dlm_desc_make(enum dlm_dtype dtype, int ndim, const int64_t *shape)
{
    struct dlm_desc d = {.dtype = dtype, .ndim = ndim};
    int64_t stride = 1;

    for (int i = ndim - 1; i >= 0; i--) {
        d.shape[i] = shape[i];
        d.stride[i] = stride;
        stride *= shape[i];
    }
    return d;
}

bool dlm_desc_is_absent(const struct dlm_desc *d)
{
    return d->dtype == DLM_DTYPE_COUNT;
}

bool dlm_desc_is_contiguous(const struct dlm_desc *d)
{
    int64_t stride = 1;

    if (d->layout != DLM_LAYOUT_STRIDED || d->lead)
        return false;
    for (int i = d->ndim - 1; i >= 0; i--) {
        if (d->shape[i] != 1 && d->stride[i] != stride)
            return false;
        stride *= d->shape[i];
    }
    return true;
}

bool dlm_desc_same_shape(const struct dlm_desc *a, const struct dlm_desc *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

int64_t dlm_desc_len(const struct dlm_desc *d)
{
    int64_t len = 1;

    for (int i = 0; i < d->ndim; i++)
        len *= d->shape[i];
    return len;
}

int64_t dlm_desc_cols(const struct dlm_desc *d)
{
    return d->shape[d->ndim - 1];
}

int64_t dlm_desc_rows(const struct dlm_desc *d)
{
    return dlm_desc_len(d) / dlm_desc_cols(d);
}

void dlm_desc_text(const struct dlm_desc *d, char *text, size_t text_bytes)
{
    int n = snprintf(text, text_bytes, "%s[", dlm_dtype_name(d->dtype));

    for (int i = 0; i < d->ndim && n > 0 && (size_t)n < text_bytes; i++)
        n += snprintf(text + n, text_bytes - (size_t)n, "%s%lld", i ? "," : "",
                      (long long)d->shape[i]);
    if (n > 0 && (size_t)n < text_bytes)
        snprintf(text + n, text_bytes - (size_t)n, "]");
}

enum dlm_status dlm_infer_fail(struct dlm_ctx *ctx, const char *op, const char *what,
                               const struct dlm_desc *d)
{
    char text[96] = "absent";

    if (!dlm_desc_is_absent(d))
        dlm_desc_text(d, text, sizeof(text));
    return dlm_fail(ctx, DLM_ERR_INVALID, "op '%s': %s, not %s", op, what, text);
}

/* Largest grid dimension that is certain everywhere, as a round number. */
#define FOLD_GROUPS 32768u

enum dlm_status dlm_lower_call(struct dlm_lowering *l, const struct dlm_kernel_call *call,
                               const void *params, size_t params_bytes)
{
    if (!dlm_device_has_kernel(l->device, call->kernel))
        return dlm_lower_unsupported(l, call->kernel);
    if (!dlm_grow(l->ctx, &l->calls, &l->cap_calls, l->num_calls, sizeof(*l->calls)))
        return DLM_ERR_MEMORY;
    struct dlm_kernel_call *c = &l->calls[l->num_calls++];
    *c = *call;
    for (int i = 0; i < 3; i++)
        if (!c->groups[i])
            c->groups[i] = 1;
    if (c->groups[0] > FOLD_GROUPS && c->groups[1] == 1 && c->groups[2] == 1) {
        c->groups[1] = (c->groups[0] + FOLD_GROUPS - 1) / FOLD_GROUPS;
        c->groups[0] = FOLD_GROUPS;
    }
    if (params_bytes)
        memcpy(c->params, params, params_bytes);
    c->params_bytes = (uint32_t)params_bytes; /* at most DLM_MAX_PARAMS_BYTES */
    return DLM_OK;
}

struct dlm_operand dlm_lower_temp(struct dlm_lowering *l, size_t bytes)
{
    struct dlm_operand operand = {DLM_OPERAND_TEMP, l->num_temps};

    l->temp_bytes[l->num_temps++] = bytes;
    return operand;
}

enum dlm_status dlm_lower_unsupported(const struct dlm_lowering *l, const char *missing)
{
    char text[96];

    dlm_desc_text(&l->inputs[0], text, sizeof(text));
    return dlm_fail(l->ctx, DLM_ERR_UNSUPPORTED,
                    "op '%s' on %s cannot run on device '%s' (%s): it has no '%s'",
                    dlm_op_get(l->op)->name, text, l->caps->info.name,
                    dlm_backend_name(l->caps->info.kind), missing);
}

enum dlm_status dlm_lower_check_sizes(const struct dlm_lowering *l)
{
    for (int i = 0; i < l->num_inputs + l->num_outputs; i++) {
        const struct dlm_desc *d =
            i < l->num_inputs ? &l->inputs[i] : &l->outputs[i - l->num_inputs];
        int64_t last = d->lead;
        if (dlm_desc_is_absent(d))
            continue;
        for (int k = 0; k < d->ndim; k++)
            last += (d->shape[k] - 1) * d->stride[k];
        if (last > UINT32_MAX)
            return dlm_lower_unsupported(l, "64-bit index");
    }
    return DLM_OK;
}

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
    case DLM_DTYPE_COUNT:
        break;
    }
    return 0;
}

static void set_at(const struct dlm_host_tensor *t, int64_t at, double value)
{
    float f = (float)value;

    switch (t->desc.dtype) {
    case DLM_DTYPE_F32:
        ((float *)t->data)[at] = f;
        break;
    case DLM_DTYPE_F16:
    case DLM_DTYPE_BF16:
        dlm_dtype_from_f32(t->desc.dtype, &f, (uint16_t *)t->data + at, 1);
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
