/* Counter-based random numbers: Philox4x32-10, for the host. Kernels use dlm_philox of scalar.h. */
#ifndef DLM_BASE_RNG_H
#define DLM_BASE_RNG_H

#include <stdint.h>

/* out = Philox4x32-10(counter, key). */
void dlm_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A stream of words for one (key, stream) pair; all fields but these follow from use. */
struct dlm_rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t words[4];
    int used;
};

void dlm_rng_init(struct dlm_rng *rng, uint64_t seed, uint64_t stream);
uint32_t dlm_rng_next(struct dlm_rng *rng);
/* Uniform in 0..n-1, unbiased; n >= 1. */
uint32_t dlm_rng_below(struct dlm_rng *rng, uint32_t n);
/* Uniform in [0, 1), 24 bits. */
float dlm_rng_uniform(struct dlm_rng *rng);

#endif
