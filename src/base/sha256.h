/* SHA-256 (FIPS 180-4). */
#ifndef DLM_BASE_SHA256_H
#define DLM_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Takes `num` blocks of 64 bytes into the state. */
typedef void (*dlm_sha256_fn)(uint32_t state[8], const uint8_t *blocks, size_t num);

struct dlm_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
    dlm_sha256_fn compress; /* plain C, or the CPU's own instructions once a large piece came */
    bool has_asked;         /* for them */
};

void dlm_sha256_init(struct dlm_sha256 *s);
void dlm_sha256_update(struct dlm_sha256 *s, const void *data, size_t bytes);
void dlm_sha256_finish(struct dlm_sha256 *s, uint8_t digest[32]);

/* Lower-case hex of the digest, 64 characters and a NUL. */
void dlm_sha256_hex(const uint8_t digest[32], char hex[65]);
/* Digest of one block of memory, as hex. */
void dlm_sha256_of(const void *data, size_t bytes, char hex[65]);

#endif
