/* The JSONL log: one object a line, keys sorted, flushed line by line. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/train_impl.h"
#include "base/log.h"
#include "dlm/dlm.h"

/* Writes the object as a line; takes it. */
static enum dlm_status write_line(struct dlm_train_call *t, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    bool ok = text && fprintf(t->log, "%s\n", text) > 0 && !fflush(t->log);

    free(text);
    json_decref(line);
    return ok ? DLM_OK
              : dlm_fail(t->ctx, DLM_ERR_IO, "cannot write '%s': %s", t->log_path, strerror(errno));
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *banner(const struct dlm_train_call *t)
{
    const struct dlm_trainer_params *p = dlm_trainer_get_params(t->trainer);
    const struct dlm_device_info *info = &dlm_device_get_caps(t->s->device)->info;

    return json_pack(
        "{s:s, s:I, s:I, s:s, s:[], s:{s:s}, s:{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:b, s:I, s:o}}",
        "type", "banner", "run_id", (json_int_t)dlm_run_id(t->run), "seed", (json_int_t)t->seed,
        "determinism_class", "strong", "notes", "pinned_versions", "dlm", dlm_version_text(),
        "plan", "backend", dlm_backend_name(info->kind), "device", info->name, "precision",
        dlm_dtype_name(t->s->model->policy), "micro_batch_size", (json_int_t)p->micro_batch,
        "grad_accum", (json_int_t)p->grad_accum, "num_epochs", (json_int_t)p->epochs,
        "learning_rate", p->lr, "gradient_checkpointing", t->checkpoint, "steps",
        (json_int_t)dlm_trainer_num_steps(t->trainer), "est_step_seconds",
        t->step_seconds > 0 ? json_real(t->step_seconds) : json_null());
}

const char **dlm_train_section_ids(const struct dlm_train_call *t, size_t *num)
{
    const char **ids = dlm_alloc_array(t->ctx, t->rows.num_rows + 1, sizeof(*ids));

    *num = 0;
    for (size_t i = 0; ids && i < t->rows.num_rows; i++) {
        const char *id = t->rows.rows[i].section_id;
        if (!*num || strcmp(ids[*num - 1], id))
            ids[(*num)++] = id;
    }
    return ids;
}

/* Adds to list the keys of `of` that `other` has too, or has not. */
static void add_keys(json_t *list, json_t *of, const json_t *other, bool in_both)
{
    const char *id;
    json_t *value;

    json_object_foreach (of, id, value)
        if (in_both == (json_object_get(other, id) != NULL))
            (void)json_array_append_new(list, json_string(id)); /* a NULL list fails below */
}

/* Sections that the last version was trained on, and those that it was not. */
static enum dlm_status write_delta(struct dlm_train_call *t)
{
    struct dlm_manifest manifest = {0};
    json_t *now = json_object(), *is_new = json_array(), *same = json_array(),
           *removed = json_array();
    size_t num = 0;
    const char **ids = dlm_train_section_ids(t, &num);

    enum dlm_status st = ids ? dlm_manifest_load(t->ctx, &manifest, t->store) : DLM_ERR_MEMORY;
    json_t *before = json_object_get(manifest.root, "content_hashes");
    for (size_t i = 0; i < num; i++)
        (void)json_object_set_new(now, ids[i], json_true());
    add_keys(is_new, now, before, false);
    add_keys(same, now, before, true);
    add_keys(removed, before, now, false);
    json_t *line = json_pack("{s:s, s:o, s:o, s:o}", "type", "delta", "new", is_new, "unchanged",
                             same, "removed", removed);
    if (!st)
        st = write_line(t, line);
    else
        json_decref(line);
    json_decref(now);
    dlm_free(ids);
    dlm_manifest_finish(&manifest);
    return st;
}

enum dlm_status dlm_train_log_open(struct dlm_train_call *t)
{
    const bool is_new = !t->log_path;
    enum dlm_status st = DLM_OK;

    if (is_new)
        st = dlm_store_log_path(t->ctx, t->store, dlm_run_id(t->run), t->started_at, &t->log_path);
    if (st)
        return st;
    t->log = fopen(t->log_path, is_new ? "we" : "ae");
    if (!t->log)
        return dlm_fail(t->ctx, DLM_ERR_IO, "cannot write '%s': %s", t->log_path, strerror(errno));
    if (is_new)
        st = write_line(t, banner(t));
    return is_new && !st ? write_delta(t) : st;
}

enum dlm_status dlm_train_log_step(struct dlm_train_call *t, const struct dlm_trainer_step *step,
                                   double tokens_per_sec, double val_loss)
{
    json_t *rows = json_array();
    char name[64];

    for (size_t i = 0; rows && i < step->num_rows; i++) {
        snprintf(name, sizeof(name), "%s:%lld", step->rows[i]->row->section_id,
                 (long long)step->rows[i]->row->index);
        (void)json_array_append_new(rows, json_string(name)); /* a NULL line fails below */
    }
    json_t *line =
        json_pack("{s:s, s:I, s:o, s:f, s:o, s:I, s:o, s:I, s:o}", "type", "step", "step",
                  (json_int_t)step->step, "loss", number(step->loss), "lr", step->lr, "grad_norm",
                  number(step->grad_norm), "tokens", (json_int_t)step->tokens, "tokens_per_sec",
                  number(tokens_per_sec), "num_items", (json_int_t)step->num_items, "rows", rows);
    if (line && !isnan(val_loss))
        (void)json_object_set_new(line, "val_loss", number(val_loss));
    return write_line(t, line);
}

enum dlm_status dlm_train_log_complete(struct dlm_train_call *t, int64_t version)
{
    return write_line(t, json_pack("{s:s, s:I, s:I, s:I, s:o, s:o}", "type", "run_complete",
                                   "run_id", (json_int_t)dlm_run_id(t->run), "adapter_version",
                                   (json_int_t)version, "steps",
                                   (json_int_t)dlm_trainer_num_steps(t->trainer),
                                   "final_train_loss", number(t->last_loss), "final_val_loss",
                                   number(t->last_val_loss)));
}

enum dlm_status dlm_train_log_bytes(struct dlm_train_call *t, uint64_t *bytes)
{
    long at = ftell(t->log);

    if (at < 0 || fsync(fileno(t->log)))
        return dlm_fail(t->ctx, DLM_ERR_IO, "cannot write '%s': %s", t->log_path, strerror(errno));
    *bytes = (uint64_t)at;
    return DLM_OK;
}

enum dlm_status dlm_train_diverged(struct dlm_train_call *t, const char *what, int64_t step)
{
    t->keeps_run = false; /* from its last state it would come to the same end */
    dlm_fail(t->ctx, DLM_ERR_INVALID, "training: the %s not finite at step %lld of %lld", what,
             (long long)step, (long long)dlm_trainer_num_steps(t->trainer));
    dlm_log(t->ctx, DLM_LOG_HINT,
            "a lower learning_rate%s may help, with `dlm train --fresh`; the log '%s' has every "
            "step", t->s->model->policy == DLM_DTYPE_F32 ? "" : ", or --precision fp32",
            t->log_path);
    return DLM_ERR_INVALID;
}
