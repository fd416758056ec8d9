/* `dlm verify-store`: whether stores are whole, as lines or as JSON. */
#include <stdlib.h>

#include "api/store_find.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/check.h"

struct entry {
    char *label; /* owned */
    bool is_there;
    char *failure; /* why it was not checked; owned, or NULL */
    struct dlm_findings findings;
};

struct call {
    const struct dlm_stores_verify_params *params;
    struct dlm_store_list stores;
    struct entry *entries; /* one a store */
    char *folder;                /* of all stores, where they are checked; owned */
    struct dlm_findings removed; /* what else is in it */
};

static bool is_whole(const struct dlm_findings *findings)
{
    for (size_t i = 0; i < findings->len; i++)
        if (findings->items[i].is_wrong && !findings->items[i].is_repaired)
            return false;
    return true;
}

static bool is_good(const struct entry *e)
{
    return !e->failure && is_whole(&e->findings);
}

/* --- checking --- */

/* A manifest that is made anew takes base and path from the document, where one was named. */
static enum dlm_status check(struct dlm_ctx *ctx, const struct call *c, struct dlm_store *store,
                             struct entry *e)
{
    struct dlm_store_check_params params = {.repair = c->params->repair};
    struct dlm_doc *doc = NULL;
    char *source = NULL;
    enum dlm_status st = DLM_OK;

    e->label = dlm_store_label(ctx, store);
    e->is_there = dlm_path_is_dir(dlm_store_path(store));
    if (!e->label)
        return DLM_ERR_MEMORY;
    if (!e->is_there)
        return DLM_OK;
    if (c->params->document && dlm_path_is_file(c->params->document)) {
        st = dlm_doc_load(ctx, &doc, c->params->document);
        source = realpath(c->params->document, NULL);
        params.base_model = st ? NULL : doc->base_model;
        params.source_path = source;
    }
    if (!st)
        st = dlm_store_lock(ctx, store);
    if (!st)
        st = dlm_store_check(ctx, store, &params, &e->findings);
    dlm_store_unlock(store);
    free(source);
    dlm_doc_destroy(&doc);
    return st;
}

/* One of many: it may be in use, or another user's, and the others are checked all the same. */
static enum dlm_status check_next(struct dlm_ctx *ctx, const struct call *c,
                                  struct dlm_store *store, struct entry *e)
{
    dlm_log_mute(ctx);
    const enum dlm_status st = dlm_log_unmute(ctx, check(ctx, c, store, e));
    if (!st || st == DLM_ERR_MEMORY || st == DLM_ERR_CANCELLED)
        return st;
    e->failure = dlm_strdup(ctx, dlm_ctx_last_error(ctx));
    dlm_log_forget(ctx);
    return e->failure ? DLM_OK : DLM_ERR_MEMORY;
}

/* What is left of stores that are none any more. */
static enum dlm_status check_folder(struct dlm_ctx *ctx, struct call *c)
{
    char *home = dlm_path_home(ctx, c->params->home);

    c->folder = home ? dlm_path_join(ctx, home, "store") : NULL;
    dlm_free(home);
    if (!c->folder)
        return DLM_ERR_MEMORY;
    return dlm_path_is_dir(c->folder)
               ? dlm_stores_check_removed(ctx, c->folder, c->params->repair, &c->removed)
               : DLM_OK;
}

static enum dlm_status check_all(struct dlm_ctx *ctx, struct call *c)
{
    enum dlm_status st =
        dlm_store_list_open(ctx, &c->stores, c->params->home, c->params->document);

    if (st)
        return st;
    c->entries = dlm_alloc_array(ctx, c->stores.len, sizeof(*c->entries));
    if (!c->entries)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < c->stores.len; i++)
        st = c->params->document ? check(ctx, c, c->stores.items[i], &c->entries[i])
                                 : check_next(ctx, c, c->stores.items[i], &c->entries[i]);
    return st || c->params->document ? st : check_folder(ctx, c);
}

/* --- text --- */

static const char *class_of(const struct dlm_finding *f)
{
    return f->is_wrong ? "wrong" : "left over";
}

static const char *repair_of(const struct dlm_finding *f)
{
    return f->is_repaired ? "done" : f->can_repair ? "possible" : NULL;
}

static enum dlm_status append_findings(struct dlm_ctx *ctx, const struct dlm_findings *all,
                                       struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < all->len; i++) {
        const struct dlm_finding *f = &all->items[i];
        st = dlm_str_appendf(ctx, out, "  %s: %s: %s%s\n", class_of(f), f->path, f->text,
                             f->is_repaired  ? " (repaired)"
                             : f->can_repair ? " (--repair mends it)"
                                             : "");
    }
    return st;
}

