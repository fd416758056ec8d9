/* Saved states of unfinished runs. */
#include "store/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "store/store_impl.h"

#define MAX_STATE_BYTES ((size_t)64 << 20)

struct dlm_run {
    int64_t id;
    char *dir;
    int64_t num_saves; /* number in the newest state's file name */
};

/* --- begin and end --- */

static enum dlm_status make_run(struct dlm_ctx *ctx, const struct dlm_store *store, int64_t id,
                                struct dlm_run **out)
{
    struct dlm_run *run = dlm_alloc(ctx, sizeof(*run));

    *out = NULL;
    if (!run)
        return DLM_ERR_MEMORY;
    run->id = id;
    run->dir = dlm_store_pathf(ctx, store, "runs/%06lld", (long long)id);
    if (!run->dir)
        dlm_run_close(&run);
    *out = run;
    return run ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status write_begin(struct dlm_ctx *ctx, const struct dlm_run *run, const char *from)
{
    char *path = dlm_path_join(ctx, run->dir, "begin.json");
    json_t *json = json_pack("{s:s}", "from", from);
    enum dlm_status st = path && json ? dlm_json_replace(ctx, path, json) : DLM_ERR_MEMORY;

    json_decref(json);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_run_begin(struct dlm_ctx *ctx, struct dlm_store *store, const char *from,
                              struct dlm_run **out)
{
    int64_t last = 0;

    *out = NULL;
    enum dlm_status st = dlm_store_last_run_id(ctx, store, &last);
    if (!st)
        st = make_run(ctx, store, last + 1, out);
    if (!st)
        st = dlm_dir_make(ctx, (*out)->dir);
    if (!st)
        st = write_begin(ctx, *out, from);
    if (st)
        dlm_run_close(out);
    return st;
}

/* The highest number of a state file in the run's folder. */
static enum dlm_status count_saves(struct dlm_ctx *ctx, struct dlm_run *run)
{
    char **names = NULL;
    enum dlm_status st = dlm_store_list(ctx, run->dir, &names);

    for (size_t i = 0; !st && names[i]; i++)
        run->num_saves = DLM_MAX(run->num_saves, dlm_name_number(names[i], "state-"));
    dlm_names_free(names);
    return st;
}

enum dlm_status dlm_run_open(struct dlm_ctx *ctx, struct dlm_store *store, int64_t id,
                             struct dlm_run **out)
{
    enum dlm_status st = make_run(ctx, store, id, out);

    if (st)
        return st;
    if (!dlm_path_is_dir((*out)->dir))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot find run %lld in '%s'", (long long)id, store->root);
    if (!st)
        st = count_saves(ctx, *out);
    if (st)
        dlm_run_close(out);
    return st;
}

void dlm_run_close(struct dlm_run **run)
{
    if (!run || !*run)
        return;
    dlm_free((*run)->dir);
    dlm_free(*run);
    *run = NULL;
}

int64_t dlm_run_id(const struct dlm_run *run)
{
    return run->id;
}

const char *dlm_run_dir(const struct dlm_run *run)
{
    return run->dir;
}

enum dlm_status dlm_run_finish(struct dlm_ctx *ctx, struct dlm_run **run)
{
    /* The folder goes last: without these it is neither a started nor an unfinished run. */
    static const char *const names[] = {"begin.json", "state.json"};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(names); i++) {
        char *path = dlm_path_join(ctx, (*run)->dir, names[i]);
        st = path ? dlm_path_remove(ctx, path) : DLM_ERR_MEMORY;
        dlm_free(path);
    }
    if (!st)
        st = dlm_path_remove(ctx, (*run)->dir);
    dlm_run_close(run);
    return st;
}

/* --- saving --- */

/* Removes older states, what began the run, and what was left half written. */
static enum dlm_status remove_old(struct dlm_ctx *ctx, const struct dlm_run *run, const char *keep)
{
    char **names = NULL;
    enum dlm_status st = dlm_dir_list(ctx, run->dir, &names);

