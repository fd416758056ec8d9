/* Document ids: ULIDs, 48 bits of milliseconds and 80 random bits in Crockford's base 32. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "doc/doc.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void dlm_ulid_encode(const uint8_t bytes[16], char out[27])
{
    /* 26 groups of 5 bits are 130: the number is padded by two zero bits on the left. */
    for (int i = 0; i < 26; i++) {
        int first_bit = 5 * i - 2;
        unsigned group = 0;
        for (int k = 0; k < 5; k++) {
            int bit = first_bit + k;
            unsigned value = bit < 0 ? 0 : bytes[bit / 8] >> (7 - bit % 8) & 1u;
            group = group << 1 | value;
        }
        out[i] = alphabet[group];
    }
    out[26] = '\0';
}

enum dlm_status dlm_ulid_new(struct dlm_ctx *ctx, char out[27])
{
    uint8_t bytes[16];
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now))
        return dlm_fail(ctx, DLM_ERR_IO, "cannot read the clock: %s", strerror(errno));
    if (getrandom(bytes + 6, 10, 0) != 10)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot get random bytes: %s", strerror(errno));
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (int i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
    dlm_ulid_encode(bytes, out);
    return DLM_OK;
}

/* The reference's pattern, [0-9A-HJ-KM-NP-TV-Z]{26}. */
bool dlm_ulid_is_valid(const char *text)
{
    return strlen(text) == 26 && strspn(text, alphabet) == 26;
}
