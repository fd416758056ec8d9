/* SHA-1 (FIPS 180-4), by which git names its blobs. Not for anything that must resist forgery. */
#ifndef DLM_BASE_SHA1_H
#define DLM_BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

struct dlm_sha1 {
    uint32_t state[5];
    uint64_t bytes;
    uint8_t block[64];
};

void dlm_sha1_init(struct dlm_sha1 *s);
void dlm_sha1_update(struct dlm_sha1 *s, const void *data, size_t bytes);
void dlm_sha1_finish(struct dlm_sha1 *s, uint8_t digest[20]);

#endif
