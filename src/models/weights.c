/* Declaring resident weights. Filling them is in weights_load.c. */
#include "models/weights.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "gguf/blocks.h"
#include "kernels/panel.h"
#include "models/gguf_names.h"
#include "models/model.h"
#include "models/precision.h"
#include "models/weights_impl.h"

/* Elements that share a nested scale of nf4_dq. */
#define NESTED_LEN (DLM_NF4_BLOCK * DLM_NF4_NESTED)

enum dlm_status dlm_weights_create(struct dlm_ctx *ctx, struct dlm_weights **out,
                                   struct dlm_device *device, enum dlm_dtype policy,
                                   const struct dlm_quant_policy *quant,
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
    if (quant)
        w->quant = *quant;
    size_t num = ckpt ? dlm_checkpoint_num_tensors(ckpt) : 0;
    w->names = dlm_alloc_array(ctx, num + 1, sizeof(*w->names));
    for (size_t i = 0; w->names && i < num; i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(ckpt, i);
        w->names[i] = dlm_name_canonical(ctx, map, t->form ? t->form->canonical : t->name);
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
        for (int k = 0; k < w->list[i]->num_parts; k++) {
            dlm_free(w->list[i]->parts[k].name);
            dlm_bnb_close(&w->list[i]->parts[k].bnb);
        }
        dlm_free(w->list[i]->parts);
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

/* Part `part` of the tensors that are the weight of this name; NULL: it is not there. */
static const struct dlm_tensor_info *find_part(const struct dlm_weights *weights, const char *name,
                                               int part)
{
    const struct dlm_checkpoint *ckpt = weights->checkpoint;

    for (size_t i = 0; ckpt && i < dlm_checkpoint_num_tensors(ckpt); i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(ckpt, i);
        if (!strcmp(weights->names[i], name) && (t->form ? t->form->part : 0) == part)
            return t;
    }
    return NULL;
}

const struct dlm_tensor_info *dlm_weights_find(const struct dlm_weights *weights, const char *name)
{
    return find_part(weights, name, 0);
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

static bool is_gguf(const struct dlm_weights *w)
{
    return w->family && dlm_checkpoint_num_tensors(w->checkpoint) &&
           dlm_checkpoint_tensor(w->checkpoint, 0)->form;
}

/* Of GGUF files, which are a language model and its tower, the right one and its own name. */
static enum dlm_status fail_missing(const struct dlm_weights *w, const char *name, int part)
{
    const size_t num = dlm_checkpoint_num_files(w->checkpoint);
    const char *first = num ? dlm_checkpoint_file_at(w->checkpoint, 0)->path : "";
    char tensor[DLM_GGUF_NAME_BYTES];
    bool is_tower;

    if (is_gguf(w) && dlm_gguf_name_of(w->family->gguf, w->family->language, name, part, &is_tower,
                                       tensor))
        return dlm_fail(w->ctx, DLM_ERR_INVALID, "cannot load '%s': tensor '%s' is missing",
                        dlm_checkpoint_file_at(w->checkpoint, is_tower)->path, tensor);
    if (num == 1)
        return dlm_fail(w->ctx, DLM_ERR_INVALID, "cannot load '%s': tensor '%s' is missing", first,
                        name);
    return dlm_fail(w->ctx, DLM_ERR_INVALID,
                    "cannot load '%s' and the other %zu shards: tensor '%s' is missing", first,
                    num ? num - 1 : 0, name);
}

static enum dlm_status fail_shape(const struct dlm_weights *w, const struct dlm_tensor_info *t,
                                  int64_t rows, int64_t cols)
{
    return dlm_fail(w->ctx, DLM_ERR_INVALID,
                    "cannot read '%s': tensor '%s' does not have the shape that %s asks for "
                    "(%lld x %lld)", t->file, t->name, t->form ? "the model" : "config.json",
                    (long long)rows, (long long)cols);
}

/* The part's tensor holds what the part takes, as rows x cols. */
static enum dlm_status check_source(struct dlm_weights *w, struct dlm_weight_part *part,
                                    int64_t rows, int64_t cols)
{
    const struct dlm_tensor_info *t = part->source;

    enum dlm_status st =
        t->form ? DLM_OK : dlm_bnb_open(w->ctx, w->checkpoint, t, &part->bnb);
    if (!st && part->bnb)
        return part->bnb->rows == rows && part->bnb->cols == cols ? DLM_OK
                                                                  : fail_shape(w, t, rows, cols);
    /* blocks are operands as they lie, or become the policy's type; of vectors there are none */
    const bool has_blocks = !st && t->form && t->form->block_type >= 0 &&
                            !(rows == 1 && t->ndim == 1) &&
                            dlm_ggml_can_convert((enum dlm_ggml_type)t->form->block_type);
    if (!st && !has_blocks)
        st = dlm_tensor_check_dtype(w->ctx, t);
    if (st)
        return st;
    if (has_blocks && !dlm_dtype_is_quant(t->dtype) && !w->num_widened++)
        w->first_widened = t;
    if (!dlm_dtype_is_float(t->dtype) && !has_blocks)
        return dlm_fail(w->ctx, DLM_ERR_UNSUPPORTED, "cannot read '%s': tensor '%s' is %s, not "
                        "f32, f16 or bf16", t->file, t->name, t->st_type);
    return fits(t, rows, cols) ? DLM_OK : fail_shape(w, t, rows, cols);
}

static size_t resident_bytes(const struct dlm_weight *w, int64_t rows)
{
    size_t bytes = 0;

    if (w->layout == DLM_LAYOUT_PANEL)
        return dlm_panel_bytes(w->dtype, rows, w->cols);
    (void)dlm_dtype_bytes(w->dtype, rows * w->cols, &bytes); /* fits: the file holds it */
    return (bytes + 3) / 4 * 4; /* kernels read whole words */
}

/* Rows after which a slab may end: whole panels, and what shares a nested scale of nf4_dq. */
static int64_t slab_step(const struct dlm_weight *w)
{
    int64_t step = 16;

    while (w->dtype == DLM_DTYPE_NF4_DQ && step * w->cols % NESTED_LEN)
        step *= 2;
    return step;
}

/* Rows that a slab may have: what a kernel can reach. */
static int64_t slab_rows(const struct dlm_weights *w, const struct dlm_weight *weight)
{
    size_t limit = dlm_device_max_tensor(w->device);
    const int64_t step = slab_step(weight);

    if (resident_bytes(weight, weight->rows) <= limit)
        return weight->rows;
    return (int64_t)(limit / DLM_MAX(resident_bytes(weight, step), (size_t)1)) * step;
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

/* A row alone: its elements are what a piece counts. */
static bool is_row(const struct dlm_weight *weight)
{
    return weight->kind == DLM_WEIGHT_VECTOR && weight->rows == 1;
}

static char *full_name(const struct dlm_weight_scope *scope, const char *name)
{
    struct dlm_ctx *ctx = scope->weights->ctx;

    return scope->path[0] ? dlm_strf(ctx, "%s.%s", scope->path, name) : dlm_strdup(ctx, name);
}

/* "a.q.weight" and "a.k.weight": "a.q|k.weight" */
static char *join_names(struct dlm_ctx *ctx, const char *name, const char *next)
{
    const char *end = strrchr(name, '.'), *stop = strrchr(next, '.');
    const char *begin = stop;

    if (!end || !stop)
        return dlm_strf(ctx, "%s|%s", name, next);
    while (begin > next && begin[-1] != '.')
        begin--;
    return dlm_strf(ctx, "%.*s|%.*s%s", (int)(end - name), name, (int)(stop - begin), begin,
                    end); /* names are short */
}

/* The rows of a piece that one tensor holds: all, or those of a part. */
static enum dlm_status add_source(struct dlm_weights *w, struct dlm_weight *weight,
                                  const char *name, const struct dlm_tensor_info *source,
                                  int64_t rows)
{
    struct dlm_weight_part *part = &weight->parts[weight->num_parts];
    const struct dlm_weight_part *before = weight->num_parts ? part - 1 : NULL;
    const int64_t cols = is_row(weight) ? 1 : weight->cols;

    *part = (struct dlm_weight_part){.name = dlm_strdup(w->ctx, name),
                                     .source = source,
                                     .begin = before ? before->begin + before->len : 0,
                                     .len = rows * cols};
    if (!part->name)
        return DLM_ERR_MEMORY;
    weight->num_parts++;
    if (!w->checkpoint)
        return DLM_OK;
    return is_row(weight) ? check_source(w, part, 1, rows) : check_source(w, part, rows, cols);
}

static enum dlm_status add_piece(const struct dlm_weight_scope *scope, struct dlm_weight *weight,
                                 const struct dlm_weight_piece *piece)
{
    struct dlm_weights *w = scope->weights;
    char *name = full_name(scope, piece->name);
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!name)
        return st;
    const struct dlm_tensor_info *first = dlm_weights_find(w, name);
    const int num = first && first->form && piece->rows % first->form->num_parts == 0
                        ? first->form->num_parts : 1;
    char *joined = weight->name ? join_names(w->ctx, weight->name, piece->name)
                                : dlm_strdup(w->ctx, name);
    if (joined) {
        dlm_free(weight->name);
        weight->name = joined;
        st = DLM_OK;
    }
    for (int i = 0; !st && i < num; i++) {
        const struct dlm_tensor_info *t = i ? find_part(w, name, i) : first;
        st = t || !w->checkpoint ? add_source(w, weight, name, t, piece->rows / num)
                                 : fail_missing(w, name, i);
    }
    dlm_free(name);
    return st;
}

/* Every row, and for nf4_dq every part, is whole blocks. */
static bool can_be(const struct dlm_weight *weight, enum dlm_dtype dtype)
{
    size_t bytes;
    bool can = dlm_dtype_bytes(dtype, weight->cols, &bytes);

    for (int i = 1; dtype == DLM_DTYPE_NF4_DQ && i < weight->num_parts; i++)
        can = can && weight->parts[i].begin % NESTED_LEN == 0;
    return can;
}

/* What its parts have in the file, or the policy asks for; f32: it is not quantised. */
static enum dlm_dtype choose_quant(const struct dlm_weight_scope *scope,
                                   const struct dlm_weight *weight)
{
    struct dlm_weights *w = scope->weights;
    const struct dlm_quant_policy *quant = &w->quant;
    const bool is_wanted = quant->scope == DLM_QUANT_SCOPE_ALL ||
                           (!scope->is_table && (quant->scope == DLM_QUANT_SCOPE_LINEARS ||
                                                 weight->group == DLM_WEIGHT_GROUP_DECODER));
    enum dlm_dtype dtype = is_wanted ? quant->dtype : DLM_DTYPE_F32;

    for (int i = 0; i < weight->num_parts; i++) {
        const enum dlm_dtype saved = dlm_weight_part_saved(&weight->parts[i]);
        const enum dlm_dtype own = saved != DLM_DTYPE_F32 ? saved : dtype;
        if (i && own != dtype)
            return DLM_DTYPE_F32;
        dtype = own;
    }
    if (dtype != DLM_DTYPE_F32 && !can_be(weight, dtype)) {
        if (!w->num_unfit++) {
            w->first_unfit = weight;
            w->unfit_type = dtype;
        }
        return DLM_DTYPE_F32;
    }
    return dtype;
}

void dlm_weights_tell_unfit(const struct dlm_weights *w)
{
    const struct dlm_weight *first = w->first_unfit;
    size_t bytes;

    if (w->num_widened)
        dlm_log(w->ctx, DLM_LOG_INFO, "%zu tensor%s held in %s, for which there is no operand of "
                "%s here, the type of the first, '%s'", w->num_widened,
                w->num_widened > 1 ? "s are" : " is", dlm_dtype_name(w->policy),
                w->first_widened->st_type, w->first_widened->name);
    if (first)
        dlm_log(w->ctx, DLM_LOG_INFO, "%zu weight%s not held in %s but like the rest of the base, "
                "the first is '%s': %s", w->num_unfit, w->num_unfit > 1 ? "s are" : " is",
                dlm_dtype_name(w->unfit_type), first->name,
                dlm_dtype_bytes(w->unfit_type, first->cols, &bytes)
                    ? "its layers, which are one product, share blocks of scales"
                    : "its rows are no whole blocks");
}

/* The resident type: that of every part, or f32. */
static enum dlm_dtype choose_dtype(const struct dlm_weight_scope *scope,
                                   const struct dlm_weight *weight)
{
    const struct dlm_weights *w = scope->weights;
    enum dlm_dtype dtype = DLM_DTYPE_F32;

    if (weight->kind == DLM_WEIGHT_MATRIX)
        dtype = choose_quant(scope, weight);
    if (dtype != DLM_DTYPE_F32)
        return dtype;
    for (int i = 0; weight->kind == DLM_WEIGHT_MATRIX && i < weight->num_parts; i++) {
        const struct dlm_weight_part *part = &weight->parts[i];
        const enum dlm_dtype file = part->source ? part->source->dtype : w->file_dtype;
        const enum dlm_dtype own = part->bnb || !dlm_dtype_is_float(file)
                                       ? w->policy : dlm_precision_weight(w->policy, file);
        if (i && own != dtype)
            return DLM_DTYPE_F32;
        dtype = own;
    }
    return dtype;
}

static enum dlm_status add_weight(const struct dlm_weight_scope *scope, enum dlm_weight_kind kind,
                                  const struct dlm_weight_piece *pieces, int num, int64_t rows,
                                  int64_t cols, struct dlm_weight **out)
{
    struct dlm_weights *weights = scope->weights;
    struct dlm_weight *weight = dlm_alloc(weights->ctx, sizeof(*weight));
    enum dlm_status st = DLM_OK;

    *out = NULL;
    if (!weight)
        return DLM_ERR_MEMORY;
    if (!dlm_grow(weights->ctx, &weights->list, &weights->cap, weights->num, sizeof(weight))) {
        dlm_free(weight);
        return DLM_ERR_MEMORY;
    }
    weights->list[weights->num++] = weight;
    weight->kind = kind;
    weight->group = scope->group;
    weight->rows = rows;
    weight->cols = cols;
    weight->parts = dlm_alloc_array(weights->ctx, (size_t)num * DLM_TENSOR_MAX_PARTS,
                                    sizeof(*weight->parts));
    if (!weight->parts)
        return DLM_ERR_MEMORY;
    for (int i = 0; !st && i < num; i++)
        st = add_piece(scope, weight, &pieces[i]);
    if (st)
        return st;
    const bool has_panels = dlm_device_get_caps(weights->device)->bits & DLM_CAP_PANELS;
    weight->dtype = choose_dtype(scope, weight);
    weight->layout =
        kind == DLM_WEIGHT_MATRIX && has_panels ? DLM_LAYOUT_PANEL : DLM_LAYOUT_STRIDED;
    *out = weight;
    return make_slabs(weights, weight);
}

bool dlm_weights_can_join(const struct dlm_weight_scope *scope,
                          const struct dlm_weight_piece *pieces, int num)
{
    enum dlm_dtype first = DLM_DTYPE_F32;

    for (int i = 0; i < num; i++) {
        char *name = full_name(scope, pieces[i].name);
        const struct dlm_tensor_info *t = name ? dlm_weights_find(scope->weights, name) : NULL;
        const enum dlm_dtype dtype =
            t && dlm_dtype_is_quant(t->dtype) ? t->dtype : DLM_DTYPE_F32;
        dlm_free(name);
        if (i && dtype != first)
            return false;
        first = dtype;
    }
    return true;
}

static int64_t sum_rows(const struct dlm_weight_piece *pieces, int num)
{
    int64_t rows = 0;

    for (int i = 0; i < num; i++)
        rows += pieces[i].rows;
    return rows;
}

enum dlm_status dlm_weights_join_matrix(const struct dlm_weight_scope *scope,
                                        const struct dlm_weight_piece *pieces, int num,
                                        int64_t cols, struct dlm_weight **out)
{
    return add_weight(scope, DLM_WEIGHT_MATRIX, pieces, num, sum_rows(pieces, num), cols, out);
}

enum dlm_status dlm_weights_join_vector(const struct dlm_weight_scope *scope,
                                        const struct dlm_weight_piece *pieces, int num,
                                        struct dlm_weight **out)
{
    return add_weight(scope, DLM_WEIGHT_VECTOR, pieces, num, 1, sum_rows(pieces, num), out);
}

enum dlm_status dlm_weights_add_matrix(const struct dlm_weight_scope *scope, const char *name,
                                       int64_t rows, int64_t cols, struct dlm_weight **out)
{
    return dlm_weights_join_matrix(scope, &(struct dlm_weight_piece){name, rows}, 1, cols, out);
}

enum dlm_status dlm_weights_add_vector(const struct dlm_weight_scope *scope, const char *name,
                                       int64_t len, struct dlm_weight **out)
{
    return dlm_weights_join_vector(scope, &(struct dlm_weight_piece){name, len}, 1, out);
}

enum dlm_status dlm_weights_add_table(const struct dlm_weight_scope *scope, const char *name,
                                      int64_t rows, int64_t cols, struct dlm_weight **out)
{
    return add_weight(scope, DLM_WEIGHT_VECTOR, &(struct dlm_weight_piece){name, rows}, 1, rows,
                      cols, out);
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

/* What of the files is mapped while a weight is read, and the block in which its rows wait: of one
 * that is quantised all of it, else of as many rows as the block holds. */
static uint64_t transient_bytes(const struct dlm_weights *weights, const struct dlm_weight *w)
{
    const uint64_t all = resident_bytes(w, w->rows);
    const uint64_t block = DLM_MIN(all, (uint64_t)DLM_WEIGHT_STAGE_BYTES);
    bool in_order = true; /* the rows: they are dropped as they are read */
    uint64_t mapped = 0;

    for (int i = 0; i < w->num_parts; i++) {
        const struct dlm_tensor_info *source = w->parts[i].source;
        mapped += source ? source->bytes : dlm_dtype_size(weights->file_dtype, w->parts[i].len);
        in_order = in_order && !(source && source->form && source->form->head_rows);
    }
    if (!dlm_dtype_is_quant(w->dtype) && in_order)
        mapped = mapped / DLM_MAX(all / block, 1u);
    return mapped + (w->layout == DLM_LAYOUT_PANEL ? 0 : block);
}

uint64_t dlm_weights_host_bytes(const struct dlm_weights *weights, uint32_t groups,
                                size_t host_page_bytes, uint64_t *loading)
{
    uint64_t bytes = 0;

    *loading = 0;
    for (size_t i = 0; i < weights->num; i++) {
        const struct dlm_weight *w = weights->list[i];
        if (!(w->group & groups))
            continue;
        for (int s = 0; s < w->num_slabs; s++)
            bytes += dlm_host_bytes(host_page_bytes, resident_bytes(w, w->slabs[s].rows));
        *loading = DLM_MAX(*loading, bytes + transient_bytes(weights, w));
    }
    return bytes;
}

uint64_t dlm_weights_num_params(const struct dlm_weights *weights)
{
    uint64_t num = 0;

    for (size_t i = 0; i < weights->num; i++) /* sizes of tensors: no product overflows */
        num += (uint64_t)weights->list[i]->rows * (uint64_t)weights->list[i]->cols;
    return num;
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
    const int skip = is_row(weight);
    const int64_t shape[] = {s->rows, weight->cols};
    struct dlm_desc desc = dlm_desc_make(weight->dtype, 2 - skip, shape + skip);

    desc.layout = weight->layout;
    struct dlm_tensor *t = dlm_graph_leaf(graph, DLM_ROLE_WEIGHT, weight->name, &desc);
    dlm_tensor_bind(t, &s->storage);
    return t;
}
