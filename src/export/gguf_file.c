/* Rows of merged weights on their way into a GGUF file. */
#include "export/gguf_file.h"

#include <string.h>

#include "base/log.h"

#define BLOCK_LEN ((int64_t)1 << 19) /* elements that are in memory at once */

/* Whether the tensor's rows lie in its weight one behind the other. */
static bool is_in_order(const struct dlm_gguf_planned *t)
{
    return t->move == DLM_GGUF_MOVE_NONE || t->move == DLM_GGUF_MOVE_PART ||
           t->move == DLM_GGUF_MOVE_ROW;
}

/* Rows of the weight for each of the tensor's, with those between that go elsewhere. */
static int64_t window_steps(const struct dlm_gguf_planned *t)
{
    return t->move == DLM_GGUF_MOVE_FRAME ? t->steps : 1;
}

/* Rows of a block: whole heads, where rows move in them; all of a vector, which is one row of the
 * file. */
static int64_t block_rows(const struct dlm_gguf_planned *t)
{
    const bool is_of_heads = t->move == DLM_GGUF_MOVE_HEADS || t->move == DLM_GGUF_MOVE_KV_HEADS;
    const int64_t unit = t->ndim == 1 ? t->rows : is_of_heads ? t->head_len : 1;
    const int64_t units = BLOCK_LEN / window_steps(t) / t->cols / unit;

    return DLM_MIN(unit * DLM_MAX(units, 1), t->rows);
}

/* t's rows [row, row + num) into blocks->values. */
static enum dlm_status read_rows(struct dlm_ctx *ctx, const struct dlm_gguf_planned *t,
                                 struct dlm_merge *merge, int64_t row, int64_t num,
                                 struct dlm_gguf_blocks *blocks)
{
    const struct dlm_merge_tensor *source = &merge->tensors[t->weight];
    int64_t first = dlm_gguf_source_row(t, row), last = first;

    if (is_in_order(t))
        return dlm_merge_read(ctx, merge, source, first * t->cols, num * t->cols, blocks->values);
    for (int64_t i = 1; i < num; i++) {
        const int64_t at = dlm_gguf_source_row(t, row + i);
        first = DLM_MIN(first, at);
        last = DLM_MAX(last, at);
    }
    enum dlm_status st = dlm_merge_read(ctx, merge, source, first * t->cols,
                                        (last + 1 - first) * t->cols, blocks->window);
    for (int64_t i = 0; !st && i < num; i++)
        memcpy(blocks->values + i * t->cols,
               blocks->window + (dlm_gguf_source_row(t, row + i) - first) * t->cols,
               (size_t)t->cols * sizeof(float));
    return st;
}

static enum dlm_status write_tensor(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                    const struct dlm_gguf_planned *t, struct dlm_merge *merge,
                                    struct dlm_gguf_blocks *blocks)
{
    const int64_t step = block_rows(t);
    enum dlm_status st = DLM_OK;

    for (int64_t row = 0; !st && row < t->rows; row += step) {
        const int64_t num = DLM_MIN(step, t->rows - row);
        st = read_rows(ctx, t, merge, row, num, blocks);
        if (!st)
            st = dlm_gguf_writer_rows(ctx, w, blocks->values, num * t->cols / t->ne[0]);
    }
    return st;
}

static enum dlm_status append(struct dlm_ctx *ctx, void *user, const void *data, size_t bytes)
{
    return dlm_sink_write(ctx, user, data, bytes);
}

enum dlm_status dlm_gguf_file_write(struct dlm_ctx *ctx, struct dlm_gguf_file *file,
                                    struct dlm_merge *merge, struct dlm_gguf_blocks *blocks,
                                    struct dlm_sink *sink)
{
    const uint64_t bytes = dlm_gguf_writer_bytes(file->w);
    bool is_there = false;

    enum dlm_status st = dlm_sink_take(ctx, sink, file->name, bytes, &is_there);
    if (st || is_there)
        return st;
    st = dlm_sink_begin(ctx, sink, file->name, bytes);
    if (!st)
        st = dlm_gguf_writer_begin(ctx, file->w, append, sink);
    for (size_t i = 0; !st && i < file->plan.num; i++)
        st = write_tensor(ctx, file->w, &file->plan.tensors[i], merge, blocks);
    if (!st)
        st = dlm_gguf_writer_end(ctx, file->w);
    return st ? st : dlm_sink_end(ctx, sink);
}

enum dlm_status dlm_gguf_blocks_make(struct dlm_ctx *ctx, struct dlm_gguf_blocks *blocks,
                                     const struct dlm_gguf_file *files, size_t num)
{
    int64_t values = 1, window = 1;

    for (size_t f = 0; f < num; f++)
        for (size_t i = 0; i < files[f].plan.num; i++) {
            const struct dlm_gguf_planned *t = &files[f].plan.tensors[i];
            const int64_t len = block_rows(t) * t->cols;
            values = DLM_MAX(values, len);
            if (!is_in_order(t))
                window = DLM_MAX(window, len * window_steps(t));
        }
    blocks->values = dlm_alloc_array(ctx, (size_t)values, sizeof(float));
    blocks->window = dlm_alloc_array(ctx, (size_t)window, sizeof(float));
    return blocks->values && blocks->window ? DLM_OK : DLM_ERR_MEMORY;
}

void dlm_gguf_blocks_finish(struct dlm_gguf_blocks *blocks)
{
    dlm_free(blocks->values);
    dlm_free(blocks->window);
    *blocks = (struct dlm_gguf_blocks){0};
}

void dlm_gguf_file_finish(struct dlm_gguf_file *file)
{
    dlm_gguf_writer_destroy(&file->w);
    dlm_gguf_plan_finish(&file->plan);
    *file = (struct dlm_gguf_file){0};
}
