/* Properties of a device as JSON: what `dlm doctor --json` prints of it, and what the process that
 * looked at it tells the one that asked. docs/json.md describes the keys. */
#ifndef DLM_DOCTOR_DEVICE_JSON_H
#define DLM_DOCTOR_DEVICE_JSON_H

#include "backend/properties.h"
#include "base/json.h"

/* "cpu", "software", "unified" or "card". */
const char *dlm_device_kind_text(const struct dlm_device_info *info);

/* "none", "emulated", "fast". */
const char *dlm_int8_dot_text(enum dlm_int8_dot dot);

/* An object owned by the caller; NULL: no memory. */
json_t *dlm_device_json(const struct dlm_device_properties *p);

/* Reads one back. DLM_ERR_PARSE names `where`; *p is then undefined. */
enum dlm_status dlm_device_from_json(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                     struct dlm_device_properties *p) DLM_CHECK_RESULT;

#endif
