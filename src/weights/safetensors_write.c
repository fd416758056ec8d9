/* Writing a safetensors file, byte for byte as the safetensors library orders and pads it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "weights/outfile.h"
#include "weights/safetensors.h"

struct item {
    const struct dlm_tensor_out *t;
    const struct dlm_st_type *type;
};

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    if (x->type->rank != y->type->rank)
        return x->type->rank > y->type->rank ? -1 : 1;
    return strcmp(x->t->name, y->t->name);
}

static int compare_item_names(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return strcmp(x->t->name, y->t->name);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct dlm_metadata_pair *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static enum dlm_status bad(struct dlm_ctx *ctx, const char *path, const char *name,
                           const char *what)
{
    return dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%s': tensor '%.200s' %s", path, name,
                    what);
}

static enum dlm_status check_tensor(struct dlm_ctx *ctx, const char *path,
                                    const struct dlm_tensor_out *t, struct item *item)
{
    size_t len = 1, bytes;

    *item = (struct item){t, t->st_type ? dlm_st_type_by_name(t->st_type)
                                        : dlm_st_type_of(t->dtype)};
    if (!item->type)
        return bad(ctx, path, t->name, "has a type that cannot be written");
    if (!*t->name || !strcmp(t->name, "__metadata__") ||
        !dlm_utf8_is_valid(t->name, strlen(t->name), NULL))
        return bad(ctx, path, t->name, "has a bad name");
    if (t->ndim < 0 || t->ndim > DLM_TENSOR_MAX_DIMS)
        return bad(ctx, path, t->name, "has a bad shape");
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] < 0 || !dlm_mul_size(len, (size_t)t->shape[i], &len))
            return bad(ctx, path, t->name, "has a bad shape");
    if (!dlm_mul_size(len, item->type->bits, &bytes) || bytes / 8 != t->bytes)
        return bad(ctx, path, t->name, "has another size than its shape and type");
    return DLM_OK;
}

/* A JSON string as serde_json writes it. */
static enum dlm_status append_quoted(struct dlm_ctx *ctx, struct dlm_str *s, const char *text)
{
    static const char escapes[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                   ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    enum dlm_status st = dlm_str_append(ctx, s, "\"", 1);

    for (const unsigned char *p = (const unsigned char *)text; !st && *p; p++) {
        if (*p < sizeof(escapes) && escapes[*p])
            st = dlm_str_appendf(ctx, s, "\\%c", escapes[*p]);
        else if (*p < 0x20)
            st = dlm_str_appendf(ctx, s, "\\u%04x", *p);
        else
            st = dlm_str_append(ctx, s, (const char *)p, 1);
    }
    return st ? st : dlm_str_append(ctx, s, "\"", 1);
}

static enum dlm_status append_metadata(struct dlm_ctx *ctx, struct dlm_str *s,
                                       const struct dlm_metadata_pair *pairs, size_t num)
{
    struct dlm_metadata_pair *sorted = dlm_alloc_array(ctx, num, sizeof(*sorted));

    if (!sorted)
        return DLM_ERR_MEMORY;
    memcpy(sorted, pairs, num * sizeof(*sorted));
    qsort(sorted, num, sizeof(*sorted), compare_pairs);
    enum dlm_status st = dlm_str_appendz(ctx, s, "\"__metadata__\":{");
    for (size_t i = 0; !st && i < num; i++) {
        if (i)
            st = dlm_str_append(ctx, s, ",", 1);
        if (!st)
            st = append_quoted(ctx, s, sorted[i].key);
        if (!st)
            st = dlm_str_append(ctx, s, ":", 1);
        if (!st)
            st = append_quoted(ctx, s, sorted[i].value);
    }
    dlm_free(sorted);
    return st ? st : dlm_str_append(ctx, s, "}", 1);
}

static enum dlm_status append_entry(struct dlm_ctx *ctx, struct dlm_str *s, const struct item *item,
                                    size_t begin)
{
    enum dlm_status st = append_quoted(ctx, s, item->t->name);

    if (!st)
        st = dlm_str_appendf(ctx, s, ":{\"dtype\":\"%s\",\"shape\":[", item->type->name);
    for (int i = 0; !st && i < item->t->ndim; i++)
        st = dlm_str_appendf(ctx, s, i ? ",%lld" : "%lld", (long long)item->t->shape[i]);
    if (!st)
        st = dlm_str_appendf(ctx, s, "],\"data_offsets\":[%zu,%zu]}", begin,
                             begin + item->t->bytes);
    return st;
}

/* Length word, JSON and padding. */
static enum dlm_status make_header(struct dlm_ctx *ctx, const char *path, struct dlm_str *s,
                                   const struct item *items, size_t num,
                                   const struct dlm_metadata_pair *metadata, size_t num_metadata)
{
    size_t at = 0;
    enum dlm_status st = dlm_str_append(ctx, s, "\0\0\0\0\0\0\0\0{", 9);

    if (!st && num_metadata)
        st = append_metadata(ctx, s, metadata, num_metadata);
    for (size_t i = 0; !st && i < num; i++) {
        if (i || num_metadata)
            st = dlm_str_append(ctx, s, ",", 1);
        if (!st)
            st = append_entry(ctx, s, &items[i], at);
        if (!dlm_add_size(at, items[i].t->bytes, &at))
            return bad(ctx, path, items[i].t->name, "is too large");
    }
    if (!st)
        st = dlm_str_append(ctx, s, "}", 1);
    while (!st && s->len % 8)
        st = dlm_str_append(ctx, s, " ", 1);
    if (st)
        return st;
    uint64_t len = s->len - 8;
    if (len > DLM_SAFETENSORS_MAX_HEADER)
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%s': the header is too large", path);
    for (int i = 0; i < 8; i++)
        s->data[i] = (char)(uint8_t)(len >> 8 * i); /* one byte of the length */
    return DLM_OK;
}

static enum dlm_status check_names(struct dlm_ctx *ctx, const char *path, struct item *items,
                                   size_t num)
{
    if (num)
        qsort(items, num, sizeof(*items), compare_item_names);
    for (size_t i = 1; i < num; i++)
        if (!strcmp(items[i - 1].t->name, items[i].t->name))
            return bad(ctx, path, items[i].t->name, "is there twice");
    if (num)
        qsort(items, num, sizeof(*items), compare_items);
    return DLM_OK;
}

/* Checks tensors and sorts them as items; *items is owned. */
static enum dlm_status plan(struct dlm_ctx *ctx, const char *path,
                            const struct dlm_tensor_out *tensors, size_t num,
                            struct item **items)
{
    *items = dlm_alloc_array(ctx, num, sizeof(**items));
    enum dlm_status st = *items ? DLM_OK : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < num; i++)
        st = check_tensor(ctx, path, &tensors[i], &(*items)[i]);
    return st ? st : check_names(ctx, path, *items, num);
}

