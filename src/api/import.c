/* `dlm import`: an adapter that was made elsewhere. */
#include "dlm/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/image_size.h"
#include "api/origin.h"
#include "api/session_impl.h"
#include "api/version_files.h"
#include "base/file.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/manifest.h"

struct call {
    const struct dlm_import_params *params;
    struct dlm_doc *doc;
    struct dlm_session *s; /* of the document's base, of which no weight is loaded */
    struct dlm_lora *lora;
    struct dlm_store *store;
    struct dlm_manifest manifest;
    struct dlm_origin origin; /* of the version */
};

/* --- the adapter --- */

/* An adapter knows its base by name alone. A path names a folder of another machine, perhaps, and a
 * document's folder may hold a copy of any repository; that another is meant is certain where both
 * have names. */
static enum dlm_status check_name(struct dlm_ctx *ctx, const struct call *c)
{
    struct dlm_adapter *adapter = NULL;
    const char *base = dlm_base_name(&c->s->base);
    const bool has_name = c->s->base.row || dlm_base_is_hf_id(base);

    enum dlm_status st =
        dlm_adapter_open(ctx, &adapter, c->params->adapter, &c->s->model->family->names);
    if (st)
        return st;
    const char *name = adapter->config.base_model;
    if (dlm_adapter_names_base(adapter, base)) {
        st = DLM_OK;
    } else if (c->params->any_base || !dlm_base_is_hf_id(name) || !has_name) {
        dlm_log(ctx, DLM_LOG_WARNING, "the adapter names '%s' as its base; it is taken for one of "
                "'%s'", name, base);
    } else {
        st = dlm_fail(ctx, DLM_ERR_INVALID, "the adapter is of another base: '%s', and the "
                      "document's is '%s'", name, base);
        dlm_log(ctx, DLM_LOG_HINT, "--any-base takes one that was trained on a copy under another "
                "name");
    }
    dlm_adapter_destroy(&adapter);
    return st;
}

static enum dlm_status read_adapter(struct dlm_ctx *ctx, struct call *c)
{
    enum dlm_status st = check_name(ctx, c);

    if (!st)
        st = dlm_session_read_adapter(c->s, c->params->adapter, &c->lora);
    if (!st && !dlm_f32_is_finite(c->lora->values, (size_t)c->lora->len))
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot import '%s': it has numbers that are not "
                      "finite", c->params->adapter);
    return st;
}

/* Opens the document's base as a training does, on the CPU: nothing will run. */
static enum dlm_status open_base(struct dlm_ctx *ctx, struct call *c)
{
    struct dlm_session_base base = {.base = c->doc->base_model,
                                    .mmproj = c->doc->mmproj,
                                    .image_size = c->doc->training.image_size,
                                    .compute = {.backend = DLM_BACKEND_CPU}};
    char *dir = dlm_path_dirname(ctx, c->params->document);

    base.dir = dir;
    dlm_quant_take_document(&base.compute, c->doc);
    enum dlm_status st = dir ? dlm_session_open_base(ctx, &c->s, &base) : DLM_ERR_MEMORY;
    dlm_free(dir);
    return st;
}

/* --- the store --- */

static enum dlm_status open_store(struct dlm_ctx *ctx, struct call *c)
{
    const struct dlm_base *base = &c->s->base;
    char *source = realpath(c->params->document, NULL);
    enum dlm_status st = source ? dlm_store_open(ctx, &c->store, c->params->home, c->doc->id)
                                : dlm_fail(ctx, DLM_ERR_IO, "cannot find '%s': %s",
                                           c->params->document, strerror(errno));

