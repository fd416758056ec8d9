/* What SHA-1 and SHA-256 share (FIPS 180-4, section 5): bytes taken in blocks of 64, the padding,
 * the digest. For those two files only. */
#ifndef DLM_BASE_HASH_BLOCKS_H
#define DLM_BASE_HASH_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Takes `num` blocks of 64 bytes into the state. */
typedef void (*dlm_compress_fn)(uint32_t *state, const uint8_t *blocks, size_t num);

/* Takes data into state; *num_bytes counts all so far, block holds those of the last, begun one. */
static inline void dlm_hash_blocks_update(dlm_compress_fn compress, uint32_t *state,
                                          uint64_t *num_bytes, uint8_t block[64],
                                          const void *data, size_t bytes)
{
    const uint8_t *p = data;

    while (bytes) {
        const size_t at = *num_bytes % 64;
        const bool is_whole = !at && bytes >= 64;
        const size_t n = is_whole ? bytes - bytes % 64 : 64 - at < bytes ? 64 - at : bytes;
        if (is_whole) {
            compress(state, p, n / 64);
        } else {
            memcpy(block + at, p, n);
            if (at + n == 64)
                compress(state, block, 1);
        }
        *num_bytes += n;
        p += n;
        bytes -= n;
    }
}

/* Ends the message and writes the state's first digest_bytes, big-endian. */
static inline void dlm_hash_blocks_finish(dlm_compress_fn compress, uint32_t *state,
                                          uint64_t *num_bytes, uint8_t block[64], uint8_t *digest,
                                          int digest_bytes)
{
    static const uint8_t padding[64] = {0x80};
    const uint64_t bits = *num_bytes * 8;
    uint8_t length[8];

    dlm_hash_blocks_update(compress, state, num_bytes, block, padding,
                           1 + (119 - *num_bytes % 64) % 64);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    dlm_hash_blocks_update(compress, state, num_bytes, block, length, 8);
    for (int i = 0; i < digest_bytes; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

#endif
