/* `dlm doctor`: the machine and its devices. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "backend/backend.h"
#include "base/host.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "dlm/doctor.h"
#include "doctor/device_json.h"
#include "doctor/driver_guard.h"

#define GIB (1024.0 * 1024 * 1024)

struct machine {
    struct utsname system;
    int cores; /* that dlm would use */
    struct dlm_host host;
    uint32_t cpu_bits; /* enum dlm_cap */
    struct dlm_probe probe;
    const struct dlm_device_properties *chosen; /* what --backend auto takes */
};

/* Instructions of the CPU for which there are kernels. */
static const struct {
    uint32_t bit;
    const char *name;
} instructions[] = {
    {DLM_CAP_AVX2, "AVX2"},
    {DLM_CAP_AVX512, "AVX-512"},
    {DLM_CAP_AVX512_VNNI, "AVX-512 VNNI"},
    {DLM_CAP_AVX512_BF16, "AVX-512 BF16"},
    {DLM_CAP_AMX_BF16, "AMX BF16"},
    {DLM_CAP_NEON_BF16, "NEON BF16"},
};

/* Of every CPU of its kind. */
#if defined(__aarch64__)
#define BASE_INSTRUCTIONS "NEON"
#else
#define BASE_INSTRUCTIONS NULL
#endif

static enum dlm_status inspect_cpu(struct dlm_ctx *ctx, struct machine *m)
{
    const struct dlm_device_params params = {.kind = DLM_BACKEND_CPU, .index = -1};
    struct dlm_device *cpu = NULL;

    dlm_host_read(&m->host, "");
    enum dlm_status st = dlm_device_open(ctx, &cpu, &params);
    if (!st)
        m->cpu_bits = dlm_device_get_caps(cpu)->bits;
    dlm_device_destroy(&cpu);
    return st;
}

static enum dlm_status inspect(struct dlm_ctx *ctx, struct machine *m)
{
    struct dlm_pool *pool = dlm_ctx_pool(ctx);

    if (!pool)
        return DLM_ERR_MEMORY;
    m->cores = dlm_pool_num_workers(pool);
    if (uname(&m->system))
        m->system = (struct utsname){.sysname = "unknown"};
    enum dlm_status st = inspect_cpu(ctx, m);
    if (!st)
        st = dlm_probe_run(ctx, &m->probe, DLM_BACKEND_AUTO);
    if (st)
        return st;
    dlm_driver_note(ctx, &m->probe, DLM_BACKEND_AUTO);
    m->chosen = dlm_probe_auto(&m->probe);
    return st;
}

/* --- lines --- */

static enum dlm_status append_instructions(struct dlm_ctx *ctx, const struct machine *m,
                                           struct dlm_str *out)
{
    const char *base = BASE_INSTRUCTIONS, *comma = base ? ", " : "";

    enum dlm_status st = base ? dlm_str_appendz(ctx, out, base) : DLM_OK;
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(instructions); i++)
        if (m->cpu_bits & instructions[i].bit) {
            st = dlm_str_appendf(ctx, out, "%s%s", comma, instructions[i].name);
            comma = ", ";
        }
    return st || *comma ? st : dlm_str_appendz(ctx, out, "baseline");
}

/* Each product once, whatever its c is; the rest is for programs. */
static enum dlm_status append_shapes(struct dlm_ctx *ctx, const struct dlm_device_properties *p,
                                     struct dlm_str *out)
{
    enum { MOST = 6 };
    struct dlm_str seen = {0};
    int num = 0;

    enum dlm_status st = dlm_str_appendz(ctx, &seen, ";");
    for (uint32_t i = 0; !st && i < p->num_shapes; i++) {
        const struct dlm_matrix_shape *s = &p->shapes[i];
        char text[64], key[72];
        snprintf(text, sizeof(text), "%s%s%s to %s %ux%ux%u", s->a, strcmp(s->a, s->b) ? "*" : "",
                 strcmp(s->a, s->b) ? s->b : "", s->result, s->m, s->n, s->k);
        snprintf(key, sizeof(key), ";%s;", text);
        if (strstr(seen.data, key))
            continue;
        if (num < MOST)
            st = dlm_str_appendf(ctx, out, "%s%s", num ? ", " : "matrix units: ", text);
        num++;
        if (!st)
            st = dlm_str_appendf(ctx, &seen, "%s;", text);
    }
    if (!st && num > MOST)
        st = dlm_str_appendf(ctx, out, " and %d more", num - MOST);
    dlm_str_finish(&seen);
    return st || num ? st : dlm_str_appendz(ctx, out, "no matrix units");
}

static enum dlm_status append_memory(struct dlm_ctx *ctx, const struct dlm_device_properties *p,
                                     struct dlm_str *out)
{
    const bool is_cpu = p->info.kind == DLM_BACKEND_CPU;

