/* Base64 to bytes. */
#include "base/base64.h"

#include <string.h>

size_t dlm_base64_room(size_t len)
{
    return len / 4 * 3 + 3;
}

/* The six bits of a character, -1 if it has none. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool dlm_base64_decode(const char *text, size_t len, uint8_t *out, size_t *bytes)
{
    size_t num = 0, padding = 0; /* characters so far */
    uint32_t bits = 0;
    uint8_t *end = out;

    *bytes = 0;
    for (size_t i = 0; i < len; i++) {
        const int value = value_of(text[i]);
        if (text[i] == '=') {
            padding++;
        } else if (value >= 0 && !padding) {
            bits = bits << 6 | (uint32_t)value;
            num++;
            if (num % 4 != 1)
                *end++ = (uint8_t)(bits >> (6 - 2 * ((num - 1) % 4)));
        } else if (value >= 0 || !text[i] || !strchr(" \t\r\n", text[i])) {
            return false;
        }
    }
    if (num % 4 == 1 || (padding && (padding > 2 || (num + padding) % 4)))
        return false;
    *bytes = (size_t)(end - out);
    return true;
}
