/* Filling resident weights: from the mapped file, in blocks of rows, converted and packed on the
 * way. Random weights (bench) take the same way. */
#include <assert.h>

#include "base/log.h"
#include "base/pool.h"
#include "kernels/panel.h"
#include "models/weights_impl.h"

#define BLOCK_ROWS DLM_WEIGHT_BLOCK_ROWS

struct load {
    struct dlm_weights *weights;
    struct dlm_pool *pool;
    const struct dlm_weight *weight;
    const struct dlm_weight_slab *slab;
    uint8_t *panels;  /* panel layout: the slab itself */
    uint8_t *staging; /* other layouts: rows in the resident type */
    int64_t staged;   /* first row that is being loaded, in the slab: that in staging */
    uint8_t *scratch; /* where rows are converted: a block as f32 and one in the resident type for
                         each worker; NULL: the files' rows are what is resident */
};

static size_t row_bytes(const struct dlm_weight *w)
{
    return dlm_dtype_size(w->dtype, w->cols);
}

/* Bytes of a block of rows as f32. */
static size_t wide_bytes(const struct dlm_weight *w)
{
    return BLOCK_ROWS * (size_t)w->cols * sizeof(float);
}

/* What a worker converts in: a block as f32, then as it is resident. */
static size_t scratch_bytes(const struct dlm_weight *w)
{
    return (wide_bytes(w) + BLOCK_ROWS * row_bytes(w) + 63) / 64 * 64;
}

/* True when rows [row, row + n) lie in one tensor of the file, in the resident type. */
static bool is_as_filed(const struct dlm_weight *w, int64_t row, int64_t n)
{
    const struct dlm_weight_part *part = dlm_weight_find_part(w, row * w->cols);

    return part->source && part->source->dtype == w->dtype &&
           (row + n) * w->cols <= part->begin + part->len &&
           dlm_weight_part_run(part, row * w->cols, n * w->cols) == n * w->cols;
}

/* Elements [at, at + len) of one part in the resident type, into out. scratch: len elements. False
 * when the file's type or the resident one is not f32, f16 or bf16. */
static bool make_elems(const struct dlm_weight *w, const struct dlm_weight_part *part, int64_t at,
                       int64_t len, void *out, float *scratch)
{
    if (part->source && part->source->dtype == w->dtype) {
        for (int64_t i = 0, n; i < len; i += n) {
            n = dlm_weight_part_run(part, at + i, len - i);
            memcpy((uint8_t *)out + dlm_dtype_size(w->dtype, i),
                   dlm_weight_part_source(part, at + i), dlm_dtype_size(w->dtype, n));
        }
        return true;
    }
    return dlm_weight_part_to_f32(w, part, at, len, scratch) &&
           dlm_dtype_from_f32(w->dtype, scratch, out, (size_t)len);
}

/* Rows [row, row + n) of the weight in the resident type, row-major, into out. scratch: n rows. */
static bool make_rows(const struct dlm_weight *w, int64_t row, int64_t n, void *out, float *scratch)
{
    const int64_t begin = row * w->cols, end = begin + n * w->cols;
    bool ok = true;

    for (int64_t at = begin, next; ok && at < end; at = next) {
        const struct dlm_weight_part *part = dlm_weight_find_part(w, at);
        next = DLM_MIN(part->begin + part->len, end);
        ok = make_elems(w, part, at, next - at,
                        (uint8_t *)out + dlm_dtype_size(w->dtype, at - begin), scratch);
    }
    return ok;
}

enum dlm_status dlm_weight_read(struct dlm_ctx *ctx, const struct dlm_weight *weight, int64_t row,
                                int64_t n, void *out)
{
    if (dlm_dtype_is_quant(weight->dtype))
        return dlm_weight_read_quant(ctx, weight, row, n, out);
    float *wide = dlm_alloc_array(ctx, BLOCK_ROWS * (size_t)weight->cols, sizeof(*wide));

    for (int64_t i = 0; wide && i < n; i += BLOCK_ROWS) {
        const bool converts = make_rows(weight, row + i, DLM_MIN(BLOCK_ROWS, n - i),
                                        (uint8_t *)out + (size_t)i * row_bytes(weight),
                                        wide);
        assert(converts); /* as in load_block() */
        (void)converts;
    }
    dlm_free(wide);
    return wide ? DLM_OK : DLM_ERR_MEMORY;
}

