/* `dlm rm`: removes a version of an adapter, or a store. */
#include "api/store_find.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "store/manifest.h"

struct call {
    const struct dlm_stores_remove_params *params;
    struct dlm_store *store; /* locked */
    char *label;             /* owned */
    char size[32];           /* of what goes */
};

static enum dlm_status ask(struct dlm_ctx *ctx, const struct call *c, const char *what)
{
    char *question = dlm_strf(ctx, "rm: %s. Remove? [y/N]: ", what);
    enum dlm_status st = question ? dlm_stores_ask(ctx, c->params->yes, c->params->accept,
                                                   c->params->user, question)
                                  : DLM_ERR_MEMORY;
    dlm_free(question);
    return st;
}

static enum dlm_status measure(struct dlm_ctx *ctx, struct call *c, const char *path)
{
    uint64_t bytes = 0;

    enum dlm_status st = dlm_path_bytes(ctx, path, false, &bytes);
    dlm_size_text(bytes, c->size, sizeof(c->size));
    return st;
}

/* --- a version --- */

/* What is current afterwards, in words. */
static enum dlm_status append_next(struct dlm_ctx *ctx, const struct dlm_removal *removal,
                                   struct dlm_str *out)
{
    if (!removal->next)
        return dlm_str_appendz(ctx, out, "no version is left");
    return dlm_str_appendf(ctx, out, "v%04lld %s the current one", (long long)removal->next,
                           removal->is_current ? "becomes" : "stays");
}

static enum dlm_status remove_version(struct dlm_ctx *ctx, struct call *c, struct dlm_str *out)
{
    const int64_t number = c->params->version;
    struct dlm_removal removal;
    struct dlm_str what = {0};
    char *dir = NULL;

    enum dlm_status st = dlm_store_plan_removal(ctx, c->store, number, &removal);
    if (!st)
        st = dlm_store_version(ctx, c->store, number, &dir);
    if (!st)
        st = measure(ctx, c, dir);
    if (!st)
        st = dlm_str_appendf(ctx, &what, "v%04lld (%s) of %s%s; ", (long long)number, c->size,
                             c->label, removal.is_current ? ", the current version" : "");
    if (!st)
        st = append_next(ctx, &removal, &what);
    if (!st)
        st = ask(ctx, c, dlm_str_text(&what));
    if (!st)
        st = dlm_store_remove_version(ctx, c->store, number, &removal);
    if (!st)
        st = dlm_str_appendf(ctx, out, "removed %s\n", dlm_str_text(&what));
    dlm_str_finish(&what);
    dlm_free(dir);
    return st;
}

/* --- the store --- */

static enum dlm_status remove_store(struct dlm_ctx *ctx, struct call *c, struct dlm_str *out)
{
    int64_t *numbers = NULL;
    size_t num = 0;
    char *what = NULL;

    enum dlm_status st = dlm_store_versions(ctx, c->store, &numbers, &num);
    if (!st)
        st = measure(ctx, c, dlm_store_path(c->store));
    if (!st)
        what = dlm_strf(ctx, "the store of %s (%zu version%s, %s)", c->label, num,
                        num == 1 ? "" : "s", c->size);
    if (!st && !what)
        st = DLM_ERR_MEMORY;
    if (!st)
        st = ask(ctx, c, what);
    if (!st)
        st = dlm_store_remove(ctx, c->store);
    if (!st)
        st = dlm_str_appendf(ctx, out, "removed %s\n", what);
    dlm_free(what);
    dlm_free(numbers);
    return st;
}

/* A copy of a document may not remove what its original has. A damaged manifest knows no owner. */
static enum dlm_status check_owner(struct dlm_ctx *ctx, const struct call *c)
{
    struct dlm_manifest manifest = {0};
    enum dlm_status st = DLM_OK;

    if (dlm_path_is_file(c->params->document) && !dlm_manifest_load(NULL, &manifest, c->store))
        st = dlm_manifest_check_source(ctx, &manifest, c->params->document);
    dlm_manifest_finish(&manifest);
    return st;
}

enum dlm_status dlm_stores_remove(struct dlm_ctx *ctx,
                                  const struct dlm_stores_remove_params *params, char **text)
{
    struct call c = {.params = params};
    struct dlm_store_list stores = {0};
    struct dlm_str out = {0};
    enum dlm_status st;

    *text = NULL;
    DLM_REQUIRE(ctx, params->document);
    st = dlm_store_list_open(ctx, &stores, params->home, params->document);
    if (st)
        goto done;
    c.store = stores.items[0];
    if (!dlm_path_is_dir(dlm_store_path(c.store))) {
        st = dlm_fail(ctx, DLM_ERR_INVALID, "there is no store '%s'", dlm_store_path(c.store));
        goto done;
    }
    c.label = dlm_store_label(ctx, c.store);
    st = c.label ? check_owner(ctx, &c) : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_store_lock(ctx, c.store);
    if (!st)
        st = params->version ? remove_version(ctx, &c, &out) : remove_store(ctx, &c, &out);
    if (!st) {
        *text = out.data;
        out = (struct dlm_str){0};
    }
done:
    dlm_free(c.label);
    dlm_str_finish(&out);
    dlm_store_list_close(&stores);
    return st;
}
