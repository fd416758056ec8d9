/* Finding stores. */
#include "api/store_find.h"

#include "base/file.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/manifest.h"

static enum dlm_status add(struct dlm_ctx *ctx, struct dlm_store_list *list, const char *home,
                           const char *id)
{
    if (!dlm_grow(ctx, &list->items, &list->cap, list->len, sizeof(*list->items)))
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_store_open(ctx, &list->items[list->len], home, id);
    if (!st)
        list->len++;
    return st;
}

static enum dlm_status add_one(struct dlm_ctx *ctx, struct dlm_store_list *list, const char *home,
                               const char *document)
{
    struct dlm_doc *doc = NULL;

    if (dlm_store_is_id(document) && !dlm_path_is_file(document))
        return add(ctx, list, home, document);
    enum dlm_status st = dlm_doc_load(ctx, &doc, document);
    if (!st)
        st = add(ctx, list, home, doc->id);
    dlm_doc_destroy(&doc);
    return st;
}

enum dlm_status dlm_store_list_open(struct dlm_ctx *ctx, struct dlm_store_list *list,
                                    const char *home, const char *document)
{
    char **names = NULL;

    if (document)
        return add_one(ctx, list, home, document);
    char *root = dlm_path_home(ctx, home);
    if (!root)
        return DLM_ERR_IO;
    char *folder = dlm_path_join(ctx, root, "store");
    enum dlm_status st = folder ? DLM_OK : DLM_ERR_MEMORY;
    if (!st && dlm_path_is_dir(folder))
        st = dlm_dir_list(ctx, folder, &names);
    for (size_t i = 0; !st && names && names[i]; i++)
        if (dlm_store_is_id(names[i]))
            st = add(ctx, list, home, names[i]);
    dlm_names_free(names);
    dlm_free(folder);
    dlm_free(root);
    return st;
}

void dlm_store_list_close(struct dlm_store_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        dlm_store_close(&list->items[i]);
    dlm_free(list->items);
    *list = (struct dlm_store_list){0};
}

char *dlm_store_label(struct dlm_ctx *ctx, const struct dlm_store *store)
{
    struct dlm_manifest manifest = {0};
    const char *source = NULL;

    if (!dlm_manifest_load(NULL, &manifest, store)) /* a damaged one is verify-store's to report */
        source = dlm_manifest_string(&manifest, "source_path");
    char *label = dlm_strdup(ctx, source ? source : dlm_store_id(store));
    dlm_manifest_finish(&manifest);
    return label;
}

char *dlm_store_list_label(struct dlm_ctx *ctx, const struct dlm_store_list *list)
{
    return list->len == 1 ? dlm_store_label(ctx, list->items[0])
                          : dlm_strf(ctx, "%zu stores", list->len);
}

enum dlm_status dlm_stores_ask(struct dlm_ctx *ctx, bool yes, dlm_stores_accept_fn accept,
                               void *user, const char *question)
{
    if (yes || (accept && accept(user, question)))
        return DLM_OK;
    enum dlm_status st = dlm_fail(ctx, DLM_ERR_INVALID, "nothing was removed");
    if (!accept)
        dlm_log(ctx, DLM_LOG_HINT, "--yes removes without being asked");
    return st;
}
