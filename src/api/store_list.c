/* `dlm list`: the documents and adapters that a home knows, as lines or as JSON. */
#include <math.h>
#include <stdio.h>

#include "api/store_find.h"
#include "api/store_versions.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "store/manifest.h"

struct entry {
    const struct dlm_store *store; /* borrowed */
    struct dlm_store_info info;
    struct dlm_manifest manifest; /* root NULL: there is none */
    struct dlm_document_versions versions;
    bool is_damaged; /* what is missing of the others could not be read */
};

/* What of a store cannot be read is verify-store's to report. */
static enum dlm_status fill(struct dlm_ctx *ctx, struct entry *e)
{
    dlm_log_mute(ctx);
    enum dlm_status st = dlm_store_inspect(ctx, e->store, &e->info);
    if (!st && e->info.initialized)
        st = dlm_manifest_load(ctx, &e->manifest, e->store);
    if (!st)
        st = dlm_store_describe_versions(ctx, e->store, &e->versions);
    e->is_damaged = st != DLM_OK;
    return dlm_log_excuse(ctx, st);
}

static void finish(struct entry *e)
{
    dlm_manifest_finish(&e->manifest);
    dlm_document_versions_finish(&e->versions);
}

static const char *string_of(const struct entry *e, const char *key)
{
    return e->manifest.root ? dlm_manifest_string(&e->manifest, key) : NULL;
}

/* --- lines --- */

#define ROW "%-12s %-19s  %8s  %9s  %-22s %s\n"

/* The document, and what is the matter with it; owned by the caller. */
static char *describe(struct dlm_ctx *ctx, const struct entry *e)
{
    const char *id = dlm_store_id(e->store), *source = string_of(e, "source_path");

    if (e->is_damaged)
        return dlm_strf(ctx, "%s (damaged: see dlm verify-store %s)", source ? source : id, id);
    if (!source || e->info.orphaned)
        return dlm_strf(ctx, "%s (its document %s%sis gone)", id, source ? source : "",
                        source ? " " : "");
    return dlm_strdup(ctx, source);
}

static enum dlm_status append_line(struct dlm_ctx *ctx, const struct entry *e, struct dlm_str *out)
{
    const struct dlm_document_version *current = NULL;
    char adapter[48] = "none", loss[32] = "", size[32];

    for (size_t i = 0; i < e->versions.len; i++)
        if (e->versions.items[i].is_current)
            current = &e->versions.items[i];
    if (current)
        snprintf(adapter, sizeof(adapter), "v%04lld of %zu", (long long)current->number,
                 e->versions.len);
    if (current && isfinite(current->loss))
        snprintf(loss, sizeof(loss), "%.4f", current->loss);
    dlm_size_text(e->info.total_bytes, size, sizeof(size));
    char *document = describe(ctx, e);
    const char *base = string_of(e, "base_model");
    enum dlm_status st = !document ? DLM_ERR_MEMORY
                                   : dlm_str_appendf(ctx, out, ROW, adapter,
                                                     current ? current->trained_at : "", loss, size,
                                                     base ? base : "", document);
    dlm_free(document);
    return st;
}

/* --- JSON --- */

static json_t *entry_json(struct dlm_ctx *ctx, const struct entry *e)
{
    return json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:I, s:I, s:o, s:I, s:I, s:b, s:b, s:o}",
                     "dlm_id", dlm_store_id(e->store), "path", dlm_store_path(e->store), "document",
                     string_of(e, "source_path"), "base_model", string_of(e, "base_model"),
                     "base_model_revision", string_of(e, "base_model_revision"), "adapter_version",
                     (json_int_t)e->info.adapter_version, "training_runs",
                     (json_int_t)e->info.num_runs, "last_trained_at",
                     dlm_json_text(e->info.last_trained_at), "total_size_bytes",
                     (json_int_t)e->info.total_bytes, "unfinished_runs",
                     (json_int_t)e->info.num_unfinished, "orphaned", (int)e->info.orphaned,
                     "damaged", (int)e->is_damaged, "versions",
                     dlm_versions_json(ctx, e->store, &e->versions));
}

enum dlm_status dlm_stores_list(struct dlm_ctx *ctx, const struct dlm_stores_list_params *params,
                                char **text)
{
    struct dlm_store_list stores = {0};
    struct dlm_str out = {0};
    json_t *root = json_array();

    *text = NULL;
    enum dlm_status st = dlm_store_list_open(ctx, &stores, params->home, NULL);
    if (!st && !params->json)
        st = dlm_str_appendf(ctx, &out, ROW, "ADAPTER", "TRAINED", "LOSS", "SIZE", "BASE",
                             "DOCUMENT");
    for (size_t i = 0; !st && i < stores.len; i++) {
        struct entry e = {.store = stores.items[i]};
        st = fill(ctx, &e);
        if (!st && params->json && json_array_append_new(root, entry_json(ctx, &e)))
            st = dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
        else if (!st && !params->json)
            st = append_line(ctx, &e, &out);
        finish(&e);
    }
    if (!st && params->json)
        st = dlm_json_append(ctx, &out, root, 9);
    if (!st) {
        *text = out.data;
        out = (struct dlm_str){0};
    }
    json_decref(root);
    dlm_str_finish(&out);
    dlm_store_list_close(&stores);
    return st;
}
