/* The versions of a document's adapter, and going back to one. */
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "base/log.h"
#include "dlm/document.h"
#include "doc/doc.h"
#include "store/manifest.h"

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

/* What the manifest knows about the run that made the version. */
static void describe(struct dlm_document_version *v, const json_t *runs)
{
    v->loss = NAN;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        const json_t *loss = json_object_get(run, "final_train_loss");
        const char *ended = json_string_value(json_object_get(run, "ended_at"));
        if (json_integer_value(json_object_get(run, "adapter_version")) != v->number)
            continue;
        v->run_id = json_integer_value(json_object_get(run, "run_id"));
        v->steps = json_integer_value(json_object_get(run, "steps"));
        v->loss = json_is_number(loss) ? json_number_value(loss) : NAN;
        snprintf(v->trained_at, sizeof(v->trained_at), "%.19s", ended ? ended : "");
    }
}

static enum dlm_status fill(struct dlm_ctx *ctx, const struct dlm_store *store,
                            struct dlm_document_versions *versions)
{
    struct dlm_manifest manifest = {0};
    int64_t *numbers = NULL, current = 0;
    char *dir = NULL;
    size_t num = 0;

    enum dlm_status st = dlm_store_versions(ctx, store, &numbers, &num);
    if (!st)
        st = dlm_store_current(ctx, store, &dir, &current);
    if (!st && dlm_store_is_initialized(store))
        st = dlm_manifest_load(ctx, &manifest, store);
    if (!st) {
        versions->items = dlm_alloc_array(ctx, num, sizeof(*versions->items));
        st = versions->items ? DLM_OK : DLM_ERR_MEMORY;
    }
    for (size_t i = 0; !st && i < num; i++) {
        struct dlm_document_version *v = &versions->items[versions->len++];
        v->number = numbers[i];
        v->is_current = numbers[i] == current;
        describe(v, json_object_get(manifest.root, "training_runs"));
    }
    dlm_manifest_finish(&manifest);
    dlm_free(numbers);
    dlm_free(dir);
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
        st = fill(ctx, store, versions);
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
