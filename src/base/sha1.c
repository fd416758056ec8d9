/* SHA-1. */
#include "base/sha1.h"

#include <string.h>

#include "base/hash_blocks.h"

static uint32_t rotl(uint32_t x, int n)
{
    return (x << n) | (x >> (32 - n));
}

/* f_t and K_t of section 4.1.1 and 4.2.1. */
static uint32_t mix(int t, uint32_t b, uint32_t c, uint32_t d)
{
    if (t < 20)
        return ((b & c) ^ (~b & d)) + 0x5a827999;
    if (t < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (t < 60)
        return ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void compress_block(uint32_t state[5], const uint8_t block[64])
{
    uint32_t w[80];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int t = 0; t < 80; t++) {
        const uint32_t next = rotl(a, 5) + mix(t, b, c, d) + e + w[t];
        e = d;
        d = c;
        c = rotl(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static void compress(uint32_t *state, const uint8_t *blocks, size_t num)
{
    for (size_t i = 0; i < num; i++)
        compress_block(state, blocks + 64 * i);
}

void dlm_sha1_init(struct dlm_sha1 *s)
{
    static const uint32_t initial[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

    memcpy(s->state, initial, sizeof(initial));
    s->bytes = 0;
}

void dlm_sha1_update(struct dlm_sha1 *s, const void *data, size_t bytes)
{
    dlm_hash_blocks_update(compress, s->state, &s->bytes, s->block, data, bytes);
}

void dlm_sha1_finish(struct dlm_sha1 *s, uint8_t digest[20])
{
    dlm_hash_blocks_finish(compress, s->state, &s->bytes, s->block, digest, 20);
}
