/* One object a device, written and read. */
#include "doctor/device_json.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

const char *dlm_device_kind_text(const struct dlm_device_info *info)
{
    return info->kind == DLM_BACKEND_CPU ? "cpu"
           : info->is_software           ? "software"
           : info->is_unified            ? "unified"
                                         : "card";
}

static const char *const dot_names[DLM_INT8_DOT_COUNT] = {
    [DLM_INT8_DOT_NONE] = "none",
    [DLM_INT8_DOT_EMULATED] = "emulated",
    [DLM_INT8_DOT_FAST] = "fast",
};

const char *dlm_int8_dot_text(enum dlm_int8_dot dot)
{
    return dot_names[dot];
}

static json_t *count_or_null(uint64_t count)
{
    return count ? json_integer((json_int_t)DLM_MIN(count, (uint64_t)INT64_MAX)) : json_null();
}

static json_t *shapes_json(const struct dlm_device_properties *p)
{
    json_t *list = json_array();

    for (uint32_t i = 0; list && i < p->num_shapes; i++) {
        const struct dlm_matrix_shape *s = &p->shapes[i];
        json_t *shape = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i}", "a", s->a, "b", s->b, "c",
                                  s->c, "result", s->result, "m", (int)s->m, "n", (int)s->n, "k",
                                  (int)s->k);
        if (json_array_append_new(list, shape)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Drivers write what they like, and a text may have been cut inside a letter. */
static void clean(const char *text, char *to, size_t bytes)
{
    size_t bad;

    snprintf(to, bytes, "%s", text);
    while (!dlm_utf8_is_valid(to, strlen(to), &bad))
        to[bad] = '?';
}

json_t *dlm_device_json(const struct dlm_device_properties *p)
{
    const struct dlm_device_info *d = &p->info;
    char name[sizeof(d->name)], driver[sizeof(d->driver)], vendor[sizeof(p->vendor)];

    clean(d->name, name, sizeof(name));
    clean(d->driver, driver, sizeof(driver));
    clean(p->vendor, vendor, sizeof(vendor));
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:b, s:s, s:o, s:o, s:o, s:o, "
        "s:o}",
        "backend", dlm_backend_name(d->kind), "index", d->index, "name", name, "driver",
        driver, "vendor", dlm_json_text(vendor), "kind", dlm_device_kind_text(d),
        "is_software", (int)d->is_software, "memory_bytes", count_or_null(d->memory_bytes),
        "free_bytes", count_or_null(p->free_bytes), "free_from", dlm_json_text(p->free_from),
        "max_alloc_bytes", count_or_null(d->max_alloc_bytes), "fp16", (int)p->has_f16, "int8_dot",
        dlm_int8_dot_text(p->int8_dot), "subgroup_size", count_or_null(p->subgroup),
        "min_subgroup_size", count_or_null(p->min_subgroup), "max_subgroup_size",
        count_or_null(p->max_subgroup), "timestamp_ns",
        p->tick_ns > 0 ? json_real(p->tick_ns) : json_null(), "matrix_shapes", shapes_json(p));
}

/* --- reading --- */

/* A place for a text of bytes; a longer one is cut. */
struct text {
    const char *key;
    char *to;
    size_t bytes;
};

static enum dlm_status read_texts(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                  const struct text *texts, size_t num)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < num; i++) {
        const char *text = "";
        st = dlm_json_string(ctx, object, where, texts[i].key, &text);
        if (!st)
            clean(text, texts[i].to, texts[i].bytes);
    }
    return st;
}

static enum dlm_status read_u32(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                const char *key, uint32_t *to)
{
    int64_t value = 0;

    enum dlm_status st = dlm_json_int(ctx, object, where, key, 0, INT32_MAX, &value);
    *to = (uint32_t)value; /* in that range */
    return st;
}

static enum dlm_status read_bytes(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                  const char *key, uint64_t *to)
{
    int64_t value = 0;

    enum dlm_status st = dlm_json_int(ctx, object, where, key, 0, INT64_MAX, &value);
    *to = (uint64_t)value;
    return st;
}

