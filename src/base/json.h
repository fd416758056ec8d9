/* Small helpers over jansson: files with named errors, checked members. */
#ifndef DLM_BASE_JSON_H
#define DLM_BASE_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "base/str.h"

/* Parses path (at most max_bytes) into *out, owned by the caller (json_decref).
 * DLM_ERR_PARSE names path, line and column. */
enum dlm_status dlm_json_load(struct dlm_ctx *ctx, const char *path, size_t max_bytes,
                              json_t **out) DLM_CHECK_RESULT;

/* The same from text[0..len), which messages call `name`. */
enum dlm_status dlm_json_parse(struct dlm_ctx *ctx, const char *name, const char *text, size_t len,
                               json_t **out) DLM_CHECK_RESULT;

/* Canonical text: sorted keys, indent 2, UTF-8 unescaped, trailing newline; replaces path
 * atomically. */
enum dlm_status dlm_json_replace(struct dlm_ctx *ctx, const char *path,
                                 const json_t *json) DLM_CHECK_RESULT;

/* Appends the text that commands print: indent 2, a newline behind it, numbers with so many digits
 * (0: all). json NULL is one for which there was no memory: DLM_ERR_MEMORY, logged. */
enum dlm_status dlm_json_append(struct dlm_ctx *ctx, struct dlm_str *out, const json_t *json,
                                int digits) DLM_CHECK_RESULT;

/* The text of json with jansson's flags and the fewest digits that keep every real, as Python's
 * json.dumps() has them; no newline at the end. *text is freed with free(). */
enum dlm_status dlm_json_dump(struct dlm_ctx *ctx, const json_t *json, size_t flags,
                              char **text) DLM_CHECK_RESULT;

/* A string; null for NULL and "". */
json_t *dlm_json_text(const char *text);

/* Members with defaults: a missing or null key gives the default; another type (or a number out of
 * [min, max]) is DLM_ERR_PARSE naming `where` and the key. Strings are borrowed from object. */
enum dlm_status dlm_json_int(struct dlm_ctx *ctx, const json_t *object, const char *where,
                             const char *key, int64_t min, int64_t max, int64_t *value)
    DLM_CHECK_RESULT;
enum dlm_status dlm_json_number(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                const char *key, double *value) DLM_CHECK_RESULT;
enum dlm_status dlm_json_bool(struct dlm_ctx *ctx, const json_t *object, const char *where,
                              const char *key, bool *value) DLM_CHECK_RESULT;
enum dlm_status dlm_json_string(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                const char *key, const char **value) DLM_CHECK_RESULT;

#endif
