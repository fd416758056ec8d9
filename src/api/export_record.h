/* What a store's manifest says of exports. */
#ifndef DLM_API_EXPORT_RECORD_H
#define DLM_API_EXPORT_RECORD_H

#include "store/manifest.h"

/* Appends an export. A training holds the store's lock for as long as it runs, or the store may not
 * be written: that is a warning, for the export is whole without a record. */
enum dlm_status dlm_export_record(struct dlm_ctx *ctx, struct dlm_store *store,
                                  const struct dlm_export_entry *entry) DLM_CHECK_RESULT;

#endif
