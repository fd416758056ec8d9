/* Examples. Their images are in images.c. */
#include "train/data.h"

#include "base/hash.h"
#include "base/log.h"

/* A fixed name for the row's random numbers: of section id and index. */
static uint32_t hash_row(const struct dlm_row *row)
{
    uint32_t h = dlm_hash(DLM_HASH_START, row->section_id, strlen(row->section_id));

    for (int i = 0; i < 8; i++) { /* the same whatever the host's order of bytes */
        const uint8_t byte = (uint8_t)((uint64_t)row->index >> (8 * i));
        h = dlm_hash(h, &byte, 1);
    }
    return h;
}

static enum dlm_status find_image(struct dlm_train_data *d, const struct dlm_row *row,
                                  int64_t *index)
{
    *index = -1;
    if (!row->image_sha[0])
        return DLM_OK;
    for (size_t i = 0; i < d->num_images; i++)
        if (!strcmp(d->images[i].sha, row->image_sha)) {
            *index = (int64_t)i;
            return DLM_OK;
        }
    if (!dlm_grow(d->ctx, &d->images, &d->cap_images, d->num_images, sizeof(*d->images)))
        return DLM_ERR_MEMORY;
    struct dlm_train_image *image = &d->images[d->num_images];
    *image = (struct dlm_train_image){.row = row};
    memcpy(image->sha, row->image_sha, sizeof(image->sha));
    *index = (int64_t)d->num_images++;
    return DLM_OK;
}

static enum dlm_status make_example(struct dlm_train_data *d, const struct dlm_row *row,
                                    const struct dlm_tokenizer *tok, int64_t sequence_len,
                                    struct dlm_train_example *e)
{
    struct dlm_input_text text = {
        .num_images = row->image_sha[0] != 0,
        .tokens_per_image = d->model->image_tokens,
        .prefix = row->prefix, .prefix_len = row->prefix_len,
        .prefix_newline = row->prefix_newline,
        .suffix = row->suffix, .suffix_len = row->suffix_len,
    };
    size_t prefix_len = 0;

    e->row = row;
    e->row_id = hash_row(row);
    enum dlm_status st = d->model->family->encode(d->ctx, tok, &text, &e->ids, &prefix_len);
    if (!st)
        st = find_image(d, row, &e->image);
    if (st)
        return st;
    e->prefix_len = (int64_t)prefix_len; /* far below 2^31 */
    if (e->prefix_len >= sequence_len)
        return dlm_fail(d->ctx, DLM_ERR_INVALID,
                        "section %s (line %lld): the prompt takes %lld tokens, but sequence_len "
                        "is %lld", row->section_id, (long long)row->line,
                        (long long)e->prefix_len, (long long)sequence_len);
    if ((int64_t)e->ids.len > sequence_len) {
        e->ids.len = (size_t)sequence_len;
        d->num_cut++;
    }
    return DLM_OK;
}

/* The split took every row, as it does with a tenth of the documents of one row. */
static void keep_for_training(struct dlm_train_data *d)
{
    struct dlm_train_example *none = d->train;

    d->train = d->val;
    d->num_train = d->num_val;
    d->val = none;
    d->num_val = 0;
    dlm_log(d->ctx, DLM_LOG_WARNING,
            "every row falls to validation: they are trained on, and none validates");
}

enum dlm_status dlm_train_data_init(struct dlm_train_data *d, struct dlm_ctx *ctx,
                                    const struct dlm_rows *rows, const struct dlm_store *store,
                                    const struct dlm_model *model, const struct dlm_tokenizer *tok,
                                    int64_t sequence_len)
{
    *d = (struct dlm_train_data){.ctx = ctx, .store = store, .model = model};
    d->train = dlm_alloc_array(ctx, rows->num_rows + 1, sizeof(*d->train));
    d->val = dlm_alloc_array(ctx, rows->num_rows + 1, sizeof(*d->val));
    enum dlm_status st = d->train && d->val ? DLM_OK : DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < rows->num_rows; i++) {
        const struct dlm_row *row = &rows->rows[i];
        st = make_example(d, row, tok, sequence_len,
                          row->is_val ? &d->val[d->num_val++] : &d->train[d->num_train++]);
    }
    if (!st && !d->num_train && d->num_val)
        keep_for_training(d);
    if (!st && d->num_cut)
        dlm_log(ctx, DLM_LOG_WARNING,
                "%zu of %zu rows are longer than sequence_len %lld: cut, without <eos>",
                d->num_cut, rows->num_rows, (long long)sequence_len);
    return st;
}

void dlm_train_data_finish(struct dlm_train_data *d)
{
    for (size_t i = 0; i < d->num_train; i++)
        dlm_ids_finish(&d->train[i].ids);
    for (size_t i = 0; i < d->num_val; i++)
        dlm_ids_finish(&d->val[i].ids);
    for (size_t i = 0; i < d->num_images; i++) {
        dlm_free(d->images[i].pixels);
        dlm_free(d->images[i].features);
    }
    dlm_free(d->train);
    dlm_free(d->val);
    dlm_free(d->images);
    *d = (struct dlm_train_data){0};
}
