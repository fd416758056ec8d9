/* The check of what lies around the versions: blobs, logs, saved states, the lock record, and what
 * killed processes left half written. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/check_impl.h"
#include "store/lock_record.h"
#include "store/run.h"
#include "store/store_impl.h"

#define MAX_LOG_BYTES ((size_t)1 << 30)

/* A file or folder that is looked at: its place below the store, and its whole path. */
struct item {
    const char *name;     /* of itself, in its folder */
    const char *relative; /* below the store */
    const char *path;
};

/* Calls look for each name in a folder of the store, which need not be there. */
static enum dlm_status each(struct dlm_check *c, const char *folder,
                            enum dlm_status (*look)(struct dlm_check *c, const struct item *item))
{
    char **names = NULL;
    char *path = dlm_store_pathf(c->ctx, c->store, "%s", folder);
    enum dlm_status st = path ? dlm_store_list(c->ctx, path, &names) : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && names[i]; i++) {
        struct item item = {.name = names[i]};
        char *relative = strcmp(folder, ".") ? dlm_path_join(c->ctx, folder, names[i])
                                             : dlm_strdup(c->ctx, names[i]);
        char *whole = dlm_path_join(c->ctx, path, names[i]);
        item.relative = relative;
        item.path = whole;
        st = relative && whole ? look(c, &item) : DLM_ERR_MEMORY;
        dlm_free(whole);
        dlm_free(relative);
    }
    dlm_names_free(names);
    dlm_free(path);
    return st;
}

/* --- left half written --- */

static enum dlm_status look_for_leftover(struct dlm_check *c, const struct item *item)
{
    if (!dlm_store_is_leftover(item->name))
        return DLM_OK;
    enum dlm_status st = dlm_check_note(c, "temporary", DLM_FINDING_LEFT | DLM_FINDING_REPAIRABLE,
                                        item->relative, "left by a process that was killed");
    if (!st && dlm_check_repairs(c)) {
        st = dlm_path_remove(c->ctx, item->path);
        if (!st)
            dlm_check_repaired(c);
    }
    return st;
}

/* An export takes no lock of the store, but holds what it writes. */
static enum dlm_status look_for_left_export(struct dlm_check *c, const struct item *item)
{
    return dlm_path_is_held(item->path) ? DLM_OK : look_for_leftover(c, item);
}

static enum dlm_status look_in_folder(struct dlm_check *c, const struct item *item)
{
    return dlm_path_is_dir(item->path) ? each(c, item->relative, look_for_leftover) : DLM_OK;
}

static enum dlm_status check_leftovers(struct dlm_check *c)
{
    static const char *const flat[] = {".", "adapter", "adapter/versions", "logs"};
    static const char *const nested[] = {"blobs", "runs", "vl-cache", "vision-cache"};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(flat); i++)
        st = each(c, flat[i], look_for_leftover);
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(nested); i++)
        st = each(c, nested[i], look_in_folder);
    return st ? st : each(c, "exports", look_for_left_export);
}

/* --- blobs --- */

static enum dlm_status look_at_blob(struct dlm_check *c, const struct item *item)
{
    char sha[65], aside[128];
    bool is_good = false;

    if (strspn(item->name, "0123456789abcdef") != 64 || item->name[64] != '.')
        return DLM_OK;
    c->findings->num_blobs++;
    dlm_log_mute(c->ctx);
    enum dlm_status st = dlm_file_sha256(c->ctx, item->path, sha, NULL);
    if (!st && strncmp(sha, item->name, 64))
        st = dlm_fail(c->ctx, DLM_ERR_PARSE, "it has another hash than its name says");
    st = dlm_check_note_status(c, st, "blob", DLM_FINDING_WRONG | DLM_FINDING_REPAIRABLE,
                               item->relative, &is_good);
    if (st || is_good || !dlm_check_repairs(c))
        return st;
    /* the next training copies it again from the document's image */
    snprintf(aside, sizeof(aside), "blobs/damaged/%.100s", item->name);
    st = dlm_check_move_aside(c, item->relative, aside);
    if (!st)
        dlm_check_repaired(c);
    return st;
}

static enum dlm_status look_at_blobs(struct dlm_check *c, const struct item *item)
{
    return strlen(item->name) == 2 && dlm_path_is_dir(item->path)
               ? each(c, item->relative, look_at_blob)
               : DLM_OK;
}

/* --- logs --- */

static bool ends_with(const char *name, const char *end)
{
    const size_t len = strlen(name), n = strlen(end);

    return len > n && !strcmp(name + len - n, end);
}