    for (size_t i = 0; !st && names[i]; i++) {
        if (!strcmp(names[i], keep) || !strcmp(names[i], "state.json") ||
            (strncmp(names[i], "state", 5) && strcmp(names[i], "begin.json")))
            continue;
        char *path = dlm_path_join(ctx, run->dir, names[i]);
        st = path ? dlm_path_remove(ctx, path) : DLM_ERR_MEMORY;
        dlm_free(path);
    }
    dlm_names_free(names);
    return st;
}

/* Replaces state.json by the caller's keys and what names the tensors. */
static enum dlm_status write_pointer(struct dlm_ctx *ctx, const struct dlm_run *run,
                                     const json_t *state, const char *name, uint64_t bytes,
                                     const char *sha)
{
    char *path = dlm_path_join(ctx, run->dir, "state.json");
    json_t *json = json_deep_copy(state);
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && (!json || json_object_set_new(json, "run_id", json_integer((json_int_t)run->id)) ||
                json_object_set_new(json, "tensors_file", json_string(name)) ||
                json_object_set_new(json, "tensors_bytes", json_integer((json_int_t)bytes)) ||
                json_object_set_new(json, "tensors_sha256", json_string(sha))))
        st = dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    if (!st)
        st = dlm_json_replace(ctx, path, json);
    json_decref(json);
    dlm_free(path);
    return st;
}

/* Whether state.json names these tensors: a failed replacement may have got as far as that. */
static bool is_pointed_to(const struct dlm_run *run, const char *name)
{
    json_t *json = NULL;
    char *path = dlm_path_join(NULL, run->dir, "state.json");
    bool named = true; /* when in doubt, keep */

    if (path && !dlm_path_is_file(path))
        named = false;
    else if (path && !dlm_json_load(NULL, path, MAX_STATE_BYTES, &json)) {
        const char *file = json_string_value(json_object_get(json, "tensors_file"));
        named = file && !strcmp(file, name);
    }
    json_decref(json);
    dlm_free(path);
    return named;
}

