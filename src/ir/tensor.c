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
    size_t bytes = 0;

    /* shapes were checked when the tensor was made */
    (void)dlm_dtype_bytes(t->desc.dtype, dlm_desc_len(&t->desc), &bytes);
    return bytes;
}

int64_t dlm_tensor_lead(const struct dlm_tensor *t, size_t align_bytes)
{
    size_t elems = align_bytes / dlm_dtype_elem_bytes(t->desc.dtype);

    return elems > 1 ? t->offset % (int64_t)elems : 0;
}
