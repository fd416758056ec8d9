/* The header of a safetensors file, checked as the safetensors library does and a little more:
 * layout is length (u64, little-endian), JSON, tensor bytes without gap, overlap or rest. */
#include "weights/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sha256.h"
#include "base/str.h"

/* Ranks are the order of the library's Dtype enum (safetensors 0.7, tensor.rs). */
static const struct dlm_st_type types[] = {
    {"BOOL", 8, 0, DLM_DTYPE_COUNT},     {"F4", 4, 1, DLM_DTYPE_COUNT},
    {"F6_E2M3", 6, 2, DLM_DTYPE_COUNT},  {"F6_E3M2", 6, 3, DLM_DTYPE_COUNT},
    {"U8", 8, 4, DLM_DTYPE_U8},          {"I8", 8, 5, DLM_DTYPE_COUNT},
    {"F8_E5M2", 8, 6, DLM_DTYPE_COUNT},  {"F8_E4M3", 8, 7, DLM_DTYPE_COUNT},
    {"F8_E8M0", 8, 8, DLM_DTYPE_COUNT},  {"F8_E4M3FNUZ", 8, 9, DLM_DTYPE_COUNT},
    {"F8_E5M2FNUZ", 8, 10, DLM_DTYPE_COUNT},
    {"I16", 16, 11, DLM_DTYPE_COUNT},    {"U16", 16, 12, DLM_DTYPE_COUNT},
    {"F16", 16, 13, DLM_DTYPE_F16},      {"BF16", 16, 14, DLM_DTYPE_BF16},
    {"I32", 32, 15, DLM_DTYPE_I32},      {"U32", 32, 16, DLM_DTYPE_U32},
    {"F32", 32, 17, DLM_DTYPE_F32},      {"C64", 64, 18, DLM_DTYPE_COUNT},
    {"F64", 64, 19, DLM_DTYPE_COUNT},    {"I64", 64, 20, DLM_DTYPE_COUNT},
    {"U64", 64, 21, DLM_DTYPE_COUNT},
};

const struct dlm_st_type *dlm_st_type_by_name(const char *name)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++)
        if (!strcmp(types[i].name, name))
            return &types[i];
    return NULL;
}

const struct dlm_st_type *dlm_st_type_of(enum dlm_dtype dtype)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++)
        if (types[i].dtype == dtype && dtype != DLM_DTYPE_COUNT)
            return &types[i];
    return NULL;
}

void dlm_tensor_list_finish(struct dlm_tensor_list *list)
{
    dlm_free(list->items);
    dlm_arena_finish(&list->arena);
    *list = (struct dlm_tensor_list){0};
}

static enum dlm_status bad_file(struct dlm_ctx *ctx, const char *path, const char *what)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': %s", path, what);
}

static enum dlm_status bad_tensor(struct dlm_ctx *ctx, const char *path, const char *name,
                                  const char *what)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': tensor '%.200s' %s", path, name, what);
}

/* Reads shape into t; *len is the number of elements. */
static enum dlm_status parse_shape(struct dlm_ctx *ctx, const json_t *shape,
                                   struct dlm_tensor_info *t, size_t *len)
{
    size_t ndim = json_array_size(shape);

    if (!json_is_array(shape))
        return bad_tensor(ctx, t->file, t->name, "has no shape");
    if (ndim > DLM_TENSOR_MAX_DIMS)
        return bad_tensor(ctx, t->file, t->name, "has too many dimensions");
    t->ndim = (int)ndim; /* at most DLM_TENSOR_MAX_DIMS */
    *len = 1;
    for (size_t i = 0; i < ndim; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return bad_tensor(ctx, t->file, t->name, "has a bad shape");
        t->shape[i] = (int64_t)json_integer_value(dim);
        if (!dlm_mul_size(*len, (size_t)t->shape[i], len) || *len > INT64_MAX / 64)
            return bad_tensor(ctx, t->file, t->name, "is too large");
    }
    return DLM_OK;
}

/* Checks data_offsets against the file and the size that the shape gives. data_bytes: all bytes
 * behind the header. */
static enum dlm_status parse_offsets(struct dlm_ctx *ctx, const json_t *offsets,
                                     const uint8_t *data, size_t data_bytes, size_t len,
                                     unsigned bits, struct dlm_tensor_info *t)
{
    const json_t *j0 = json_array_get(offsets, 0), *j1 = json_array_get(offsets, 1);
    size_t total_bits;

    if (json_array_size(offsets) != 2 || !json_is_integer(j0) || !json_is_integer(j1))
        return bad_tensor(ctx, t->file, t->name, "has no data_offsets");
    json_int_t begin = json_integer_value(j0), end = json_integer_value(j1);
    if (begin < 0 || end < begin)
        return bad_tensor(ctx, t->file, t->name, "has offsets out of order");
    if ((uint64_t)end > data_bytes)
        return bad_tensor(ctx, t->file, t->name, "ends past the file");
    if (!dlm_mul_size(len, bits, &total_bits) || total_bits % 8)
        return bad_tensor(ctx, t->file, t->name, "is no whole number of bytes");
    if (total_bits / 8 != (size_t)(end - begin))
        return bad_tensor(ctx, t->file, t->name, "has another size than its shape and type");
    t->data = data + begin;
    t->bytes = (size_t)(end - begin);
    return DLM_OK;
}

