/* The versions of a store with what is known of each: of its run by the manifest, of its form by
 * the version itself. */
#ifndef DLM_API_STORE_VERSIONS_H
#define DLM_API_STORE_VERSIONS_H

#include <jansson.h>

#include "dlm/document.h"
#include "store/store.h"

/* Fills *versions, which is empty: dlm_document_versions_finish() gives it back, also after a
 * failure. */
enum dlm_status dlm_store_describe_versions(struct dlm_ctx *ctx, const struct dlm_store *store,
                                            struct dlm_document_versions *versions)
    DLM_CHECK_RESULT;

/* An array, an object a version (docs/json.md), owned by the caller; NULL when out of memory. */
json_t *dlm_versions_json(struct dlm_ctx *ctx, const struct dlm_store *store,
                          const struct dlm_document_versions *versions) DLM_CHECK_RESULT;

#endif
