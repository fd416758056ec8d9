/* Memory and CPU quotas from made-up /proc and /sys trees: no groups, v2, v1, nested groups, a
 * container whose mount begins at its own group, a namespace, no limits. */
#include <sched.h>
#include <sys/stat.h>

#include "base/ctx_impl.h"
#include "base/host.h"
#include "tests/weights/helpers.h"

#define MIB ((uint64_t)1 << 20)
#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNTS(top)                                                                             \
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                   \
    "32 31 0:29 " top " /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"   \
    "33 31 0:32 " top " /sys/fs/cgroup/memory rw shared:10 master:2 - cgroup cgroup rw,memory\n"   \
    "34 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

/* Writes a file of the tree, with its folders. */
static void put(const char *name, const char *text)
{
    char path[600];

    snprintf(path, sizeof(path), "%s/%s", tmp_root, name);
    char *folder = dlm_path_dirname(NULL, path);
    if (!CHECK(folder && !dlm_dir_make(NULL, folder) && put_file(path, text, strlen(text))))
        exit(1);
    dlm_free(folder);
}

/* A tree with 1000 MiB, of which 800 are free. */
static void start(const char *name, const char *cgroup, const char *mounts)
{
    check_case(name);
    tmp_make();
    put("proc/meminfo", "MemTotal:        1024000 kB\nMemFree:           10240 kB\n"
                        "MemAvailable:     819200 kB\nBuffers:             512 kB\n");
    if (cgroup)
        put("proc/self/cgroup", cgroup);
    if (mounts)
        put("proc/self/mountinfo", mounts);
}

static struct dlm_host finish(void)
{
    struct dlm_host host;

    dlm_host_read(&host, tmp_root);
    tmp_remove();
    return host;
}

static void test_no_groups(void)
{
    start("a machine without control groups", NULL, NULL);
    struct dlm_host host = finish();
    CHECK_INT(host.memory_bytes, 1000 * MIB);
    CHECK_INT(host.free_bytes, 800 * MIB);
    CHECK_INT(host.cpu_quota, 0);

    check_case("nothing is known");
    tmp_make();
    host = finish();
    CHECK(!host.memory_bytes && !host.free_bytes && !host.cpu_quota);

    check_case("this machine");
    dlm_host_read(&host, "");
    CHECK(host.memory_bytes >= 64 * MIB && host.free_bytes > 0);
    CHECK(host.free_bytes <= host.memory_bytes && host.cpu_quota >= 0);
}

static void test_v2(void)
{
    start("v2: limit, use without idle cache, quota", "0::/user/app\n", V2_MOUNT);
    put("sys/fs/cgroup/user/app/memory.max", "314572800\n");     /* 300 MiB */
    put("sys/fs/cgroup/user/app/memory.current", "209715200\n"); /* 200 MiB */
    put("sys/fs/cgroup/user/app/memory.stat",
        "anon 104857600\nfile 104857600\ninactive_file 52428800\nactive_file 52428800\n");
    put("sys/fs/cgroup/user/app/cpu.max", "150000 100000\n");
    struct dlm_host host = finish();
    CHECK_INT(host.memory_bytes, 300 * MIB);
    CHECK_INT(host.free_bytes, 150 * MIB);
    CHECK_INT(host.cpu_quota, 2);

    start("v2: a group around it has less", "0::/user/app\n", V2_MOUNT);
    put("sys/fs/cgroup/user/app/memory.max", "max\n");
    put("sys/fs/cgroup/user/app/memory.current", "1048576\n");
    put("sys/fs/cgroup/user/app/cpu.max", "800000 100000\n");
    put("sys/fs/cgroup/user/memory.max", "104857600\n");
    put("sys/fs/cgroup/user/memory.current", "73400320\n"); /* 70 MiB */
    put("sys/fs/cgroup/user/cpu.max", "50000 100000\n");
    host = finish();
    CHECK_INT(host.memory_bytes, 100 * MIB);
    CHECK_INT(host.free_bytes, 30 * MIB);
    CHECK_INT(host.cpu_quota, 1);

    start("v2: no limits", "0::/\n", V2_MOUNT);
    put("sys/fs/cgroup/memory.max", "max\n");
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    host = finish();
    CHECK_INT(host.memory_bytes, 1000 * MIB);
    CHECK_INT(host.free_bytes, 800 * MIB);
    CHECK_INT(host.cpu_quota, 0);

    start("v2: a limit above the machine's memory, and one that is used up", "0::/a\n", V2_MOUNT);
    put("sys/fs/cgroup/a/memory.max", "999999999999999\n");
    put("sys/fs/cgroup/a/memory.current", "1048576\n");
    put("sys/fs/cgroup/memory.max", "104857600\n");
    put("sys/fs/cgroup/memory.current", "104857600\n");
    host = finish();
    CHECK_INT(host.memory_bytes, 100 * MIB);
    CHECK_INT(host.free_bytes, 1);

    start("v2: a namespace shows a group outside as /..", "0::/../other\n", V2_MOUNT);
    put("sys/fs/cgroup/memory.max", "209715200\n");
    put("sys/fs/cgroup/memory.current", "0\n");
    host = finish();
    CHECK_INT(host.memory_bytes, 200 * MIB);
}

