/* `dlm cache`: what the caches of stores hold, and emptying them. */
#include "api/store_find.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/manifest.h"

struct entry {
    char *label; /* owned */
    struct dlm_cache_use before[DLM_NUM_CACHES], after[DLM_NUM_CACHES];
};

struct call {
    const struct dlm_stores_cache_params *params;
    struct dlm_store_list stores;
    struct entry *entries; /* one a store */
};

static struct dlm_cache_use sum(const struct dlm_cache_use *uses)
{
    struct dlm_cache_use all = {0};

    for (size_t i = 0; i < DLM_NUM_CACHES; i++) {
        all.files += uses[i].files;
        all.bytes += uses[i].bytes;
    }
    return all;
}

static enum dlm_status measure(struct dlm_ctx *ctx, const struct dlm_store *store,
                               struct dlm_cache_use *uses)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_NUM_CACHES; i++)
        st = dlm_store_cache_use(ctx, store, i, &uses[i]);
    return st;
}

static enum dlm_status collect(struct dlm_ctx *ctx, struct call *c)
{
    enum dlm_status st =
        dlm_store_list_open(ctx, &c->stores, c->params->home, c->params->document);

    if (st)
        return st;
    c->entries = dlm_alloc_array(ctx, c->stores.len, sizeof(*c->entries));
    if (!c->entries)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < c->stores.len; i++) {
        c->entries[i].label = dlm_store_label(ctx, c->stores.items[i]);
        st = c->entries[i].label ? measure(ctx, c->stores.items[i], c->entries[i].before)
                                 : DLM_ERR_MEMORY;
    }
    return st;
}

/* --- emptying --- */

/* The limits of the store's document, which is `document`, or where its manifest has it. */
static enum dlm_status limits_of(struct dlm_ctx *ctx, const struct call *c,
                                 const struct dlm_store *store, struct dlm_cache_limits *limits)
{
    const char *path = c->params->document;
    struct dlm_manifest manifest = {0};
    struct dlm_doc *doc = NULL;
    enum dlm_status st = DLM_OK;

    if (c->params->older_than) {
        *limits = (struct dlm_cache_limits){UINT64_MAX, c->params->older_than, limits->now};
        return DLM_OK;
    }
    if (!path || !dlm_path_is_file(path)) {
        st = dlm_manifest_load(ctx, &manifest, store);
        path = st ? NULL : dlm_manifest_string(&manifest, "source_path");
    }
    if (!st && (!path || !dlm_path_is_file(path))) {
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot prune '%s': its document, which has the "
                      "limits, is gone", dlm_store_path(store));
        dlm_log(ctx, DLM_LOG_HINT, "--older-than 30d goes without");
    }
    if (!st)
        st = dlm_doc_load(ctx, &doc, path);
    if (!st) {
        limits->max_bytes = (uint64_t)doc->training.cache.max_bytes;
        limits->max_age = dlm_seconds_of_days(doc->training.cache.prune_older_than_days);
    }
    dlm_doc_destroy(&doc);
    dlm_manifest_finish(&manifest);
    return st;
}

static enum dlm_status empty(struct dlm_ctx *ctx, const struct call *c, struct dlm_store *store)
{
    struct dlm_cache_limits limits = {.now = time(NULL)};
    const bool prunes = c->params->action == DLM_STORES_CACHE_PRUNE;

    enum dlm_status st = prunes ? limits_of(ctx, c, store, &limits) : DLM_OK;
    if (!st)
        st = dlm_store_lock(ctx, store);
    if (st)
        return st;
    st = prunes ? dlm_store_prune_caches(ctx, store, &limits) : dlm_store_clear_caches(ctx, store);
    dlm_store_unlock(store);
    return st;
}

static enum dlm_status ask(struct dlm_ctx *ctx, const struct call *c)
{
    struct dlm_cache_use all = {0};
    char size[32];

    for (size_t i = 0; i < c->stores.len; i++) {
        const struct dlm_cache_use use = sum(c->entries[i].before);
        all.files += use.files;
        all.bytes += use.bytes;
    }
    if (!all.files)
        return DLM_OK;
    dlm_size_text(all.bytes, size, sizeof(size));
    char *label = dlm_store_list_label(ctx, &c->stores);
    char *question = !label ? NULL
                            : dlm_strf(ctx, "cache: %llu file%s (%s) of %s, which trainings make "
                                       "again. Remove? [y/N]: ", (unsigned long long)all.files,
                                       all.files == 1 ? "" : "s", size, label);
    enum dlm_status st = question ? dlm_stores_ask(ctx, c->params->yes, c->params->accept,
                                                   c->params->user, question)
                                  : DLM_ERR_MEMORY;
    dlm_free(question);
    dlm_free(label);
    return st;
}

/* Does all stores that it can; the first failure counts. */
static enum dlm_status empty_all(struct dlm_ctx *ctx, struct call *c)
{
    enum dlm_status st = DLM_OK, first = DLM_OK;

    for (size_t i = 0; i < c->stores.len; i++) {
        if (sum(c->entries[i].before).files)
            st = empty(ctx, c, c->stores.items[i]);
        first = first ? first : st;
        st = measure(ctx, c->stores.items[i], c->entries[i].after);
        first = first ? first : st;
    }
    return first;
}

