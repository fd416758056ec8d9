/* The layout is that of reader.c, with the default alignment; the bytes behind the last tensor are
 * padded as well, as ggml and its Python package do. */
#include "gguf/writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "gguf/blocks.h"

#define ALIGNMENT DLM_GGUF_DEFAULT_ALIGNMENT
#define MAX_KEY 65535

struct tensor {
    const char *name;
    enum dlm_ggml_type type;
    int64_t row_len;
    size_t bytes;
};

struct dlm_gguf_writer {
    char *path;
    struct dlm_arena arena;       /* keys and names */
    struct dlm_str values, infos; /* as they stand in the file */
    const char **keys;
    struct tensor *tensors;
    size_t num_keys, cap_keys, num_tensors, cap_tensors;
    size_t data_bytes; /* of all tensors, padded */
    dlm_gguf_write_fn write;
    void *user;
    size_t at;     /* the tensor in work */
    size_t filled; /* bytes of it that are written */
    uint8_t *buffer;
    size_t buffer_bytes;
};

static size_t pad(size_t bytes)
{
    return (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT;
}

enum dlm_status dlm_gguf_writer_create(struct dlm_ctx *ctx, struct dlm_gguf_writer **out,
                                       const char *path)
{
    struct dlm_gguf_writer *w = dlm_alloc(ctx, sizeof(*w));

    *out = NULL;
    if (!w)
        return DLM_ERR_MEMORY;
    w->path = dlm_strdup(ctx, path);
    if (!w->path) {
        dlm_gguf_writer_destroy(&w);
        return DLM_ERR_MEMORY;
    }
    *out = w;
    return DLM_OK;
}

void dlm_gguf_writer_destroy(struct dlm_gguf_writer **writer)
{
    struct dlm_gguf_writer *w = *writer;

    if (!w)
        return;
    dlm_str_finish(&w->values);
    dlm_str_finish(&w->infos);
    dlm_arena_finish(&w->arena);
    dlm_free(w->keys);
    dlm_free(w->tensors);
    dlm_free(w->buffer);
    dlm_free(w->path);
    dlm_free(w);
    *writer = NULL;
}

static enum dlm_status bad(struct dlm_ctx *ctx, const struct dlm_gguf_writer *w, const char *kind,
                           const char *name, const char *what)
{
    return dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%s': %s '%.200s' %s", w->path, kind, name,
                    what);
}

/* --- metadata --- */

/* A number of up to 8 bytes, its low ones first, as it lies in memory. */
static enum dlm_status append_number(struct dlm_ctx *ctx, struct dlm_str *s, uint64_t v,
                                     size_t bytes)
{
    return dlm_str_append(ctx, s, (const char *)&v, bytes);
}

static enum dlm_status append_text(struct dlm_ctx *ctx, struct dlm_str *s, const char *text,
                                   size_t len)
{
    enum dlm_status st = append_number(ctx, s, len, 8);

    return st || !len ? st : dlm_str_append(ctx, s, text, len);
}

static bool is_good_name(const char *name, size_t max_len)
{
    const size_t len = strlen(name);

    return len && len <= max_len && dlm_utf8_is_valid(name, len, NULL);
}

/* A key and the kind of its value. */
static enum dlm_status put_key(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                               enum dlm_gguf_kind kind)
{
    if (!is_good_name(key, MAX_KEY))
        return bad(ctx, w, "key", key, "is no name of a key");
    if (!dlm_grow(ctx, &w->keys, &w->cap_keys, w->num_keys, sizeof(*w->keys)))
        return DLM_ERR_MEMORY;
    w->keys[w->num_keys] = dlm_arena_strndup(ctx, &w->arena, key, strlen(key));
    if (!w->keys[w->num_keys])
        return DLM_ERR_MEMORY;
    w->num_keys++;
    enum dlm_status st = append_text(ctx, &w->values, key, strlen(key));
    return st ? st : append_number(ctx, &w->values, (uint64_t)kind, 4);
}

static bool fits(enum dlm_gguf_kind kind, int64_t v)
{
    const size_t bits = 8 * dlm_gguf_kind_size((uint32_t)kind);
    const bool is_signed = kind == DLM_GGUF_KIND_I8 || kind == DLM_GGUF_KIND_I16 ||
                           kind == DLM_GGUF_KIND_I32 || kind == DLM_GGUF_KIND_I64;

    if (!dlm_gguf_kind_is_int(kind))
        return false;
    if (!is_signed)
        return v >= 0 && (bits == 64 || v >> bits == 0);
    return bits == 64 || (v >= -(INT64_C(1) << (bits - 1)) && v < INT64_C(1) << (bits - 1));
}

enum dlm_status dlm_gguf_put_int(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                 enum dlm_gguf_kind kind, int64_t value)
{
    if (!fits(kind, value))
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%s': key '%.200s': %lld is no %s",
                        w->path, key, (long long)value, dlm_gguf_kind_name((uint32_t)kind));
    enum dlm_status st = put_key(ctx, w, key, kind);
    return st ? st : append_number(ctx, &w->values, (uint64_t)value,
                                   dlm_gguf_kind_size((uint32_t)kind));
}

