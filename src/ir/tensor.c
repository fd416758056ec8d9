/* What can be asked of a tensor. */
#include "ir/tensor.h"

bool dlm_tensor_needs_grad(const struct dlm_tensor *t)
{
    return t && t->needs_grad;
}

void dlm_tensor_bind(struct dlm_tensor *t, const struct dlm_storage *storage)
{
    if (t)
        t->storage = storage;
}

size_t dlm_tensor_bytes(const struct dlm_tensor *t)
{
    return dlm_dtype_size(t->desc.dtype, dlm_desc_len(&t->desc));
}

int64_t dlm_tensor_lead(const struct dlm_tensor *t, size_t align_bytes)
{
    return t->offset % dlm_dtype_aligned_len(t->desc.dtype, align_bytes);
}
