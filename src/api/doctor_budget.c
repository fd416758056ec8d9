/* `dlm doctor DOCUMENT` and `dlm doctor --base`: the plans of answers and of training, summed. */
#include "api/doctor_budget.h"

#include <stdio.h>
#include <string.h>

#include "api/train_impl.h"
#include "base/file.h"
#include "base/log.h"
#include "dlm/prompt.h"
#include "doctor/driver_guard.h"
#include "train/batch.h"
#include "train/recipe.h"

#define ASKED_TOKENS 32 /* of text before an answer, the template's included: Qwen2-VL's are 24 */
#define SHORT_ANSWER 48 /* learned tokens of a row, where nothing says how many */

static void finish(struct dlm_doctor_budget *b)
{
    dlm_lora_destroy(&b->lora);
    dlm_session_close(&b->s);
    dlm_doc_destroy(&b->doc);
}

/* The document, or one in which nothing is said. */
static enum dlm_status load_document(struct dlm_doctor_budget *b)
{
    static const char empty[] = "---\ndlm_id: 01JZZZZZZZZZZZZZZZZZZZZZZZ\ndlm_version: 15\n"
                                "base_model: tiny-shapes\n---\n";

    if (!b->params->document)
        return dlm_doc_parse(b->ctx, &b->doc, NULL, empty, sizeof(empty) - 1);
    enum dlm_status st = dlm_doc_load(b->ctx, &b->doc, b->params->document);
    if (st)
        return st;
    dlm_log_mute(b->ctx); /* it is no error of the doctor's */
    if (dlm_log_unmute(b->ctx, dlm_doc_check_trainable(b->ctx, b->doc)))
        dlm_log_take(b->ctx, b->untrainable, sizeof(b->untrainable));
    return DLM_OK;
}

static enum dlm_status open_session(struct dlm_doctor_budget *b)
{
    const struct dlm_doctor_budget_params *p = b->params;
    struct dlm_compute compute = dlm_train_choose_compute(&p->compute, b->doc);
    enum dlm_status st = dlm_driver_guard(b->ctx, &compute);

    if (st)
        return st;
    char *dir = p->document ? dlm_path_dirname(b->ctx, p->document) : NULL;
    const struct dlm_session_base session = {
        .base = p->document ? b->doc->base_model : p->base,
        .mmproj = p->document ? b->doc->mmproj : p->mmproj,
        .dir = dir,
        .image_size = p->image_size ? p->image_size : b->doc->training.image_size,
        .compute = compute,
        .plan_only = true};

    st = p->document && !dir ? DLM_ERR_MEMORY : dlm_session_open_base(b->ctx, &b->s, &session);
    dlm_free(dir);
    return st;
}

/* Rows of one image: as long as the document's may be, or with a short answer. */
static enum dlm_status choose_row(struct dlm_doctor_budget *b)
{
    const struct dlm_model *m = b->s->model;
    const bool sees = !m->is_text;
    struct dlm_footprint_row *row = &b->row;

    enum dlm_status st = sees ? dlm_image_plan_usual(m, &b->image) : DLM_OK;
    if (st)
        return st;
    b->asked_tokens = b->image.tokens + ASKED_TOKENS;
    b->answer_tokens = DLM_PROMPT_MAX_TOKENS;
    row->tokens = b->params->tokens     ? b->params->tokens
                  : b->params->document ? b->doc->training.sequence_len
                                        : b->asked_tokens + SHORT_ANSWER;
    row->labels = row->tokens - b->asked_tokens;
    if (row->labels < 1) {
        dlm_fail(b->ctx, DLM_ERR_INVALID,
                 "rows of %lld tokens have no room for an answer: an image takes %lld and what is "
                 "asked about it %d", (long long)row->tokens, (long long)b->image.tokens,
                 ASKED_TOKENS);
        dlm_log(b->ctx, DLM_LOG_HINT, "a larger training.sequence_len, or --seq, makes room");
        return DLM_ERR_INVALID;
    }
    dlm_image_room_add(m, &row->room, &b->image, sees);
    row->slice = dlm_image_plan_slice(&b->image);
    b->usual = *row;
    return DLM_OK;
}

/* A use that the device cannot run is a line that says why: the others may do all the same. */
static enum dlm_status keep_misfit(struct dlm_doctor_budget *b, struct dlm_doctor_line *line,
                                   enum dlm_status st)
{
    if (st != DLM_ERR_UNSUPPORTED)
        return st;
    dlm_log_take(b->ctx, line->misfit, sizeof(line->misfit));
    line->budget = (struct dlm_budget){0};
    line->seconds = 0;
    return DLM_OK;
}

/* The document's own rows in place of that, and the run that it asks for as the first line. */
static enum dlm_status plan_document(struct dlm_doctor_budget *b)
{
    const struct dlm_train_params params = {.document = b->params->document};
    struct dlm_train_result result;
    struct dlm_train_call t = {
        .ctx = b->ctx, .params = &params, .result = &result, .doc = b->doc, .s = b->s,
        .base = &b->s->base, .lora = b->lora, .seed = b->doc->training.seed,
        .checkpoint = b->doc->training.gradient_checkpointing};
    struct dlm_doctor_line *line = &b->lines[b->num_lines];

