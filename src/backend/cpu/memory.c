/* Page memory in huge pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/cpu/cpu.h"

#define HUGE_BYTES ((size_t)2 << 20)

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

size_t dlm_cpu_page_bytes(void)
{
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    char line[64] = "";
    const bool is_known = f && fgets(line, sizeof(line), f);

    if (f)
        fclose(f);
    return is_known && !strstr(line, "[never]") ? HUGE_BYTES : 1;
}

void dlm_cpu_pages_free(void *data, size_t bytes)
{
    if (bytes < HUGE_BYTES)
        free(data);
    else if (data)
        munmap(data, round_up(bytes, HUGE_BYTES));
}
