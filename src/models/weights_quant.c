/* Filling weights in 4 and 8 bits: quantised block of rows by block of rows from what the file has,
 * or as the file has them where bitsandbytes did it. A form has its codes first; they go to the
 * device through a staging block, what scales them at the end. On the CPU codes and scales of each
 * block go into panels. */
#include <assert.h>
#include <stdatomic.h>

#include "base/log.h"
#include "base/pool.h"
#include "kernels/panel.h"
#include "models/weights_impl.h"

#define BLOCK_ROWS DLM_WEIGHT_BLOCK_ROWS

struct fill {
    struct dlm_ctx *ctx;
    struct dlm_pool *pool;
    const struct dlm_weight *weight;
    int64_t row0, rows;             /* the rows that become a form */
    struct dlm_quant_layout layout; /* of the form */
    uint8_t *panels;                /* on the CPU: where they go */
    uint8_t *staging;               /* else codes of rows, from `staged` on */
    int64_t staged;                 /* counted from row0 */
    uint8_t *tail;                  /* the form after its codes */
    float *absmax;                  /* nf4_dq: f32 scales of the weight, a block each */
    uint8_t *scratch;               /* for each worker: rows as f32, their scales, their codes */
    atomic_bool is_bad;             /* a number had no form */
};

static int64_t block_len(const struct dlm_weight *w)
{
    return w->dtype == DLM_DTYPE_Q8_0 ? DLM_Q8_0_BLOCK : DLM_NF4_BLOCK;
}

static size_t code_bytes(const struct dlm_weight *w, int64_t rows)
{
    return (size_t)(rows * w->cols) / (w->dtype == DLM_DTYPE_Q8_0 ? 1 : 2);
}

static size_t scale_bytes(const struct dlm_weight *w)
{
    return w->dtype == DLM_DTYPE_Q8_0 ? sizeof(uint16_t) : sizeof(float);
}

static size_t scratch_bytes(const struct dlm_weight *w)
{
    const size_t len = BLOCK_ROWS * (size_t)w->cols;

    return ((len + len / DLM_NF4_BLOCK) * sizeof(float) + len + 63) / 64 * 64;
}

/* A worker's block of rows as f32; behind it their scales. */
static float *wide_of(const struct fill *f, int worker)
{
    return (float *)(void *)(f->scratch + (size_t)worker * scratch_bytes(f->weight));
}

static uint8_t *codes_of(const struct fill *f, int worker)
{
    const size_t len = BLOCK_ROWS * (size_t)f->weight->cols;

    return (uint8_t *)(wide_of(f, worker) + len + len / DLM_NF4_BLOCK);
}

static void mark_bad(struct fill *f, bool is_good)
{
    if (!is_good)
        atomic_store(&f->is_bad, true);
}

/* Codes and scales of elements [at, at + len) of one part. */
static void quantize_elems(struct fill *f, const struct dlm_weight_part *part, int64_t at,
                           int64_t len, uint8_t *codes, int worker)
{
    const struct dlm_weight *w = f->weight;
    const int64_t block = (at - f->row0 * w->cols) / block_len(w); /* of the form */
    float *wide = wide_of(f, worker);
    /* nf4_dq has its scales already */
    void *scales = w->dtype == DLM_DTYPE_NF4_DQ
                       ? (void *)(wide + BLOCK_ROWS * w->cols)
                       : f->tail + (size_t)block * scale_bytes(w);

    if (part->bnb && part->bnb->view.dtype == w->dtype) {
        const struct dlm_quant_view *v = &part->bnb->view;
        const int64_t own = at - part->begin;
        memcpy(codes, v->codes + own / 2, (size_t)len / 2);
        if (w->dtype == DLM_DTYPE_NF4)
            memcpy(scales, v->scales + own / DLM_NF4_BLOCK * 4, (size_t)len / DLM_NF4_BLOCK * 4);
        return;
    }
    mark_bad(f, dlm_weight_part_to_f32(w, part, at, len, wide) &&
                    dlm_quantize(w->dtype, wide, len, codes, scales));
}