    enum dlm_status st = dlm_train_make_rows(&t);
    if (!st)
        st = dlm_train_check_rows(&t);
    if (!st)
        st = dlm_train_data_init(&t.data, b->ctx, &t.rows, NULL, b->s->model, b->s->tok,
                                 b->doc->training.sequence_len);
    if (st || !t.data.num_train)
        goto done;
    dlm_batcher_largest_row(&t.data, &b->row);
    b->num_rows = t.data.num_train + t.data.num_val;
    line->is_document = true;
    line->batch = DLM_MAX(b->doc->training.micro_batch_size, (int64_t)1);
    line->checkpoint = t.checkpoint;
    b->num_lines++;
    st = dlm_train_make_trainer(&t);
    if (st) {
        st = keep_misfit(b, line, st);
        goto done;
    }
    line->batch = dlm_trainer_get_params(t.trainer)->micro_batch;
    dlm_session_add_to_budget(b->s, b->lora, t.has_vision || t.with_tower, DLM_LORA_MOMENTS,
                              &line->budget);
    dlm_trainer_add_to_budget(t.trainer, &line->budget);
    if (b->speed.product > 0)
        line->seconds = dlm_estimate_trainer(&b->speed, t.trainer, &t.data);
done:
    dlm_trainer_destroy(&t.trainer);
    dlm_vision_finish(&t.vision);
    dlm_train_data_finish(&t.data);
    dlm_rows_finish(&t.rows);
    dlm_doc_sources_finish(&t.sources);
    return st;
}

static enum dlm_status plan_answer(struct dlm_doctor_budget *b, struct dlm_doctor_line *line)
{
    struct dlm_session *s = b->s;
    const struct dlm_generator_params params = {.prompt_len = b->asked_tokens,
                                                .max_tokens = b->answer_tokens,
                                                .room = b->usual.room};
    const bool sees = b->usual.slice > 0;
    struct dlm_generator *generator = NULL;
    struct dlm_held_images held = {0};
    struct dlm_vision vision = {0};

    enum dlm_status st = dlm_generator_create(b->ctx, &generator, s->model, s->lora, &params);
    if (!st && sees)
        st = dlm_vision_init(&vision, s->model, s->lora, b->usual.slice);
    if (!st)
        dlm_session_add_answer(s, generator, sees ? &vision : NULL, &line->budget);
    if (!st && sees)
        dlm_held_images_add(&held, s->model, &b->image, false);
    if (!st)
        dlm_budget_add_images(&line->budget, &held, UINT64_MAX);
    if (!st && b->speed.product > 0)
        dlm_estimate_answer(&b->speed, generator, sees ? &vision : NULL, b->usual.room.slices,
                            &b->first_seconds, &line->seconds);
    dlm_vision_finish(&vision);
    dlm_generator_destroy(&generator);
    return st;
}

static enum dlm_status plan_training(struct dlm_doctor_budget *b, struct dlm_doctor_line *line)
{
    const struct dlm_footprint_params params = {.batch = line->batch, .grad_accum = 1,
                                                .checkpoint = line->checkpoint,
                                                .with_tower = b->trains_tower};
    struct dlm_held_images held = {0};

    dlm_session_add_to_budget(b->s, b->lora, b->row.slice > 0, DLM_LORA_MOMENTS, &line->budget);
    for (int64_t i = 0; b->usual.slice && i < line->batch; i++)
        dlm_held_images_add(&held, b->s->model, &b->image, b->trains_tower);
    dlm_budget_add_images(&line->budget, &held, UINT64_MAX);
    enum dlm_status st = dlm_footprint_add(b->s->model, b->lora, &b->row, &params, &line->budget);
    if (!st && b->speed.product > 0)
        st = dlm_estimate_training(&b->speed, b->s->model, b->lora, &b->row, &params,
                                   &line->seconds);
    return st;
}

/* One of training, or of answers if its batch is 0. */
static enum dlm_status plan_line(struct dlm_doctor_budget *b, struct dlm_doctor_line *line)
{
    dlm_log_mute(b->ctx);
    enum dlm_status st = line->batch ? plan_training(b, line) : plan_answer(b, line);
    st = keep_misfit(b, line, dlm_log_unmute(b->ctx, st));
    if (st) /* it was not to be heard */
        dlm_log(b->ctx, DLM_LOG_ERROR, "%s", dlm_ctx_last_error(b->ctx));
    return st;
}

/* Rows at once where the document leaves it to the run: as the trainer chooses. */
static enum dlm_status choose_batch(const struct dlm_doctor_budget *b, size_t num_rows,
                                    struct dlm_footprint_params *params)
{
    const uint64_t most = dlm_device_get_caps(b->s->device)->info.memory_bytes / 2;
    const uint64_t weights = dlm_weights_bytes(b->s->model->weights, DLM_WEIGHT_GROUPS_ALL);
    const int64_t asked = b->doc->training.micro_batch_size;
    enum dlm_status st = DLM_OK;

