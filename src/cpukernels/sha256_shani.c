/* SHA-256 by the SHA extensions of x86. */
#include <immintrin.h>

#include "base/sha256_rounds.h"
#include "cpukernels/sha256.h"

/* The eight words of the state as sha256rnds2 has them, the last of a name in the lowest lane. */
struct state {
    __m128i abef, cdgh;
};

static __m128i load(const void *p)
{
    return _mm_loadu_si128(p);
}

/* Rounds 4 i to 4 i + 3, of the words w. Two rounds turn a, b, e, f into c, d, g, h. */
static inline void four_rounds(struct state *s, __m128i w, int i)
{
    const __m128i kw = _mm_add_epi32(w, load(dlm_sha256_rounds + 4 * i));

    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, kw);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(kw, 0x0e));
}

/* The four words of the schedule that follow the sixteen a, b, c, d. */
static inline __m128i next_words(__m128i a, __m128i b, __m128i c, __m128i d)
{
    const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4));

    return _mm_sha256msg2_epu32(sum, d);
}

static void take_block(struct state *s, const uint8_t *block)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const struct state before = *s;
    __m128i w[4];

    for (int i = 0; i < 4; i++)
        w[i] = _mm_shuffle_epi8(load(block + 16 * i), big_endian);
    for (int i = 0; i < 12; i += 4)
        for (int k = 0; k < 4; k++) {
            four_rounds(s, w[k], i + k);
            w[k] = next_words(w[k], w[(k + 1) % 4], w[(k + 2) % 4], w[(k + 3) % 4]);
        }
    for (int k = 0; k < 4; k++)
        four_rounds(s, w[k], 12 + k);
    s->abef = _mm_add_epi32(s->abef, before.abef);
    s->cdgh = _mm_add_epi32(s->cdgh, before.cdgh);
}

void dlm_cpu_sha256_shani(uint32_t state[8], const uint8_t *blocks, size_t num)
{
    const __m128i cdab = _mm_shuffle_epi32(load(state), 0xb1);
    const __m128i efgh = _mm_shuffle_epi32(load(state + 4), 0x1b);
    struct state s = {.abef = _mm_alignr_epi8(cdab, efgh, 8),
                      .cdgh = _mm_blend_epi16(efgh, cdab, 0xf0)};

    for (size_t i = 0; i < num; i++)
        take_block(&s, blocks + 64 * i);
    const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
