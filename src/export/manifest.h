/* The manifest of an export: the last of its files, with the hash of each other. */
#ifndef DLM_EXPORT_MANIFEST_H
#define DLM_EXPORT_MANIFEST_H

#include <jansson.h>

#include "export/sink.h"

/* An array of path, sha256 and size_bytes of each file that has ended but the README, which is for
 * people; NULL when out of memory. */
json_t *dlm_export_artifacts(struct dlm_sink *sink);

/* Writes json, which it takes, as the file `name`; NULL is one that could not be made. */
enum dlm_status dlm_export_manifest(struct dlm_ctx *ctx, struct dlm_sink *sink, const char *name,
                                    json_t *json) DLM_CHECK_RESULT;

#endif
