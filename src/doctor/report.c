/* `dlm doctor`: the machine and its devices. */
#include <sys/utsname.h>

#include "backend/backend.h"
#include "base/host.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "dlm/doctor.h"

#define GIB (1024.0 * 1024 * 1024)

struct machine {
    struct utsname system;
    int cores; /* that dlm would use */
    struct dlm_host host;
    uint32_t cpu_bits; /* enum dlm_cap */
    struct dlm_device_info *devices;
    int num_devices;
    const struct dlm_device_info *chosen; /* what --backend auto takes */
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

static const char *kind_of(const struct dlm_device_info *d)
{
    return d->kind == DLM_BACKEND_CPU ? "cpu"
           : d->is_software           ? "software"
           : d->is_unified            ? "unified"
                                      : "card";
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
        st = dlm_device_list(ctx, &m->devices, &m->num_devices);
    if (!st)
        m->chosen = dlm_device_auto(m->devices, m->num_devices);
    return st;
}

static enum dlm_status write_lines(struct dlm_ctx *ctx, const struct machine *m,
                                   struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendf(
        ctx, out,
        "Backend:        %s (%s)\nCPU cores:      %d\nInstructions:   ",
        m->chosen ? dlm_backend_name(m->chosen->kind) : "none", m->chosen ? m->chosen->name : "-",
        m->cores);
    const char *comma = "";

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(instructions); i++)
        if (m->cpu_bits & instructions[i].bit) {
            st = dlm_str_appendf(ctx, out, "%s%s", comma, instructions[i].name);
            comma = ", ";
        }
    if (!st)
        st = dlm_str_appendf(
            ctx, out,
            "%s\nRAM:            %.1f GB, of which %.1f are free\nDeterminism:    strong\n"
            "Telemetry:      none\nPlatform:       %s %s\n\nDevices:\n", *comma ? "" : "baseline",
            (double)m->host.memory_bytes / GIB, (double)m->host.free_bytes / GIB,
            m->system.sysname, m->system.release);
    for (int i = 0; !st && i < m->num_devices; i++) {
        const struct dlm_device_info *d = &m->devices[i];
        st = dlm_str_appendf(ctx, out, "  --backend %-6s --device %d  %s, %.1f GB%s\n      %s\n",
                             dlm_backend_name(d->kind), d->index, d->name,
                             (double)d->memory_bytes / GIB,
                             d->kind == DLM_BACKEND_CPU ? ""
                             : d->is_software           ? ", software"
                             : d->is_unified            ? ", unified with the machine's"
                                                        : " of its own",
                             d->driver);
    }
    if (!st)
        st = dlm_str_appendz(ctx, out,
                             "\nRun `dlm doctor --ops` for what runs where, `dlm doctor --json` "
                             "for machine-readable output.\n");
    return st;
}

static json_t *devices_json(const struct machine *m)
{
    json_t *list = json_array();

    for (int i = 0; list && i < m->num_devices; i++) {
        const struct dlm_device_info *d = &m->devices[i];
        json_t *entry = json_pack(
            "{s:s, s:i, s:s, s:s, s:s, s:b, s:I, s:I}", "backend", dlm_backend_name(d->kind),
            "index", d->index, "name", d->name, "driver", d->driver, "kind",
            kind_of(d), "is_software", (int)d->is_software,
            "memory_bytes", (json_int_t)d->memory_bytes, "max_alloc_bytes",
            (json_int_t)d->max_alloc_bytes);
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

    for (size_t i = 0; list && i < DLM_ARRAY_LEN(instructions); i++)
        if ((m->cpu_bits & instructions[i].bit) &&
            json_array_append_new(list, json_string(instructions[i].name))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static enum dlm_status write_json(struct dlm_ctx *ctx, const struct machine *m,
                                  struct dlm_str *out)
{
    char platform[2 * sizeof(m->system.sysname)];

    snprintf(platform, sizeof(platform), "%s %s", m->system.sysname, m->system.release);
    json_t *root = json_pack(
        "{s:{s:s, s:s, s:i, s:o, s:f, s:f, s:b, s:b, s:s, s:s}, s:o, s:n, s:n}", "capabilities",
        "backend", m->chosen ? dlm_backend_name(m->chosen->kind) : "none", "device_name",
        m->chosen ? m->chosen->name : "", "cpu_cores", m->cores, "cpu_instructions",
        instructions_json(m), "ram_gb", (double)m->host.memory_bytes / GIB, "ram_free_gb",
        (double)m->host.free_bytes / GIB,
        "supports_bf16", 1, "supports_fp16", 1, "platform", platform, "determinism_class",
        "strong", "devices", devices_json(m), "plan", "plan_error");
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
    dlm_device_list_free(machine.devices);
    return st;
}
