/* The structure of a GGUF file, checked as ggml does:
 *
 *     "GGUF"  u32 version  u64 tensors  u64 values
 *     values x  (string key, u32 kind, value)
 *     tensors x (string name, u32 ndim, u64 ne[ndim], u32 type, u64 offset)
 *     zeros up to the alignment, then each tensor's bytes, padded to it, in that order
 *
 * A string is a u64 length and its bytes; an array a u32 kind, a u64 length and its elements. */
#include "gguf/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "gguf/reader_impl.h"

#define MIN_VALUE_BYTES (8 + 1 + 4 + 1)
#define MIN_TENSOR_BYTES (8 + 1 + 4 + 4 + 8)
#define MAX_KEY 65535
#define MAX_ALIGNMENT ((size_t)1 << 30)

/* Where the parser stands, and in what. */
struct cursor {
    struct dlm_ctx *ctx;
    struct dlm_gguf *gguf;
    const uint8_t *data;
    size_t bytes, at;
    char subject[256]; /* "the header", "key 'x'", "tensor 'x'" */
};

static enum dlm_status bad(const struct cursor *c, const char *what)
{
    return dlm_fail(c->ctx, DLM_ERR_PARSE, "cannot read '%s': %s %s", c->gguf->path, c->subject,
                    what);
}

static void set_subject(struct cursor *c, const char *fmt, ...) DLM_PRINTF(2, 3);
static void set_subject(struct cursor *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(c->subject, sizeof(c->subject), fmt, args); /* a longer one is cut */
    va_end(args);
}

/* The next n bytes. */
static enum dlm_status take(struct cursor *c, size_t n, const uint8_t **out)
{
    if (n > c->bytes - c->at)
        return bad(c, "ends past the file");
    *out = c->data + c->at;
    c->at += n;
    return DLM_OK;
}

/* The next number of a type's bytes. */
static enum dlm_status take_number(struct cursor *c, void *out, size_t bytes)
{
    const uint8_t *p = NULL;
    enum dlm_status st = take(c, bytes, &p);

    if (!st)
        memcpy(out, p, bytes);
    return st;
}

static enum dlm_status take_u32(struct cursor *c, uint32_t *out)
{
    return take_number(c, out, sizeof(*out));
}

static enum dlm_status take_u64(struct cursor *c, uint64_t *out)
{
    return take_number(c, out, sizeof(*out));
}

/* A string, passed over; *len are its bytes. */
static enum dlm_status take_string(struct cursor *c, const uint8_t **bytes, size_t *len)
{
    uint64_t n = 0;
    enum dlm_status st = take_u64(c, &n);

    if (st)
        return st;
    if (n > c->bytes - c->at)
        return bad(c, "has a string that ends past the file");
    *len = (size_t)n;
    return take(c, *len, bytes);
}

/* A key or a tensor's name, copied. */
static enum dlm_status take_name(struct cursor *c, size_t max_len, const char **out)
{
    const uint8_t *bytes = NULL;
    size_t len = 0;
    enum dlm_status st = take_string(c, &bytes, &len);

    if (st)
        return st;
    if (!len)
        return bad(c, "has an empty name");
    if (len > max_len)
        return bad(c, "has a name that is too long");
    if (memchr(bytes, 0, len) || !dlm_utf8_is_valid((const char *)bytes, len, NULL))
        return bad(c, "has a name that is no text");
    *out = dlm_arena_strndup(c->ctx, &c->gguf->arena, (const char *)bytes, len);
    return *out ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status check_bools(const struct cursor *c, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] > 1)
            return bad(c, "holds a bool that is neither 0 nor 1");
    return DLM_OK;
}

/* Passes over len values of a kind. */
static enum dlm_status take_elements(struct cursor *c, enum dlm_gguf_kind kind, uint64_t len)
{
    const size_t size = dlm_gguf_kind_size((uint32_t)kind);
    const uint8_t *p = NULL;
    size_t bytes;

