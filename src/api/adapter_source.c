/* Finding base and adapter. */
#include "api/adapter_source.h"

#include "api/quant.h"
#include "base/file.h"
#include "base/log.h"
#include "doc/doc.h"
#include "registry/registry.h"
#include "store/manifest.h"
#include "store/store.h"

/* The base has a family; a gated one needs the acceptance that the store's manifest (root NULL: no
 * store yet) records. */
static enum dlm_status check_base(struct dlm_ctx *ctx, const struct dlm_manifest *manifest,
                                  const char *base_text)
{
    struct dlm_base base = {0};

    enum dlm_status st = dlm_base_identify(ctx, &base, base_text);
    if (!st)
        st = dlm_base_check_family(ctx, &base);
    if (!st && base.gated && !(manifest->root && dlm_manifest_has_license(manifest)))
        st = dlm_fail(ctx, DLM_ERR_INVALID,
                      "license: base '%s' is gated and has no recorded acceptance in this store; "
                      "run `dlm train --i-accept-license` first.", base.key);
    dlm_base_finish(&base);
    return st;
}

static enum dlm_status find_in_store(struct dlm_ctx *ctx, struct dlm_adapter_source *out,
                                     const struct dlm_session_params *params,
                                     const char *dlm_id)
{
    const bool wants_adapter = !params->no_adapter && !out->adapter;
    struct dlm_manifest manifest = {0};
    struct dlm_store *store = NULL;

    enum dlm_status st = dlm_store_open(ctx, &store, params->home, dlm_id);
    if (!st && dlm_store_is_initialized(store))
        st = dlm_manifest_load(ctx, &manifest, store);
    if (!st)
        st = check_base(ctx, &manifest, out->base);
    if (!st && wants_adapter && params->version)
        st = dlm_store_version(ctx, store, params->version, &out->adapter);
    else if (!st && wants_adapter)
        st = dlm_store_current(ctx, store, &out->adapter, &out->version);
    out->is_version = wants_adapter && out->adapter;
    if (out->is_version && params->version)
        out->version = params->version;
    if (!st && out->is_version && manifest.root)
        dlm_manifest_warn_other_source(ctx, &manifest, params->document);
    if (!st && wants_adapter && !out->adapter && !params->is_adapter_optional)
        st = dlm_fail(ctx, DLM_ERR_INVALID,
                      "prompt: no adapter under %s/adapter/current.txt; has `dlm train` run "
                      "successfully?", dlm_store_path(store));
    dlm_manifest_finish(&manifest);
    dlm_store_close(&store);
    return st;
}

/* Where the base's files are looked for besides its text; both may be NULL. */
static enum dlm_status take_paths(struct dlm_ctx *ctx, struct dlm_adapter_source *out,
                                  const char *mmproj, const char *dir)
{
    out->mmproj = mmproj ? dlm_strdup(ctx, mmproj) : NULL;
    out->dir = dir ? dlm_strdup(ctx, dir) : NULL;
    return !out->mmproj == !mmproj && !out->dir == !dir ? DLM_OK : DLM_ERR_MEMORY;
}

enum dlm_status dlm_adapter_source_find(struct dlm_ctx *ctx, struct dlm_adapter_source *out,
                                        const struct dlm_session_params *params)
{
    struct dlm_doc *doc = NULL;
    enum dlm_status st = DLM_OK;
    size_t len;

    if (params->adapter && !params->no_adapter) {
        out->adapter = dlm_strdup(ctx, params->adapter);
        if (!out->adapter)
            return DLM_ERR_MEMORY;
    }
    if (!params->document) {
        out->base = dlm_strdup(ctx, params->base);
        return out->base ? take_paths(ctx, out, params->mmproj, params->dir) : DLM_ERR_MEMORY;
    }
    st = dlm_doc_load(ctx, &doc, params->document);
    if (st)
        return st;
    struct dlm_compute compute = {0};
    dlm_quant_take_document(&compute, doc);
    out->quant = compute.quant;
    out->quant_scope = compute.quant_scope;
    out->image_size = doc->training.image_size;
    const char *system = dlm_doc_system_prompt(doc, &len);
    if (system)
        out->system_prompt = dlm_strndup(ctx, system, len);
    out->base = dlm_strdup(ctx, doc->base_model);
    char *dir = dlm_path_dirname(ctx, params->document);
    st = dir && out->base && !out->system_prompt == !system
             ? take_paths(ctx, out, doc->mmproj, dir) : DLM_ERR_MEMORY;
    if (!st)
        st = find_in_store(ctx, out, params, doc->id);
    dlm_free(dir);
    dlm_doc_destroy(&doc);
    return st;
}

void dlm_adapter_source_finish(struct dlm_adapter_source *source)
{
    dlm_free(source->base);
    dlm_free(source->mmproj);
    dlm_free(source->dir);
    dlm_free(source->adapter);
    dlm_free(source->system_prompt);
    *source = (struct dlm_adapter_source){0};
}
