/* The kernel table of one instruction set: dlm_cpu_kernels_base, _v3 or _v4. The build defines
 * DLM_CPU_HAVE_VARIANTS for v4, and for base on 64-bit ARM: those tables also hold the kernels with
 * instructions beyond them. */
#include "cpukernels/cpukernels.h"

const struct dlm_cpu_kernel DLM_CPU_KERNEL(kernels)[] = {
#define X(name) {#name, DLM_CPU_KERNEL(name)},
#if defined(DLM_CPU_HAVE_VARIANTS) && defined(__aarch64__)
#define X_NEONBF16(name) {#name, dlm_cpu_##name},
#elif defined(DLM_CPU_HAVE_VARIANTS)
#define X_AVX512BF16(name) {#name, dlm_cpu_##name},
#define X_AVX512VNNI(name) {#name, dlm_cpu_##name},
#define X_AMX(name) {#name, dlm_cpu_##name},
#endif
#include "cpukernels/kernel_list.h"
    {NULL, NULL},
};