    if (kind == DLM_GGUF_KIND_STRING) {
        enum dlm_status st = DLM_OK;
        for (uint64_t i = 0; !st && i < len; i++)
            st = take_string(c, &p, &bytes);
        return st;
    }
    if (len > SIZE_MAX || !dlm_mul_size((size_t)len, size, &bytes))
        return bad(c, "ends past the file");
    enum dlm_status st = take(c, bytes, &p);
    return !st && kind == DLM_GGUF_KIND_BOOL ? check_bools(c, p, bytes) : st;
}

static enum dlm_status take_kind(struct cursor *c, enum dlm_gguf_kind *out)
{
    uint32_t kind = 0;
    enum dlm_status st = take_u32(c, &kind);

    if (st)
        return st;
    if (kind >= DLM_GGUF_KIND_COUNT)
        return dlm_fail(c->ctx, DLM_ERR_PARSE, "cannot read '%s': %s has the unknown kind %u",
                        c->gguf->path, c->subject, (unsigned)kind);
    *out = (enum dlm_gguf_kind)kind;
    return DLM_OK;
}

static enum dlm_status take_value(struct cursor *c, struct dlm_gguf_value *v)
{
    enum dlm_status st = take_name(c, MAX_KEY, &v->key);

    if (st)
        return st;
    set_subject(c, "key '%.200s'", v->key);
    uint64_t len = 1;
    st = take_kind(c, &v->kind);
    v->element = v->kind;
    if (!st && v->kind == DLM_GGUF_KIND_ARRAY) {
        st = take_kind(c, &v->element);
        if (!st && v->element == DLM_GGUF_KIND_ARRAY)
            st = bad(c, "is an array of arrays");
        if (!st)
            st = take_u64(c, &len);
    }
    if (st)
        return st;
    v->data = c->data + c->at;
    st = take_elements(c, v->element, len);
    v->len = (size_t)len; /* each element takes a byte of the file at least */
    return st;
}

/* Shape and bytes of a tensor. */
static enum dlm_status take_shape(struct cursor *c, struct dlm_gguf_tensor *t)
{
    uint32_t ndim = 0;
    size_t len = 1;
    enum dlm_status st = take_u32(c, &ndim);

    if (st)
        return st;
    if (ndim > DLM_GGUF_MAX_DIMS)
        return bad(c, "has too many dimensions");
    t->ndim = (int)ndim; /* at most DLM_GGUF_MAX_DIMS */
    for (int i = 0; i < DLM_GGUF_MAX_DIMS; i++) {
        uint64_t ne = 1;
        if (i < t->ndim)
            st = take_u64(c, &ne);
        if (st)
            return st;
        /* of zeros, too, all products of the others must be numbers */
        if (ne > INT64_MAX || !dlm_mul_size(len, (size_t)DLM_MAX(ne, 1), &len) ||
            len > INT64_MAX / 64)
            return bad(c, "is too large");
        t->ne[i] = (int64_t)ne;
    }
    return DLM_OK;
}

static enum dlm_status take_type(struct cursor *c, struct dlm_gguf_tensor *t)
{
    uint32_t type = 0;
    enum dlm_status st = take_u32(c, &type);

    if (st)
        return st;
    if (!dlm_ggml_type_info(type))
        return dlm_fail(c->ctx, DLM_ERR_PARSE, "cannot read '%s': %s has the unknown type %u",
                        c->gguf->path, c->subject, (unsigned)type);
    t->type = (enum dlm_ggml_type)type;
    if (t->ne[0] % (int64_t)dlm_ggml_type_info(type)->block_len)
        return bad(c, "has rows that are not whole blocks of its type");
    if (!dlm_ggml_type_bytes(t->type, t->ne[0], t->ne[1] * t->ne[2] * t->ne[3], &t->bytes))
        return bad(c, "is too large");
    return DLM_OK;
}

/* offset: where the tensor must begin, from the start of the data; moved to the next one. The data
 * itself is not known yet. */
