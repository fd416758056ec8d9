/* Instruction sets from the least to the most, by what a device must hide to be no more. */
#ifndef DLM_TESTS_CPUKERNELS_ISA_H
#define DLM_TESTS_CPUKERNELS_ISA_H

#include "backend/backend.h"

static const struct test_isa {
    const char *name;
    uint32_t hide_caps;
} isas[] = {
    {"base", DLM_CAP_AVX2 | DLM_CAP_AVX512 | DLM_CAP_AVX512_BF16 | DLM_CAP_AMX_BF16},
    {"v3", DLM_CAP_AVX512 | DLM_CAP_AVX512_BF16 | DLM_CAP_AMX_BF16},
    {"v4", DLM_CAP_AVX512_BF16 | DLM_CAP_AMX_BF16},
    {"avx512bf16", DLM_CAP_AMX_BF16},
    {"amx", 0},
};

#endif