static void quantize_block(void *user, int64_t item, int worker)
{
    struct fill *f = user;
    const struct dlm_weight *w = f->weight;
    const int64_t row = f->staged + item * BLOCK_ROWS;
    const int64_t begin = (f->row0 + row) * w->cols;
    const int64_t num = DLM_MIN(BLOCK_ROWS, f->rows - row), end = begin + num * w->cols;
    uint8_t *first =
        f->panels ? codes_of(f, worker) : f->staging + code_bytes(w, row - f->staged);
    uint8_t *codes = first;

    for (int64_t at = begin, next; at < end; at = next) {
        const struct dlm_weight_part *part = dlm_weight_find_part(w, at);
        next = DLM_MIN(part->begin + part->len, end);
        quantize_elems(f, part, at, next - at, codes, worker);
        codes += code_bytes(w, 1) * (size_t)(next - at) / (size_t)w->cols;
    }
    if (f->panels) {
        const size_t block = (size_t)(row * w->cols / block_len(w)); /* of the form */
        const struct dlm_quant_view rows = {
            .dtype = w->dtype, .codes = first,
            .scales = f->tail + block * dlm_quant_info(w->dtype)->scale_bytes};
        dlm_panel_pack_quant(f->panels, &rows, row, row + num, f->rows, w->cols);
    }
}

static enum dlm_status run(struct fill *f, void (*fn)(void *, int64_t, int), int64_t rows)
{
    struct dlm_ctx *ctx = f->ctx;

    dlm_pool_run(f->pool, fn, f, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS);
    if (dlm_ctx_is_cancelled(ctx))
        return dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted");
    if (atomic_load(&f->is_bad))
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "weight '%s' cannot be held as %s: it has numbers that are not finite or "
                        "too large", f->weight->name, dlm_dtype_name(f->weight->dtype));
    return DLM_OK;
}

/* --- the second level of nf4_dq, which needs the scales of a whole tensor ------------------- */

static void scale_block(void *user, int64_t item, int worker)
{
    struct fill *f = user;
    const struct dlm_weight *w = f->weight;
    const int64_t begin = item * BLOCK_ROWS * w->cols;
    const int64_t end = DLM_MIN(begin + BLOCK_ROWS * w->cols, w->rows * w->cols);
    float *wide = wide_of(f, worker);

    for (int64_t at = begin, next; at < end; at = next) {
        const struct dlm_weight_part *part = dlm_weight_find_part(w, at);
        next = DLM_MIN(part->begin + part->len, end);
        if (!part->bnb)
            mark_bad(f, dlm_weight_part_to_f32(w, part, at, next - at, wide) &&
                            dlm_quantize_scales(wide, next - at, f->absmax + at / DLM_NF4_BLOCK));
    }
}

/* Copies what of [begin, begin + num) lies in the form's blocks [first, first + all): items of
 * `bytes` each, `from` being item begin. */
static void copy_overlap(uint8_t *to, int64_t first, int64_t all, const uint8_t *from,
                         int64_t begin, int64_t num, size_t bytes)
{
    const int64_t low = DLM_MAX(first, begin), high = DLM_MIN(first + all, begin + num);

    if (low < high)
        memcpy(to + (size_t)(low - first) * bytes, from + (size_t)(low - begin) * bytes,
               (size_t)(high - low) * bytes);
}

/* A part's scales as codes, and the nested ones, into the tail. */
static enum dlm_status put_double(struct fill *f, const struct dlm_weight_part *part)
{
    const struct dlm_weight *w = f->weight;
    const int64_t first = f->row0 * w->cols / DLM_NF4_BLOCK;
    const int64_t begin = part->begin / DLM_NF4_BLOCK, num = part->len / DLM_NF4_BLOCK;
    const int64_t num_nested = (num + DLM_NF4_NESTED - 1) / DLM_NF4_NESTED;
    const size_t pair = 2 * sizeof(float);
    struct dlm_ctx *ctx = f->ctx;
    uint8_t *codes = part->bnb ? NULL : dlm_alloc(ctx, (size_t)num);
    float *nested = part->bnb ? NULL : dlm_alloc_array(ctx, (size_t)num_nested, pair);
    const bool is_whole = part->bnb || (codes && nested);