static enum dlm_status take_tensor(struct cursor *c, size_t alignment, struct dlm_gguf_tensor *t,
                                   size_t *offset)
{
    uint64_t at = 0;
    enum dlm_status st = take_name(c, DLM_GGUF_MAX_NAME, &t->name);

    if (st)
        return st;
    set_subject(c, "tensor '%s'", t->name);
    st = take_shape(c, t);
    if (!st)
        st = take_type(c, t);
    if (!st)
        st = take_u64(c, &at);
    if (st)
        return st;
    if (at % alignment)
        return bad(c, "is not aligned");
    if (at < *offset)
        return bad(c, "overlaps the one before it");
    if (at > *offset)
        return bad(c, "leaves a gap before it");
    if (!dlm_add_size(*offset, t->bytes, offset) || !dlm_add_size(*offset, alignment - 1, offset))
        return bad(c, "ends past the file");
    *offset -= *offset % alignment;
    return DLM_OK;
}

static enum dlm_status take_header(struct cursor *c)
{
    const uint8_t *magic = NULL;
    uint32_t version = 0;
    uint64_t num_tensors = 0, num_values = 0;
    enum dlm_status st = take(c, 4, &magic);

    if (!st && memcmp(magic, "GGUF", 4))
        return dlm_fail(c->ctx, DLM_ERR_PARSE, "cannot read '%s': it is no GGUF file",
                        c->gguf->path);
    if (!st)
        st = take_u32(c, &version);
    if (st)
        return st;
    if (version && !(version & 0xffff))
        return dlm_fail(c->ctx, DLM_ERR_UNSUPPORTED,
                        "cannot read '%s': it is a GGUF file for big-endian machines",
                        c->gguf->path);
    if (version != 2 && version != DLM_GGUF_VERSION)
        return dlm_fail(c->ctx, DLM_ERR_UNSUPPORTED,
                        "cannot read '%s': it is of version %u of GGUF, not of 2 or 3",
                        c->gguf->path, (unsigned)version);
    st = take_u64(c, &num_tensors);
    if (!st)
        st = take_u64(c, &num_values);
    if (st)
        return st;
    const uint64_t rest = c->bytes - c->at;
    if (num_values > rest / MIN_VALUE_BYTES || num_tensors > rest / MIN_TENSOR_BYTES)
        return dlm_fail(c->ctx, DLM_ERR_PARSE,
                        "cannot read '%s': the header counts more %s than the file can hold",
                        c->gguf->path, num_values > rest / MIN_VALUE_BYTES ? "keys" : "tensors");
    c->gguf->num_values = (size_t)num_values;
    c->gguf->num_tensors = (size_t)num_tensors;
    return DLM_OK;
}