/* --- text --- */

#define ROW "%-12s %7s  %9s  %-19s  %s\n"

static enum dlm_status append_shown(struct dlm_ctx *ctx, const struct entry *e,
                                    struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_NUM_CACHES; i++) {
        const struct dlm_cache_use *use = &e->before[i];
        char size[32], files[24], when[20] = "";
        dlm_size_text(use->bytes, size, sizeof(size));
        snprintf(files, sizeof(files), "%llu", (unsigned long long)use->files);
        if (use->files)
            dlm_time_iso(use->last_used, when);
        st = dlm_str_appendf(ctx, out, ROW, dlm_cache_names[i], files, size, when, e->label);
    }
    return st;
}

static enum dlm_status append_emptied(struct dlm_ctx *ctx, const struct entry *e,
                                      struct dlm_str *out)
{
    const struct dlm_cache_use before = sum(e->before), after = sum(e->after);
    char gone[32], left[32];

    dlm_size_text(before.bytes - after.bytes, gone, sizeof(gone));
    dlm_size_text(after.bytes, left, sizeof(left));
    const uint64_t removed = before.files - after.files;
    return dlm_str_appendf(ctx, out, "%s: %llu file%s removed (%s), %llu left (%s)\n", e->label,
                           (unsigned long long)removed, removed == 1 ? "" : "s", gone,
                           (unsigned long long)after.files, left);
}

static enum dlm_status append_lines(struct dlm_ctx *ctx, const struct call *c,
                                    struct dlm_str *out)
{
    const bool shows = c->params->action == DLM_STORES_CACHE_SHOW;
    enum dlm_status st = DLM_OK;

    if (shows)
        st = dlm_str_appendf(ctx, out, ROW, "CACHE", "FILES", "SIZE", "LAST USED", "DOCUMENT");
    for (size_t i = 0; !st && i < c->stores.len; i++)
        st = shows ? append_shown(ctx, &c->entries[i], out)
                   : append_emptied(ctx, &c->entries[i], out);
    return st ? st : dlm_str_appendz(ctx, out, "");
}

/* --- JSON --- */

static json_t *time_json(time_t when)
{
    char text[20];

    if (!when)
        return json_null();
    dlm_time_iso(when, text);
    return json_string(text);
}

static json_t *caches_json(const struct dlm_cache_use *uses)
{
    json_t *list = json_array();

    for (size_t i = 0; i < DLM_NUM_CACHES; i++)
        (void)json_array_append_new(list, json_pack( /* a NULL list fails below */
            "{s:s, s:I, s:I, s:o, s:o}", "name", dlm_cache_names[i], "files",
            (json_int_t)uses[i].files, "bytes", (json_int_t)uses[i].bytes, "first_used",
            time_json(uses[i].first_used), "last_used", time_json(uses[i].last_used)));
    return list;
}

static json_t *entry_json(const struct call *c, size_t i)
{
    const bool shows = c->params->action == DLM_STORES_CACHE_SHOW;
    const struct entry *e = &c->entries[i];
    const struct dlm_cache_use before = sum(e->before), after = sum(e->after);
    json_t *json = json_pack("{s:s, s:s, s:s, s:o}", "dlm_id", dlm_store_id(c->stores.items[i]),
                             "document", e->label, "path", dlm_store_path(c->stores.items[i]),
                             "caches", caches_json(shows ? e->before : e->after));

    if (json && !shows &&
        (json_object_set_new(json, "removed_files", json_integer((json_int_t)(before.files -
                                                                            after.files))) ||
         json_object_set_new(json, "removed_bytes",
                             json_integer((json_int_t)(before.bytes - after.bytes))))) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

static enum dlm_status append_json(struct dlm_ctx *ctx, const struct call *c, struct dlm_str *out)
{
    json_t *root = json_array();
    bool failed = !root;

    for (size_t i = 0; !failed && i < c->stores.len; i++)
        failed = json_array_append_new(root, entry_json(c, i)) != 0;
    enum dlm_status st = dlm_json_append(ctx, out, failed ? NULL : root, 0);

    json_decref(root);
    return st;
}

enum dlm_status dlm_stores_cache(struct dlm_ctx *ctx,
                                 const struct dlm_stores_cache_params *params, char **text)
{
    struct call c = {.params = params};
    struct dlm_str out = {0};

    *text = NULL;
    enum dlm_status st = collect(ctx, &c);
    if (!st && params->action == DLM_STORES_CACHE_CLEAR)
        st = ask(ctx, &c);
    if (!st && params->action != DLM_STORES_CACHE_SHOW)
        st = empty_all(ctx, &c);
    if (!st)
        st = params->json ? append_json(ctx, &c, &out) : append_lines(ctx, &c, &out);
    if (!st) {
        *text = out.data;
        out = (struct dlm_str){0};
    }
    dlm_str_finish(&out);
    for (size_t i = 0; c.entries && i < c.stores.len; i++)
        dlm_free(c.entries[i].label);
    dlm_free(c.entries);
    dlm_store_list_close(&c.stores);
    return st;
}