static enum dlm_status read_shape(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                  struct dlm_matrix_shape *s)
{
    const struct text texts[] = {{"a", s->a, sizeof(s->a)},
                                 {"b", s->b, sizeof(s->b)},
                                 {"c", s->c, sizeof(s->c)},
                                 {"result", s->result, sizeof(s->result)}};

    if (!json_is_object(object))
        return dlm_fail(ctx, DLM_ERR_PARSE, "%s: 'matrix_shapes' is no array of objects", where);
    enum dlm_status st = read_texts(ctx, object, where, texts, DLM_ARRAY_LEN(texts));
    if (!st)
        st = read_u32(ctx, object, where, "m", &s->m);
    if (!st)
        st = read_u32(ctx, object, where, "n", &s->n);
    return st ? st : read_u32(ctx, object, where, "k", &s->k);
}

static enum dlm_status read_shapes(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                   struct dlm_device_properties *p)
{
    const json_t *list = json_object_get(object, "matrix_shapes");
    const size_t num = DLM_MIN(json_array_size(list), DLM_MAX_MATRIX_SHAPES);
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < num; i++)
        st = read_shape(ctx, json_array_get(list, i), where, &p->shapes[p->num_shapes++]);
    return st;
}

/* The names: which back end, which kind of device, what its bytes do. */
static enum dlm_status read_names(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                  struct dlm_device_properties *p)
{
    const char *backend = "", *kind = "", *dot = "";

    enum dlm_status st = dlm_json_string(ctx, object, where, "backend", &backend);
    if (!st)
        st = dlm_json_string(ctx, object, where, "kind", &kind);
    if (!st)
        st = dlm_json_string(ctx, object, where, "int8_dot", &dot);
    if (!st)
        st = dlm_backend_from_name(ctx, backend, &p->info.kind);
    p->info.is_unified = strcmp(kind, "card") != 0;
    for (int i = 0; !st && i < DLM_INT8_DOT_COUNT; i++)
        if (!strcmp(dot, dot_names[i]))
            p->int8_dot = (enum dlm_int8_dot)i;
    return st;
}

enum dlm_status dlm_device_from_json(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                     struct dlm_device_properties *p)
{
    struct dlm_device_info *d = &p->info;
    const struct text texts[] = {{"name", d->name, sizeof(d->name)},
                                 {"driver", d->driver, sizeof(d->driver)},
                                 {"vendor", p->vendor, sizeof(p->vendor)},
                                 {"free_from", p->free_from, sizeof(p->free_from)}};
    uint32_t index = 0;

    *p = (struct dlm_device_properties){0};
    enum dlm_status st = read_names(ctx, object, where, p);
    if (!st)
        st = read_texts(ctx, object, where, texts, DLM_ARRAY_LEN(texts));
    if (!st)
        st = read_u32(ctx, object, where, "index", &index);
    d->index = (int)index; /* at most INT32_MAX */
    if (!st)
        st = dlm_json_bool(ctx, object, where, "is_software", &d->is_software);
    if (!st)
        st = read_bytes(ctx, object, where, "memory_bytes", &d->memory_bytes);
    if (!st)
        st = read_bytes(ctx, object, where, "free_bytes", &p->free_bytes);
    if (!st)
        st = read_bytes(ctx, object, where, "max_alloc_bytes", &d->max_alloc_bytes);
    if (!st)
        st = dlm_json_bool(ctx, object, where, "fp16", &p->has_f16);
    if (!st)
        st = read_u32(ctx, object, where, "subgroup_size", &p->subgroup);
    if (!st)
        st = read_u32(ctx, object, where, "min_subgroup_size", &p->min_subgroup);
    if (!st)
        st = read_u32(ctx, object, where, "max_subgroup_size", &p->max_subgroup);
    if (!st)
        st = dlm_json_number(ctx, object, where, "timestamp_ns", &p->tick_ns);
    return st ? st : read_shapes(ctx, object, where, p);
}