enum dlm_status dlm_gguf_put_number(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                    enum dlm_gguf_kind kind, double value)
{
    const float narrow = (float)value;
    const bool is_wide = kind == DLM_GGUF_KIND_F64;

    if (!is_wide && kind != DLM_GGUF_KIND_F32)
        return bad(ctx, w, "key", key, "is of a kind without fractions");
    enum dlm_status st = put_key(ctx, w, key, kind);
    if (st)
        return st;
    return is_wide ? dlm_str_append(ctx, &w->values, (const char *)&value, sizeof(value))
                   : dlm_str_append(ctx, &w->values, (const char *)&narrow, sizeof(narrow));
}

enum dlm_status dlm_gguf_put_bool(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                  bool value)
{
    enum dlm_status st = put_key(ctx, w, key, DLM_GGUF_KIND_BOOL);

    return st ? st : append_number(ctx, &w->values, value, 1);
}

enum dlm_status dlm_gguf_put_string(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                    const char *text)
{
    enum dlm_status st = put_key(ctx, w, key, DLM_GGUF_KIND_STRING);

    return st ? st : append_text(ctx, &w->values, text, strlen(text));
}

/* The key, kind and length of an array. */
static enum dlm_status put_array_head(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                      const char *key, enum dlm_gguf_kind element, size_t len)
{
    enum dlm_status st = put_key(ctx, w, key, DLM_GGUF_KIND_ARRAY);

    if (!st)
        st = append_number(ctx, &w->values, (uint64_t)element, 4);
    return st ? st : append_number(ctx, &w->values, len, 8);
}

enum dlm_status dlm_gguf_put_array(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                   enum dlm_gguf_kind element, const void *data, size_t len)
{
    size_t bytes;

    if (!dlm_gguf_kind_size((uint32_t)element) ||
        !dlm_mul_size(len, dlm_gguf_kind_size((uint32_t)element), &bytes))
        return bad(ctx, w, "key", key, "is no array of numbers");
    enum dlm_status st = put_array_head(ctx, w, key, element, len);
    return st || !len ? st : dlm_str_append(ctx, &w->values, data, bytes);
}

enum dlm_status dlm_gguf_put_strings(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                     const char *key, const struct dlm_gguf_text *texts, size_t len)
{
    enum dlm_status st = put_array_head(ctx, w, key, DLM_GGUF_KIND_STRING, len);

    for (size_t i = 0; !st && i < len; i++)
        st = append_text(ctx, &w->values, texts[i].data, texts[i].len);
    return st;
}

/* --- tensors --- */

static enum dlm_status check_shape(struct dlm_ctx *ctx, const struct dlm_gguf_writer *w,
                                   const char *name, int ndim, const int64_t *ne,
                                   struct tensor *t)
{
    size_t rows = 1;

    if (ndim < 1 || ndim > DLM_GGUF_MAX_DIMS)
        return bad(ctx, w, "tensor", name, "has a bad shape");
    for (int i = 0; i < ndim; i++)
        if (ne[i] < 1 || (i && !dlm_mul_size(rows, (size_t)ne[i], &rows)) || rows > INT64_MAX)
            return bad(ctx, w, "tensor", name, "has a bad shape");
    if (!dlm_ggml_type_bytes(t->type, ne[0], (int64_t)rows, &t->bytes))
        return bad(ctx, w, "tensor", name, "has rows that are no whole blocks of its type");
    t->row_len = ne[0];
    return DLM_OK;
}

enum dlm_status dlm_gguf_put_tensor(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                    const char *name, enum dlm_ggml_type type, int ndim,
                                    const int64_t *ne)
{
    struct tensor t = {.type = type};

    if (!is_good_name(name, DLM_GGUF_MAX_NAME))
        return bad(ctx, w, "tensor", name, "has a bad name");
    enum dlm_status st = check_shape(ctx, w, name, ndim, ne, &t);
    if (st)
        return st;
    if (!dlm_grow(ctx, &w->tensors, &w->cap_tensors, w->num_tensors, sizeof(t)))
        return DLM_ERR_MEMORY;
    t.name = dlm_arena_strndup(ctx, &w->arena, name, strlen(name));
    if (!t.name)
        return DLM_ERR_MEMORY;
    st = append_text(ctx, &w->infos, name, strlen(name));
    if (!st)
        st = append_number(ctx, &w->infos, (uint64_t)ndim, 4);
    for (int i = 0; !st && i < ndim; i++)
        st = append_number(ctx, &w->infos, (uint64_t)ne[i], 8);
    if (!st)
        st = append_number(ctx, &w->infos, (uint64_t)type, 4);
    if (!st)
        st = append_number(ctx, &w->infos, w->data_bytes, 8);
    if (st)
        return st;
    w->tensors[w->num_tensors++] = t;
    if (!dlm_add_size(w->data_bytes, t.bytes, &w->data_bytes) ||
        !dlm_add_size(w->data_bytes, pad(t.bytes), &w->data_bytes))
        return bad(ctx, w, "tensor", name, "is too large");
    return DLM_OK;
}