/* Rows [begin, end) of the slab, in the resident type, to where they belong. */
static void put_rows(const struct load *l, const void *rows, int64_t begin, int64_t end)
{
    const struct dlm_weight *w = l->weight;

    if (l->panels)
        dlm_panel_pack_rows(w->dtype, l->panels, rows, begin, end, l->slab->rows, w->cols);
    else
        memcpy(l->staging + (size_t)(begin - l->staged) * row_bytes(w), rows,
               (size_t)(end - begin) * row_bytes(w));
}

static void load_block(void *user, int64_t item, int worker)
{
    struct load *l = user;
    const struct dlm_weight *w = l->weight;
    const int64_t begin = l->staged + item * BLOCK_ROWS;
    const int64_t end = DLM_MIN(begin + BLOCK_ROWS, l->slab->rows);
    const int64_t row = l->slab->row0 + begin;

    if (is_as_filed(w, row, end - begin)) {
        const int64_t at = row * w->cols;
        put_rows(l, dlm_weight_part_source(dlm_weight_find_part(w, at), at), begin, end);
        return;
    }
    uint8_t *wide = l->scratch + (size_t)worker * scratch_bytes(w);
    uint8_t *rows = wide + wide_bytes(w);
    const bool converts = make_rows(w, row, end - begin, rows, (float *)(void *)wide);
    assert(converts); /* both types were checked when the weight was given its source */
    (void)converts;
    put_rows(l, rows, begin, end);
}

static enum dlm_status run_blocks(struct load *l, int64_t rows)
{
    struct dlm_ctx *ctx = l->weights->ctx;

    dlm_pool_run(l->pool, load_block, l, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS);
    return dlm_ctx_is_cancelled(ctx) ? dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted") : DLM_OK;
}

/* Whole rows of a part, as they lie in its file. */
static void drop_part(const struct dlm_checkpoint *ckpt, const struct dlm_weight_part *part,
                      int64_t at, int64_t len)
{
    const struct dlm_tensor_info *t = part->source;
    const size_t begin = (size_t)(dlm_weight_part_source(part, at) - t->data);
    const size_t bytes = t->form ? t->bytes / (size_t)t->shape[0] *
                                       (size_t)(len / (part->len / t->shape[0]))
                                 : dlm_dtype_size(t->dtype, len);

    dlm_checkpoint_drop_part(ckpt, t, begin, bytes);
}

/* Rows [row, row + n) of the slab are where they belong: their pages of the files can go. */
static void drop_rows(const struct load *l, int64_t row, int64_t n)
{
    const struct dlm_weight *w = l->weight;
    const int64_t end = (l->slab->row0 + row + n) * w->cols;

    for (int64_t at = (l->slab->row0 + row) * w->cols, next; at < end; at = next) {
        const struct dlm_weight_part *part = dlm_weight_find_part(w, at);
        next = DLM_MIN(part->begin + part->len, end);
        if (part->source && !part->bnb &&
            dlm_weight_part_run(part, at, next - at) == next - at)
            drop_part(l->weights->checkpoint, part, at, next - at);
    }
}

/* Piece by piece: of the files no more than one is mapped at a time. */
static enum dlm_status load_pieces(struct load *l)
{
    const size_t bytes = row_bytes(l->weight);
    const int64_t step =
        DLM_MAX((int64_t)(DLM_WEIGHT_STAGE_BYTES / bytes) / BLOCK_ROWS, 1) * BLOCK_ROWS;
    enum dlm_status st = DLM_OK;

