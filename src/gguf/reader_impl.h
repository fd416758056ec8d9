/* An open GGUF file, as reader.c makes it and values.c reads it. */
#ifndef DLM_GGUF_READER_IMPL_H
#define DLM_GGUF_READER_IMPL_H

#include "base/file.h"
#include "gguf/reader.h"

struct dlm_gguf {
    struct dlm_arena arena; /* strings, and the four arrays */
    char *path;
    struct dlm_map map; /* of a file; empty when its bytes are the caller's */
    struct dlm_gguf_value *values;
    struct dlm_gguf_tensor *tensors;
    const struct dlm_gguf_value **values_by_key; /* sorted */
    const struct dlm_gguf_tensor **tensors_by_name;
    size_t num_values, num_tensors;
};

#endif
