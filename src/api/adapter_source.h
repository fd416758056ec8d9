/* Which base and which adapter a call means: a document with a version of its adapter, or a base
 * with a folder. */
#ifndef DLM_API_ADAPTER_SOURCE_H
#define DLM_API_ADAPTER_SOURCE_H

#include "base/attr.h"
#include "dlm/session.h"

/* All owned; all zero is empty. */
struct dlm_adapter_source {
    char *base;    /* base_model text */
    char *mmproj;  /* the tower's file of gguf:, or NULL */
    char *dir;     /* what paths are relative to, the document's folder; or NULL */
    char *adapter; /* folder, or NULL */
    char *system_prompt; /* the document's, or NULL */
    bool is_version; /* the adapter is one of the store's versions */
    int64_t version; /* which; 0: none */
    int64_t image_size;     /* the document's, see dlm/image_size.h */
    enum dlm_quant quant;   /* the document's; auto: none */
    enum dlm_quant_scope quant_scope;
};

/* DLM_ERR_INVALID: no adapter yet, or a gated base without a recorded acceptance. */
enum dlm_status dlm_adapter_source_find(struct dlm_ctx *ctx, struct dlm_adapter_source *out,
                                        const struct dlm_session_params *params) DLM_CHECK_RESULT;
void dlm_adapter_source_finish(struct dlm_adapter_source *source);

#endif
