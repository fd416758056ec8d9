/* Filling weights that a GGUF file has in ggml's blocks, as they lie: bits change places, and
 * nothing is rounded. Rows go block by block into panels on the CPU, else by way of a staging form
 * to each part of the device's. */
#include <stdatomic.h>

#include "base/log.h"
#include "base/pool.h"
#include "gguf/blocks.h"
#include "kernels/panel.h"
#include "models/weights_impl.h"

#define BLOCK_ROWS DLM_WEIGHT_BLOCK_ROWS

struct fill {
    const struct dlm_weight *weight;
    int64_t row0, rows;  /* the rows that become a form */
    uint8_t *panels;     /* on the CPU: where they go */
    uint8_t *form;       /* else a form of rows [staged, staged + num_staged), from row0 on */
    int64_t staged, num_staged;
    uint8_t *scratch;    /* for each worker: a form of a block of rows, a row as f32 */
    size_t scratch_bytes;
    atomic_bool is_bad;  /* a number had no form */
};

/* Row `row` of the weight into parts. wide: a row. */
static bool put_row(const struct dlm_weight *w, int64_t row, const struct dlm_quant_parts *parts,
                    float *wide)
{
    const int64_t at = row * w->cols;
    const struct dlm_weight_part *part = dlm_weight_find_part(w, at);

    if (dlm_weight_part_saved(part) == w->dtype) {
        dlm_ggml_to_parts((enum dlm_ggml_type)part->source->form->block_type,
                          dlm_weight_part_source(part, at), w->cols, parts);
        return true;
    }
    return dlm_quant_can_make(w->dtype) && dlm_weight_part_to_f32(w, part, at, w->cols, wide) &&
           dlm_quantize(w->dtype, wide, w->cols, parts->codes, parts->scales);
}

static void fill_block(void *user, int64_t item, int worker)
{
    struct fill *f = user;
    const struct dlm_weight *w = f->weight;
    const int64_t first = f->staged + item * BLOCK_ROWS;
    const int64_t num = DLM_MIN(BLOCK_ROWS, f->staged + f->num_staged - first);
    uint8_t *own = f->scratch + (size_t)worker * f->scratch_bytes;
    float *wide = (float *)(void *)(own + f->scratch_bytes) - w->cols;
    uint8_t *form = f->panels ? own : f->form;
    const int64_t len = (f->panels ? num : f->num_staged) * w->cols;
    const int64_t before = f->panels ? 0 : (first - f->staged) * w->cols;

    for (int64_t i = 0; i < num; i++) {
        const struct dlm_quant_parts parts =
            dlm_quant_parts(w->dtype, form, len, before + i * w->cols);
        if (!put_row(w, f->row0 + first + i, &parts, wide))
            atomic_store(&f->is_bad, true);
    }
    if (f->panels) {
        const struct dlm_quant_view rows = dlm_quant_view(w->dtype, form, len, 0);
        dlm_panel_pack_quant(f->panels, &rows, first, first + num, f->rows, w->cols);
    }
}

/* A staging form's parts to where those of all rows begin; sizes and places are whole words but for
 * the last part's end, after which a buffer is padded, and so is the staging form. */
static enum dlm_status write_parts(const struct fill *f, struct dlm_buffer *buffer)
{
    const struct dlm_weight *w = f->weight;
    const struct dlm_quant_layout all = dlm_quant_layout(w->dtype, f->rows * w->cols);
    const struct dlm_quant_layout before = dlm_quant_layout(w->dtype, f->staged * w->cols);
    const struct dlm_quant_layout own = dlm_quant_layout(w->dtype, f->num_staged * w->cols);
    const size_t begin[] = {0, own.high, own.scales, own.mins, own.nested, own.bytes};
    const size_t to[] = {before.high, all.high + before.scales - before.high,
                         all.scales + before.mins - before.scales,
                         all.mins + before.nested - before.mins,
                         all.nested + before.bytes - before.nested};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(to); i++)
        if (begin[i] < begin[i + 1])
            st = dlm_buffer_write(buffer, to[i], f->form + begin[i],
                                  (begin[i + 1] - begin[i] + 3) / 4 * 4);
    return st;
}

static enum dlm_status run(struct dlm_ctx *ctx, struct fill *f, struct dlm_pool *pool)
{
    const struct dlm_weight *w = f->weight;

    dlm_pool_run(pool, fill_block, f, (f->num_staged + BLOCK_ROWS - 1) / BLOCK_ROWS);
    if (dlm_ctx_is_cancelled(ctx))
        return dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted");
    if (atomic_load(&f->is_bad))
        return dlm_fail(ctx, DLM_ERR_INVALID, "weight '%s' cannot be held as %s: it has numbers "
                        "that are not finite or too large", w->name, dlm_dtype_name(w->dtype));
    return DLM_OK;
}

/* By way of a staging form of some rows. */
static enum dlm_status fill_buffer(struct dlm_ctx *ctx, struct fill *f, struct dlm_pool *pool,
                                   struct dlm_buffer *buffer)
{
    const size_t row_bytes = dlm_dtype_size(f->weight->dtype, f->weight->cols);
    const int64_t step =
        DLM_MIN(DLM_MAX((int64_t)(DLM_WEIGHT_STAGE_BYTES / row_bytes) / BLOCK_ROWS, 1) * BLOCK_ROWS,
                f->rows);
    enum dlm_status st = DLM_OK;

    f->form = dlm_alloc(ctx, (size_t)step * row_bytes + 4);
    if (!f->form)
        return DLM_ERR_MEMORY;
    for (f->staged = 0; !st && f->staged < f->rows; f->staged += step) {
        f->num_staged = DLM_MIN(step, f->rows - f->staged);
        st = run(ctx, f, pool);
        if (!st)
            st = write_parts(f, buffer);
    }
    dlm_free(f->form);
    return st;
}

bool dlm_weight_is_in_blocks(const struct dlm_weight *w)
{
    for (int i = 0; i < w->num_parts; i++)
        if (dlm_dtype_is_quant(w->dtype) && !w->parts[i].bnb &&
            dlm_weight_part_saved(&w->parts[i]) == w->dtype)
            return true;
    return false;
}

enum dlm_status dlm_weight_fill_blocks(struct dlm_ctx *ctx, const struct dlm_weight *w,
                                       int64_t row0, int64_t num_rows, struct dlm_buffer *buffer,
                                       uint8_t *host, uint8_t *panels)
{
    const size_t block_bytes = dlm_dtype_size(w->dtype, BLOCK_ROWS * w->cols);
    struct fill f = {.weight = w, .row0 = row0, .rows = num_rows, .num_staged = num_rows,
                     .panels = panels, .form = host,
                     .scratch_bytes =
                         (block_bytes + (size_t)w->cols * sizeof(float) + 127) / 64 * 64};
    struct dlm_pool *pool = dlm_ctx_pool(ctx);

    if (!pool)
        return DLM_ERR_MEMORY;
    f.scratch = dlm_alloc_array(ctx, (size_t)dlm_pool_num_workers(pool), f.scratch_bytes);
    if (!f.scratch)
        return DLM_ERR_MEMORY;
    enum dlm_status st = buffer ? fill_buffer(ctx, &f, pool, buffer) : run(ctx, &f, pool);
    dlm_free(f.scratch);
    return st;
}
