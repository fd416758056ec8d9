/* SHA-256. */
#include "base/sha256.h"

#include <string.h>

#include "base/hash_blocks.h"
#include "base/sha256_rounds.h"
#include "cpukernels/sha256.h"

#define ASK_BYTES 65536 /* asking the CPU takes as long as hashing 5 KiB, where cpuid is trapped */

static uint32_t rotr(uint32_t x, int n)
{
    return (x >> n) | (x << (32 - n));
}

/* A round (FIPS 180-4, 6.2.2). kw: the constant plus the word of the message. The next round takes
 * each word for the one after it, and what was h for its first, so that none is moved. */
static inline void step(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f,
                        uint32_t g, uint32_t *h, uint32_t kw)
{
    const uint32_t t1 = *h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + (g ^ (e & (f ^ g))) + kw;

    *d += t1;
    *h = t1 + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) | (c & (a | b)));
}

static void compress_block(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t b = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i += 8) {
        const uint32_t *k = dlm_sha256_rounds + i, *x = w + i;
        step(a, b, c, &d, e, f, g, &h, k[0] + x[0]);
        step(h, a, b, &c, d, e, f, &g, k[1] + x[1]);
        step(g, h, a, &b, c, d, e, &f, k[2] + x[2]);
        step(f, g, h, &a, b, c, d, &e, k[3] + x[3]);
        step(e, f, g, &h, a, b, c, &d, k[4] + x[4]);
        step(d, e, f, &g, h, a, b, &c, k[5] + x[5]);
        step(c, d, e, &f, g, h, a, &b, k[6] + x[6]);
        step(b, c, d, &e, f, g, h, &a, k[7] + x[7]);
    }
    const uint32_t s[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static void compress(uint32_t state[8], const uint8_t *blocks, size_t num)
{
    for (size_t i = 0; i < num; i++)
        compress_block(state, blocks + 64 * i);
}

void dlm_sha256_init(struct dlm_sha256 *s)
{
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(s->state, initial, sizeof(initial));
    s->bytes = 0;
    s->compress = compress;
    s->has_asked = false;
}

void dlm_sha256_update(struct dlm_sha256 *s, const void *data, size_t bytes)
{
    if (bytes >= ASK_BYTES && !s->has_asked) {
        const dlm_sha256_fn own = dlm_cpu_sha256();
        s->compress = own ? own : compress;
        s->has_asked = true;
    }
    dlm_hash_blocks_update(s->compress, s->state, &s->bytes, s->block, data, bytes);
}

void dlm_sha256_finish(struct dlm_sha256 *s, uint8_t digest[32])
{
    dlm_hash_blocks_finish(s->compress, s->state, &s->bytes, s->block, digest, 32);
}

void dlm_sha256_hex(const uint8_t digest[32], char hex[65])
{
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = '\0';
}

void dlm_sha256_of(const void *data, size_t bytes, char hex[65])
{
    struct dlm_sha256 s;
    uint8_t digest[32];

    dlm_sha256_init(&s);
    dlm_sha256_update(&s, data, bytes);
    dlm_sha256_finish(&s, digest);
    dlm_sha256_hex(digest, hex);
}
