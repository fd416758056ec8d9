/* The machine, as far as the process may use it. */
#ifndef DLM_BASE_HOST_H
#define DLM_BASE_HOST_H

#include <stdint.h>

struct dlm_host {
    uint64_t memory_bytes; /* of the machine, or what its control groups allow; 0: not known */
    uint64_t free_bytes;   /* could be taken now; 0: not known, 1: nothing is left */
    int cpu_quota;         /* CPUs' worth of time, rounded up, that the groups allow; 0: no quota */
};

/* Reads /proc/meminfo and the limits of the process's control groups (v1 and v2) and of all groups
 * around them. root is "" for this machine; a test names a folder that holds proc/ and sys/. */
void dlm_host_read(struct dlm_host *host, const char *root);

/* What of this process is in memory now, and the most that ever was, in bytes; 0: not known. */
struct dlm_host_process {
    uint64_t resident_bytes, peak_bytes;
};
void dlm_host_read_process(struct dlm_host_process *process);

#endif
