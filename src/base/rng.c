/* Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011). */
#include "base/rng.h"

#include <string.h>

void dlm_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k[2] = {key[0], key[1]};

    memcpy(c, counter, sizeof(c));
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
        c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k[0];
        c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k[1];
        c[3] = (uint32_t)p0;
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof(c));
}

void dlm_rng_init(struct dlm_rng *rng, uint64_t seed, uint64_t stream)
{
    *rng = (struct dlm_rng){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, 0, (uint32_t)stream, (uint32_t)(stream >> 32)},
        .used = 4,
    };
}

uint32_t dlm_rng_next(struct dlm_rng *rng)
{
    if (rng->used == 4) {
        dlm_philox4x32(rng->counter, rng->key, rng->words);
        if (!++rng->counter[0])
            rng->counter[1]++;
        rng->used = 0;
    }
    return rng->words[rng->used++];
}

uint32_t dlm_rng_below(struct dlm_rng *rng, uint32_t n)
{
    /* reject the words past the last full multiple of n */
    uint32_t limit = (uint32_t)-n % n;
    uint32_t word;

    do
        word = dlm_rng_next(rng);
    while (word < limit);
    return word % n;
}

float dlm_rng_uniform(struct dlm_rng *rng)
{
    return (float)(dlm_rng_next(rng) >> 8) * 0x1p-24f;
}
