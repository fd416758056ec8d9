/* CPU kernels: names and prototypes. Every file of kernels is compiled once for each instruction
 * set, with DLM_CPU_ISA naming it (base, v3, v4): `void DLM_CPU_KERNEL(rms_norm)(call, item)` is
 * dlm_cpu_rms_norm_v3 in the second build. Files that need an instruction beyond v4, or
 * on ARM beyond base, which is NEON there, carry its name (<op>_avx512bf16.c, <op>_amx.c,
 * <op>_neonbf16.c), are compiled once with DLM_CPU_ISA=v4 or base, and write out the whole name
 * dlm_cpu_<op>_avx512bf16. Everything else in such files is static. */
#ifndef DLM_CPUKERNELS_CPUKERNELS_H
#define DLM_CPUKERNELS_CPUKERNELS_H

#include "base/attr.h"
#include "cpukernels/table.h"
#include "kernels/params.h"

#ifndef DLM_CPU_ISA
#define DLM_CPU_ISA base
#endif

#define DLM_CPU_PASTE_(name, isa) dlm_cpu_##name##_##isa
#define DLM_CPU_PASTE(name, isa) DLM_CPU_PASTE_(name, isa)
#define DLM_CPU_KERNEL(name) DLM_CPU_PASTE(name, DLM_CPU_ISA)

#define X(name) void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item);
#define X_AVX512BF16(name) void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item);
#define X_AVX512VNNI(name) void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item);
#define X_AMX(name) void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item);
#define X_NEONBF16(name) void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item);
#include "cpukernels/kernel_list.h"

#endif
