/* FNV-1a (Fowler, Noll, Vo; http://www.isthe.com/chongo/tech/comp/fnv/). */
#include "base/hash.h"

#define PRIME 16777619u

uint32_t dlm_hash(uint32_t h, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * PRIME;
    return h;
}