static void test_v1(void)
{
    static const char groups[] = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n"
                                 "1:name=systemd:/docker/abc\n0::/docker/abc\n";

    start("v1: limit, use without idle cache, quota", groups, V1_MOUNTS("/"));
    put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "419430400\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "314572800\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.stat",
        "cache 1\ninactive_file 4096\ntotal_inactive_file 209715200\n");
    put("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "250000\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    struct dlm_host host = finish();
    CHECK_INT(host.memory_bytes, 400 * MIB);
    CHECK_INT(host.free_bytes, 300 * MIB);
    CHECK_INT(host.cpu_quota, 3);

    start("v1: a container whose mount begins at its group", groups, V1_MOUNTS("/docker/abc"));
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "209715200\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    host = finish();
    CHECK_INT(host.memory_bytes, 200 * MIB);
    CHECK_INT(host.free_bytes, 100 * MIB);
    CHECK_INT(host.cpu_quota, 1);

    start("v1: a mount that begins at another group of a like name", groups,
          V1_MOUNTS("/docker/ab"));
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "209715200\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n");
    host = finish();
    CHECK_INT(host.memory_bytes, 200 * MIB);

    start("v1: no limits", groups, V1_MOUNTS("/"));
    put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "314572800\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
    host = finish();
    CHECK_INT(host.memory_bytes, 1000 * MIB);
    CHECK_INT(host.free_bytes, 800 * MIB);
    CHECK_INT(host.cpu_quota, 0);
}

static void test_threads(void)
{
    cpu_set_t set;

    start("the default number of threads keeps to the quota", "0::/\n", V2_MOUNT);
    CPU_ZERO(&set);
    if (!CHECK(!sched_getaffinity(0, sizeof(set), &set)))
        return;
    CHECK_INT(dlm_pool_default_workers(tmp_root), CPU_COUNT(&set));
    put("sys/fs/cgroup/cpu.max", "30000 100000\n");
    CHECK_INT(dlm_pool_default_workers(tmp_root), 1);
    put("sys/fs/cgroup/cpu.max", "100000000 100000\n");
    CHECK_INT(dlm_pool_default_workers(tmp_root), CPU_COUNT(&set));
    tmp_remove();
    start("and to one of v1", "5:cpu,cpuacct:/\n", V1_MOUNTS("/"));
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "30000\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    CHECK_INT(dlm_pool_default_workers(tmp_root), 1);
    tmp_remove();
}

/* Of this process: memory that is touched counts, and the most that ever was stays. */
static void test_process(void)
{
    enum { BYTES = 64 << 20 };
    struct dlm_host_process before, during, after;

    check_case("this process");
    dlm_host_read_process(&before);
    char *p = malloc(BYTES);
    if (!CHECK(p))
        return;
    memset(p, 1, BYTES);
    dlm_host_read_process(&during);
    CHECK(p[BYTES / 2] == 1);
    free(p);
    dlm_host_read_process(&after);
    CHECK(before.resident_bytes > 0 && before.peak_bytes >= before.resident_bytes);
    CHECK(during.resident_bytes > before.resident_bytes + BYTES / 4 * 3);
    CHECK(after.peak_bytes >= during.resident_bytes / 16 * 15);
}

int main(void)
{
    test_no_groups();
    test_v2();
    test_v1();
    test_threads();
    test_process();
    return check_summary();
}