    if (!st)
        st = dlm_store_prepare(ctx, c->store);
    if (!st)
        st = dlm_store_lock(ctx, c->store);
    const bool is_new = !st && !dlm_store_is_initialized(c->store);
    if (!st && !is_new) {
        st = dlm_manifest_load(ctx, &c->manifest, c->store);
        if (!st)
            st = dlm_manifest_check_source(ctx, &c->manifest, c->params->document);
    } else if (!st) {
        st = dlm_manifest_init(ctx, &c->manifest, c->doc->id, base->key, base->revision, source);
    }
    if (!st && base->gated && !dlm_manifest_has_license(&c->manifest))
        st = dlm_fail(ctx, DLM_ERR_INVALID, "license: base '%s' is gated and has no recorded "
                      "acceptance in this store; `dlm init --i-accept-license` records one with a "
                      "new document", base->key);
    if (!st && is_new) /* a version without a manifest would be a damaged store */
        st = dlm_manifest_save(ctx, &c->manifest, c->store);
    free(source);
    return st;
}

static enum dlm_status note_origin(struct dlm_ctx *ctx, struct call *c)
{
    c->origin.base_model = dlm_strdup(ctx, c->doc->base_model);
    if (!c->origin.base_model)
        return DLM_ERR_MEMORY;
    dlm_checkpoint_fingerprint(c->s->model->weights->checkpoint, c->origin.base_sha256);
    c->origin.image_size = dlm_image_size_of(c->s->model);
    memcpy(c->origin.base_form, c->s->base_form, sizeof(c->origin.base_form));
    return dlm_origin_set_form(ctx, &c->origin, c->lora);
}

static enum dlm_status commit(struct dlm_ctx *ctx, struct call *c, struct dlm_import_result *result)
{
    const struct dlm_version_adapter adapter = {.model = c->s->model, .base = &c->s->base,
                                                .lora = c->lora};
    struct dlm_version *version = NULL;

    enum dlm_status st = dlm_version_begin_new(ctx, c->store, &version);
    if (!st && *c->origin.base_form)
        dlm_version_set_qlora(version);
    if (!st)
        st = dlm_version_write_adapter(ctx, dlm_version_dir(version), &adapter);
    if (!st)
        st = dlm_version_write_versions(ctx, dlm_version_dir(version));
    if (!st)
        st = dlm_origin_write(ctx, dlm_version_dir(version), &c->origin);
    if (st) {
        dlm_version_abort(&version);
        return st;
    }
    return dlm_version_finish(ctx, &version, &result->version, &result->path);
}

/* The document may have got another base since its store was made. */
static enum dlm_status note_version(struct dlm_ctx *ctx, struct call *c, int64_t version)
{
    const struct {
        const char *key, *value;
    } fields[] = {
        {"base_model", c->s->base.key},
        {"base_model_revision", c->s->base.revision},
        {"base_model_sha256", c->origin.base_sha256},
    };
    enum dlm_status st = dlm_manifest_set_adapter_version(ctx, &c->manifest, version);

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(fields); i++)
        st = dlm_manifest_set_string(ctx, &c->manifest, fields[i].key, fields[i].value);
    return st ? st : dlm_manifest_save(ctx, &c->manifest, c->store);
}

/* --- the call --- */

enum dlm_status dlm_import(struct dlm_ctx *ctx, const struct dlm_import_params *params,
                           struct dlm_import_result *result)
{
    struct call c = {.params = params};
    enum dlm_status st = DLM_OK;

    *result = (struct dlm_import_result){0};
    DLM_REQUIRE(ctx, params->document && params->adapter);
    st = dlm_doc_load(ctx, &c.doc, params->document);
    if (!st)
        st = open_base(ctx, &c);
    if (!st)
        st = read_adapter(ctx, &c);
    if (!st)
        st = note_origin(ctx, &c);
    if (!st)
        st = open_store(ctx, &c);
    if (!st)
        st = commit(ctx, &c, result);
    if (!st)
        st = note_version(ctx, &c, result->version);
    if (!st) {
        result->num_modules = c.lora->num;
        result->r = c.lora->params.r;
        result->alpha = (double)c.lora->params.alpha;
    }
done:
    dlm_origin_finish(&c.origin);
    dlm_manifest_finish(&c.manifest);
    dlm_store_close(&c.store);
    dlm_lora_destroy(&c.lora);
    dlm_session_close(&c.s);
    dlm_doc_destroy(&c.doc);
    return st;
}

void dlm_import_result_finish(struct dlm_import_result *result)
{
    dlm_free(result->path);
    *result = (struct dlm_import_result){0};
}
