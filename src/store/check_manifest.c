/* The check of the manifest against the files that it tells of, and one made anew from them. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/check_impl.h"
#include "store/manifest.h"
#include "store/store_impl.h"
#include "weights/adapter.h"

#define MAX_SUMMARY_BYTES ((size_t)1 << 20)
#define NAME "manifest.json"

/* --- runs, by their summaries --- */

/* When the run of a log or summary began, as its name says; 0: it does not. */
static time_t time_of_name(const char *name)
{
    struct tm tm = {0};

    if (sscanf(name, "train-%*d-%4d%2d%2dT%2d%2d%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    const time_t when = timegm(&tm);
    return when > 0 ? when : 0;
}

static bool has_run(const struct dlm_manifest *m, int64_t id)
{
    const json_t *runs = json_object_get(m->root, "training_runs");

    for (size_t i = 0; i < json_array_size(runs); i++)
        if (json_integer_value(json_object_get(json_array_get(runs, i), "run_id")) == id)
            return true;
    return false;
}

static double number_or_nan(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* The run of a summary, unless it is in the manifest; a damaged summary tells of none. */
static enum dlm_status add_run(struct dlm_check *c, struct dlm_manifest *m, const char *name,
                               size_t *num)
{
    json_t *json = NULL;
    struct dlm_training_run run = {.base_revision = "", .status = "completed"};
    char *relative = dlm_strf(c->ctx, "logs/%s", name);
    char *path = relative ? dlm_store_pathf(c->ctx, c->store, "%s", relative) : NULL;
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (st || dlm_json_load(NULL, path, MAX_SUMMARY_BYTES, &json) ||
        dlm_json_int(NULL, json, path, "run_id", 1, DLM_STORE_MAX_RUN_ID, &run.run_id) ||
        dlm_json_int(NULL, json, path, "adapter_version", 1, INT64_MAX, &run.adapter_version) ||
        dlm_json_int(NULL, json, path, "seed", INT64_MIN, INT64_MAX, &run.seed) ||
        dlm_json_int(NULL, json, path, "steps", 0, INT64_MAX, &run.steps) || !run.run_id ||
        !run.adapter_version || has_run(m, run.run_id))
        goto done;
    const double seconds = number_or_nan(json_object_get(json, "duration_seconds"));
    run.started_at = time_of_name(name);
    if (run.started_at && seconds >= 0 && seconds < 1e9)
        run.ended_at = run.started_at + (time_t)seconds;
    run.final_train_loss = number_or_nan(json_object_get(json, "final_train_loss"));
    run.final_val_loss = number_or_nan(json_object_get(json, "final_val_loss"));
    run.summary_path = relative;
    st = dlm_manifest_add_run(c->ctx, m, &run);
    *num += !st;
done:
    json_decref(json);
    dlm_free(path);
    dlm_free(relative);
    return st;
}

/* Adds the runs that summaries tell of and the manifest does not: *num of them. */
static enum dlm_status add_runs(struct dlm_check *c, struct dlm_manifest *m, size_t *num)
{
    static const char ending[] = ".summary.json";
    char **names = NULL;
    char *folder = dlm_store_pathf(c->ctx, c->store, "logs");
    enum dlm_status st = folder ? dlm_store_list(c->ctx, folder, &names) : DLM_ERR_MEMORY;

    *num = 0;
    for (size_t i = 0; !st && names[i]; i++) {
        const size_t len = strlen(names[i]), end = sizeof(ending) - 1;
        if (len > end && !strcmp(names[i] + len - end, ending))
            st = add_run(c, m, names[i], num);
    }
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

/* --- a manifest that is there --- */

static enum dlm_status save(struct dlm_check *c, struct dlm_manifest *m)
{
    enum dlm_status st = dlm_manifest_set_adapter_version(c->ctx, m, c->current);

    if (!st)
        st = dlm_manifest_save(c->ctx, m, c->store);
    if (!st)
        dlm_check_repaired(c);
    return st;
}

/* What a kill leaves when it comes between a version and the manifest. */
static enum dlm_status compare(struct dlm_check *c, struct dlm_manifest *m)
{
    const int64_t stated = dlm_manifest_adapter_version(m);
    char text[160];
    size_t num = 0;

    enum dlm_status st = add_runs(c, m, &num);
    if (st || (stated == c->current && !num))
        return st;
    if (stated != c->current)
        snprintf(text, sizeof(text), "it says that v%04lld is current, and v%04lld is",
                 (long long)stated, (long long)c->current);
    else
        snprintf(text, sizeof(text), "%zu finished run%s %s not in it", num, num == 1 ? "" : "s",
                 num == 1 ? "is" : "are");
    const bool is_lost = stated && !c->findings->num_versions;
    st = dlm_check_note(c, "manifest",
                        DLM_FINDING_REPAIRABLE | (is_lost ? DLM_FINDING_WRONG : DLM_FINDING_LEFT),
                        NAME, is_lost ? "it knows versions, and there is none" : text);
    return !st && dlm_check_repairs(c) ? save(c, m) : st;
}

/* --- one made anew --- */

/* What the newest version knows of its base; *base and *revision are owned, NULL where it says
 * nothing. */
static enum dlm_status base_of_version(struct dlm_check *c, char **base, char **revision)
{
    struct dlm_adapter *adapter = NULL;
    json_t *origin = NULL;

    *base = *revision = NULL;
    if (!c->newest_good)
        return DLM_OK;
    char *dir = dlm_store_pathf(c->ctx, c->store, "adapter/versions/v%04lld",
                                (long long)c->newest_good);
    char *path = dir ? dlm_path_join(c->ctx, dir, "origin.json") : NULL;
    enum dlm_status st = path ? dlm_adapter_open(c->ctx, &adapter, dir, NULL) : DLM_ERR_MEMORY;
    if (!st && adapter->config.revision && *adapter->config.revision &&
        !(*revision = dlm_strdup(c->ctx, adapter->config.revision)))
        st = DLM_ERR_MEMORY;
    if (!st && dlm_path_is_file(path) && !dlm_json_load(NULL, path, MAX_SUMMARY_BYTES, &origin)) {
        const char *text = json_string_value(json_object_get(origin, "base_model"));
        if (text && !(*base = dlm_strdup(c->ctx, text)))
            st = DLM_ERR_MEMORY;
    }
    json_decref(origin);
    dlm_adapter_destroy(&adapter);
    dlm_free(path);
    dlm_free(dir);
    return st;
}

static enum dlm_status write_anew(struct dlm_check *c, const char *base, const char *revision)
{
    struct dlm_manifest m = {0};
    size_t num = 0;

    enum dlm_status st = dlm_manifest_init(c->ctx, &m, c->store->id, base, revision,
                                           c->params->source_path);
    if (!st)
        st = add_runs(c, &m, &num);
    char *path = dlm_store_pathf(c->ctx, c->store, NAME);
    if (!st && !path)
        st = DLM_ERR_MEMORY;
    if (!st && dlm_path_is_file(path))
        st = dlm_check_move_aside(c, NAME, NAME ".damaged");
    if (!st)
        st = save(c, &m);
    dlm_free(path);
    dlm_manifest_finish(&m);
    return st;
}

/* The manifest is absent or damaged, as text says. Its acceptance of a licence is lost, which
 * --i-accept-license gives again. */
static enum dlm_status make_anew(struct dlm_check *c, const char *text)
{
    char *base = NULL, *revision = NULL;

    enum dlm_status st = base_of_version(c, &base, &revision);
    const char *name = c->params->base_model ? c->params->base_model : base;
    if (!st)
        st = dlm_check_note(c, "manifest",
                            DLM_FINDING_WRONG | (name ? DLM_FINDING_REPAIRABLE : 0), NAME, text);
    if (!st && dlm_check_repairs(c))
        st = write_anew(c, name, revision);
    dlm_free(base);
    dlm_free(revision);
    return st;
}

enum dlm_status dlm_check_manifest(struct dlm_check *c)
{
    struct dlm_manifest m = {0};

    if (!dlm_store_is_initialized(c->store)) /* till the first training there need not be one */
        return c->findings->num_versions ? make_anew(c, "it is not there") : DLM_OK;
    dlm_log_mute(c->ctx);
    enum dlm_status st = dlm_log_unmute(c->ctx, dlm_manifest_load(c->ctx, &m, c->store));
    if (!st)
        st = compare(c, &m);
    else if (st != DLM_ERR_MEMORY)
        st = make_anew(c, dlm_ctx_last_error(c->ctx));
    dlm_manifest_finish(&m);
    return st;
}
