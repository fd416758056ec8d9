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

/* The image's index; a new one is planned. */
static enum dlm_status find_image(struct dlm_train_data *d, const struct dlm_row_image *shown,
                                  size_t *index)
{
    for (size_t i = 0; i < d->num_images; i++)
        if (!strcmp(d->images[i].shown->sha, shown->sha)) {
            *index = i;
            return DLM_OK;
        }
    if (!dlm_grow(d->ctx, &d->images, &d->cap_images, d->num_images, sizeof(*d->images)))
        return DLM_ERR_MEMORY;
    *index = d->num_images++;
    d->images[*index] = (struct dlm_train_image){.shown = shown};
    return dlm_train_data_plan_image(d, &d->images[*index]);
}

static enum dlm_status show_images(struct dlm_train_data *d, struct dlm_train_example *e)
{
    enum dlm_status st = DLM_OK;

    e->first_image = d->num_shown;
    for (size_t i = 0; !st && i < e->row->num_images; i++) {
        if (!dlm_grow(d->ctx, &d->shown, &d->cap_shown, d->num_shown, sizeof(*d->shown)) ||
            !dlm_grow(d->ctx, &d->plans, &d->cap_plans, d->num_shown, sizeof(*d->plans)))
            return DLM_ERR_MEMORY;
        st = find_image(d, &e->row->images[i], &d->shown[d->num_shown]);
        if (st)
            return st;
        d->plans[d->num_shown] = d->images[d->shown[d->num_shown]].plan;
        d->num_shown++;
        e->num_images++;
    }
    return st;
}

static enum dlm_status fail_row(const struct dlm_train_data *d, const struct dlm_row *row,
                                const char *what, int64_t tokens, int64_t sequence_len)
{
    dlm_fail(d->ctx, DLM_ERR_INVALID,
             "section %s (line %lld): %s %lld tokens, but sequence_len is %lld", row->section_id,
             (long long)row->line, what, (long long)tokens, (long long)sequence_len);
    dlm_log(d->ctx, DLM_LOG_HINT, "a larger training.sequence_len%s makes room",
            row->num_images && !d->model->family->has_one_image_size
                ? ", or a smaller training.image_size," : "");
    return DLM_ERR_INVALID;
}

/* Cuts the example to sequence_len tokens: something to learn and every image must be in them. */
static enum dlm_status cut(struct dlm_train_data *d, struct dlm_train_example *e,
                           int64_t sequence_len)
{
    const struct dlm_ids *ids = &e->input.ids;
    const int64_t len = (int64_t)ids->len;
    int64_t prompt = 0, images = 0; /* tokens before the first label; up to the last image's end */

    while (prompt < len && !e->input.is_label[prompt])
        prompt++;
    if (prompt >= sequence_len)
        return fail_row(d, e->row, "the prompt takes", prompt, sequence_len);
    for (int64_t t = 0; e->num_images && t < len; t++)
        if (ids->ids[t] == d->model->image_id)
            images = t + 1;
    if (images > sequence_len)
        return fail_row(d, e->row, "up to its last image it takes", images, sequence_len);
    if (len > sequence_len) {
        e->input.ids.len = (size_t)sequence_len;
        d->num_cut++;
    }
    e->num_labels = dlm_count_labels(e->input.is_label, (int64_t)ids->len);
    return DLM_OK;
}

/* Every token is learned but those that stand for images and the first, which nothing foretells. */
static void learn_all(const struct dlm_train_data *d, struct dlm_input *in)
{
    for (size_t t = 1; t < in->ids.len; t++)
        in->is_label[t] = in->ids.ids[t] != d->model->image_id;
}

static enum dlm_status make_example(struct dlm_train_data *d, const struct dlm_row *row,
                                    const struct dlm_tokenizer *tok, int64_t sequence_len,
                                    struct dlm_train_example *e)
{
    e->row = row;
    e->row_id = hash_row(row);
    enum dlm_status st = show_images(d, e);
    if (!st)
        st = d->model->family->encode(d->ctx, d->model, tok, &row->conversation,
                                      d->plans + e->first_image, &e->input);
    if (!st && row->is_all_learned)
        learn_all(d, &e->input);
    return st ? st : cut(d, e, sequence_len);
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
                "%zu of %zu rows are longer than sequence_len %lld: cut, without their end",
                d->num_cut, rows->num_rows, (long long)sequence_len);
    return st;
}

void dlm_train_data_finish(struct dlm_train_data *d)
{
    for (size_t i = 0; i < d->num_train; i++)
        dlm_input_finish(&d->train[i].input);
    for (size_t i = 0; i < d->num_val; i++)
        dlm_input_finish(&d->val[i].input);
    for (size_t i = 0; i < d->num_images; i++) {
        dlm_free(d->images[i].pixels);
        dlm_free(d->images[i].features);
    }
    dlm_free(d->train);
    dlm_free(d->val);
    dlm_free(d->images);
    dlm_free(d->shown);
    dlm_free(d->plans);
    *d = (struct dlm_train_data){0};
}
