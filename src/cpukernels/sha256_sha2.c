/* SHA-256 by the cryptographic extension of 64-bit ARM. */
#include <arm_neon.h>

#include "base/sha256_rounds.h"
#include "cpukernels/sha256.h"

struct state {
    uint32x4_t abcd, efgh;
};

/* Rounds 4 i to 4 i + 3, of the words w. */
static inline void four_rounds(struct state *s, uint32x4_t w, int i)
{
    const uint32x4_t kw = vaddq_u32(w, vld1q_u32(dlm_sha256_rounds + 4 * i));
    const uint32x4_t abcd = s->abcd;

    s->abcd = vsha256hq_u32(abcd, s->efgh, kw);
    s->efgh = vsha256h2q_u32(s->efgh, abcd, kw);
}

static void take_block(struct state *s, const uint8_t *block)
{
    const struct state before = *s;
    uint32x4_t w[4];

    for (int i = 0; i < 4; i++)
        w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(block + 16 * i)));
    for (int i = 0; i < 12; i += 4)
        for (int k = 0; k < 4; k++) {
            four_rounds(s, w[k], i + k);
            w[k] = vsha256su1q_u32(vsha256su0q_u32(w[k], w[(k + 1) % 4]), w[(k + 2) % 4],
                                   w[(k + 3) % 4]);
        }
    for (int k = 0; k < 4; k++)
        four_rounds(s, w[k], 12 + k);
    s->abcd = vaddq_u32(s->abcd, before.abcd);
    s->efgh = vaddq_u32(s->efgh, before.efgh);
}

void dlm_cpu_sha256_sha2(uint32_t state[8], const uint8_t *blocks, size_t num)
{
    struct state s = {.abcd = vld1q_u32(state), .efgh = vld1q_u32(state + 4)};

    for (size_t i = 0; i < num; i++)
        take_block(&s, blocks + 64 * i);
    vst1q_u32(state, s.abcd);
    vst1q_u32(state + 4, s.efgh);
}
