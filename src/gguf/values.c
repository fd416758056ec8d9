/* Metadata and tensors of an open GGUF file, asked for by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gguf/reader_impl.h"

const char *dlm_gguf_path(const struct dlm_gguf *gguf)
{
    return gguf->path;
}

size_t dlm_gguf_num_values(const struct dlm_gguf *gguf)
{
    return gguf->num_values;
}

const struct dlm_gguf_value *dlm_gguf_value(const struct dlm_gguf *gguf, size_t i)
{
    return &gguf->values[i];
}

size_t dlm_gguf_num_tensors(const struct dlm_gguf *gguf)
{
    return gguf->num_tensors;
}

const struct dlm_gguf_tensor *dlm_gguf_tensor(const struct dlm_gguf *gguf, size_t i)
{
    return &gguf->tensors[i];
}

static int compare_key(const void *key, const void *item)
{
    const struct dlm_gguf_value *const *v = item;
    return strcmp(key, (*v)->key);
}

static int compare_name(const void *name, const void *item)
{
    const struct dlm_gguf_tensor *const *t = item;
    return strcmp(name, (*t)->name);
}

const struct dlm_gguf_value *dlm_gguf_find_value(const struct dlm_gguf *gguf, const char *key)
{
    const struct dlm_gguf_value **v = bsearch(key, gguf->values_by_key, gguf->num_values,
                                              sizeof(*v), compare_key);

    return v ? *v : NULL;
}

const struct dlm_gguf_tensor *dlm_gguf_find_tensor(const struct dlm_gguf *gguf, const char *name)
{
    const struct dlm_gguf_tensor **t = bsearch(name, gguf->tensors_by_name, gguf->num_tensors,
                                               sizeof(*t), compare_name);

    return t ? *t : NULL;
}

static enum dlm_status find(struct dlm_ctx *ctx, const struct dlm_gguf *gguf, const char *key,
                            const struct dlm_gguf_value **out)
{
    *out = dlm_gguf_find_value(gguf, key);
    if (!*out)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': key '%s' is missing", gguf->path,
                        key);
    return DLM_OK;
}

static enum dlm_status bad_kind(struct dlm_ctx *ctx, const struct dlm_gguf *gguf,
                                const struct dlm_gguf_value *v, const char *want)
{
    const bool is_array = v->kind == DLM_GGUF_KIND_ARRAY;

    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': key '%.200s' is %s%s, not %s",
                    gguf->path, v->key, is_array ? "an array of " : "of kind ",
                    dlm_gguf_kind_name((uint32_t)v->element), want);
}

bool dlm_gguf_value_int(const struct dlm_gguf_value *v, size_t i, int64_t *out)
{
    const size_t size = dlm_gguf_kind_size((uint32_t)v->element);
    uint64_t bits = 0;

    if (!dlm_gguf_kind_is_int(v->element))
        return false;
    memcpy(&bits, v->data + i * size, size); /* the low bytes: files and machines agree */
    switch (v->element) {
    case DLM_GGUF_KIND_I8:
        *out = (int8_t)bits;
        return true;
    case DLM_GGUF_KIND_I16:
        *out = (int16_t)bits;
        return true;
    case DLM_GGUF_KIND_I32:
        *out = (int32_t)bits;
        return true;
    case DLM_GGUF_KIND_I64:
        *out = (int64_t)bits;
        return true;
    default:
        *out = (int64_t)bits;
        return bits <= INT64_MAX;
    }
}

bool dlm_gguf_value_number(const struct dlm_gguf_value *v, size_t i, double *out)
{
    float f;

    if (v->element == DLM_GGUF_KIND_F64) {
        memcpy(out, v->data + i * sizeof(*out), sizeof(*out));
        return true;
    }
    if (v->element != DLM_GGUF_KIND_F32)
        return false;
    memcpy(&f, v->data + i * sizeof(f), sizeof(f));
    *out = f;
    return true;
}

enum dlm_status dlm_gguf_get_int(struct dlm_ctx *ctx, const struct dlm_gguf *gguf, const char *key,
                                 int64_t min, int64_t max, int64_t *out)
{
    const struct dlm_gguf_value *v;
    enum dlm_status st = find(ctx, gguf, key, &v);

    if (st)
        return st;
    if (!dlm_gguf_kind_is_int(v->kind))
        return bad_kind(ctx, gguf, v, "an integer");
    if (!dlm_gguf_value_int(v, 0, out) || *out < min || *out > max)
        return dlm_fail(ctx, DLM_ERR_PARSE,
                        "cannot read '%s': key '%s' is not between %lld and %lld", gguf->path, key,
                        (long long)min, (long long)max);
    return DLM_OK;
}

enum dlm_status dlm_gguf_get_number(struct dlm_ctx *ctx, const struct dlm_gguf *gguf,
                                    const char *key, double *out)
{
    const struct dlm_gguf_value *v;
    enum dlm_status st = find(ctx, gguf, key, &v);

    if (!st && (v->kind == DLM_GGUF_KIND_ARRAY || !dlm_gguf_value_number(v, 0, out)))
        st = bad_kind(ctx, gguf, v, "a floating-point number");
    return st;
}

enum dlm_status dlm_gguf_get_bool(struct dlm_ctx *ctx, const struct dlm_gguf *gguf, const char *key,
                                  bool *out)
{
    const struct dlm_gguf_value *v;
    enum dlm_status st = find(ctx, gguf, key, &v);

    if (!st && v->kind != DLM_GGUF_KIND_BOOL)
        st = bad_kind(ctx, gguf, v, "a bool");
    if (!st)
        *out = v->data[0];
    return st;
}

/* The string at *p, which then lies behind it. */
static struct dlm_gguf_text next_string(const uint8_t **p)
{
    struct dlm_gguf_text text = {0};
    uint64_t len;

    memcpy(&len, *p, sizeof(len));
    text.data = (const char *)*p + sizeof(len);
    text.len = (size_t)len; /* lies in the file: checked when it was opened */
    *p += sizeof(len) + text.len;
    return text;
}

enum dlm_status dlm_gguf_get_string(struct dlm_ctx *ctx, const struct dlm_gguf *gguf,
                                    const char *key, struct dlm_gguf_text *out)
{
    const struct dlm_gguf_value *v;
    enum dlm_status st = find(ctx, gguf, key, &v);

    if (st)
        return st;
    if (v->kind != DLM_GGUF_KIND_STRING)
        return bad_kind(ctx, gguf, v, "a string");
    const uint8_t *p = v->data;
    *out = next_string(&p);
    return DLM_OK;
}

enum dlm_status dlm_gguf_get_array(struct dlm_ctx *ctx, const struct dlm_gguf *gguf,
                                   const char *key, enum dlm_gguf_kind element,
                                   const struct dlm_gguf_value **out)
{
    char want[64];
    enum dlm_status st = find(ctx, gguf, key, out);

    if (st || ((*out)->kind == DLM_GGUF_KIND_ARRAY && (*out)->element == element))
        return st;
    (void)snprintf(want, sizeof(want), "an array of %s", dlm_gguf_kind_name((uint32_t)element));
    return bad_kind(ctx, gguf, *out, want);
}

enum dlm_status dlm_gguf_value_strings(struct dlm_ctx *ctx, const struct dlm_gguf_value *v,
                                       struct dlm_gguf_text **out)
{
    const uint8_t *p = v->data;

    *out = dlm_alloc_array(ctx, v->len, sizeof(**out));
    if (!*out)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < v->len; i++)
        (*out)[i] = next_string(&p);
    return DLM_OK;
}