enum dlm_status dlm_safetensors_plan(struct dlm_ctx *ctx, const char *path,
                                     struct dlm_tensor_out *tensors, size_t num_tensors,
                                     const struct dlm_metadata_pair *metadata, size_t num_metadata,
                                     struct dlm_str *out)
{
    struct item *items = NULL;
    struct dlm_tensor_out *sorted = dlm_alloc_array(ctx, num_tensors, sizeof(*sorted));

    enum dlm_status st = sorted ? plan(ctx, path, tensors, num_tensors, &items) : DLM_ERR_MEMORY;
    if (!st)
        st = make_header(ctx, path, out, items, num_tensors, metadata, num_metadata);
    for (size_t i = 0; !st && i < num_tensors; i++)
        sorted[i] = *items[i].t;
    if (!st)
        memcpy(tensors, sorted, num_tensors * sizeof(*sorted));
    dlm_free(items);
    dlm_free(sorted);
    return st;
}

enum dlm_status dlm_safetensors_write(struct dlm_ctx *ctx, const char *path,
                                      const struct dlm_tensor_out *tensors, size_t num_tensors,
                                      const struct dlm_metadata_pair *metadata, size_t num_metadata)
{
    struct dlm_outfile file = {0};
    struct dlm_str header = {0};
    struct item *items = NULL;

    enum dlm_status st = plan(ctx, path, tensors, num_tensors, &items);
    if (!st)
        st = make_header(ctx, path, &header, items, num_tensors, metadata, num_metadata);
    if (!st)
        st = dlm_outfile_open(ctx, &file, path);
    if (!st)
        st = dlm_outfile_write(ctx, &file, header.data, header.len);
    for (size_t i = 0; !st && i < num_tensors; i++)
        st = dlm_outfile_write(ctx, &file, items[i].t->data, items[i].t->bytes);
    if (!st)
        st = dlm_outfile_commit(ctx, &file);
    dlm_outfile_finish(&file);
    dlm_str_finish(&header);
    dlm_free(items);
    return st;
}
