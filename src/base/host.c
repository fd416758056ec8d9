/* What the machine has, and what control groups leave of it. A group is found as container runtimes
 * find it: its path in /proc/self/cgroup, below the place where its hierarchy is mounted. */
#include "base/host.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"

#define MAX_PATH 1024
#define MAX_LINE 4096

/* The process's group in one hierarchy: `base` is the mount, `group` the path below it, "" or with
 * a slash in front. */
struct cgroup {
    bool is_v2;
    char base[MAX_PATH];
    char group[MAX_PATH];
};

static FILE *open_file(const char *dir, const char *name)
{
    char path[2 * MAX_PATH + 64];
    int len = snprintf(path, sizeof(path), "%s/%s", dir, name);

    return len > 0 && (size_t)len < sizeof(path) ? fopen(path, "re") : NULL;
}

/* The first number of a file; false when it is missing or "max". */
static bool read_number(const char *dir, const char *name, int64_t *value)
{
    FILE *f = open_file(dir, name);

    if (!f)
        return false;
    bool ok = fscanf(f, "%" SCNd64, value) == 1;
    fclose(f);
    return ok;
}

/* The number after a word at the start of a line; 0 when there is no such line. */
static uint64_t read_field(const char *dir, const char *name, const char *word)
{
    FILE *f = open_file(dir, name);
    uint64_t value = 0, found = 0;
    char key[64], line[256];

    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%63s %" SCNu64, key, &value) == 2 && !strcmp(key, word))
            found = value;
    }
    fclose(f);
    return found;
}

static uint64_t meminfo_bytes(const char *root, const char *word)
{
    uint64_t kib = read_field(root, "proc/meminfo", word);

    return kib > UINT64_MAX / 1024 ? 0 : kib * 1024;
}

/* Whether a list "a,b,c" has a word. */
static bool has_word(const char *list, const char *word)
{
    const size_t len = strlen(word);

    for (const char *at = list; *at; at += *at == ',') {
        const size_t n = strcspn(at, ",");
        if (n == len && !strncmp(at, word, n))
            return true;
        at += n;
    }
    return false;
}

/* The process's path in the hierarchy of a controller (NULL: in v2, which has no list). */
static bool find_group(const char *root, const char *controller, char group[MAX_PATH])
{
    FILE *f = open_file(root, "proc/self/cgroup");
    char line[MAX_LINE];
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f)) {
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (controller ? !has_word(list + 1, controller) : strcmp(list, ":"))
            continue;
        found = snprintf(group, MAX_PATH, "%s", path) < MAX_PATH;
    }
    if (f)
        fclose(f);
    return found;
}

/* Where that hierarchy is mounted, and which of its groups is seen there. */
static bool find_mount(const char *root, const char *controller, char top[MAX_PATH],
                       char mount[MAX_PATH])
{
    FILE *f = open_file(root, "proc/self/mountinfo");
    char line[MAX_LINE], kind[64], options[512];
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f)) {
        /* 35 31 0:32 ROOT MOUNT rw,relatime - KIND SOURCE OPTIONS */
        const char *end = strstr(line, " - ");
        if (!end || sscanf(line, "%*s %*s %*s %1023s %1023s", top, mount) != 2 ||
            sscanf(end + 3, "%63s %*s %511s", kind, options) != 2)
            continue;
        found = controller ? !strcmp(kind, "cgroup") && has_word(options, controller)
                           : !strcmp(kind, "cgroup2");
    }
    if (f)
        fclose(f);
    return found;
}

static bool find_cgroup(const char *root, const char *controller, struct cgroup *c)
{
    char top[MAX_PATH], mount[MAX_PATH];

    if (!find_group(root, controller, c->group) || !find_mount(root, controller, top, mount))
        return false;
    c->is_v2 = !controller;
    /* In a container the mount may begin at the process's own group, or, with a namespace, at one
     * that lies outside: then it is the nearest that can be seen. */
    const size_t len = strcmp(top, "/") ? strlen(top) : 0;
    const char *below = c->group + len;
    if (strncmp(c->group, top, len) || (*below && *below != '/') || !strncmp(below, "/..", 3))
        below = "";
    memmove(c->group, below, strlen(below) + 1);
    if (!strcmp(c->group, "/"))
        c->group[0] = '\0';
    return snprintf(c->base, sizeof(c->base), "%s%s", root, mount) < (int)sizeof(c->base);
}

