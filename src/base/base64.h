/* Base64 (RFC 4648, section 4) to bytes. */
#ifndef DLM_BASE_BASE64_H
#define DLM_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room that len characters need at most. */
size_t dlm_base64_room(size_t len);

/* Decodes text[0..len) into out, which has room, and sets *bytes. Padding may be left out; blanks
 * and line ends are skipped. False: another character, or a length that no bytes give. */
bool dlm_base64_decode(const char *text, size_t len, uint8_t *out, size_t *bytes);

#endif