static enum dlm_status parse_tensor(struct dlm_ctx *ctx, struct dlm_tensor_list *list,
                                    const char *path, const uint8_t *data, size_t data_bytes,
                                    const char *name, json_t *entry)
{
    size_t len;
    const char *key;
    json_t *value;

    if (!dlm_grow(ctx, &list->items, &list->cap, list->len, sizeof(*list->items)))
        return DLM_ERR_MEMORY;
    struct dlm_tensor_info *t = &list->items[list->len];
    *t = (struct dlm_tensor_info){.file = path};
    t->name = dlm_arena_strndup(ctx, &list->arena, name, strlen(name));
    if (!t->name)
        return DLM_ERR_MEMORY;
    const char *type_name = json_string_value(json_object_get(entry, "dtype"));
    if (!type_name)
        return bad_tensor(ctx, path, name, "has no dtype");
    const struct dlm_st_type *type = dlm_st_type_by_name(type_name);
    if (!type)
        return dlm_fail(ctx, DLM_ERR_PARSE,
                        "cannot read '%s': tensor '%.200s' has the unknown type '%.20s'", path,
                        name, type_name);
    json_object_foreach(entry, key, value)
        if (strcmp(key, "dtype") && strcmp(key, "shape") && strcmp(key, "data_offsets"))
            return bad_tensor(ctx, path, name, "has an unknown field");
    t->st_type = type->name;
    t->dtype = type->dtype;
    enum dlm_status st = parse_shape(ctx, json_object_get(entry, "shape"), t, &len);
    if (!st)
        st = parse_offsets(ctx, json_object_get(entry, "data_offsets"), data, data_bytes, len,
                           type->bits, t);
    if (!st)
        list->len++;
    return st;
}

static int compare_places(const void *a, const void *b)
{
    const struct dlm_tensor_info *x = a, *y = b;

    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sorts the file's tensors by place and checks that they fill [data, data + bytes) exactly. */
static enum dlm_status check_places(struct dlm_ctx *ctx, const char *path,
                                    struct dlm_tensor_info *items, size_t len, const uint8_t *data,
                                    size_t bytes)
{
    const uint8_t *at = data;

    if (!len)
        return bytes ? bad_file(ctx, path, "bytes follow the header") : DLM_OK;
    qsort(items, len, sizeof(*items), compare_places);
    for (size_t i = 0; i < len; i++) {
        if (items[i].data < at)
            return bad_tensor(ctx, path, items[i].name, "overlaps another");
        if (items[i].data > at)
            return bad_tensor(ctx, path, items[i].name, "leaves a gap before it");
        at += items[i].bytes;
    }
    if (at != data + bytes)
        return bad_file(ctx, path, "bytes follow the last tensor");
    return DLM_OK;
}

static enum dlm_status check_metadata(struct dlm_ctx *ctx, const char *path, json_t *metadata)
{
    const char *key;
    json_t *value;

    if (!json_is_object(metadata))
        return bad_file(ctx, path, "'__metadata__' is no object");
    json_object_foreach(metadata, key, value)
        if (!json_is_string(value))
            return bad_file(ctx, path, "'__metadata__' holds more than strings");
    return DLM_OK;
}

/* Loads the JSON header at data + 8; *header_bytes is its length. */
static enum dlm_status load_header(struct dlm_ctx *ctx, const char *path, const uint8_t *data,
                                   size_t bytes, size_t *header_bytes, json_t **header)
{
    uint64_t len = 0;
    json_error_t error;

    if (bytes < 8)
        return bad_file(ctx, path, "too short for a safetensors file");
    for (int i = 7; i >= 0; i--)
        len = len << 8 | data[i];
    if (len > DLM_SAFETENSORS_MAX_HEADER)
        return bad_file(ctx, path, "the header is too large (is it a safetensors file?)");
    if (len > bytes - 8)
        return bad_file(ctx, path, "the header ends past the file");
    *header_bytes = (size_t)len;
    if (!len || data[8] != '{')
        return bad_file(ctx, path, "the header is no JSON object");
    *header = json_loadb((const char *)data + 8, (size_t)len, JSON_REJECT_DUPLICATES, &error);
    if (!*header)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': header: %s at byte %d", path,
                        error.text, error.position);
    return DLM_OK;
}

enum dlm_status dlm_safetensors_parse(struct dlm_ctx *ctx, struct dlm_tensor_list *list,
                                      const char *path, const uint8_t *data, size_t bytes,
                                      char header_sha256[65], json_t **metadata)
{
    json_t *header = NULL, *value;
    size_t header_bytes = 0;
    const size_t first = list->len;
    const char *name;

    if (metadata)
        *metadata = NULL;
    const char *file = dlm_arena_strndup(ctx, &list->arena, path, strlen(path));
    if (!file)
        return DLM_ERR_MEMORY;
    enum dlm_status st = load_header(ctx, path, data, bytes, &header_bytes, &header);
    if (st)
        goto done;
    dlm_sha256_of(data, 8 + header_bytes, header_sha256);
    const uint8_t *body = data + 8 + header_bytes;
    const size_t body_bytes = bytes - 8 - header_bytes;
    json_object_foreach(header, name, value) {
        if (!strcmp(name, "__metadata__"))
            st = check_metadata(ctx, path, value);
        else
            st = parse_tensor(ctx, list, file, body, body_bytes, name, value);
        if (st)
            goto done;
    }
    st = check_places(ctx, path, list->items ? list->items + first : NULL, list->len - first, body,
                      body_bytes);
    if (!st && metadata)
        *metadata = json_incref(json_object_get(header, "__metadata__"));
done:
    json_decref(header);
    return st;
}