    params->batch = asked ? asked : 1;
    for (int64_t n = 2; !asked && !st && n <= dlm_recipe_batch((int64_t)num_rows); n *= 2) {
        struct dlm_footprint_params next = *params;
        struct dlm_budget budget = {0};
        next.batch = n;
        st = dlm_footprint_add(b->s->model, b->lora, &b->row, &next, &budget);
        if (st == DLM_ERR_UNSUPPORTED)
            return DLM_OK;
        if (weights + dlm_budget_total(&budget) - budget.vision > most)
            break;
        *params = next;
    }
    return st;
}

/* The run that the document asks for, of a base whose tokenizer is not here: its rows are counted,
 * and taken to be as long as they may be. */
static enum dlm_status plan_unread_document(struct dlm_doctor_budget *b)
{
    const struct dlm_train_params params = {.document = b->params->document};
    struct dlm_train_call t = {.ctx = b->ctx, .params = &params, .doc = b->doc, .s = b->s,
                               .seed = b->doc->training.seed};
    struct dlm_footprint_params how = {.grad_accum = 1, .with_tower = b->trains_tower,
                                       .checkpoint = b->doc->training.gradient_checkpointing};
    struct dlm_doctor_line *line = &b->lines[b->num_lines];

    enum dlm_status st = dlm_train_make_rows(&t);
    if (!st)
        st = dlm_train_check_rows(&t);
    dlm_log_mute(b->ctx);
    if (!st)
        st = choose_batch(b, t.rows.num_rows - t.rows.num_val, &how);
    if (!dlm_log_unmute(b->ctx, st)) {
        line->is_document = true;
        line->batch = how.batch;
        line->checkpoint = how.checkpoint;
        b->num_lines++;
        st = plan_line(b, line);
    }
    dlm_rows_finish(&t.rows);
    dlm_doc_sources_finish(&t.sources);
    return st;
}

static enum dlm_status plan_lines(struct dlm_doctor_budget *b)
{
    const int64_t asked = b->params->batch;
    const int64_t batches[] = {asked ? asked : 1, 4};
    const size_t num = asked ? 1 : DLM_ARRAY_LEN(batches);

    b->s->lora = b->lora; /* answers are the adapter's */
    enum dlm_status st = plan_line(b, &b->lines[b->num_lines++]);
    for (size_t i = 0; !st && i < 2 * num; i++) {
        struct dlm_doctor_line *line = &b->lines[b->num_lines++];
        line->batch = batches[i / 2];
        line->checkpoint = i % 2;
        st = plan_line(b, line);
    }
    b->s->lora = NULL;
    return st;
}

/* The CPU's speed takes a moment; a GPU's is asked for, or was kept. */
static enum dlm_status find_speed(struct dlm_doctor_budget *b)
{
    const bool is_cpu = dlm_device_get_caps(b->s->device)->info.kind == DLM_BACKEND_CPU;
    bool is_known;

    return is_cpu || b->params->time ? dlm_estimate_measure(b->s, &b->speed)
                                     : dlm_estimate_find(b->s, &b->speed, &is_known);
}

/* Bytes of the line of training that takes least; 0: there is none that the device can run. */
static uint64_t smallest_training(const struct dlm_doctor_budget *b)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < b->num_lines; i++)
        if (b->lines[i].batch && !*b->lines[i].misfit)
            least = DLM_MIN(least, dlm_budget_total(&b->lines[i].budget));
    return least < UINT64_MAX ? least : 0;
}

enum dlm_status dlm_doctor_budget(struct dlm_ctx *ctx,
                                  const struct dlm_doctor_budget_params *params, char **text)
{
    struct dlm_doctor_budget b = {.ctx = ctx, .params = params};
    struct dlm_str out = {0};
    enum dlm_status st;

    *text = NULL;
    DLM_REQUIRE(ctx, !params->document != !params->base);
    DLM_REQUIRE(ctx, params->batch >= 0 && params->tokens >= 0);
    st = load_document(&b);
    if (!st)
        st = open_session(&b);
    if (!st)
        st = dlm_train_document_lora(b.s->model, &b.s->base, b.doc, &b.lora);
    if (!st)
        st = find_speed(&b);
    if (!st)
        b.trains_tower = dlm_model_trains_tower(b.s->model, b.lora);
    if (!st)
        st = choose_row(&b);
    if (!st && params->document && !params->tokens && !*b.untrainable)
        st = b.s->tok ? plan_document(&b) : plan_unread_document(&b);
    if (!st)
        st = plan_lines(&b);
    if (!st) {
        b.facts = dlm_may_train_facts(b.s, smallest_training(&b), false);
        st = dlm_doctor_budget_write(&b, &out);
    }
    if (!st) {
        *text = out.data;
        out = (struct dlm_str){0};
    }
done:
    dlm_str_finish(&out);
    finish(&b);
    return st;
}