    if (!l->panels) {
        l->staging = dlm_alloc_array(l->weights->ctx, (size_t)DLM_MIN(step, l->slab->rows), bytes);
        if (!l->staging)
            return DLM_ERR_MEMORY;
    }
    for (int64_t row = 0; !st && row < l->slab->rows; row += step) {
        int64_t n = DLM_MIN(step, l->slab->rows - row);
        l->staged = row;
        st = run_blocks(l, n);
        if (!st && l->staging)
            st = dlm_buffer_write(l->slab->storage.buffer, (size_t)row * bytes, l->staging,
                                  (size_t)n * bytes);
        drop_rows(l, row, n);
    }
    dlm_free(l->staging);
    return st;
}

static enum dlm_status fill_slab(struct load *l)
{
    const struct dlm_weight *w = l->weight;
    struct dlm_ctx *ctx = l->weights->ctx;

    l->pool = dlm_ctx_pool(ctx);
    if (!l->pool)
        return DLM_ERR_MEMORY;
    if (w->num_parts > 1 || !is_as_filed(w, 0, w->rows)) {
        l->scratch =
            dlm_alloc_array(ctx, (size_t)dlm_pool_num_workers(l->pool), scratch_bytes(w));
        if (!l->scratch)
            return DLM_ERR_MEMORY;
    }
    if (w->layout == DLM_LAYOUT_PANEL) {
        l->panels = dlm_buffer_host_data(l->slab->storage.buffer);
        if (!l->panels) /* a device that only plans holds no data */
            return DLM_OK;
    }
    return load_pieces(l);
}

/* A slab has its buffer when it is whole: one that could not be filled counts as not loaded. */
static enum dlm_status load_slab(struct dlm_weights *weights, const struct dlm_weight *w,
                                 struct dlm_weight_slab *slab)
{
    struct load l = {.weights = weights, .weight = w, .slab = slab};
    const size_t bytes = w->layout == DLM_LAYOUT_PANEL
                             ? dlm_panel_bytes(w->dtype, slab->rows, w->cols)
                             : (dlm_dtype_size(w->dtype, slab->rows * w->cols) + 3) / 4 * 4;

    if (slab->storage.buffer)
        return DLM_OK;
    enum dlm_status st = dlm_buffer_create(weights->device, &slab->storage.buffer, bytes);
    if (!st)
        st = dlm_dtype_is_quant(w->dtype) ? dlm_weight_fill_quant(weights->ctx, w, slab)
                                          : fill_slab(&l);
    dlm_free(l.scratch);
    if (st)
        dlm_buffer_destroy(&slab->storage.buffer);
    return st;
}

uint64_t dlm_weight_file_bytes(const struct dlm_weight *w)
{
    uint64_t bytes = 0;

    for (int k = 0; k < w->num_parts; k++)
        bytes += w->parts[k].source ? w->parts[k].source->bytes : 0;
    return bytes;
}

enum dlm_status dlm_weights_load(struct dlm_weights *weights, uint32_t groups)
{
    for (size_t i = 0; i < weights->num; i++) {
        struct dlm_weight *w = weights->list[i];
        if (!(w->group & groups))
            continue;
        for (int s = 0; s < w->num_slabs; s++) {
            enum dlm_status st = load_slab(weights, w, &w->slabs[s]);
            if (st)
                return st;
        }
        for (int k = 0; k < w->num_parts; k++)
            if (w->parts[k].source)
                dlm_checkpoint_drop(weights->checkpoint, w->parts[k].source);
        if (weights->loaded)
            weights->loaded(weights->loaded_user, dlm_weight_file_bytes(w));
    }
    return DLM_OK;
}

void dlm_weights_unload(struct dlm_weights *weights, uint32_t groups)
{
    for (size_t i = 0; i < weights->num; i++) {
        struct dlm_weight *w = weights->list[i];
        if (!(w->group & groups))
            continue;
        for (int s = 0; s < w->num_slabs; s++)
            dlm_buffer_destroy(&w->slabs[s].storage.buffer);
    }
}
