/* Declaring resident weights. Filling them is in weights_load.c. */
#include "models/weights.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "kernels/panel.h"
#include "models/precision.h"

enum dlm_status dlm_weights_create(struct dlm_ctx *ctx, struct dlm_weights **out,
                                   struct dlm_device *device, enum dlm_dtype policy,
                                   struct dlm_checkpoint *ckpt, const struct dlm_name_map *map)
{
    struct dlm_weights *w = dlm_alloc(ctx, sizeof(*w));

    *out = NULL;
    if (!w) {
        dlm_checkpoint_destroy(&ckpt);
        return DLM_ERR_MEMORY;
    }
    *w = (struct dlm_weights){
        .ctx = ctx, .device = device, .policy = policy, .checkpoint = ckpt,
        .file_dtype = policy};
    size_t num = ckpt ? dlm_checkpoint_num_tensors(ckpt) : 0;
    w->names = dlm_alloc_array(ctx, num + 1, sizeof(*w->names));
    for (size_t i = 0; w->names && i < num; i++) {
        w->names[i] = dlm_name_canonical(ctx, map, dlm_checkpoint_tensor(ckpt, i)->name);
        if (!w->names[i]) {
            dlm_weights_destroy(&w);
            return DLM_ERR_MEMORY;
        }
    }
    if (!w->names) {
        dlm_weights_destroy(&w);
        return DLM_ERR_MEMORY;
    }
    *out = w;
    return DLM_OK;
}

void dlm_weights_destroy(struct dlm_weights **weights)
{
    struct dlm_weights *w = weights ? *weights : NULL;

    if (!w)
        return;
    for (size_t i = 0; i < w->num; i++) {
        for (int s = 0; s < w->list[i]->num_slabs; s++)
            dlm_buffer_destroy(&w->list[i]->slabs[s].storage.buffer);
        dlm_free(w->list[i]->slabs);
        dlm_free(w->list[i]->name);
        dlm_free(w->list[i]);
    }
    size_t num = w->checkpoint ? dlm_checkpoint_num_tensors(w->checkpoint) : 0;
    for (size_t i = 0; w->names && i < num; i++)
        dlm_free(w->names[i]);
    dlm_free(w->names);
    dlm_free(w->list);
    dlm_checkpoint_destroy(&w->checkpoint);
    dlm_free(w);
    *weights = NULL;
}

const struct dlm_tensor_info *dlm_weights_find(const struct dlm_weights *weights, const char *name)
{
    const struct dlm_checkpoint *ckpt = weights->checkpoint;

    for (size_t i = 0; ckpt && i < dlm_checkpoint_num_tensors(ckpt); i++)
        if (!strcmp(weights->names[i], name))
            return dlm_checkpoint_tensor(ckpt, i);
    return NULL;
}

/* rows x cols with any split of the columns into further dimensions. */
static bool fits(const struct dlm_tensor_info *t, int64_t rows, int64_t cols)
{
    int64_t rest = 1;
    int first = rows == 1 && t->ndim == 1 ? 0 : 1;

    if (t->ndim < 1 || (first == 1 && t->shape[0] != rows))
        return false;
    for (int i = first; i < t->ndim; i++) {
        if (t->shape[i] <= 0 || rest > cols)
            return false;
        rest *= t->shape[i]; /* at most cols times one checked dimension */
    }
    return rest == cols;
}

static enum dlm_status fail_missing(const struct dlm_weights *w, const char *name)
{
    const size_t num = dlm_checkpoint_num_files(w->checkpoint);
    const char *first = num ? dlm_checkpoint_file_at(w->checkpoint, 0)->path : "";

    if (num == 1)
        return dlm_fail(w->ctx, DLM_ERR_INVALID, "cannot load '%s': tensor '%s' is missing", first,
                        name);
    return dlm_fail(w->ctx, DLM_ERR_INVALID,
                    "cannot load '%s' and the other %zu shards: tensor '%s' is missing", first,
                    num ? num - 1 : 0, name);
}

