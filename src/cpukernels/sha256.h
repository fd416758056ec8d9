/* SHA-256 by instructions that some CPUs have for it. Not a kernel of the CPU device: src/base/
 * hashes files with it. */
#ifndef DLM_CPUKERNELS_SHA256_H
#define DLM_CPUKERNELS_SHA256_H

#include "base/sha256.h"

/* What takes blocks into a state on this CPU; NULL: it has nothing better than plain C. */
dlm_sha256_fn dlm_cpu_sha256(void);

#if defined(__x86_64__)
void dlm_cpu_sha256_shani(uint32_t state[8], const uint8_t *blocks, size_t num);
#elif defined(__aarch64__)
void dlm_cpu_sha256_sha2(uint32_t state[8], const uint8_t *blocks, size_t num);
#endif

#endif
