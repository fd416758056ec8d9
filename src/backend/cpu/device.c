/* The CPU as a device: what its instruction set allows, which kernel table follows from that. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include "backend/cpu/cpu.h"
#include "base/host.h"
#include "base/pool.h"

#if defined(__x86_64__)

/* CPUID leaves, named by register as in the manuals. */
struct cpuid {
    uint32_t max_leaf;
    char vendor[13];
    uint32_t l1_ecx;            /* leaf 1 */
    uint32_t l7_ebx, l7_ecx, l7_edx; /* leaf 7.0 */
    uint32_t l7_1_eax;          /* leaf 7.1 */
    uint32_t ext_ecx;           /* leaf 0x80000001 */
    uint64_t xcr0;              /* register state that the system saves */
};

#define BIT(n) (1u << (n))
/* FMA, MOVBE, XSAVE, OSXSAVE, AVX, F16C */
#define L1_ECX_V3 (BIT(12) | BIT(22) | BIT(26) | BIT(27) | BIT(28) | BIT(29))
/* BMI1, AVX2, BMI2 */
#define L7_EBX_V3 (BIT(3) | BIT(5) | BIT(8))
/* AVX-512 F, DQ, CD, BW, VL */
#define L7_EBX_V4 (BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31))
#define L7_ECX_AVX512_VNNI BIT(11)
/* AMX-BF16, AMX-TILE */
#define L7_EDX_AMX (BIT(22) | BIT(24))
#define L7_1_EAX_AVX512_BF16 BIT(5)
#define EXT_ECX_LZCNT BIT(5)
#define XCR0_AVX 0x6u
#define XCR0_AVX512 0xe6u
#define XCR0_AMX 0x60000u

static bool has_all(uint64_t value, uint64_t bits)
{
    return (value & bits) == bits;
}

static void read_cpuid(struct cpuid *id)
{
    uint32_t a, b, c, d;

    memset(id, 0, sizeof(*id));
    if (!__get_cpuid(0, &id->max_leaf, &b, &c, &d))
        return;
    memcpy(id->vendor, &b, 4);
    memcpy(id->vendor + 4, &d, 4);
    memcpy(id->vendor + 8, &c, 4);
    if (__get_cpuid(1, &a, &b, &c, &d))
        id->l1_ecx = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        id->l7_ebx = b;
        id->l7_ecx = c;
        id->l7_edx = d;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
            id->l7_1_eax = a;
    }
    if (__get_cpuid(0x80000001u, &a, &b, &c, &d))
        id->ext_ecx = c;
    if (id->l1_ecx & BIT(27)) {
        uint32_t low, high;
        /* xgetbv: the intrinsic would need -mxsave for the whole file */
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        id->xcr0 = (uint64_t)high << 32 | low;
    }
}

/* Linux gives AMX state only to a process that asks: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA). */
static bool request_amx(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    return !syscall(SYS_arch_prctl, 0x1023, 18);
#else
    return false;
#endif
}

/* vdpbf16ps does the work of two f32 FMAs. AMD's cores (Zen 4 and later) issue it as often as an
 * FMA; Intel's (Cooper Lake, Sapphire Rapids) four times less often, so that f32 FMA wins there. */
static bool is_vdpbf16_fast(const struct cpuid *id)
{
    return !strcmp(id->vendor, "AuthenticAMD");
}

/* Capabilities of this CPU, no more than `allowed`. */
static uint32_t detect_caps(uint32_t allowed)
{
    struct cpuid id;
    uint32_t caps = 0;

    read_cpuid(&id);
    if (!has_all(id.l1_ecx, L1_ECX_V3) || !has_all(id.l7_ebx, L7_EBX_V3) ||
        !has_all(id.ext_ecx, EXT_ECX_LZCNT) || !has_all(id.xcr0, XCR0_AVX))
        return 0;
    caps |= DLM_CAP_AVX2;
    if (!has_all(id.l7_ebx, L7_EBX_V4) || !has_all(id.xcr0, XCR0_AVX512))
        return caps & allowed;
    caps |= DLM_CAP_AVX512;
    if (has_all(id.l7_1_eax, L7_1_EAX_AVX512_BF16) && is_vdpbf16_fast(&id))
        caps |= DLM_CAP_AVX512_BF16;
    if (has_all(id.l7_ecx, L7_ECX_AVX512_VNNI))
        caps |= DLM_CAP_AVX512_VNNI;
    if ((allowed & DLM_CAP_AMX_BF16) && has_all(id.l7_edx, L7_EDX_AMX) &&
        has_all(id.l7_1_eax, L7_1_EAX_AVX512_BF16) && has_all(id.xcr0, XCR0_AMX) && request_amx())
        caps |= DLM_CAP_AMX_BF16;
    return caps & allowed;
}