    enum dlm_status st =
        p->free_bytes
            ? dlm_str_appendf(ctx, out, "      %.1f GiB free (%s%s)", (double)p->free_bytes / GIB,
                              strcmp(p->free_from, "machine") ? "" : "of the ", p->free_from)
            : dlm_str_appendz(ctx, out, "      how much is free its driver does not tell");
    if (!st && !is_cpu)
        st = dlm_str_appendf(ctx, out, "; largest buffer %.1f GiB",
                             (double)p->info.max_alloc_bytes / GIB);
    return st ? st : dlm_str_appendz(ctx, out, "\n");
}

/* What only GPUs, and what is like them, have to tell. */
static enum dlm_status append_abilities(struct dlm_ctx *ctx, const struct dlm_device_properties *p,
                                        struct dlm_str *out)
{
    static const char *const dots[DLM_INT8_DOT_COUNT] = {
        [DLM_INT8_DOT_NONE] = "no int8 dot products",
        [DLM_INT8_DOT_EMULATED] = "int8 dot products emulated",
        [DLM_INT8_DOT_FAST] = "int8 dot products",
    };
    char subgroups[64] = "subgroups not known", ticks[48] = "no timestamps";

    if (p->min_subgroup < p->max_subgroup)
        snprintf(subgroups, sizeof(subgroups), "subgroups of %u to %u", p->min_subgroup,
                 p->max_subgroup);
    else if (p->subgroup)
        snprintf(subgroups, sizeof(subgroups), "subgroups of %u", p->subgroup);
    if (p->tick_ns > 0)
        snprintf(ticks, sizeof(ticks), "timestamps of %.4g ns", p->tick_ns);
    enum dlm_status st = dlm_str_appendf(ctx, out, "      %s, %s, %s, %s\n      ",
                                         p->has_f16 ? "fp16" : "no fp16", dots[p->int8_dot],
                                         subgroups, ticks);
    if (!st)
        st = append_shapes(ctx, p, out);
    return st ? st : dlm_str_appendz(ctx, out, "\n");
}

static enum dlm_status append_device(struct dlm_ctx *ctx, const struct machine *m,
                                     const struct dlm_device_properties *p, struct dlm_str *out)
{
    const struct dlm_device_info *d = &p->info;
    const bool is_cpu = d->kind == DLM_BACKEND_CPU;
    char memory[32] = "memory of unknown size";

    if (d->memory_bytes)
        snprintf(memory, sizeof(memory), "%.1f GiB", (double)d->memory_bytes / GIB);
    enum dlm_status st = dlm_str_appendf(
        ctx, out, "  --backend %-6s --device %d  %s, %s%s%s\n      %s%s%s\n",
        dlm_backend_name(d->kind), d->index, d->name, memory,
        is_cpu           ? ""
        : d->is_software ? ", software"
        : d->is_unified  ? ", unified with the machine's"
                         : " of its own",
        dlm_probe_is_usable(&m->probe, d->kind) ? "" : ", not usable: see below", d->driver,
        *p->vendor ? ", of " : "", p->vendor);
    if (!st)
        st = append_memory(ctx, p, out);
    return st || is_cpu ? st : append_abilities(ctx, p, out);
}

static enum dlm_status append_faults(struct dlm_ctx *ctx, const struct machine *m,
                                     struct dlm_str *out)
{
    char text[512];

    enum dlm_status st =
        m->probe.num_faults ? dlm_str_appendz(ctx, out, "\nDrivers that fail:\n") : DLM_OK;
    for (size_t i = 0; !st && i < m->probe.num_faults; i++) {
        const struct dlm_driver_fault *fault = &m->probe.faults[i];
        dlm_driver_fault_text(fault, text, sizeof(text));
        st = dlm_str_appendf(ctx, out,
                             "  --backend %-6s %s\n      no device of this backend can be used "
                             "while its loader finds that driver%s%s\n",
                             dlm_backend_name(fault->kind), text, fault->way_out ? "; " : "",
                             fault->way_out ? fault->way_out : "");
    }
    return st;
}

static enum dlm_status write_lines(struct dlm_ctx *ctx, const struct machine *m,
                                   struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendf(
        ctx, out,
        "Backend:        %s (%s)\nCPU cores:      %d\nInstructions:   ",
        m->chosen ? dlm_backend_name(m->chosen->info.kind) : "none",
        m->chosen ? m->chosen->info.name : "-", m->cores);

    if (!st)
        st = append_instructions(ctx, m, out);
    if (!st)
        st = dlm_str_appendf(
            ctx, out,
            "\nRAM:            %.1f GiB, of which %.1f are free\nDeterminism:    strong\n"
            "Telemetry:      none\nPlatform:       %s %s\n\nDevices:\n",
            (double)m->host.memory_bytes / GIB, (double)m->host.free_bytes / GIB,
            m->system.sysname, m->system.release);
    for (size_t i = 0; !st && i < m->probe.num_devices; i++)
        st = append_device(ctx, m, &m->probe.devices[i], out);
    if (!st)
        st = append_faults(ctx, m, out);
    if (!st)
        st = dlm_str_appendz(ctx, out,
                             "\nRun `dlm doctor --ops` for what runs where, `dlm doctor --json` "
                             "for machine-readable output.\n");
    return st;
}

/* --- JSON --- */

