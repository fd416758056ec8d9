/* `dlm doctor`: the machine and its devices. Budgets and refusals are not part of it yet. */
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "dlm/doctor.h"

#define GIB (1024.0 * 1024 * 1024)

struct machine {
    struct utsname system;
    int cores; /* that dlm would use */
    double ram_gib;
    struct dlm_device_info *devices;
    int num_devices;
    const struct dlm_device_info *chosen; /* what --backend auto takes */
};

static enum dlm_status inspect(struct dlm_ctx *ctx, struct machine *m)
{
    struct dlm_pool *pool = dlm_ctx_pool(ctx);

    if (!pool)
        return DLM_ERR_MEMORY;
    m->cores = dlm_pool_num_workers(pool);
    m->ram_gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / GIB;
    if (uname(&m->system))
        m->system = (struct utsname){.sysname = "unknown"};
    enum dlm_status st = dlm_device_list(ctx, &m->devices, &m->num_devices);
    if (!st)
        m->chosen = dlm_device_auto(m->devices, m->num_devices);
    return st;
}

static enum dlm_status write_lines(struct dlm_ctx *ctx, const struct machine *m,
                                   struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendf(
        ctx, out,
        "Backend:        %s (%s)\nCPU cores:      %d\nRAM:            %.1f GB\n"
        "Determinism:    strong\nTelemetry:      none\nPlatform:       %s %s\n\nDevices:\n",
        m->chosen ? dlm_backend_name(m->chosen->kind) : "none", m->chosen ? m->chosen->name : "-",
        m->cores, m->ram_gib, m->system.sysname, m->system.release);

    for (int i = 0; !st && i < m->num_devices; i++) {
        const struct dlm_device_info *d = &m->devices[i];
        st = dlm_str_appendf(ctx, out, "  --backend %-6s --device %d  %s, %.1f GB%s\n      %s\n",
                             dlm_backend_name(d->kind), d->index, d->name,
                             (double)d->memory_bytes / GIB, d->is_software ? ", software" : "",
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
            "{s:s, s:i, s:s, s:s, s:b, s:I, s:I}", "backend", dlm_backend_name(d->kind), "index",
            d->index, "name", d->name, "driver", d->driver, "is_software", (int)d->is_software,
            "memory_bytes", (json_int_t)d->memory_bytes, "max_alloc_bytes",
            (json_int_t)d->max_alloc_bytes);
        if (json_array_append_new(list, entry)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static enum dlm_status write_json(struct dlm_ctx *ctx, const struct machine *m,
                                  struct dlm_str *out)
{
    char platform[2 * sizeof(m->system.sysname)];

    snprintf(platform, sizeof(platform), "%s %s", m->system.sysname, m->system.release);
    json_t *root = json_pack(
        "{s:{s:s, s:s, s:i, s:f, s:b, s:b, s:s, s:s}, s:o, s:n, s:n}", "capabilities", "backend",
        m->chosen ? dlm_backend_name(m->chosen->kind) : "none", "device_name",
        m->chosen ? m->chosen->name : "", "cpu_cores", m->cores, "ram_gb", m->ram_gib,
        "supports_bf16", 1, "supports_fp16", 1, "platform", platform, "determinism_class",
        "strong", "devices", devices_json(m), "plan", "plan_error");
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    enum dlm_status st = text ? dlm_str_appendf(ctx, out, "%s\n", text)
                              : dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    free(text);
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