/* Lowers to what one group allows. Page cache that nobody uses is given back before an allocation
 * fails. Plain names in v1's memory.stat leave out the groups below. */
static void apply_memory(struct dlm_host *host, const char *dir, bool is_v2)
{
    int64_t limit = 0, used = 0;

    if (!read_number(dir, is_v2 ? "memory.max" : "memory.limit_in_bytes", &limit) || limit < 0)
        return;
    host->memory_bytes = DLM_MIN(host->memory_bytes, (uint64_t)limit);
    if (!read_number(dir, is_v2 ? "memory.current" : "memory.usage_in_bytes", &used) || used < 0)
        return;
    const uint64_t cache =
        read_field(dir, "memory.stat", is_v2 ? "inactive_file" : "total_inactive_file");
    const uint64_t taken = (uint64_t)used - DLM_MIN((uint64_t)used, cache);
    host->free_bytes =
        DLM_MIN(host->free_bytes, (uint64_t)limit - DLM_MIN((uint64_t)limit, taken));
}

static void apply_quota(struct dlm_host *host, const char *dir, bool is_v2)
{
    int64_t quota = 0, period = 0;

    if (is_v2) {
        FILE *f = open_file(dir, "cpu.max");
        if (f && fscanf(f, "%" SCNd64 " %" SCNd64, &quota, &period) != 2)
            quota = 0;
        if (f)
            fclose(f);
    } else if (!read_number(dir, "cpu.cfs_quota_us", &quota) ||
               !read_number(dir, "cpu.cfs_period_us", &period)) {
        return;
    }
    if (quota <= 0 || period <= 0) /* "max", and -1 in v1, are no quota */
        return;
    const int64_t cpus = DLM_MIN(quota / period + (quota % period > 0), (int64_t)INT32_MAX);
    if (!host->cpu_quota || cpus < host->cpu_quota)
        host->cpu_quota = (int)cpus;
}

/* A group's limits hold for all below it, so the least of those on the way up counts. */
static void apply_cgroups(struct dlm_host *host, const char *root, const char *controller,
                          bool has_memory, bool has_cpu)
{
    struct cgroup c;
    char dir[2 * MAX_PATH];

    if (!find_cgroup(root, controller, &c))
        return;
    for (;;) {
        snprintf(dir, sizeof(dir), "%s%s", c.base, c.group);
        if (has_memory)
            apply_memory(host, dir, c.is_v2);
        if (has_cpu)
            apply_quota(host, dir, c.is_v2);
        char *slash = strrchr(c.group, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Where there is no /proc/meminfo. */
static void ask_system(struct dlm_host *host)
{
    const long page = sysconf(_SC_PAGESIZE);
    const long pages = sysconf(_SC_PHYS_PAGES);

    if (page > 0 && pages > 0)
        host->memory_bytes = (uint64_t)pages * (uint64_t)page;
#ifdef _SC_AVPHYS_PAGES
    const long available = sysconf(_SC_AVPHYS_PAGES);
    if (page > 0 && available > 0)
        host->free_bytes = (uint64_t)available * (uint64_t)page;
#endif
}

void dlm_host_read(struct dlm_host *host, const char *root)
{
    *host = (struct dlm_host){
        .memory_bytes = meminfo_bytes(root, "MemTotal:"),
        .free_bytes = meminfo_bytes(root, "MemAvailable:"),
    };
    if (!host->memory_bytes && !*root)
        ask_system(host);
    const bool is_known = host->free_bytes;
    apply_cgroups(host, root, NULL, true, true);
    apply_cgroups(host, root, "memory", true, false);
    apply_cgroups(host, root, "cpu", false, true);
    if (is_known)
        host->free_bytes = DLM_MAX(host->free_bytes, 1);
}

void dlm_host_read_process(struct dlm_host_process *process)
{
    process->resident_bytes = read_field("/proc/self", "status", "VmRSS:") * 1024;
    process->peak_bytes = read_field("/proc/self", "status", "VmHWM:") * 1024;
}