static json_t *devices_json(const struct machine *m)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < m->probe.num_devices; i++) {
        const struct dlm_device_properties *p = &m->probe.devices[i];
        json_t *entry = dlm_device_json(p);
        if (!entry || json_object_set_new(entry, "usable",
                                          json_boolean(dlm_probe_is_usable(&m->probe,
                                                                           p->info.kind))) ||
            json_array_append(list, entry)) {
            json_decref(list);
            list = NULL;
        }
        json_decref(entry);
    }
    return list;
}

static json_t *faults_json(const struct machine *m)
{
    json_t *list = json_array();
    char text[512];

    for (size_t i = 0; list && i < m->probe.num_faults; i++) {
        const struct dlm_driver_fault *fault = &m->probe.faults[i];
        dlm_driver_fault_text(fault, text, sizeof(text));
        json_t *entry = json_pack("{s:s, s:s?, s:s, s:i, s:s, s:s?}", "backend",
                                  dlm_backend_name(fault->kind), "file", fault->file, "fault",
                                  dlm_driver_fault_name(fault), "code", fault->code, "text", text,
                                  "way_out", fault->way_out);
        if (json_array_append_new(list, entry)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *instructions_json(const struct machine *m)
{
    json_t *list = json_array();

    if (list && BASE_INSTRUCTIONS && json_array_append_new(list, json_string(BASE_INSTRUCTIONS))) {
        json_decref(list);
        return NULL;
    }
    for (size_t i = 0; list && i < DLM_ARRAY_LEN(instructions); i++)
        if ((m->cpu_bits & instructions[i].bit) &&
            json_array_append_new(list, json_string(instructions[i].name))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *gib_or_null(uint64_t bytes)
{
    return bytes ? json_real((double)bytes / GIB) : json_null();
}

/* Keys of the Python dlm about libraries that it computes with, and this one does not. */
static json_t *foreign_json(void)
{
    return json_pack("{s:n, s:n, s:b, s:b, s:b, s:b, s:b, s:n, s:n, s:n, s:n, s:{s:b, s:b, s:b, "
                     "s:b, s:n}}",
                     "sm", "rocm_arch", "has_flash_attention", 0, "has_xformers", 0,
                     "has_bitsandbytes", 0, "has_triton", 0, "has_mlx", 0, "torch_version",
                     "accelerate_version", "cuda_version", "rocm_version", "telemetry_posture",
                     "HF_HUB_DISABLE_TELEMETRY", 1, "DO_NOT_TRACK", 1,
                     "TRANSFORMERS_NO_ADVISORY_WARNINGS", 1, "wandb_installed", 0, "python");
}

static json_t *capabilities_json(const struct machine *m)
{
    const struct dlm_device_properties *p = m->chosen;
    const bool is_gpu = p && p->info.kind != DLM_BACKEND_CPU;
    const uint64_t vram = is_gpu && !p->info.is_unified
                              ? (p->free_bytes ? p->free_bytes : p->info.memory_bytes)
                              : 0;
    const uint64_t unified = is_gpu && p->info.is_unified ? p->info.memory_bytes : 0;
    char platform[2 * sizeof(m->system.sysname)];

    snprintf(platform, sizeof(platform), "%s %s", m->system.sysname, m->system.release);
    json_t *own = json_pack(
        "{s:s, s:s, s:o, s:o, s:i, s:o, s:o, s:o, s:b, s:b, s:s, s:s}", "backend",
        p ? dlm_backend_name(p->info.kind) : "none", "device_name", p ? p->info.name : "",
        "vram_gb", gib_or_null(vram), "unified_memory_gb", gib_or_null(unified), "cpu_cores",
        m->cores, "cpu_instructions", instructions_json(m), "ram_gb",
        gib_or_null(m->host.memory_bytes), "ram_free_gb", gib_or_null(m->host.free_bytes),
        "supports_bf16", 1, "supports_fp16", 1, "platform", platform, "determinism_class",
        "strong");
    json_t *foreign = foreign_json();
    if (!own || !foreign || json_object_update(own, foreign)) {
        json_decref(own);
        own = NULL;
    }
    json_decref(foreign);
    return own;
}

static enum dlm_status write_json(struct dlm_ctx *ctx, const struct machine *m,
                                  struct dlm_str *out)
{
    json_t *root = json_pack("{s:o, s:n, s:n, s:o, s:o}", "capabilities", capabilities_json(m),
                             "plan", "plan_error", "devices", devices_json(m), "driver_faults",
                             faults_json(m));
    enum dlm_status st = dlm_json_append(ctx, out, root, 0);
    json_decref(root);
    return st;
}

enum dlm_status dlm_doctor_report(struct dlm_ctx *ctx, bool json, char **text)
{
    struct machine machine = {0};
    struct dlm_str out = {0};

    *text = NULL;
    enum dlm_status st = inspect(ctx, &machine);
    if (!st)
        st = json ? write_json(ctx, &machine, &out) : write_lines(ctx, &machine, &out);
    if (!st) {
        *text = out.data;
        out = (struct dlm_str){0};
    }
    dlm_str_finish(&out);
    dlm_probe_finish(&machine.probe);
    return st;
}
