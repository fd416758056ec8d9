/* The tables of types.h. */
#include "gguf/types.h"

#include "base/mem.h"

static const struct dlm_ggml_type_info types[] = {
#define TYPE(name, number, text, len, bytes) {name, text, len, bytes},
    DLM_GGML_TYPE_LIST(TYPE)
#undef TYPE
};

static const struct {
    const char *name;
    size_t bytes;
} kinds[DLM_GGUF_KIND_COUNT] = {
#define KIND(name, number, text, bytes) [name] = {text, bytes},
    DLM_GGUF_KIND_LIST(KIND)
#undef KIND
};

const struct dlm_ggml_type_info *dlm_ggml_type_info(uint32_t number)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++)
        if ((uint32_t)types[i].type == number) /* none is negative */
            return &types[i];
    return NULL;
}

const char *dlm_ggml_type_name(uint32_t number)
{
    const struct dlm_ggml_type_info *info = dlm_ggml_type_info(number);

    return info ? info->name : "?";
}

bool dlm_ggml_type_bytes(enum dlm_ggml_type type, int64_t row_len, int64_t rows, size_t *bytes)
{
    const struct dlm_ggml_type_info *info = dlm_ggml_type_info((uint32_t)type);

    if (!info || row_len < 0 || rows < 0 || (size_t)row_len % info->block_len)
        return false;
    return dlm_mul_size((size_t)row_len / info->block_len, info->block_bytes, bytes) &&
           dlm_mul_size(*bytes, (size_t)rows, bytes);
}

const char *dlm_gguf_kind_name(uint32_t number)
{
    return number < DLM_GGUF_KIND_COUNT ? kinds[number].name : "?";
}

size_t dlm_gguf_kind_size(uint32_t number)
{
    return number < DLM_GGUF_KIND_COUNT ? kinds[number].bytes : 0;
}

bool dlm_gguf_kind_is_int(enum dlm_gguf_kind kind)
{
    return kind != DLM_GGUF_KIND_F32 && kind != DLM_GGUF_KIND_F64 && kind != DLM_GGUF_KIND_BOOL &&
           dlm_gguf_kind_size((uint32_t)kind) > 0;
}
