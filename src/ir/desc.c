/* Descriptors of tensors. */
#include "ir/desc.h"

#include <stdio.h>

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