static int compare_keys(const void *a, const void *b)
{
    const struct dlm_gguf_value *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static int compare_tensors(const void *a, const void *b)
{
    const struct dlm_gguf_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static enum dlm_status take_values(struct cursor *c)
{
    struct dlm_gguf *g = c->gguf;
    enum dlm_status st = DLM_OK;

    g->values = dlm_arena_alloc(c->ctx, &g->arena, g->num_values * sizeof(*g->values));
    g->values_by_key = dlm_arena_alloc(c->ctx, &g->arena, g->num_values * sizeof(void *));
    if (!g->values || !g->values_by_key)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < g->num_values; i++) {
        set_subject(c, "key %zu of %zu", i + 1, g->num_values);
        st = take_value(c, &g->values[i]);
        g->values_by_key[i] = &g->values[i];
    }
    if (st)
        return st;
    qsort(g->values_by_key, g->num_values, sizeof(void *), compare_keys);
    for (size_t i = 1; i < g->num_values; i++) {
        set_subject(c, "key '%.200s'", g->values_by_key[i]->key);
        if (!strcmp(g->values_by_key[i - 1]->key, g->values_by_key[i]->key))
            return bad(c, "is there twice");
    }
    return DLM_OK;
}

static enum dlm_status find_alignment(struct cursor *c, size_t *alignment)
{
    const struct dlm_gguf_value *v = dlm_gguf_find_value(c->gguf, "general.alignment");
    uint32_t value = 0;

    *alignment = DLM_GGUF_DEFAULT_ALIGNMENT;
    if (!v)
        return DLM_OK;
    set_subject(c, "key 'general.alignment'");
    if (v->kind != DLM_GGUF_KIND_U32)
        return bad(c, "is no u32");
    memcpy(&value, v->data, sizeof(value));
    if (value < 8 || value > MAX_ALIGNMENT || (value & (value - 1)))
        return bad(c, "is no power of two of 8 or more");
    *alignment = value;
    return DLM_OK;
}

static enum dlm_status take_tensors(struct cursor *c)
{
    struct dlm_gguf *g = c->gguf;
    size_t alignment = 0, offset = 0, first;
    enum dlm_status st = find_alignment(c, &alignment);

    g->tensors = dlm_arena_alloc(c->ctx, &g->arena, g->num_tensors * sizeof(*g->tensors));
    g->tensors_by_name = dlm_arena_alloc(c->ctx, &g->arena, g->num_tensors * sizeof(void *));
    if (!g->tensors || !g->tensors_by_name)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < g->num_tensors; i++) {
        set_subject(c, "tensor %zu of %zu", i + 1, g->num_tensors);
        st = take_tensor(c, alignment, &g->tensors[i], &offset);
        g->tensors_by_name[i] = &g->tensors[i];
    }
    if (st)
        return st;
    first = (c->at + alignment - 1) / alignment * alignment; /* both far below SIZE_MAX */
    for (size_t i = 0; i < g->num_tensors; i++) {
        struct dlm_gguf_tensor *t = &g->tensors[i];
        set_subject(c, "tensor '%s'", t->name);
        if (first > c->bytes || t->bytes > c->bytes - first)
            return bad(c, "ends past the file");
        t->data = c->data + first;
        first += (t->bytes + alignment - 1) / alignment * alignment;
    }
    qsort(g->tensors_by_name, g->num_tensors, sizeof(void *), compare_tensors);
    for (size_t i = 1; i < g->num_tensors; i++) {
        set_subject(c, "tensor '%s'", g->tensors_by_name[i]->name);
        if (!strcmp(g->tensors_by_name[i - 1]->name, g->tensors_by_name[i]->name))
            return bad(c, "is there twice");
    }
    return DLM_OK;
}

/* Takes map, also on failure; bytes lie in it or are the caller's. */
static enum dlm_status open_bytes(struct dlm_ctx *ctx, struct dlm_gguf **out, const char *path,
                                  struct dlm_map map, const void *bytes, size_t len)
{
    struct cursor c = {.ctx = ctx, .data = bytes, .bytes = len, .subject = "the header"};
    struct dlm_gguf *g = dlm_alloc(ctx, sizeof(*g));
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!g) {
        dlm_map_close(&map);
        return st;
    }
    g->map = map;
    g->path = dlm_strdup(ctx, path);
    if (!g->path)
        goto done;
    c.gguf = g;
    st = take_header(&c);
    if (!st)
        st = take_values(&c);
    if (!st)
        st = take_tensors(&c);
    if (st)
        goto done;
    *out = g;
    g = NULL;
done:
    dlm_gguf_destroy(&g);
    return st;
}

enum dlm_status dlm_gguf_open(struct dlm_ctx *ctx, struct dlm_gguf **out, const char *path)
{
    struct dlm_map map = {0};

    *out = NULL;
    enum dlm_status st = dlm_map_open(ctx, &map, path);
    return st ? st : open_bytes(ctx, out, path, map, map.data, map.bytes);
}

enum dlm_status dlm_gguf_open_memory(struct dlm_ctx *ctx, struct dlm_gguf **out, const char *name,
                                     const void *bytes, size_t len)
{
    *out = NULL;
    return open_bytes(ctx, out, name, (struct dlm_map){0}, bytes, len);
}

void dlm_gguf_destroy(struct dlm_gguf **gguf)
{
    struct dlm_gguf *g = *gguf;

    if (!g)
        return;
    dlm_map_close(&g->map);
    dlm_arena_finish(&g->arena);
    dlm_free(g->path);
    dlm_free(g);
    *gguf = NULL;
}

void dlm_gguf_drop(const struct dlm_gguf *gguf, const struct dlm_gguf_tensor *t)
{
    if (gguf->map.data)
        dlm_map_drop(&gguf->map, (size_t)(t->data - gguf->map.data), t->bytes);
}
