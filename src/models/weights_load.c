/* Filling resident weights: from the mapped file, in blocks of rows, converted and packed on the
 * way. Random weights (bench) take the same way. */
#include "base/log.h"
#include "base/pool.h"
#include "base/rng.h"
#include "cpukernels/panel.h"
#include "models/weights.h"

/* Rows that are converted and packed at a time: a multiple of the panel's 16. */
#define BLOCK_ROWS 64
#define STAGE_BYTES (16u << 20)

struct load {
    struct dlm_weights *weights;
    const struct dlm_weight *weight;
    const struct dlm_weight_slab *slab;
    uint8_t *panels;  /* panel layout: the slab itself */
    uint8_t *staging; /* other layouts: rows in the resident type */
    int64_t staged;   /* first row in staging, in the slab */
    bool failed;
};

static size_t row_bytes(const struct dlm_weight *w)
{
    return (size_t)w->cols * dlm_dtype_elem_bytes(w->dtype);
}

/* Rows [row, row + n) of the weight in the resident type, row-major, into out. scratch: n rows f32. */
static void fetch_rows(const struct load *l, int64_t row, int64_t n, void *out, float *scratch)
{
    const struct dlm_weight *w = l->weight;
    const size_t len = (size_t)(n * w->cols);

    if (w->source && w->source->dtype == w->dtype) {
        size_t elem = dlm_dtype_elem_bytes(w->dtype);
        memcpy(out, w->source->data + (size_t)(row * w->cols) * elem, len * elem);
        return;
    }
    if (w->source) {
        size_t elem = dlm_dtype_elem_bytes(w->source->dtype);
        dlm_dtype_to_f32(w->source->dtype, w->source->data + (size_t)(row * w->cols) * elem,
                         scratch, len);
    } else {
        struct dlm_rng rng;
        dlm_rng_init(&rng, (uint64_t)(uintptr_t)w->rows * 31 + (uint64_t)w->cols, (uint64_t)row);
        for (size_t i = 0; i < len; i++)
            scratch[i] = (dlm_rng_uniform(&rng) - 0.5f) * 0.05f;
    }
    dlm_dtype_from_f32(w->dtype, scratch, out, len);
}

static void load_block(void *user, int64_t item, int worker)
{
    struct load *l = user;
    const struct dlm_weight *w = l->weight;
    int64_t begin = l->staged + item * BLOCK_ROWS;
    int64_t end = DLM_MIN(begin + BLOCK_ROWS, l->slab->rows);

    (void)worker;
    float *scratch = dlm_alloc_array(NULL, (size_t)(end - begin), (size_t)w->cols * sizeof(float));
    uint8_t *rows = l->panels ? dlm_alloc_array(NULL, (size_t)(end - begin), row_bytes(w)) : NULL;
    if (!scratch || (l->panels && !rows)) {
        l->failed = true;
    } else if (l->panels) {
        fetch_rows(l, l->slab->row0 + begin, end - begin, rows, scratch);
        dlm_panel_pack_rows(w->dtype, l->panels, rows, begin, end, l->slab->rows, w->cols);
    } else {
        fetch_rows(l, l->slab->row0 + begin, end - begin,
                   l->staging + (size_t)(begin - l->staged) * row_bytes(w), scratch);
    }
    dlm_free(scratch);
    dlm_free(rows);
}

static enum dlm_status run_blocks(struct load *l, int64_t rows)
{
    struct dlm_ctx *ctx = l->weights->ctx;
    struct dlm_pool *pool = dlm_ctx_pool(ctx);

    if (!pool)
        return DLM_ERR_MEMORY;
    dlm_pool_run(pool, load_block, l, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS);
    if (l->failed)
        return dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory: cannot load '%s'", l->weight->name);
    return dlm_ctx_is_cancelled(ctx) ? dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted") : DLM_OK;
}

/* Through a staging block, copied to the device piece by piece. */
static enum dlm_status load_staged(struct load *l)
{
    const size_t bytes = row_bytes(l->weight);
    const int64_t step = DLM_MAX((int64_t)(STAGE_BYTES / bytes) / BLOCK_ROWS, 1) * BLOCK_ROWS;
    enum dlm_status st = DLM_OK;

    l->staging = dlm_alloc_array(l->weights->ctx, (size_t)DLM_MIN(step, l->slab->rows), bytes);
    if (!l->staging)
        return DLM_ERR_MEMORY;
    for (int64_t row = 0; !st && row < l->slab->rows; row += step) {
        int64_t n = DLM_MIN(step, l->slab->rows - row);
        l->staged = row;
        st = run_blocks(l, n);
        if (!st)
            st = dlm_buffer_write(l->slab->storage.buffer, (size_t)row * bytes, l->staging,
                                  (size_t)n * bytes);
    }
    dlm_free(l->staging);
    return st;
}

static enum dlm_status load_slab(struct dlm_weights *weights, const struct dlm_weight *w,
                                 struct dlm_weight_slab *slab)
{
    struct load l = {.weights = weights, .weight = w, .slab = slab};
    const bool is_panel = w->layout == DLM_LAYOUT_PANEL;
    const size_t bytes = is_panel ? dlm_panel_bytes(w->dtype, slab->rows, w->cols)
                                  : ((size_t)slab->rows * row_bytes(w) + 3) / 4 * 4;

    if (slab->storage.buffer)
        return DLM_OK;
    enum dlm_status st = dlm_buffer_create(weights->device, &slab->storage.buffer, bytes);
    if (st)
        return st;
    if (!is_panel)
        return load_staged(&l);
    l.panels = dlm_buffer_host_data(slab->storage.buffer);
    return run_blocks(&l, slab->rows);
}

enum dlm_status dlm_weights_load(struct dlm_weights *weights, const char *prefix)
{
    for (size_t i = 0; i < weights->num; i++) {
        struct dlm_weight *w = weights->list[i];
        if (strncmp(w->name, prefix, strlen(prefix)))
            continue;
        for (int s = 0; s < w->num_slabs; s++) {
            enum dlm_status st = load_slab(weights, w, &w->slabs[s]);
            if (st)
                return st;
        }
        if (w->source)
            dlm_checkpoint_drop(weights->checkpoint, w->source);
    }
    return DLM_OK;
}

void dlm_weights_unload(struct dlm_weights *weights, const char *prefix)
{
    for (size_t i = 0; i < weights->num; i++) {
        struct dlm_weight *w = weights->list[i];
        if (strncmp(w->name, prefix, strlen(prefix)))
            continue;
        for (int s = 0; s < w->num_slabs; s++)
            dlm_buffer_destroy(&w->slabs[s].storage.buffer);
    }
}
