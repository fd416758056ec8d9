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
    if (!t->offset) /* as a quantised weight, of which there are no slices */
        return 0;
    return t->offset % (int64_t)DLM_MAX(align_bytes / dlm_dtype_size(t->desc.dtype, 1), 1u);
}
