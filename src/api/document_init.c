/* `dlm init`: a scaffold document and its store. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "dlm/document.h"
#include "doc/doc.h"
#include "registry/registry.h"
#include "store/manifest.h"

/* Bases that can be trained, of which one is there at once. */
#define DEFAULT_BASE "tiny-shapes"
#define DEFAULT_MULTIMODAL_BASE "paligemma-3b-mix-224"

#define MAX_QUESTION_BYTES 512
#define MAX_DOCUMENT_BYTES ((size_t)256 << 20)

static enum dlm_status check_modality(struct dlm_ctx *ctx, const struct dlm_base *base)
{
    if (base->modality == DLM_MODALITY_VISION_LANGUAGE)
        return DLM_OK;
    return dlm_fail(ctx, DLM_ERR_USAGE,
                    "--multimodal requires a vision-language base; '%s' is modality='%s'. Pick "
                    "--base " DEFAULT_MULTIMODAL_BASE " or drop --multimodal.",
                    base->key, dlm_modality_name(base->modality));
}

/* How the licence was accepted ("cli_flag", "interactive"), NULL when the base needs no
 * acceptance. */
static enum dlm_status accept_license(struct dlm_ctx *ctx, const struct dlm_base *base,
                                      const struct dlm_document_init_params *params,
                                      const char **via)
{
    char question[MAX_QUESTION_BYTES];

    *via = NULL;
    if (!base->gated)
        return DLM_OK;
    if (params->accept_license) {
        *via = "cli_flag";
        return DLM_OK;
    }
    snprintf(question, sizeof(question),
             "license: base '%.100s' is gated; its terms: %s\nAccept and continue? [y/N]: ",
             base->key, base->row->license_url ? base->row->license_url : "see its model card");
    if (params->accept && params->accept(params->user, question)) {
        *via = "interactive";
        return DLM_OK;
    }
    return dlm_fail(ctx, DLM_ERR_INVALID,
                    "license: refused. Re-run with --i-accept-license to accept "
                    "non-interactively.");
}

/* Absolute path of a document that may not exist yet; its folder must. Owned by the caller. */
static enum dlm_status absolute_path(struct dlm_ctx *ctx, const char *path, char **abs)
{
    char *folder = dlm_path_dirname(ctx, path);
    char *real = folder ? realpath(folder, NULL) : NULL;
    enum dlm_status st = DLM_OK;

    *abs = NULL;
    if (!folder)
        st = DLM_ERR_MEMORY;
    else if (!real)
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': folder '%s': %s", path, folder,
                      strerror(errno));
    if (!st)
        *abs = dlm_path_join(ctx, real, dlm_path_basename(path));
    if (!st && !*abs)
        st = DLM_ERR_MEMORY;
    free(real);
    dlm_free(folder);
    return st;
}

static enum dlm_status make_store(struct dlm_ctx *ctx, struct dlm_store *store,
                                  const struct dlm_base *base, const char *source_path,
                                  const char *license_via)
{
    struct dlm_manifest manifest = {0};

    enum dlm_status st = dlm_store_prepare(ctx, store);
    if (!st)
        st = dlm_manifest_init(ctx, &manifest, dlm_store_id(store), base->key, base->revision,
                               source_path);
    if (!st && license_via)
        st = dlm_manifest_set_license(ctx, &manifest, base->row->license_url,
                                      base->row->license_spdx, license_via);
    if (!st)
        st = dlm_manifest_save(ctx, &manifest, store);
    dlm_manifest_finish(&manifest);
    return st;
}

