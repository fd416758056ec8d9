/* A growing byte string. All zero is valid and empty; data is NUL-terminated once non-empty. */
#ifndef DLM_BASE_STR_H
#define DLM_BASE_STR_H

#include <stdint.h>

#include "base/mem.h"

struct dlm_str {
    char *data;
    size_t len;
    size_t cap;
};

enum dlm_status dlm_str_append(struct dlm_ctx *ctx, struct dlm_str *s, const char *bytes,
                               size_t len) DLM_CHECK_RESULT;
enum dlm_status dlm_str_appendz(struct dlm_ctx *ctx, struct dlm_str *s,
                                const char *text) DLM_CHECK_RESULT;
enum dlm_status dlm_str_appendf(struct dlm_ctx *ctx, struct dlm_str *s, const char *fmt, ...)
    DLM_PRINTF(3, 4) DLM_CHECK_RESULT;
void dlm_str_finish(struct dlm_str *s);

/* The text, "" when empty. */
const char *dlm_str_text(const struct dlm_str *s);

/* "812 B", "3.2 MB": decimal units. */
void dlm_size_text(uint64_t bytes, char *text, size_t text_bytes);

/* "12 s", "3.4 ms", "56 us": two digits. */
void dlm_seconds_text(double seconds, char *text, size_t text_bytes);

/* True when bytes[0..len) are valid UTF-8 (no surrogates, no overlong forms). On false *bad (may be
 * NULL) is the offset of the first bad byte. */
bool dlm_utf8_is_valid(const char *bytes, size_t len, size_t *bad);

#endif
