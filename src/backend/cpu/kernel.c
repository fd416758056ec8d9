/* Kernels of the CPU device by name. A row whose name ends in an instruction set is there only when
 * the device has its capability bit. */
#include <string.h>

#include "backend/cpu/cpu.h"

struct variant {
    const char *suffix;
    uint32_t cap;
};

static const struct variant variants[] = {
    {"_avx512bf16", DLM_CAP_AVX512_BF16},
    {"_avx512vnni", DLM_CAP_AVX512_VNNI},
    {"_amx", DLM_CAP_AMX_BF16},
    {"_neonbf16", DLM_CAP_NEON_BF16},
};

static bool ends_with(const char *name, const char *suffix)
{
    const size_t name_len = strlen(name);
    const size_t suffix_len = strlen(suffix);

    return name_len >= suffix_len && !strcmp(name + name_len - suffix_len, suffix);
}

static bool can_run(const struct dlm_device *device, const char *name)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(variants); i++) {
        if (ends_with(name, variants[i].suffix))
            return device->caps.bits & variants[i].cap;
    }
    return true;
}

const struct dlm_cpu_kernel *dlm_cpu_find_kernel(const struct dlm_cpu_device *device,
                                                 const char *name)
{
    for (const struct dlm_cpu_kernel *k = device->kernels; k->name; k++) {
        if (!strcmp(k->name, name))
            return can_run(&device->base, name) ? k : NULL;
    }
    return NULL;
}

bool dlm_cpu_has_kernel(const struct dlm_device *device, const char *name)
{
    return dlm_cpu_find_kernel((const struct dlm_cpu_device *)device, name) != NULL;
}
