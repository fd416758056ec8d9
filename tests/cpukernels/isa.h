/* Instruction sets from the least to the most, by what a device must hide to be no more. */
#ifndef DLM_TESTS_CPUKERNELS_ISA_H
#define DLM_TESTS_CPUKERNELS_ISA_H

#include "backend/backend.h"

/* The first so many have tables of kernels of their own, the others engines besides. */
#if defined(__aarch64__)
#define TEST_ISA_TABLES 1
#else
#define TEST_ISA_TABLES 3
#endif

static const struct test_isa {
    const char *name;
    uint32_t hide_caps;
} isas[] = {
#if defined(__aarch64__)
    {"neon", DLM_CAP_NEON_BF16},
    {"neon+bf16", 0},
#else
    {"base", DLM_CAP_AVX2 | DLM_CAP_AVX512 | DLM_CAP_AVX512_BF16 | DLM_CAP_AMX_BF16},
    {"v3", DLM_CAP_AVX512 | DLM_CAP_AVX512_BF16 | DLM_CAP_AMX_BF16},
    {"v4", DLM_CAP_AVX512_BF16 | DLM_CAP_AMX_BF16},
    {"avx512bf16", DLM_CAP_AMX_BF16},
    {"amx", 0},
#endif
};

#endif
