/* Import: an adapter that was made elsewhere becomes a version of a document's. */
#ifndef DLM_IMPORT_H
#define DLM_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dlm/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Borrows everything until return. */
struct dlm_import_params {
    const char *document; /* path of a .dlm, whose base is the adapter's */
    const char *home;     /* NULL: $DLM_HOME, else ~/.dlm */
    const char *adapter;  /* folder with adapter_config.json and adapter_model.safetensors */
    bool any_base;        /* also one that names another base, of the same shapes */
};

/* path is owned. */
struct dlm_import_result {
    char *path;      /* folder of the version */
    int64_t version; /* its number; it is the current one */
    size_t num_modules;
    int64_t r;       /* rank */
    double alpha;    /* B A is scaled by alpha / r, with rsLoRA by alpha / sqrt(r) */
};

/* Makes the LoRA adapter in a folder (of PEFT, Unsloth, LLaMA-Factory, ...) a version of the
 * document's adapter, and the current one; the store is made if there is none. Names of older
 * versions of transformers become today's, weights f32. *result: give it back with
 * dlm_import_result_finish(), also after a failure. DLM_ERR_UNSUPPORTED: DoRA, modules_to_save and
 * whatever else dlm does not compute, by name; DLM_ERR_INVALID: it does not fit the document's base
 * or names another, a training runs, or a licence is not accepted; DLM_ERR_IO, DLM_ERR_PARSE: it
 * cannot be read. */
DLM_API enum dlm_status dlm_import(struct dlm_ctx *ctx, const struct dlm_import_params *params,
                                   struct dlm_import_result *result) DLM_CHECK_RESULT;
DLM_API void dlm_import_result_finish(struct dlm_import_result *result);

#ifdef __cplusplus
}
#endif

#endif