enum dlm_status dlm_run_save(struct dlm_ctx *ctx, struct dlm_run *run, const json_t *state,
                             const struct dlm_tensor_out *tensors, size_t num_tensors)
{
    char name[64], sha[65];
    uint64_t bytes = 0;

    snprintf(name, sizeof(name), "state-%06lld.safetensors", (long long)run->num_saves + 1);
    char *path = dlm_path_join(ctx, run->dir, name);
    if (!path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_safetensors_write(ctx, path, tensors, num_tensors, NULL, 0);
    if (st)
        goto done;
    run->num_saves++; /* this name is used up, whatever comes */
    st = dlm_file_sha256(ctx, path, sha, &bytes);
    if (!st)
        st = write_pointer(ctx, run, state, name, bytes, sha);
    if (!st)
        st = remove_old(ctx, run, name);
    else if (!is_pointed_to(run, name))
        (void)remove(path); /* gives its room back; the failure is reported */
done:
    dlm_free(path);
    return st;
}

/* --- loading --- */

static enum dlm_status open_tensors(struct dlm_ctx *ctx, const struct dlm_run *run,
                                    const json_t *state, const char *where,
                                    struct dlm_checkpoint **tensors)
{
    const char *name = json_string_value(json_object_get(state, "tensors_file"));
    const char *want = json_string_value(json_object_get(state, "tensors_sha256"));
    char sha[65];

    if (!name || !want || strchr(name, '/') || strncmp(name, "state-", 6))
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': it names no tensors", where);
    char *path = dlm_path_join(ctx, run->dir, name);
    if (!path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_file_sha256(ctx, path, sha, NULL);
    if (!st && strcmp(sha, want))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': damaged (another hash than saved)",
                      path);
    if (!st)
        st = dlm_checkpoint_open(ctx, tensors, path);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_run_load(struct dlm_ctx *ctx, const struct dlm_run *run, json_t **state,
                             struct dlm_checkpoint **tensors)
{
    int64_t id = 0;

    *state = NULL;
    *tensors = NULL;
    char *path = dlm_path_join(ctx, run->dir, "state.json");
    if (!path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_json_load(ctx, path, MAX_STATE_BYTES, state);
    if (!st && !json_is_object(*state))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': it is no JSON object", path);
    if (!st)
        st = dlm_json_int(ctx, *state, path, "run_id", 1, INT64_MAX, &id);
    if (!st && id != run->id)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': it is the state of run %lld", path,
                      (long long)id);
    if (!st)
        st = open_tensors(ctx, run, *state, path, tensors);
    if (st) {
        json_decref(*state);
        *state = NULL;
    }
    dlm_free(path);
    return st;
}

enum dlm_status dlm_store_killed_start(struct dlm_ctx *ctx, const struct dlm_store *store,
                                       char from[16])
{
    struct dlm_run *run = NULL;
    json_t *json = NULL;
    int64_t last = 0;

    from[0] = '\0';
    enum dlm_status st = dlm_store_last_run_id(ctx, store, &last);
    if (!st)
        st = make_run(ctx, store, last, &run);
    char *state = st ? NULL : dlm_path_join(ctx, run->dir, "state.json");
    char *begin = st ? NULL : dlm_path_join(ctx, run->dir, "begin.json");
    if (!st && !(state && begin))
        st = DLM_ERR_MEMORY;
    if (!st && dlm_path_is_file(begin) && !dlm_path_is_file(state) &&
        !dlm_json_load(NULL, begin, MAX_STATE_BYTES, &json)) {
        const char *word = json_string_value(json_object_get(json, "from"));
        if (word && strlen(word) < 16)
            strcpy(from, word);
    }
    json_decref(json);
    dlm_free(state);
    dlm_free(begin);
    dlm_run_close(&run);
    return st;
}

static bool has_state(struct dlm_ctx *ctx, const char *folder, const char *name)
{
    char *path = dlm_strf(ctx, "%s/%s/state.json", folder, name);
    const bool there = path && dlm_path_is_file(path);

    dlm_free(path);
    return there;
}

enum dlm_status dlm_store_sweep_runs(struct dlm_ctx *ctx, const struct dlm_store *store)
{
    char **names = NULL;
    char *folder = dlm_store_pathf(ctx, store, "runs");
    enum dlm_status st = folder ? dlm_store_list(ctx, folder, &names) : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && names[i]; i++) {
        if (dlm_name_number(names[i], "") < 1 || has_state(ctx, folder, names[i]))
            continue;
        char *path = dlm_path_join(ctx, folder, names[i]);
        st = path ? dlm_path_remove(ctx, path) : DLM_ERR_MEMORY;
        dlm_free(path);
    }
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

static int compare_ids(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum dlm_status dlm_store_unfinished_runs(struct dlm_ctx *ctx, const struct dlm_store *store,
                                          int64_t **ids, size_t *num)
{
    char **names = NULL;
    size_t cap = 0;

    *ids = NULL;
    *num = 0;
    char *folder = dlm_store_pathf(ctx, store, "runs");
    enum dlm_status st = folder ? dlm_store_list(ctx, folder, &names) : DLM_ERR_MEMORY;
    for (size_t i = 0; !st && names[i]; i++) {
        const int64_t id = dlm_name_number(names[i], "");
        if (id < 1 || !has_state(ctx, folder, names[i]))
            continue;
        if (!dlm_grow(ctx, ids, &cap, *num, sizeof(**ids)))
            st = DLM_ERR_MEMORY;
        else
            (*ids)[(*num)++] = id;
    }
    if (*num)
        qsort(*ids, *num, sizeof(**ids), compare_ids);
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}
