/* The versions of a document's adapter, and going back to one. */
#include "api/store_versions.h"
#include "base/log.h"
#include "doc/doc.h"

static enum dlm_status open_store(struct dlm_ctx *ctx, const char *path, const char *home,
                                  struct dlm_store **store)
{
    struct dlm_doc *doc = NULL;

    *store = NULL;
    enum dlm_status st = dlm_doc_load(ctx, &doc, path);
    if (!st)
        st = dlm_store_open(ctx, store, home, doc->id);
    dlm_doc_destroy(&doc);
    return st;
}

enum dlm_status dlm_document_list_versions(struct dlm_ctx *ctx, const char *path, const char *home,
                                           struct dlm_document_versions *versions)
{
    struct dlm_store *store = NULL;
    enum dlm_status st;

    *versions = (struct dlm_document_versions){0};
    DLM_REQUIRE(ctx, path);
    st = open_store(ctx, path, home, &store);
    if (!st)
        st = dlm_store_describe_versions(ctx, store, versions);
done:
    dlm_store_close(&store);
    return st;
}

void dlm_document_versions_finish(struct dlm_document_versions *versions)
{
    dlm_free(versions->items);
    *versions = (struct dlm_document_versions){0};
}

enum dlm_status dlm_document_use(struct dlm_ctx *ctx, const char *path, const char *home,
                                 int64_t version)
{
    struct dlm_store *store = NULL;
    char *dir = NULL;
    enum dlm_status st;

    DLM_REQUIRE(ctx, path);
    DLM_REQUIRE(ctx, version > 0);
    st = open_store(ctx, path, home, &store);
    if (!st)
        st = dlm_store_version(ctx, store, version, &dir); /* before a lock needs a folder */
    if (!st)
        st = dlm_store_lock(ctx, store);
    if (!st)
        st = dlm_store_use(ctx, store, path, version);
done:
    dlm_free(dir);
    dlm_store_close(&store);
    return st;
}
