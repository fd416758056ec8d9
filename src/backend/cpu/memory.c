/* Page memory in huge pages, and how much memory there is: /proc/meminfo and the limits of the
 * process's control group (v2) and of the groups around it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/cpu/cpu.h"

#define HUGE_BYTES ((size_t)2 << 20)
#define CGROUP_ROOT "/sys/fs/cgroup"

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

void *dlm_cpu_pages_alloc(size_t bytes)
{
    void *data = NULL;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    if (bytes < HUGE_BYTES)
        return posix_memalign(&data, DLM_ALIGN_BYTES, bytes) ? NULL : data;
    /* map one huge page more than needed and give back what lies outside the aligned range */
    const size_t len = round_up(bytes, HUGE_BYTES);
    char *map = mmap(NULL, len + HUGE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    const size_t head = round_up((uintptr_t)map, HUGE_BYTES) - (uintptr_t)map;
    if (head)
        munmap(map, head);
    if (head < HUGE_BYTES)
        munmap(map + head + len, HUGE_BYTES - head);
    /* a refusal only costs speed */
    (void)madvise(map + head, len, MADV_HUGEPAGE);
    return map + head;
}

void dlm_cpu_pages_free(void *data, size_t bytes)
{
    if (bytes < HUGE_BYTES)
        free(data);
    else if (data)
        munmap(data, round_up(bytes, HUGE_BYTES));
}

/* A field of /proc/meminfo ("MemTotal:") in bytes, 0 when unknown. */
static uint64_t meminfo(const char *field)
{
    FILE *f = fopen("/proc/meminfo", "r");
    const size_t len = strlen(field);
    uint64_t kib = 0;
    char line[256];

    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, field, len))
            continue;
        if (sscanf(line + len, "%" SCNu64, &kib) != 1)
            kib = 0;
        break;
    }
    fclose(f);
    return kib > UINT64_MAX / 1024 ? 0 : kib * 1024;
}

/* A number in a file of a control group; false when it is missing or "max". */
static bool cgroup_number(const char *group, const char *file, uint64_t *value)
{
    char path[1200];
    bool ok = false;

    snprintf(path, sizeof(path), CGROUP_ROOT "%s/%s", group, file);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    ok = fscanf(f, "%" SCNu64, value) == 1;
    fclose(f);
    return ok;
}

/* Page cache that the group gives back before it fails an allocation. */
static uint64_t cgroup_reclaimable(const char *group)
{
    char path[1200], key[64];
    uint64_t value = 0, found = 0;

    snprintf(path, sizeof(path), CGROUP_ROOT "%s/memory.stat", group);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    while (fscanf(f, "%63s %" SCNu64, key, &value) == 2) {
        if (!strcmp(key, "inactive_file"))
            found = value;
    }
    fclose(f);
    return found;
}

/* Path of the process's group below the root, "" for the root or when there is no v2 hierarchy. */
static void cgroup_path(char *path, size_t cap)
{
    FILE *f = fopen("/proc/self/cgroup", "r");
    char line[1024];

    path[0] = '\0';
    if (!f)
        return;
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "0::/", 4))
            continue;
        line[strcspn(line, "\n")] = '\0';
        const size_t len = strlen(line + 3);
        if (len > 1 && len < cap)
            memcpy(path, line + 3, len + 1);
    }
    fclose(f);
}

/* Lowers *total and *avail (may be NULL) to what the group and all groups above it allow. */
static void apply_cgroups(uint64_t *total, uint64_t *avail)
{
    char group[1024];
    uint64_t limit = 0, used = 0;

    cgroup_path(group, sizeof(group));
    for (;;) {
        if (cgroup_number(group, "memory.max", &limit)) {
            *total = DLM_MIN(*total, limit);
            if (avail && cgroup_number(group, "memory.current", &used)) {
                uint64_t cache = cgroup_reclaimable(group);
                used -= DLM_MIN(used, cache);
                *avail = DLM_MIN(*avail, limit - DLM_MIN(limit, used));
            }
        }
        char *slash = strrchr(group, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

uint64_t dlm_cpu_memory_total(void)
{
    uint64_t total = meminfo("MemTotal:");

    apply_cgroups(&total, NULL);
    return total;
}

uint64_t dlm_cpu_memory_free(void)
{
    uint64_t total = meminfo("MemTotal:");
    uint64_t avail = meminfo("MemAvailable:");

    apply_cgroups(&total, &avail);
    return avail;
}
