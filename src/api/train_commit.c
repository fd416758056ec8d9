/* The end of a run: the adapter becomes a version, the manifest and the lock record say so. Each
 * step is idempotent by run id: killed anywhere, the next start goes on. */
#include <math.h>
#include <stdlib.h>

#include "api/train_impl.h"
#include "api/version_files.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "dlm/dlm.h"
#include "ops/matmul_tiles.h"

static enum dlm_status write_adapter(struct dlm_train_call *t, const char *dir)
{
    struct dlm_lora *lora = t->lora;
    const struct dlm_version_adapter adapter = {
        .model = t->s->model,
        .base = t->base,
        .lora = lora,
        .names = t->params->adapter_names == DLM_TRAIN_ADAPTER_NAMES_V4 ? DLM_ADAPTER_NAMES_V4
                                                                       : DLM_ADAPTER_NAMES_V5,
    };

    enum dlm_status st = dlm_lora_download(lora, &lora->flat, lora->values);
    if (!st && !dlm_f32_is_finite(lora->values, (size_t)lora->len))
        st = dlm_train_diverged(t, "adapter's weights are", dlm_trainer_num_steps(t->trainer));
    return st ? st : dlm_version_write_adapter(t->ctx, dir, &adapter);
}

static enum dlm_status commit_version(struct dlm_train_call *t)
{
    struct dlm_version *version = NULL;
    char tiles[65];

    enum dlm_status st = dlm_version_begin(t->ctx, t->store, dlm_run_id(t->run), &version);
    if (!st && !dlm_version_exists(version)) {
        if (t->origin.base_form[0])
            dlm_version_set_qlora(version);
        dlm_matmul_tiles_hash(dlm_device_get_caps(t->s->device), tiles);
        dlm_version_set_tiles(version, tiles);
        st = write_adapter(t, dlm_version_dir(version));
        if (!st)
            st = dlm_version_write_versions(t->ctx, dlm_version_dir(version));
        if (!st)
            st = dlm_origin_write(t->ctx, dlm_version_dir(version), &t->origin);
    }
    if (st) {
        dlm_version_abort(&version);
        return st;
    }
    return dlm_version_finish(t->ctx, &version, &t->result->version, &t->result->adapter);
}

static enum dlm_status write_summary(struct dlm_train_call *t, const char *path)
{
    json_t *summary = json_pack(
        "{s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:f}", "run_id", (json_int_t)dlm_run_id(t->run),
        "adapter_version", (json_int_t)t->result->version, "seed", (json_int_t)t->seed, "steps",
        (json_int_t)dlm_trainer_num_steps(t->trainer), "determinism_class", "strong",
        "final_train_loss", isfinite(t->last_loss) ? json_real(t->last_loss) : json_null(),
        "final_val_loss", isfinite(t->last_val_loss) ? json_real(t->last_val_loss) : json_null(),
        "duration_seconds", difftime(time(NULL), t->started_at));
    enum dlm_status st = summary ? dlm_json_replace(t->ctx, path, summary) : DLM_ERR_MEMORY;

    json_decref(summary);
    return st;
}

static enum dlm_status set_content_hashes(struct dlm_train_call *t, struct dlm_manifest *manifest)
{
    size_t num;
    const char **ids = dlm_train_section_ids(t, &num);
    enum dlm_status st =
        ids ? dlm_manifest_set_map(t->ctx, manifest, "content_hashes", ids, ids, num)
            : DLM_ERR_MEMORY;

    dlm_free(ids);
    return st;
}

static struct dlm_lock_record lock_record(const struct dlm_train_call *t,
                                          const struct dlm_manifest *manifest)
{
    return (struct dlm_lock_record){
        .dlm_sha256 = t->document_sha,
        .base_revision = t->base->revision,
        .base_sha256 = t->base_sha,
        .hardware_tier = dlm_backend_name(dlm_device_get_caps(t->s->device)->info.kind),
        .determinism_class = "strong",
        .seed = t->seed,
        .last_run_id = t->run ? dlm_run_id(t->run) : 0,
        .license = json_object_get(manifest->root, "license_acceptance"),
    };
}

enum dlm_status dlm_train_check_lock(struct dlm_train_call *t)
{
    const enum dlm_train_lock policy = t->params->lock;
    struct dlm_manifest manifest = {0};

    if (policy == DLM_TRAIN_LOCK_IGNORE)
        return DLM_OK;
    if (policy == DLM_TRAIN_LOCK_UPDATE)
        return dlm_lock_record_check_place(t->ctx, t->store);
    enum dlm_status st = dlm_manifest_load(t->ctx, &manifest, t->store);
    const struct dlm_lock_record now = lock_record(t, &manifest);
    if (!st)
        st = dlm_lock_record_check(t->ctx, t->store, &now, policy == DLM_TRAIN_LOCK_STRICT);
    dlm_manifest_finish(&manifest);
    return st;
}

/* The document may have got another base since its store was made. */
static enum dlm_status set_base(struct dlm_train_call *t, struct dlm_manifest *manifest)
{
    const struct {
        const char *key, *value;
    } fields[] = {
        {"base_model", t->base->key},
        {"base_model_revision", t->base->revision},
        {"base_model_sha256", t->base_sha},
    };
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(fields); i++)
        st = dlm_manifest_set_string(t->ctx, manifest, fields[i].key, fields[i].value);
    return st;
}

static enum dlm_status update_manifest(struct dlm_train_call *t, const char *summary)
{
    struct dlm_manifest manifest = {0};
    const size_t root = strlen(dlm_store_path(t->store)) + 1;
    const struct dlm_training_run run = {
        .run_id = dlm_run_id(t->run),
        .started_at = t->started_at,
        .ended_at = time(NULL),
        .adapter_version = t->result->version,
        .base_revision = t->base->revision ? t->base->revision : "",
        .seed = t->seed,
        .steps = dlm_trainer_num_steps(t->trainer),
        .final_train_loss = t->last_loss,
        .final_val_loss = t->last_val_loss,
        .status = "completed",
        .summary_path = summary + root,
    };

    enum dlm_status st = dlm_manifest_load(t->ctx, &manifest, t->store);
    if (!st)
        st = dlm_manifest_add_run(t->ctx, &manifest, &run);
    if (!st)
        st = dlm_manifest_set_adapter_version(t->ctx, &manifest, t->result->version);
    if (!st)
        st = set_base(t, &manifest);
    if (!st)
        st = set_content_hashes(t, &manifest);
    if (!st)
        st = dlm_manifest_save(t->ctx, &manifest, t->store);
    const struct dlm_lock_record record = lock_record(t, &manifest);
    if (!st && t->params->lock != DLM_TRAIN_LOCK_IGNORE)
        st = dlm_lock_record_write(t->ctx, t->store, &record);
    dlm_manifest_finish(&manifest);
    return st;
}

enum dlm_status dlm_train_commit(struct dlm_train_call *t)
{
    char *summary = NULL;

    enum dlm_status st = commit_version(t);
    if (!st)
        st = dlm_store_summary_path(t->ctx, t->log_path, &summary);
    if (!st)
        st = write_summary(t, summary);
    if (!st)
        st = update_manifest(t, summary);
    if (!st)
        st = dlm_train_log_complete(t, t->result->version);
    dlm_free(summary);
    return st ? st : dlm_run_finish(t->ctx, &t->run);
}