static enum dlm_status append_entry(struct dlm_ctx *ctx, const struct entry *e,
                                    struct dlm_str *out)
{
    const struct dlm_findings *all = &e->findings;
    const char *word = is_whole(all) ? "whole" : "damaged";

    if (!e->is_there)
        return dlm_str_appendf(ctx, out, "%s: no store yet\n", e->label);
    if (e->failure)
        return dlm_str_appendf(ctx, out, "%s: not checked: %s\n", e->label, e->failure);
    enum dlm_status st = dlm_str_appendf(
        ctx, out, "%s: %s (versions: %lld, blobs: %lld, unfinished runs: %lld)\n", e->label, word,
        (long long)all->num_versions, (long long)all->num_blobs, (long long)all->num_unfinished);
    return st ? st : append_findings(ctx, all, out);
}

static enum dlm_status append_lines(struct dlm_ctx *ctx, const struct call *c, struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendz(ctx, out, "");

    for (size_t i = 0; !st && i < c->stores.len; i++)
        st = append_entry(ctx, &c->entries[i], out);
    if (!st && c->removed.len)
        st = dlm_str_appendf(ctx, out, "%s:\n", c->folder);
    return st ? st : append_findings(ctx, &c->removed, out);
}

/* --- JSON --- */

static json_t *findings_json(const struct dlm_findings *all)
{
    json_t *list = json_array();

    for (size_t i = 0; i < all->len; i++) {
        const struct dlm_finding *f = &all->items[i];
        (void)json_array_append_new( /* a NULL list fails below */
            list, json_pack("{s:s, s:s, s:s, s:s, s:s?}", "what", f->what, "class", class_of(f),
                            "path", f->path, "text", f->text, "repair", repair_of(f)));
    }
    return list;
}

/* id NULL: of the folder in which stores lie. */
static json_t *entry_json(const char *id, const char *path, const struct entry *e)
{
    const struct dlm_findings *all = &e->findings;

    return json_pack("{s:s?, s:s?, s:s, s:b, s:b, s:s?, s:I, s:I, s:I, s:o}", "dlm_id", id,
                     "document", e->label, "path", path, "exists", (int)e->is_there, "whole",
                     (int)is_good(e), "error", e->failure, "versions",
                     (json_int_t)all->num_versions, "blobs", (json_int_t)all->num_blobs,
                     "unfinished_runs", (json_int_t)all->num_unfinished, "findings",
                     findings_json(all));
}

static enum dlm_status append_json(struct dlm_ctx *ctx, const struct call *c, struct dlm_str *out)
{
    json_t *root = json_array();
    bool failed = !root;

    for (size_t i = 0; !failed && i < c->stores.len; i++) {
        const struct dlm_store *store = c->stores.items[i];
        failed = json_array_append_new(root, entry_json(dlm_store_id(store), dlm_store_path(store),
                                                        &c->entries[i])) != 0;
    }
    const struct entry rest = {.is_there = true, .findings = c->removed};
    if (!failed && c->removed.len)
        failed = json_array_append_new(root, entry_json(NULL, c->folder, &rest)) != 0;
    enum dlm_status st = dlm_json_append(ctx, out, failed ? NULL : root, 0);

    json_decref(root);
    return st;
}

enum dlm_status dlm_stores_verify(struct dlm_ctx *ctx,
                                  const struct dlm_stores_verify_params *params, char **text,
                                  bool *whole)
{
    struct call c = {.params = params};
    struct dlm_str out = {0};

    *text = NULL;
    *whole = true;
    enum dlm_status st = check_all(ctx, &c);
    for (size_t i = 0; !st && i < c.stores.len; i++)
        *whole = *whole && is_good(&c.entries[i]);
    if (!st)
        st = params->json ? append_json(ctx, &c, &out) : append_lines(ctx, &c, &out);
    if (!st) {
        *text = out.data;
        out = (struct dlm_str){0};
    }
    dlm_str_finish(&out);
    for (size_t i = 0; c.entries && i < c.stores.len; i++) {
        dlm_free(c.entries[i].label);
        dlm_free(c.entries[i].failure);
        dlm_findings_finish(&c.entries[i].findings);
    }
    dlm_free(c.entries);
    dlm_findings_finish(&c.removed);
    dlm_free(c.folder);
    dlm_store_list_close(&c.stores);
    return st;
}