static enum dlm_status check_source(struct dlm_weights *w, const struct dlm_weight *weight)
{
    const struct dlm_tensor_info *t = weight->source;

    if (!t)
        return fail_missing(w, weight->name);
    enum dlm_status st = dlm_tensor_check_dtype(w->ctx, t);
    if (st)
        return st;
    if (!dlm_dtype_is_float(t->dtype))
        return dlm_fail(w->ctx, DLM_ERR_UNSUPPORTED, "cannot read '%s': tensor '%s' is %s, not "
                        "f32, f16 or bf16", t->file, t->name, t->st_type);
    if (!fits(t, weight->rows, weight->cols))
        return dlm_fail(w->ctx, DLM_ERR_INVALID,
                        "cannot read '%s': tensor '%s' does not have the shape that config.json "
                        "asks for (%lld x %lld)",
                        t->file, t->name, (long long)weight->rows, (long long)weight->cols);
    return DLM_OK;
}

static size_t resident_bytes(const struct dlm_weight *w, int64_t rows)
{
    size_t bytes = 0;

    if (w->layout == DLM_LAYOUT_PANEL)
        return dlm_panel_bytes(w->dtype, rows, w->cols);
    (void)dlm_dtype_bytes(w->dtype, rows * w->cols, &bytes); /* fits: the file holds it */
    return (bytes + 3) / 4 * 4; /* kernels read whole words */
}

/* Rows that a slab may have: what a kernel can reach, in whole panels. */
static int64_t slab_rows(const struct dlm_weights *w, const struct dlm_weight *weight)
{
    size_t limit = dlm_device_max_tensor(w->device);
    size_t per_16 = resident_bytes(weight, 16);

    if (resident_bytes(weight, weight->rows) <= limit)
        return weight->rows;
    return (int64_t)(limit / DLM_MAX(per_16, (size_t)1)) * 16;
}

static enum dlm_status make_slabs(struct dlm_weights *w, struct dlm_weight *weight)
{
    int64_t rows = slab_rows(w, weight);

    if (rows <= 0 || (weight->kind == DLM_WEIGHT_VECTOR && rows < weight->rows))
        return dlm_fail(w->ctx, DLM_ERR_UNSUPPORTED,
                        "weight '%s' does not fit the largest buffer of device '%s'", weight->name,
                        dlm_device_get_caps(w->device)->info.name);
    const int num = (int)((weight->rows + rows - 1) / rows);
    weight->slabs = dlm_alloc_array(w->ctx, (size_t)num, sizeof(*weight->slabs));
    if (!weight->slabs)
        return DLM_ERR_MEMORY;
    weight->num_slabs = num;
    for (int s = 0; s < weight->num_slabs; s++) {
        weight->slabs[s].row0 = s * rows;
        weight->slabs[s].rows = DLM_MIN(rows, weight->rows - s * rows);
    }
    return DLM_OK;
}

struct dlm_weight_scope dlm_weight_scope_below(const struct dlm_weight_scope *scope,
                                               const char *fmt, ...)
{
    struct dlm_weight_scope below = *scope;
    const size_t len = strlen(below.path), room = sizeof(below.path) - len;
    va_list args;

    if (len)
        below.path[len] = '.';
    va_start(args, fmt);
    const int added = vsnprintf(below.path + len + !!len, room - !!len, fmt, args);
    va_end(args);
    assert(added > 0 && (size_t)added < room - 1);
    (void)added; /* with assertions off */
    return below;
}

static enum dlm_status add_weight(const struct dlm_weight_scope *scope, enum dlm_weight_kind kind,
                                  const char *name, int64_t rows, int64_t cols,
                                  struct dlm_weight **out)
{
    struct dlm_weights *weights = scope->weights;
    struct dlm_weight *weight = dlm_alloc(weights->ctx, sizeof(*weight));