/* Magic, version, both counts. */
#define HEAD_BYTES (4 + 4 + 8 + 8)

static size_t front_bytes(const struct dlm_gguf_writer *w)
{
    return HEAD_BYTES + w->values.len + w->infos.len;
}

uint64_t dlm_gguf_writer_bytes(const struct dlm_gguf_writer *w)
{
    const size_t front = front_bytes(w);

    return (uint64_t)front + pad(front) + w->data_bytes;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Sorts names and checks that none is there twice. */
static enum dlm_status check_names(struct dlm_ctx *ctx, const struct dlm_gguf_writer *w,
                                   const char *kind, const char **names, size_t num)
{
    if (num)
        qsort(names, num, sizeof(*names), compare_names);
    for (size_t i = 1; i < num; i++)
        if (!strcmp(names[i - 1], names[i]))
            return bad(ctx, w, kind, names[i], "is there twice");
    return DLM_OK;
}

static enum dlm_status check_all_names(struct dlm_ctx *ctx, struct dlm_gguf_writer *w)
{
    const char **names = dlm_alloc_array(ctx, w->num_tensors, sizeof(*names));

    if (!names)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < w->num_tensors; i++)
        names[i] = w->tensors[i].name;
    enum dlm_status st = check_names(ctx, w, "key", w->keys, w->num_keys);
    if (!st)
        st = check_names(ctx, w, "tensor", names, w->num_tensors);
    dlm_free(names);
    return st;
}

/* --- the file --- */

static enum dlm_status write_padding(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, size_t bytes)
{
    static const uint8_t zeros[ALIGNMENT];

    return w->write(ctx, w->user, zeros, pad(bytes));
}

enum dlm_status dlm_gguf_writer_begin(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                      dlm_gguf_write_fn write, void *user)
{
    struct dlm_str head = {0};
    enum dlm_status st = check_all_names(ctx, w);

    w->write = write;
    w->user = user;
    if (!st)
        st = dlm_str_append(ctx, &head, "GGUF", 4);
    if (!st)
        st = append_number(ctx, &head, DLM_GGUF_VERSION, 4);
    if (!st)
        st = append_number(ctx, &head, w->num_tensors, 8);
    if (!st)
        st = append_number(ctx, &head, w->num_keys, 8);
    if (!st)
        st = write(ctx, user, head.data, head.len);
    if (!st)
        st = write(ctx, user, w->values.data, w->values.len);
    if (!st)
        st = write(ctx, user, w->infos.data, w->infos.len);
    if (!st)
        st = write_padding(ctx, w, front_bytes(w));
    dlm_str_finish(&head);
    return st;
}

enum dlm_status dlm_gguf_writer_data(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                     const void *data, size_t bytes)
{
    if (w->at == w->num_tensors)
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%s': all its tensors are whole",
                        w->path);
    const struct tensor *t = &w->tensors[w->at];
    if (bytes > t->bytes - w->filled)
        return bad(ctx, w, "tensor", t->name, "gets more bytes than it has");
    enum dlm_status st = w->write(ctx, w->user, data, bytes);
    if (st)
        return st;
    w->filled += bytes;
    if (w->filled < t->bytes)
        return DLM_OK;
    w->at++;
    w->filled = 0;
    return write_padding(ctx, w, t->bytes);
}

enum dlm_status dlm_gguf_writer_rows(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const float *x,
                                     int64_t rows)
{
    size_t bytes;

    if (w->at == w->num_tensors)
        return dlm_gguf_writer_data(ctx, w, NULL, 0); /* which says so */
    const struct tensor *t = &w->tensors[w->at];
    if (!dlm_ggml_can_convert(t->type))
        return bad(ctx, w, "tensor", t->name, "has a type that nothing is converted to");
    if (!dlm_ggml_type_bytes(t->type, t->row_len, rows, &bytes) || bytes > t->bytes - w->filled)
        return bad(ctx, w, "tensor", t->name, "gets more bytes than it has");
    if (bytes > w->buffer_bytes) {
        uint8_t *buffer = dlm_realloc(ctx, w->buffer, bytes);
        if (!buffer)
            return DLM_ERR_MEMORY;
        w->buffer = buffer;
        w->buffer_bytes = bytes;
    }
    enum dlm_status st =
        dlm_ggml_quantize_rows(ctx, t->name, t->type, x, t->row_len, rows, w->buffer);
    return st ? st : dlm_gguf_writer_data(ctx, w, w->buffer, bytes);
}

enum dlm_status dlm_gguf_writer_end(struct dlm_ctx *ctx, struct dlm_gguf_writer *w)
{
    if (w->at < w->num_tensors)
        return bad(ctx, w, "tensor", w->tensors[w->at].name, "is not whole");
    return DLM_OK;
}
