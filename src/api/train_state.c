/* The state of an unfinished run: enough to go on to the very bytes of an unbroken one. */
#include <math.h>
#include <stdio.h>

#include "api/base_model.h"
#include "api/image_size.h"
#include "api/quant.h"
#include "api/train_impl.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"

static void hash_rows(const struct dlm_train_data *d, char hex[65])
{
    struct dlm_sha256 sha;
    uint8_t digest[32];

    dlm_sha256_init(&sha);
    for (size_t i = 0; i < d->num_train + d->num_val; i++) {
        const struct dlm_train_example *e =
            i < d->num_train ? &d->train[i] : &d->val[i - d->num_train];
        const struct dlm_input *in = &e->input;
        const int64_t head[] = {in->bidirectional_len, (int64_t)in->ids.len, e->row_id,
                                i < d->num_train};
        dlm_sha256_update(&sha, head, sizeof(head));
        dlm_sha256_update(&sha, in->ids.ids, in->ids.len * sizeof(*in->ids.ids));
        dlm_sha256_update(&sha, in->is_label, in->ids.len);
        for (size_t k = 0; k < e->num_images; k++)
            dlm_sha256_update(&sha, d->images[d->shown[e->first_image + k]].shown->sha, 64);
    }
    dlm_sha256_finish(&sha, digest);
    dlm_sha256_hex(digest, hex);
}

/* What a base says beside its weights about rows and images. */
/* Of state.json and the tensors beside it: another order of the parameters is another version. */
#define STATE_VERSION 3

static const char *const base_files[] = {
    "config.json",           "preprocessor_config.json", "processor_config.json",
    "tokenizer.json",        "tokenizer_config.json",    "special_tokens_map.json",
    "chat_template.json",    "chat_template.jinja",      "tekken.json",
};

enum dlm_status dlm_train_hash_base(struct dlm_train_call *t)
{
    enum dlm_status st = DLM_OK;
    char sha[65];

    dlm_checkpoint_fingerprint(t->s->model->weights->checkpoint, t->base_sha);
    t->file_shas = json_object();
    if (dlm_base_is_gguf(t->base)) /* what files lie beside others here, its headers say */
        return DLM_OK;
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(base_files); i++) {
        char *path = dlm_path_join(t->ctx, t->base->dir, base_files[i]);
        st = path ? DLM_OK : DLM_ERR_MEMORY;
        if (!st && dlm_path_is_file(path)) {
            st = dlm_file_sha256(t->ctx, path, sha, NULL);
            if (!st && json_object_set_new(t->file_shas, base_files[i], json_string(sha)))
                st = dlm_fail(t->ctx, DLM_ERR_MEMORY, "out of memory");
        }
        dlm_free(path);
    }
    return st;
}

enum dlm_status dlm_train_hash(struct dlm_train_call *t)
{
    const struct dlm_train_params *p = t->params;
    struct dlm_str text = {0};

    enum dlm_status st = dlm_file_sha256(t->ctx, p->document, t->document_sha, NULL);
    if (!st)
        st = dlm_str_appendf(t->ctx, &text, "seed %lld max_steps %lld precision %s checkpoint %d "
                             "init %s", (long long)t->seed, (long long)p->max_steps,
                             dlm_dtype_name(t->s->model->policy), t->checkpoint,
                             p->init_adapter ? p->init_adapter : "");
    if (!st && dlm_image_size_of(t->s->model))
        st = dlm_str_appendf(t->ctx, &text, " image_size %lld",
                             (long long)dlm_image_size_of(t->s->model));
    if (!st)
        dlm_sha256_of(text.data, text.len, t->options_sha);
    dlm_str_finish(&text);
    hash_rows(&t->data, t->rows_sha);
    return st;
}