    *out = NULL;
    if (!weight)
        return DLM_ERR_MEMORY;
    if (!dlm_grow(weights->ctx, &weights->list, &weights->cap, weights->num, sizeof(weight))) {
        dlm_free(weight);
        return DLM_ERR_MEMORY;
    }
    weights->list[weights->num++] = weight;
    weight->name = scope->path[0] ? dlm_strf(weights->ctx, "%s.%s", scope->path, name)
                                  : dlm_strdup(weights->ctx, name);
    if (!weight->name)
        return DLM_ERR_MEMORY;
    weight->kind = kind;
    weight->group = scope->group;
    weight->rows = rows;
    weight->cols = cols;
    enum dlm_status st = DLM_OK;
    if (weights->checkpoint) {
        weight->source = dlm_weights_find(weights, weight->name);
        st = check_source(weights, weight);
    }
    if (st)
        return st;
    bool is_matrix = kind == DLM_WEIGHT_MATRIX;
    bool has_panels = dlm_device_get_caps(weights->device)->bits & DLM_CAP_PANELS;
    enum dlm_dtype file = weight->source ? weight->source->dtype : weights->file_dtype;
    weight->dtype = is_matrix ? dlm_precision_weight(weights->policy, file) : DLM_DTYPE_F32;
    weight->layout = is_matrix && has_panels ? DLM_LAYOUT_PANEL : DLM_LAYOUT_STRIDED;
    *out = weight;
    return make_slabs(weights, weight);
}

enum dlm_status dlm_weights_add_matrix(const struct dlm_weight_scope *scope, const char *name,
                                       int64_t rows, int64_t cols, struct dlm_weight **out)
{
    return add_weight(scope, DLM_WEIGHT_MATRIX, name, rows, cols, out);
}

enum dlm_status dlm_weights_add_vector(const struct dlm_weight_scope *scope, const char *name,
                                       int64_t len, struct dlm_weight **out)
{
    return add_weight(scope, DLM_WEIGHT_VECTOR, name, 1, len, out);
}

enum dlm_status dlm_weights_add_table(const struct dlm_weight_scope *scope, const char *name,
                                      int64_t rows, int64_t cols, struct dlm_weight **out)
{
    return add_weight(scope, DLM_WEIGHT_VECTOR, name, rows, cols, out);
}

size_t dlm_weights_bytes(const struct dlm_weights *weights, uint32_t groups)
{
    size_t bytes = 0;

    for (size_t i = 0; i < weights->num; i++) {
        const struct dlm_weight *w = weights->list[i];
        if (!(w->group & groups))
            continue;
        for (int s = 0; s < w->num_slabs; s++)
            bytes += resident_bytes(w, w->slabs[s].rows);
    }
    return bytes;
}

size_t dlm_weights_loaded_bytes(const struct dlm_weights *weights, uint32_t groups)
{
    size_t bytes = 0;

    for (size_t i = 0; i < weights->num; i++) {
        const struct dlm_weight *w = weights->list[i];
        if (!(w->group & groups))
            continue;
        for (int s = 0; s < w->num_slabs; s++)
            if (w->slabs[s].storage.buffer)
                bytes += dlm_buffer_bytes(w->slabs[s].storage.buffer);
    }
    return bytes;
}

struct dlm_tensor *dlm_weight_leaf(struct dlm_graph *graph, const struct dlm_weight *weight,
                                   int slab)
{
    const struct dlm_weight_slab *s = &weight->slabs[slab];
    const bool is_row = weight->kind == DLM_WEIGHT_VECTOR && weight->rows == 1;
    int64_t shape[] = {s->rows, weight->cols};
    struct dlm_desc desc = dlm_desc_make(weight->dtype, is_row ? 1 : 2, is_row ? shape + 1 : shape);

    desc.layout = weight->layout;
    struct dlm_tensor *t = dlm_graph_leaf(graph, DLM_ROLE_WEIGHT, weight->name, &desc);
    dlm_tensor_bind(t, &s->storage);
    return t;
}