static void cpu_name(char *name, size_t cap)
{
    uint32_t words[12] = {0};
    char brand[sizeof(words) + 1];

    for (uint32_t i = 0; i < 3; i++) {
        uint32_t *w = words + 4 * i;
        if (!__get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3]))
            break;
    }
    memcpy(brand, words, sizeof(words));
    brand[sizeof(words)] = '\0';
    size_t len = strlen(brand);
    while (len && brand[len - 1] == ' ')
        brand[--len] = '\0';
    const char *start = brand + strspn(brand, " ");
    snprintf(name, cap, "%s", *start ? start : "x86-64 CPU");
}

static void cpu_vendor(char *name, size_t cap)
{
    struct cpuid id;

    read_cpuid(&id);
    snprintf(name, cap, "%s", id.vendor);
}

static const struct dlm_cpu_kernel *choose_table(uint32_t caps)
{
    if (caps & DLM_CAP_AVX512)
        return dlm_cpu_kernels_v4;
    return caps & DLM_CAP_AVX2 ? dlm_cpu_kernels_v3 : dlm_cpu_kernels_base;
}

#else

static uint32_t detect_caps(uint32_t allowed)
{
    uint32_t caps = 0;

#if defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP2) & HWCAP2_BF16)
        caps |= DLM_CAP_NEON_BF16;
#endif
    return caps & allowed;
}

static void cpu_name(char *name, size_t cap)
{
    struct utsname system;

    snprintf(name, cap, "%s CPU", uname(&system) ? "unknown" : system.machine);
}

static void cpu_vendor(char *name, size_t cap)
{
    (void)cap;
    name[0] = '\0';
}

static const struct dlm_cpu_kernel *choose_table(uint32_t caps)
{
    (void)caps;
    return dlm_cpu_kernels_base;
}

#endif

#if defined(__aarch64__)
#define BASE "neon"
#else
#define BASE "base"
#endif

/* "v4+avx512bf16+amx" */
static void isa_text(uint32_t caps, char *text, size_t cap)
{
    const char *table = BASE;

    if (caps & DLM_CAP_AVX512)
        table = "v4";
    else if (caps & DLM_CAP_AVX2)
        table = "v3";
    snprintf(text, cap, "%s%s%s%s", table, caps & DLM_CAP_AVX512_BF16 ? "+avx512bf16" : "",
             caps & DLM_CAP_AMX_BF16 ? "+amx" : "", caps & DLM_CAP_NEON_BF16 ? "+bf16" : "");
}

void dlm_cpu_device_describe(struct dlm_cpu_device *cpu, uint32_t hide_caps)
{
    struct dlm_device_caps *caps = &cpu->base.caps;
    const uint32_t bits = detect_caps(~hide_caps);
    struct dlm_host host;

    dlm_host_read(&host, "");
    cpu->kernels = choose_table(bits);
    cpu->num_workers = dlm_ctx_num_threads(cpu->base.ctx);
    caps->info = (struct dlm_device_info){.kind = DLM_BACKEND_CPU, .is_unified = true};
    cpu_name(caps->info.name, sizeof(caps->info.name));
    isa_text(bits, caps->info.driver, sizeof(caps->info.driver));
    caps->info.memory_bytes = host.memory_bytes;
    caps->info.max_alloc_bytes = SIZE_MAX / 4;
    caps->bits = bits | DLM_CAP_PANELS | DLM_CAP_BLOCK_ITEMS;
    caps->max_alloc_bytes = SIZE_MAX / 4;
    caps->max_range_bytes = SIZE_MAX / 4;
    caps->align_bytes = 1; /* kernels take any address */
    caps->max_groups = INT32_MAX;
    caps->num_units = (uint32_t)cpu->num_workers; /* a thread count fits */
    caps->free_bytes = host.free_bytes;
    caps->host_page_bytes = dlm_cpu_page_bytes();
    caps->recorded_bytes = dlm_cpu_recorded_bytes();
}

void dlm_cpu_device_properties(const struct dlm_cpu_device *cpu, struct dlm_device_properties *p)
{
    const struct dlm_device_caps *caps = &cpu->base.caps;

    *p = (struct dlm_device_properties){.info = caps->info, .free_bytes = caps->free_bytes};
    cpu_vendor(p->vendor, sizeof(p->vendor));
    snprintf(p->free_from, sizeof(p->free_from), "%s", caps->free_bytes ? "machine" : "");
    p->int8_dot = caps->bits & DLM_CAP_AVX512_VNNI ? DLM_INT8_DOT_FAST : DLM_INT8_DOT_NONE;
    if (caps->bits & DLM_CAP_AMX_BF16)
        p->shapes[p->num_shapes++] = (struct dlm_matrix_shape){"bf16", "bf16", "f32", "f32",
                                                               16, 16, 32};
}
