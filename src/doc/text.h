/* Text rules the document format takes from Python: decoding, white space, lines, repr. For src/doc
 * and src/rows only. */
#ifndef DLM_DOC_TEXT_H
#define DLM_DOC_TEXT_H

#include <stdint.h>

#include "base/str.h"

/* Checks bytes[0..len) as Python's strict UTF-8 decoder does. On false *offset is the start of the
 * bad sequence and *reason a static text. */
bool dlm_text_check_utf8(const char *bytes, size_t len, size_t *offset, const char **reason);

/* Copies text into the arena without a leading BOM, with CRLF and CR as LF, and a NUL at the end.
 * *had_bom may be NULL. DLM_ERR_MEMORY only. */
enum dlm_status dlm_text_normalize(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *text,
                                   size_t len, char **out, size_t *out_len,
                                   bool *had_bom) DLM_CHECK_RESULT;

/* Decodes the character at text[0..len), len > 0, of valid UTF-8; returns its length in bytes. */
size_t dlm_text_decode(const char *text, size_t len, uint32_t *codepoint);

/* str.isspace() of one character. */
bool dlm_text_is_space(uint32_t codepoint);

/* The first character of text up to end that is no white space, or end. */
const char *dlm_text_skip_space(const char *text, const char *end);

/* str.strip(): narrows *text, *len (valid UTF-8). */
void dlm_text_strip(const char **text, size_t *len);

/* True when text[0..len) stripped is empty. */
bool dlm_text_is_blank(const char *text, size_t len);

/* str.splitlines() one line at a time: false at the end of text[0..len). *pos starts at 0. */
bool dlm_text_next_line(const char *text, size_t len, size_t *pos, const char **line,
                        size_t *line_len);

/* Appends repr() of a str (valid UTF-8), of a float. */
enum dlm_status dlm_text_append_repr(struct dlm_ctx *ctx, struct dlm_str *out, const char *text,
                                     size_t len) DLM_CHECK_RESULT;
enum dlm_status dlm_text_append_float(struct dlm_ctx *ctx, struct dlm_str *out,
                                      double value) DLM_CHECK_RESULT;

/* Parses a float as Python's float() does (ASCII digits only): surrounding white space, single
 * underscores between digits, inf and nan. */
bool dlm_text_to_float(const char *text, size_t len, double *value);

/* datetime.fromisoformat() of Python 3.11 after every 'Z' became "+00:00": would it succeed? */
bool dlm_text_is_iso_datetime(const char *text, size_t len);

#endif
