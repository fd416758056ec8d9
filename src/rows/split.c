/* Which rows are held out, and in which order an epoch takes the others. */
#include <stdio.h>

#include "base/rng.h"
#include "base/sha256.h"
#include "rows/rows.h"

/* 0.1 * 2^64, rounded down as the reference's double arithmetic has it. */
#define VAL_THRESHOLD UINT64_C(1844674407370955264)

/* Keeps the order's random numbers apart from those of other uses of the seed. */
#define ORDER_STREAM (UINT64_C(0x6f726465) << 32) /* "orde" */

bool dlm_rows_is_val(int64_t seed, const char *section_id, int64_t index)
{
    char key[96];
    uint8_t digest[32];
    struct dlm_sha256 sha;

    int seed_len = snprintf(key, sizeof(key), "%lld", (long long)seed);
    dlm_sha256_init(&sha);
    dlm_sha256_update(&sha, key, (size_t)seed_len + 1); /* with its NUL */
    int len = snprintf(key, sizeof(key), "%s%c%lld", section_id, '\0', (long long)index);
    dlm_sha256_update(&sha, key, (size_t)len);
    dlm_sha256_finish(&sha, digest);
    uint64_t bucket = 0;
    for (int i = 0; i < 8; i++)
        bucket = bucket << 8 | digest[i];
    return bucket < VAL_THRESHOLD;
}

void dlm_rows_order(int64_t seed, uint32_t epoch, uint32_t n, uint32_t *order)
{
    struct dlm_rng rng;

    dlm_rng_init(&rng, (uint64_t)seed, ORDER_STREAM | epoch);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = dlm_rng_below(&rng, i);
        uint32_t swap = order[i - 1];
        order[i - 1] = order[k];
        order[k] = swap;
    }
}
