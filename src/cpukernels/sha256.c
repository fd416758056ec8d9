/* Whether the CPU has instructions for SHA-256. */
#include "cpukernels/sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

dlm_sha256_fn dlm_cpu_sha256(void)
{
#if defined(__x86_64__)
    uint32_t a, b, c, d;
    /* SHA, and the SSSE3 and SSE4.1 that go with it */
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1u << 29 && __get_cpuid(1, &a, &b, &c, &d) &&
        c & 1u << 9 && c & 1u << 19)
        return dlm_cpu_sha256_shani;
#elif defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & HWCAP_SHA2)
        return dlm_cpu_sha256_sha2;
#endif
    return NULL;
}
