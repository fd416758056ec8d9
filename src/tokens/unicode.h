/* Code points, character classes and normalization forms, on valid UTF-8. */
#ifndef DLM_TOKENS_UNICODE_H
#define DLM_TOKENS_UNICODE_H

#include <stdint.h>

#include "base/str.h"

/* Bytes of the character that starts with this byte. */
static inline size_t dlm_unicode_lead_bytes(char lead)
{
    unsigned char c = (unsigned char)lead;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

/* The character at s (which must be the first byte of a complete one); *bytes is its length. */
uint32_t dlm_unicode_decode(const char *s, size_t *bytes);
/* The character that ends before s; *bytes is its length. */
uint32_t dlm_unicode_decode_before(const char *s, size_t *bytes);
/* Writes cp as UTF-8, returns its length (1-4). */
size_t dlm_unicode_encode(uint32_t cp, char out[4]);

/* White_Space of the Unicode character database. */
bool dlm_unicode_is_space(uint32_t cp);
/* \w of Unicode regular expressions (UTS 18): Alphabetic, M, Nd, Pc, Join_Control. */
bool dlm_unicode_is_word(uint32_t cp);

/* The character that byte-level vocabularies write for a byte, and back (-1: not such a character).
 * Printable Latin-1 stands for itself, the other 68 bytes are U+0100 and up in byte order. */
uint32_t dlm_unicode_byte_to_char(uint8_t byte);
int dlm_unicode_char_to_byte(uint32_t cp);

enum dlm_unicode_form {
    DLM_UNICODE_NFC,
    DLM_UNICODE_NFD,
    DLM_UNICODE_NFKC,
    DLM_UNICODE_NFKD,
};

/* Appends text[0..len) in a normalization form to out.
 * The tables are utf8proc's. The library's end with Unicode 9: it leaves the few newer marks where
 * they are, and the newer compatibility characters as they are. */
enum dlm_status dlm_unicode_normalize(struct dlm_ctx *ctx, enum dlm_unicode_form form,
                                      const char *text, size_t len,
                                      struct dlm_str *out) DLM_CHECK_RESULT;
/* Appends text[0..len) in lower case (character by character, no context) to out. */
enum dlm_status dlm_unicode_lowercase(struct dlm_ctx *ctx, const char *text, size_t len,
                                      struct dlm_str *out) DLM_CHECK_RESULT;

/* Appends bytes[0..len) to out with one U+FFFD for each maximal invalid part. An incomplete
 * character at the end is left out unless `last`; *used is what was consumed. */
enum dlm_status dlm_unicode_append_lossy(struct dlm_ctx *ctx, const char *bytes, size_t len,
                                         bool last, size_t *used,
                                         struct dlm_str *out) DLM_CHECK_RESULT;

#define DLM_UNICODE_REPLACEMENT "\xEF\xBF\xBD"

#endif