/* The store comes first: a document without its store would have lost the licence's acceptance. */
static enum dlm_status write_both(struct dlm_ctx *ctx,
                                  const struct dlm_document_init_params *params,
                                  const struct dlm_base *base, const char *license_via,
                                  const char *id, const struct dlm_str *text)
{
    struct dlm_store *store = NULL;
    char *source_path = NULL;

    enum dlm_status st = absolute_path(ctx, params->path, &source_path);
    if (!st)
        st = dlm_store_open(ctx, &store, params->home, id);
    if (!st)
        st = make_store(ctx, store, base, source_path, license_via);
    if (!st) {
        st = dlm_file_replace(ctx, params->path, text->data, text->len);
        if (st && dlm_path_remove(ctx, dlm_store_path(store)))
            dlm_log(ctx, DLM_LOG_WARNING, "'%s' belongs to no document", dlm_store_path(store));
    }
    dlm_store_close(&store);
    dlm_free(source_path);
    return st;
}

/* The text of a new document. */
static enum dlm_status make_scaffold(struct dlm_ctx *ctx,
                                     const struct dlm_document_init_params *params, const char *id,
                                     struct dlm_base *base, struct dlm_str *text)
{
    const char *key = params->base         ? params->base
                      : params->multimodal ? DEFAULT_MULTIMODAL_BASE
                                           : DEFAULT_BASE;

    if (!params->force && !access(params->path, F_OK))
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "%s already exists. Re-run with --force to overwrite.", params->path);
    enum dlm_status st = dlm_base_identify(ctx, base, key);
    if (!st && params->mmproj && !(*params->mmproj && dlm_base_names_gguf(base->key)))
        st = dlm_fail(ctx, DLM_ERR_USAGE, *params->mmproj ? "--mmproj needs --base gguf:PATH"
                                                          : "--mmproj is no path");
    if (!st && params->multimodal)
        st = check_modality(ctx, base);
    if (st)
        return st;
    enum dlm_doc_scaffold_kind kind =
        params->multimodal ? DLM_DOC_SCAFFOLD_MULTIMODAL : DLM_DOC_SCAFFOLD_TEXT;
    return dlm_doc_scaffold(ctx, kind, id, base->key, params->mmproj, text);
}

/* The text of an existing document with another id; what it says must be good but for that. */
static enum dlm_status change_id(struct dlm_ctx *ctx, const struct dlm_document_init_params *params,
                                 const char *id, struct dlm_base *base, struct dlm_str *text)
{
    struct dlm_doc *doc = NULL;
    struct dlm_str old = {0};

    if (params->base || params->mmproj || params->multimodal || params->force)
        return dlm_fail(ctx, DLM_ERR_USAGE, "--new-id keeps the document: it takes no --base, "
                        "--mmproj, --multimodal or --force");
    enum dlm_status st = dlm_file_read(ctx, params->path, MAX_DOCUMENT_BYTES, &old);
    if (!st)
        st = dlm_doc_set_id(ctx, params->path, dlm_str_text(&old), old.len, id, text);
    if (!st)
        st = dlm_doc_parse(ctx, &doc, params->path, text->data, text->len);
    if (!st)
        st = dlm_base_identify(ctx, base, doc->base_model);
    dlm_doc_destroy(&doc);
    dlm_str_finish(&old);
    return st;
}

enum dlm_status dlm_document_init(struct dlm_ctx *ctx,
                                  const struct dlm_document_init_params *params)
{
    struct dlm_base base = {0};
    struct dlm_str text = {0};
    const char *via = NULL;
    char id[27];
    enum dlm_status st;

    DLM_REQUIRE(ctx, params->path);
    st = dlm_ulid_new(ctx, id);
    if (!st)
        st = params->new_id ? change_id(ctx, params, id, &base, &text)
                            : make_scaffold(ctx, params, id, &base, &text);
    if (!st)
        st = accept_license(ctx, &base, params, &via);
    if (!st)
        st = write_both(ctx, params, &base, via, id, &text);
    if (!st && base.row && !base.row->family)
        dlm_log(ctx, DLM_LOG_WARNING,
                "base '%s' cannot be trained yet: dlm does not have its model family", base.key);
done:
    dlm_str_finish(&text);
    dlm_base_finish(&base);
    return st;
}