    if (is_whole && !part->bnb)
        dlm_quantize_absmax(f->absmax + begin, num, dlm_quantize_offset(f->absmax + begin, num),
                            codes, nested);
    if (is_whole) {
        copy_overlap(f->tail, first, f->layout.blocks, part->bnb ? part->bnb->view.scales : codes,
                     begin, num, 1);
        copy_overlap(f->tail + (f->layout.nested - f->layout.scales), first / DLM_NF4_NESTED,
                     (f->layout.blocks + DLM_NF4_NESTED - 1) / DLM_NF4_NESTED,
                     part->bnb ? part->bnb->view.nested : (const uint8_t *)nested,
                     begin / DLM_NF4_NESTED, num_nested, pair);
    }
    dlm_free(nested);
    dlm_free(codes);
    return is_whole ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status fill_double(struct fill *f)
{
    const struct dlm_weight *w = f->weight;

    f->absmax = dlm_alloc_array(f->ctx, (size_t)(w->rows * w->cols / DLM_NF4_BLOCK),
                                sizeof(*f->absmax));
    enum dlm_status st = f->absmax ? run(f, scale_block, w->rows) : DLM_ERR_MEMORY;
    for (int i = 0; !st && i < w->num_parts; i++)
        st = put_double(f, &w->parts[i]);
    return st;
}

/* --- all of a form --------------------------------------------------------------------------- */

/* Codes by way of a staging block to a device, or to where they are wanted on the host. */
static enum dlm_status fill_codes(struct fill *f, struct dlm_buffer *buffer, uint8_t *host)
{
    const size_t row_bytes = code_bytes(f->weight, 1);
    const int64_t most =
        DLM_MAX((int64_t)(DLM_WEIGHT_STAGE_BYTES / row_bytes) / BLOCK_ROWS, 1) * BLOCK_ROWS;
    const int64_t step = host ? f->rows : DLM_MIN(most, f->rows);
    uint8_t *block = host ? NULL : dlm_alloc_array(f->ctx, (size_t)step, row_bytes);
    enum dlm_status st = host || block ? DLM_OK : DLM_ERR_MEMORY;

    f->staging = host ? host : block;
    for (int64_t row = 0; !st && row < f->rows; row += step) {
        const int64_t n = DLM_MIN(step, f->rows - row);
        f->staged = row;
        st = run(f, quantize_block, n);
        if (!st && buffer)
            st = dlm_buffer_write(buffer, (size_t)row * row_bytes, block, (size_t)n * row_bytes);
    }
    dlm_free(block);
    return st;
}

/* Into panels, which lie in the memory of the CPU's device. */
static enum dlm_status fill_panels(struct fill *f)
{
    enum dlm_status st = run(f, quantize_block, f->rows);

    if (!st && f->weight->dtype == DLM_DTYPE_NF4_DQ)
        dlm_panel_pack_nested(
            f->panels, (float *)(void *)(f->tail + (f->layout.nested - f->layout.scales)), f->rows,
            f->weight->cols);
    return st;
}

/* One of buffer, host and panels is given. */
static enum dlm_status fill_form(struct dlm_ctx *ctx, const struct dlm_weight *w, int64_t row0,
                                 int64_t num_rows, struct dlm_buffer *buffer, uint8_t *host,
                                 uint8_t *panels)
{
    struct fill f = {.ctx = ctx, .pool = dlm_ctx_pool(ctx), .weight = w, .row0 = row0,
                     .rows = num_rows, .panels = panels,
                     .layout = dlm_quant_layout(w->dtype, num_rows * w->cols)};
    if (dlm_weight_is_in_blocks(w))
        return dlm_weight_fill_blocks(ctx, w, row0, num_rows, buffer, host, panels);
    const size_t tail_bytes = f.layout.bytes - f.layout.scales;
    const size_t padded = (tail_bytes + 3) / 4 * 4; /* a buffer is whole words */
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!f.pool)
        return st;
    f.tail = dlm_alloc(ctx, padded);
    f.scratch =
        dlm_alloc_array(ctx, (size_t)dlm_pool_num_workers(f.pool), scratch_bytes(w));
    if (!f.tail || !f.scratch)
        goto done;
    st = w->dtype == DLM_DTYPE_NF4_DQ ? fill_double(&f) : DLM_OK;
    if (!st)
        st = panels ? fill_panels(&f) : fill_codes(&f, buffer, host);
    if (!st && buffer)
        st = dlm_buffer_write(buffer, f.layout.scales, f.tail, padded);
    if (!st && host)
        memcpy(host + f.layout.scales, f.tail, tail_bytes);
done:
    dlm_free(f.absmax);
    dlm_free(f.scratch);
    dlm_free(f.tail);
    return st;
}

enum dlm_status dlm_weight_fill_quant(struct dlm_ctx *ctx, const struct dlm_weight *w,
                                      const struct dlm_weight_slab *slab)
{
    struct dlm_buffer *buffer = slab->storage.buffer;

    if (w->layout != DLM_LAYOUT_PANEL)
        return fill_form(ctx, w, slab->row0, slab->rows, buffer, NULL, NULL);
    uint8_t *panels = dlm_buffer_host_data(buffer);
    /* a device that only plans holds no data */
    return panels ? fill_form(ctx, w, slab->row0, slab->rows, NULL, NULL, panels) : DLM_OK;
}

enum dlm_status dlm_weight_read_quant(struct dlm_ctx *ctx, const struct dlm_weight *w, int64_t row,
                                      int64_t n, void *out)
{
    return fill_form(ctx, w, row, n, NULL, out, NULL);
}