static json_t *modules_json(const struct dlm_lora *lora)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < lora->num; i++) {
        const struct dlm_lora_module *m = lora->modules[i];
        json_t *one = json_pack("{s:s, s:I, s:I, s:I, s:f}", "path", m->path, "r", (json_int_t)m->r,
                                "in", (json_int_t)m->in, "out", (json_int_t)m->out, "alpha",
                                (double)m->alpha);
        if (!one || json_array_append_new(list, one)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *state_json(const struct dlm_train_call *t, int64_t step, uint64_t log_bytes)
{
    const struct dlm_lora_params *lp = &t->lora->params;
    const struct dlm_trainer_params *p = dlm_trainer_get_params(t->trainer);
    const struct dlm_device_info *info = &dlm_device_get_caps(t->s->device)->info;

    return json_pack(
        "{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:b, s:s, s:s, s:o, s:I, s:s, s:I,"
        " s:{s:s, s:s, s:s, s:s, s:O}, s:{s:I, s:f, s:f, s:b}, s:o}",
        "state_version", STATE_VERSION, "step", (json_int_t)step, "steps",
        (json_int_t)dlm_trainer_num_steps(t->trainer), "seed", (json_int_t)t->seed,
        "micro_batch_size", (json_int_t)p->micro_batch, "grad_accum", (json_int_t)p->grad_accum,
        "loss_rows", (json_int_t)p->loss_rows, "num_epochs", (json_int_t)p->epochs,
        "learning_rate", p->lr, "gradient_checkpointing", t->checkpoint, "precision",
        dlm_dtype_name(t->s->model->policy), "backend", dlm_backend_name(info->kind), "loss",
        isfinite(t->last_loss) ? json_real(t->last_loss) : json_null(), "started_at",
        (json_int_t)t->started_at, "log", dlm_path_basename(t->log_path), "log_bytes",
        (json_int_t)log_bytes, "hashes", "document",
        t->document_sha, "rows", t->rows_sha, "base", t->base_sha, "options", t->options_sha,
        "base_files", t->file_shas,
        "lora", "r", (json_int_t)lp->r, "alpha", (double)lp->alpha, "dropout",
        (double)lp->dropout, "rslora", lp->use_rslora, "modules", modules_json(t->lora));
}

enum dlm_status dlm_train_save_state(struct dlm_train_call *t, int64_t step)
{
    struct dlm_lora *lora = t->lora;
    const size_t len = (size_t)lora->len;
    const struct dlm_storage *flats[] = {&lora->flat, &lora->m, &lora->v};
    static const char *const names[] = {"parameters", "first_moments", "second_moments"};
    struct dlm_tensor_out tensors[3];
    float *values = dlm_alloc_array(t->ctx, 3 * len, sizeof(*values));
    uint64_t log_bytes = 0;
    json_t *state = NULL;
    enum dlm_status st = values ? dlm_train_log_bytes(t, &log_bytes) : DLM_ERR_MEMORY;

    if (!st && !step) /* nothing is on the device yet: moments are zero */
        memcpy(values, lora->values, len * sizeof(*values));
    for (int i = 0; !st && i < 3; i++) {
        if (step)
            st = dlm_lora_download(lora, flats[i], values + (size_t)i * len);
        tensors[i] = (struct dlm_tensor_out){.name = names[i], .dtype = DLM_DTYPE_F32, .ndim = 1,
                                             .shape = {lora->len}, .data = values + (size_t)i * len,
                                             .bytes = len * sizeof(float)};
    }
    if (!st && step && !dlm_f32_is_finite(values, 3 * len))
        st = dlm_train_diverged(t, "adapter's weights are", step);
    if (!st) {
        state = state_json(t, step, log_bytes);
        const bool ok =
            state && !json_object_set_new(state, "first_loss", json_real(t->first_loss)) &&
            !json_object_set_new(state, "base_form", json_string(t->s->base_form)) &&
            !json_object_set_new(state, "tiles", dlm_train_tiles_json(t));
        st = ok ? dlm_run_save(t->ctx, t->run, state, tensors, 3)
                : dlm_fail(t->ctx, DLM_ERR_MEMORY, "out of memory: cannot save the run's state");
    }
    json_decref(state);
    dlm_free(values);
    return st;
}

static enum dlm_status begin_run(struct dlm_train_call *t)
{
    const char *from = "new";
    enum dlm_status st = DLM_OK;

    if (t->killed_start[0])
        dlm_log(t->ctx, DLM_LOG_WARNING,
                "the run was interrupted before its first step and starts again");
    if (!strcmp(t->killed_start, "init") && !t->params->init_adapter)
        return dlm_fail(t->ctx, DLM_ERR_INVALID, "resume: the run that was interrupted began with "
                                                 "--init-adapter; give it again");
    if (t->params->init_adapter) {
        from = "init";
        t->start_adapter = dlm_strdup(t->ctx, t->params->init_adapter);
        st = t->start_adapter ? DLM_OK : DLM_ERR_MEMORY;
    } else if (t->params->resume &&
               (!t->killed_start[0] || !strcmp(t->killed_start, "current"))) {
        from = "current";
        st = dlm_store_current(t->ctx, t->store, &t->start_adapter, NULL);
        if (!st && !t->start_adapter)
            st = dlm_fail(t->ctx, DLM_ERR_INVALID,
                          "resume: there is no interrupted run and no adapter to go on from");
    }
    return st ? st : dlm_run_begin(t->ctx, t->store, from, &t->run);
}

/* The newest run that gave a version; 0: none did. */
static enum dlm_status last_finished(struct dlm_train_call *t, int64_t *id)
{
    struct dlm_manifest manifest = {0};
    enum dlm_status st = dlm_manifest_load(t->ctx, &manifest, t->store);
    const json_t *runs = st ? NULL : json_object_get(manifest.root, "training_runs");

    *id = 0;
    for (size_t i = 0; i < json_array_size(runs); i++)
        *id = DLM_MAX(*id, json_integer_value(json_object_get(json_array_get(runs, i), "run_id")));
    dlm_manifest_finish(&manifest);
    return st;
}

enum dlm_status dlm_train_take_run(struct dlm_train_call *t)
{
    int64_t *ids = NULL, finished = 0;
    size_t num = 0;

    enum dlm_status st = dlm_store_unfinished_runs(t->ctx, t->store, &ids, &num);
    if (!st)
        st = last_finished(t, &finished);
    if (num && ids[num - 1] < finished)
        num = 0; /* a later run has given a version: that is what goes on */
    if (!st && num && t->params->resume && !t->killed_start[0]) {
        st = dlm_run_open(t->ctx, t->store, ids[num - 1], &t->run);
        t->is_resumed = t->keeps_run = !st;
    } else if (!st) {
        if (num)
            dlm_log(t->ctx, DLM_LOG_WARNING,
                    "run %lld is unfinished and stays so: `dlm train --resume` continues it",
                    (long long)ids[num - 1]);
        st = begin_run(t);
    }
    dlm_free(ids);
    return st;
}

static enum dlm_status changed(struct dlm_train_call *t, const char *what)
{
    dlm_fail(t->ctx, DLM_ERR_INVALID, "resume: the %s changed since the run was interrupted", what);
    dlm_log(t->ctx, DLM_LOG_HINT, "`dlm train --fresh` starts a new run");
    return DLM_ERR_INVALID;
}

static enum dlm_status check_hash(struct dlm_train_call *t, const json_t *hashes, const char *name,
                                  const char *now)
{
    const char *then = json_string_value(json_object_get(hashes, name));

    return then && !strcmp(then, now) ? DLM_OK : changed(t, name);
}

/* The base's files beside its weights are those of then, none more and none less. */
static enum dlm_status check_files(struct dlm_train_call *t, const json_t *then)
{
    char what[128];

    for (size_t i = 0; i < DLM_ARRAY_LEN(base_files); i++) {
        const json_t *a = json_object_get(then, base_files[i]);
        const json_t *b = json_object_get(t->file_shas, base_files[i]);
        if (a == b || (a && b && json_equal(a, b)))
            continue;
        snprintf(what, sizeof(what), "base's '%s'", base_files[i]);
        return changed(t, what);
    }
    return DLM_OK;
}

/* The base is held in what it was held in then. */
static enum dlm_status check_base_form(struct dlm_train_call *t, const json_t *state)
{
    const char *text = json_string_value(json_object_get(state, "base_form"));
    const char *then = text && *text ? text : "its precision";
    const char *now = *t->s->base_form ? t->s->base_form : "its precision";

    if (!strcmp(then, now))
        return DLM_OK;
    dlm_fail(t->ctx, DLM_ERR_INVALID, "resume: the run began with the base in %s, and --quant and "
             "--quant-scope or the document ask for %s", then, now);
    dlm_log(t->ctx, DLM_LOG_HINT, "`dlm train --fresh` starts a new run");
    return DLM_ERR_INVALID;
}

static enum dlm_status check_version(struct dlm_train_call *t, const json_t *state)
{
    if (json_integer_value(json_object_get(state, "state_version")) == STATE_VERSION)
        return DLM_OK;
    dlm_fail(t->ctx, DLM_ERR_UNSUPPORTED, "cannot resume: '%s/state.json' was saved by another "
             "version of dlm", dlm_run_dir(t->run));
    dlm_log(t->ctx, DLM_LOG_HINT, "`dlm train --fresh` starts a new run");
    return DLM_ERR_UNSUPPORTED;
}

static enum dlm_status check_hashes(struct dlm_train_call *t, const json_t *state)
{
    const json_t *hashes = json_object_get(state, "hashes");
    const char *backend = json_string_value(json_object_get(state, "backend"));
    const struct dlm_device_info *info = &dlm_device_get_caps(t->s->device)->info;

    enum dlm_status st = check_hash(t, hashes, "document", t->document_sha);
    if (!st)
        st = check_hash(t, hashes, "base", t->base_sha);
    if (!st)
        st = check_files(t, json_object_get(hashes, "base_files"));
    if (!st)
        st = check_base_form(t, state);
    if (!st)
        st = check_hash(t, hashes, "options", t->options_sha);
    if (!st)
        st = check_hash(t, hashes, "rows", t->rows_sha);
    if (!st && backend && strcmp(backend, dlm_backend_name(info->kind)))
        dlm_log(t->ctx, DLM_LOG_WARNING,
                "the run began on %s and goes on on %s: its bits will not be those of an unbroken "
                "run", backend, dlm_backend_name(info->kind));
    return st;
}

static enum dlm_status damaged(struct dlm_train_call *t)
{
    return dlm_fail(t->ctx, DLM_ERR_PARSE, "cannot resume: '%s/state.json' is damaged",
                    dlm_run_dir(t->run));
}

/* Whether the base has this linear layer. */
static bool has_linear(const struct dlm_model *model, const char *path, int64_t in, int64_t out)
{
    const struct dlm_linear *l = path ? dlm_model_find_linear(model, path) : NULL;

    return l && l->weight->cols == in && l->out == out;
}

static enum dlm_status read_modules(struct dlm_train_call *t, const json_t *state)
{
    const json_t *lora = json_object_get(state, "lora"), *list = json_object_get(state, "modules");
    const struct dlm_lora_params params = {
        .r = json_integer_value(json_object_get(lora, "r")),
        .alpha = (float)json_number_value(json_object_get(lora, "alpha")),
        .dropout = (float)json_number_value(json_object_get(lora, "dropout")),
        .use_rslora = json_is_true(json_object_get(lora, "rslora")),
    };

    if (!json_array_size(list) || params.r < 1)
        return damaged(t);
    enum dlm_status st = dlm_lora_create(t->ctx, &t->lora, &params);
    for (size_t i = 0; !st && i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const char *path = json_string_value(json_object_get(m, "path"));
        const int64_t r = json_integer_value(json_object_get(m, "r"));
        const int64_t in = json_integer_value(json_object_get(m, "in"));
        const int64_t out = json_integer_value(json_object_get(m, "out"));
        if (r < 1 || r > 65536 || !has_linear(t->s->model, path, in, out) ||
            dlm_lora_find(t->lora, path))
            return damaged(t);
        st = dlm_lora_add(t->lora, path, dlm_model_find_linear(t->s->model, path)->weight, in, out,
                          r, (float)json_number_value(json_object_get(m, "alpha")));
    }
    return st;
}

enum dlm_status dlm_train_load_state(struct dlm_train_call *t, struct dlm_checkpoint **tensors)
{
    json_t *state = NULL;
    uint64_t log_bytes;
    const char *log;

    enum dlm_status st = dlm_run_load(t->ctx, t->run, &state, tensors);
    if (!st)
        st = check_version(t, state);
    if (!st)
        st = check_hashes(t, state);
    if (!st)
        st = dlm_train_take_tiles(t, state);
    if (!st)
        st = read_modules(t, state);
    if (st)
        goto done;
    log = json_string_value(json_object_get(state, "log"));
    t->first_step =
        DLM_MIN(json_integer_value(json_object_get(state, "step")), INT64_MAX - 1) + 1;
    t->micro_batch = json_integer_value(json_object_get(state, "micro_batch_size"));
    t->grad_accum = json_integer_value(json_object_get(state, "grad_accum"));
    t->loss_rows = json_integer_value(json_object_get(state, "loss_rows"));
    t->epochs = json_integer_value(json_object_get(state, "num_epochs"));
    t->lr = json_number_value(json_object_get(state, "learning_rate"));
    t->first_loss = json_number_value(json_object_get(state, "first_loss"));
    const json_t *loss = json_object_get(state, "loss");
    t->last_loss = json_is_number(loss) ? json_number_value(loss) : NAN;
    t->started_at = (time_t)json_integer_value(json_object_get(state, "started_at"));
    if (!log || strchr(log, '/') || t->first_step < 1 || t->micro_batch < 1 || t->grad_accum < 1 ||
        t->loss_rows < 1 || t->epochs < 1 || !(t->lr > 0)) {
        st = damaged(t);
        goto done;
    }
    t->log_path = dlm_strf(t->ctx, "%s/logs/%s", dlm_store_path(t->store), log);
    log_bytes = (uint64_t)json_integer_value(json_object_get(state, "log_bytes"));
    st = t->log_path ? dlm_log_cut(t->ctx, t->log_path, log_bytes) : DLM_ERR_MEMORY;
done:
    json_decref(state);
    return st;
}

enum dlm_status dlm_train_restore(struct dlm_train_call *t, const struct dlm_checkpoint *tensors)
{
    struct dlm_lora *lora = t->lora;
    const struct dlm_storage *flats[] = {&lora->flat, &lora->m, &lora->v};
    static const char *const names[] = {"parameters", "first_moments", "second_moments"};
    const size_t bytes = (size_t)lora->len * sizeof(float);
    enum dlm_status st = DLM_OK;

    if (t->first_step > dlm_trainer_num_steps(t->trainer))
        return damaged(t);
    for (int i = 0; !st && i < 3; i++) {
        const struct dlm_tensor_info *x = dlm_checkpoint_find(tensors, names[i]);
        if (!x || x->dtype != DLM_DTYPE_F32 || x->bytes != bytes)
            return damaged(t);
        st = dlm_buffer_write(flats[i]->buffer, 0, x->data, bytes);
    }
    return st;
}