/* Each line is an object; the last may be cut, which is what a kill leaves. */
static enum dlm_status check_lines(struct dlm_check *c, const struct item *item,
                                   const struct dlm_str *text)
{
    const char *data = dlm_str_text(text);
    size_t at = 0;

    for (size_t number = 1; at < text->len; number++) {
        const char *end = memchr(data + at, '\n', text->len - at);
        json_t *line = NULL;
        if (!end)
            break;
        char name[64];
        snprintf(name, sizeof(name), "line %zu", number);
        bool is_good;
        dlm_log_mute(c->ctx);
        enum dlm_status st = dlm_json_parse(c->ctx, name, data + at, (size_t)(end - data) - at,
                                            &line);
        st = dlm_check_note_status(c, st, "log", DLM_FINDING_WRONG, item->relative, &is_good);
        json_decref(line);
        if (!is_good)
            return st;
        at = (size_t)(end - data) + 1;
    }
    if (at == text->len)
        return DLM_OK;
    enum dlm_status st = dlm_check_note(c, "log", DLM_FINDING_LEFT | DLM_FINDING_REPAIRABLE,
                                        item->relative, "its last line is cut");
    if (!st && dlm_check_repairs(c)) {
        st = dlm_log_cut(c->ctx, item->path, at);
        if (!st)
            dlm_check_repaired(c);
    }
    return st;
}

static enum dlm_status look_at_log(struct dlm_check *c, const struct item *item)
{
    struct dlm_str text = {0};
    json_t *json = NULL;
    bool is_good = false;

    if (dlm_store_is_leftover(item->name))
        return DLM_OK;
    const bool is_log = ends_with(item->name, ".jsonl");
    if (!is_log && !ends_with(item->name, ".json"))
        return DLM_OK;
    dlm_log_mute(c->ctx);
    enum dlm_status st = is_log ? dlm_file_read(c->ctx, item->path, MAX_LOG_BYTES, &text)
                                : dlm_json_load(c->ctx, item->path, MAX_LOG_BYTES, &json);
    st = dlm_check_note_status(c, st, "log", DLM_FINDING_WRONG, item->relative, &is_good);
    if (!st && is_good && is_log)
        st = check_lines(c, item, &text);
    json_decref(json);
    dlm_str_finish(&text);
    return st;
}

/* --- saved states --- */

static enum dlm_status check_run(struct dlm_check *c, int64_t id)
{
    struct dlm_checkpoint *tensors = NULL;
    struct dlm_run *run = NULL;
    json_t *state = NULL;
    char path[64], aside[64];
    bool is_good = false;

    snprintf(path, sizeof(path), "runs/%06lld", (long long)id);
    snprintf(aside, sizeof(aside), "runs/damaged-%06lld", (long long)id);
    dlm_log_mute(c->ctx);
    enum dlm_status st = dlm_run_open(c->ctx, c->store, id, &run);
    if (!st)
        st = dlm_run_load(c->ctx, run, &state, &tensors);
    st = dlm_check_note_status(c, st, "run", DLM_FINDING_WRONG | DLM_FINDING_REPAIRABLE, path,
                               &is_good);
    dlm_checkpoint_destroy(&tensors);
    json_decref(state);
    dlm_run_close(&run);
    if (!st && !is_good && dlm_check_repairs(c)) {
        st = dlm_check_move_aside(c, path, aside);
        if (!st)
            dlm_check_repaired(c);
    }
    return st;
}

static enum dlm_status check_runs(struct dlm_check *c)
{
    int64_t *ids = NULL;
    size_t num = 0;

    enum dlm_status st = dlm_store_unfinished_runs(c->ctx, c->store, &ids, &num);
    for (size_t i = 0; !st && i < num; i++)
        st = check_run(c, ids[i]);
    c->findings->num_unfinished = (int64_t)num;
    dlm_free(ids);
    return st;
}

static enum dlm_status check_lock_record(struct dlm_check *c)
{
    bool is_good;

    dlm_log_mute(c->ctx);
    enum dlm_status st = dlm_lock_record_verify(c->ctx, c->store);
    return dlm_check_note_status(c, st, "lock", DLM_FINDING_WRONG, "dlm.lock", &is_good);
}

enum dlm_status dlm_check_files(struct dlm_check *c)
{
    enum dlm_status st = check_leftovers(c);

    if (!st)
        st = each(c, "blobs", look_at_blobs);
    if (!st)
        st = each(c, "logs", look_at_log);
    if (!st)
        st = check_runs(c);
    return st ? st : check_lock_record(c);
}
