/* Devices that other processes tell of: what is read of their answers, what is made of none, and
 * which drivers are asked alone. The processes are this test's own function. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/mem.h"
#include "check.h"
#include "dlm/dlm.h"
#include "doctor/device_json.h"
#include "doctor/driver_files.h"
#include "doctor/driver_guard.h"

/* What the processes do. */
struct world {
    const char *vulkan, *opencl; /* answers; NULL: it crashes */
    const char *bad;             /* crashes where the loader finds this file: part of its path */
    enum dlm_status status;      /* of the hook itself */
    int num_jobs;
};

static bool finds(const struct dlm_probe_job *job, const char *file)
{
    char target[4096], path[4096];

    if (!file)
        return false;
    for (size_t i = 0; job->env && job->env[i]; i++) {
        if (strstr(job->env[i], file))
            return true;
        for (int k = 0; k < 8; k++) { /* links in a folder */
            snprintf(path, sizeof(path), "%s/%03d.icd", strchr(job->env[i], '=') + 1, k);
            const ssize_t len = readlink(path, target, sizeof(target) - 1);
            target[len > 0 ? len : 0] = '\0';
            if (len > 0 && strstr(target, file))
                return true;
        }
    }
    return !job->env;
}

static enum dlm_status look(void *user, struct dlm_probe_job *jobs, size_t num)
{
    struct world *w = user;

    for (size_t i = 0; i < num; i++, w->num_jobs++) {
        const char *answer = !strcmp(jobs[i].backend, "vulkan") ? w->vulkan : w->opencl;
        if (!answer || finds(&jobs[i], w->bad)) {
            jobs[i].end = DLM_PROBE_CRASHED;
            jobs[i].code = 11;
        } else {
            jobs[i].text = strdup(answer);
        }
    }
    return w->status;
}

static struct dlm_ctx *make_ctx(struct world *w)
{
    const struct dlm_ctx_params params = {.probe_devices = look, .probe_user = w};
    return dlm_ctx_create(&params);
}

static const struct dlm_device_properties card = {
    .info = {.kind = DLM_BACKEND_VULKAN, .index = 2, .name = "a \"card\"", .driver = "driver 1.2",
             .memory_bytes = (uint64_t)24 << 30, .max_alloc_bytes = (uint64_t)4 << 30},
    .vendor = "Vendor", .free_bytes = (uint64_t)20 << 30, .free_from = "VK_EXT_memory_budget",
    .has_f16 = true, .int8_dot = DLM_INT8_DOT_FAST, .subgroup = 32, .min_subgroup = 16,
    .max_subgroup = 64, .tick_ns = 41.67, .num_shapes = 2,
    .shapes = {{"f16", "f16", "f32", "f32", 16, 8, 16}, {"bf16", "s8", "f32", "s32", 8, 16, 32}},
};

static char *card_line(void)
{
    json_t *object = dlm_device_json(&card);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    char *line = malloc(4096);

    if (line && text)
        snprintf(line, 4096, "[%s]\n", text);
    free(text);
    json_decref(object);
    return line;
}

static void test_json(struct dlm_ctx *ctx)
{
    struct dlm_device_properties *p = calloc(1, sizeof(*p));
    struct dlm_device_properties odd = card;
    json_t *object = dlm_device_json(&odd);
    strcpy(odd.info.name, "K\xf6ln \xc3"); /* Latin-1, and half a letter */
    json_t *other = dlm_device_json(&odd);

    if (!CHECK(p && object && !dlm_device_from_json(ctx, object, "test", p)))
        goto done;
    CHECK(!strcmp(p->info.name, card.info.name) && !strcmp(p->info.driver, card.info.driver));
    CHECK(p->info.kind == card.info.kind && p->info.index == 2);
    CHECK(!p->info.is_software && !p->info.is_unified);
    CHECK(p->info.memory_bytes == card.info.memory_bytes);
    CHECK(p->info.max_alloc_bytes == card.info.max_alloc_bytes);
    CHECK(p->free_bytes == card.free_bytes && !strcmp(p->free_from, card.free_from));
    CHECK(!strcmp(p->vendor, "Vendor") && p->has_f16 && p->int8_dot == DLM_INT8_DOT_FAST);
    CHECK(p->subgroup == 32 && p->min_subgroup == 16 && p->max_subgroup == 64);
    CHECK(p->tick_ns > 41.66 && p->tick_ns < 41.68);
    CHECK(p->num_shapes == 2 && !memcmp(p->shapes, card.shapes, 2 * sizeof(card.shapes[0])));
    CHECK(!strcmp(json_string_value(json_object_get(other, "name")), "K?ln ?"));
done:
    json_decref(other);
    json_decref(object);
    free(p);
}

/* Answers that no driver of ours gives: none of them is believed, and none ends the doctor. */
static void test_bad_answers(void)
{
    static const char *const answers[] = {
        "", "\n", "[", "[{}", "{}\n", "[1]\n", "[{}]\n", "[{\"backend\":\"cpu\",\"name\":\"x\"}]\n",
        "[{\"backend\":\"vulkan\",\"name\":7}]\n",
        "[{\"backend\":\"vulkan\",\"memory_bytes\":-1}]\n",
        "[{\"backend\":\"vulkan\",\"memory_bytes\":\"much\"}]\n",
        "[{\"backend\":\"vulkan\",\"subgroup_size\":4294967296}]\n",
        "[{\"backend\":\"vulkan\",\"matrix_shapes\":[5]}]\n",
    };

    setenv("VK_DRIVER_FILES", "/dev/null", 1);
    for (size_t i = 0; i < DLM_ARRAY_LEN(answers); i++) {
        struct world w = {.vulkan = answers[i], .opencl = "[]\n"};
        struct dlm_ctx *ctx = make_ctx(&w);
        struct dlm_probe probe;
        if (CHECK(ctx && !dlm_probe_run(ctx, &probe, DLM_BACKEND_VULKAN)) &&
            dlm_backend_is_built(DLM_BACKEND_VULKAN)) {
            CHECK(probe.num_devices == 0 && probe.num_faults == 1);
            CHECK(probe.num_faults == 1 && probe.faults[0].end == DLM_PROBE_UNREADABLE);
        }
        dlm_probe_finish(&probe);
        dlm_ctx_destroy(&ctx);
    }
    unsetenv("VK_DRIVER_FILES");
}

/* A bad driver between two good ones. */
static void test_blame(const char *dir, const char *line)
{
    const enum dlm_backend_kind kinds[] = {DLM_BACKEND_VULKAN, DLM_BACKEND_OPENCL};
    const char *const names[][3] = {{"a.json", "bad.json", "c.json"},
                                    {"a.icd", "bad.icd", "c.icd"}};
    char path[3][512], list[2048];

    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 3; i++) {
            snprintf(path[i], sizeof(path[i]), "%s/%s", dir, names[k][i]);
            CHECK(!dlm_file_replace(NULL, path[i], "x", 1));
        }
        snprintf(list, sizeof(list), "%s:%s:%s", path[0], path[1], path[2]);
        setenv(k ? "OCL_ICD_VENDORS" : "VK_DRIVER_FILES", k ? dir : list, 1);
        if (!dlm_backend_is_built(kinds[k]))
            continue;
        struct world w = {.vulkan = line, .opencl = "[]\n", .bad = "bad."};
        struct dlm_ctx *ctx = make_ctx(&w);
        struct dlm_compute compute = {.backend = kinds[k]};
        struct dlm_probe probe;
        CHECK(ctx && !dlm_probe_run(ctx, &probe, kinds[k]));
        CHECK(w.num_jobs == 1 + 3 + 1); /* all, each, the rest */
        CHECK(!dlm_probe_is_usable(&probe, kinds[k]));
        if (CHECK(probe.num_faults == 1 && probe.faults[0].file && probe.faults[0].way_out)) {
            CHECK(!strcmp(probe.faults[0].file, path[1]));
            CHECK(!strstr(probe.faults[0].way_out, "bad."));
        }
        CHECK(probe.num_devices == (k ? 0 : 1));
        CHECK(dlm_driver_guard(ctx, &compute) == DLM_ERR_DEVICE);
        dlm_probe_finish(&probe);
        dlm_ctx_destroy(&ctx);
    }
}

/* No other process is to be had: devices are looked for here, and nobody is to blame. */
static void test_alone(void)
{
    struct world w = {.status = DLM_ERR_UNSUPPORTED};
    struct dlm_ctx *ctx = make_ctx(&w);
    struct dlm_probe probe = {0};

    CHECK(ctx && !dlm_probe_run(ctx, &probe, DLM_BACKEND_AUTO));
    CHECK(probe.num_devices >= 1 && !probe.num_faults);
    CHECK(probe.num_devices && probe.devices[0].info.kind == DLM_BACKEND_CPU);
    dlm_probe_finish(&probe);
    dlm_ctx_destroy(&ctx);
}

/* Auto does without the backend that fails; a card that answers is taken by its number. */
static void test_guard(const char *line)
{
    struct world w = {.vulkan = line}; /* and OpenCL crashes */
    struct dlm_ctx *ctx = make_ctx(&w);
    struct dlm_compute compute = {.backend = DLM_BACKEND_AUTO};

    if (CHECK(ctx) && dlm_backend_is_built(DLM_BACKEND_OPENCL) &&
        dlm_backend_is_built(DLM_BACKEND_VULKAN)) {
        CHECK(!dlm_driver_guard(ctx, &compute));
        CHECK(compute.backend == DLM_BACKEND_VULKAN && compute.has_device && !compute.device);
        w.vulkan = "[]\n";
        compute = (struct dlm_compute){.backend = DLM_BACKEND_AUTO};
        CHECK(!dlm_driver_guard(ctx, &compute));
        CHECK(compute.backend == DLM_BACKEND_CPU && !compute.has_device);
        w.status = DLM_ERR_CANCELLED;
        CHECK(dlm_driver_guard(ctx, &compute) == DLM_OK); /* the CPU needs no driver */
        compute.backend = DLM_BACKEND_AUTO;
        CHECK(dlm_driver_guard(ctx, &compute) == DLM_ERR_CANCELLED);
    }
    dlm_ctx_destroy(&ctx);
}

/* How many processes are asked for a call that computes. */
static int jobs_of(struct world *w, struct dlm_ctx *ctx, enum dlm_backend_kind kind,
                   enum dlm_status wanted, enum dlm_backend_kind chosen)
{
    struct dlm_compute compute = {.backend = kind};

    w->num_jobs = 0;
    CHECK_INT(dlm_driver_guard_once(ctx, &compute), wanted);
    CHECK_INT(compute.backend, chosen);
    return w->num_jobs;
}

/* What was found is not asked for again, but where the backend is named. */
static void test_marks(const char *line)
{
    const enum dlm_backend_kind any = DLM_BACKEND_AUTO, cl = DLM_BACKEND_OPENCL,
                                vk = DLM_BACKEND_VULKAN;
    struct world w = {.vulkan = line};
    struct dlm_ctx *ctx = make_ctx(&w);
    struct dlm_compute compute = {.backend = cl};

    if (!CHECK(ctx) || !dlm_backend_is_built(cl) || !dlm_backend_is_built(vk))
        goto done;
    CHECK(jobs_of(&w, ctx, any, DLM_OK, vk) > 2); /* both, and OpenCL's drivers alone */
    CHECK_INT(jobs_of(&w, ctx, vk, DLM_OK, vk), 0);
    CHECK_INT(jobs_of(&w, ctx, any, DLM_OK, vk), 1); /* for the device's number */
    CHECK(jobs_of(&w, ctx, cl, DLM_ERR_DEVICE, cl) > 0);
    CHECK_INT(jobs_of(&w, ctx, any, DLM_OK, vk), 1);
    w.opencl = "[]\n";
    CHECK_INT(jobs_of(&w, ctx, cl, DLM_OK, cl), 1);
    CHECK_INT(jobs_of(&w, ctx, cl, DLM_OK, cl), 0);
    CHECK_INT(jobs_of(&w, ctx, any, DLM_OK, any), 0);
    w.opencl = NULL; /* the doctor finds out */
    CHECK_INT(dlm_driver_guard(ctx, &compute), DLM_ERR_DEVICE);
    CHECK(jobs_of(&w, ctx, any, DLM_OK, vk) > 2);
    w.vulkan = NULL;
    CHECK(jobs_of(&w, ctx, vk, DLM_OK, vk) == 0); /* not asked */
    compute.backend = vk;
    CHECK_INT(dlm_driver_guard(ctx, &compute), DLM_ERR_DEVICE);
    CHECK(jobs_of(&w, ctx, any, DLM_OK, DLM_BACKEND_CPU) > 0);
    CHECK_INT(jobs_of(&w, ctx, any, DLM_OK, DLM_BACKEND_CPU), 0); /* the doctor's fault stays */
done:
    dlm_ctx_destroy(&ctx);
}

static void write_file(const char *path, const char *text)
{
    CHECK(!dlm_file_replace(NULL, path, text, strlen(text)));
}

/* Is a driver another one when its library is? */
static void check_identity(struct dlm_ctx *ctx, enum dlm_backend_kind kind, const char *library)
{
    struct dlm_driver_files files;
    struct dlm_str before = {0}, same = {0}, after = {0};

    write_file(library, "as it was built");
    CHECK(!dlm_driver_files_find(ctx, &files, kind));
    CHECK(!dlm_driver_files_identify(ctx, &files, &before));
    CHECK(!dlm_driver_files_identify(ctx, &files, &same));
    write_file(library, "as it was built again");
    CHECK(!dlm_driver_files_identify(ctx, &files, &after));
    CHECK(before.len && !strcmp(before.data, dlm_str_text(&same)));
    CHECK(before.len && strcmp(before.data, dlm_str_text(&after)));
    dlm_str_finish(&before);
    dlm_str_finish(&same);
    dlm_str_finish(&after);
    dlm_driver_files_finish(ctx, &files);
}

/* The ways in which files name libraries. */
static void test_libraries(struct dlm_ctx *ctx, const char *dir)
{
    /* relative to the file, to be looked for, absolute */
    static const char *const names[] = {"./vk.so", "sub/vk.so", "vk.so", NULL};
    char *const old = getenv("LD_LIBRARY_PATH") ? strdup(getenv("LD_LIBRARY_PATH")) : NULL;
    char json[512], icd[512], sub[512], library[600], text[1024];

    snprintf(json, sizeof(json), "%s/new.json", dir);
    snprintf(icd, sizeof(icd), "%s/icd/new.icd", dir);
    snprintf(sub, sizeof(sub), "%s/icd", dir);
    CHECK(!dlm_dir_make(NULL, sub));
    setenv("OCL_ICD_VENDORS", sub, 1);
    snprintf(sub, sizeof(sub), "%s/sub", dir);
    CHECK(!dlm_dir_make(NULL, sub));
    setenv("VK_DRIVER_FILES", json, 1);
    snprintf(text, sizeof(text), "/nonexistent:%s", sub);
    setenv("LD_LIBRARY_PATH", text, 1);
    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++) {
        snprintf(library, sizeof(library), "%s/vk.so", i ? sub : dir);
        snprintf(text, sizeof(text), "{\"ICD\": {\"library_path\": \"%s\"}}",
                 names[i] ? names[i] : library);
        write_file(json, text);
        check_identity(ctx, DLM_BACKEND_VULKAN, library);
    }
    snprintf(library, sizeof(library), "%s/cl.so", sub);
    snprintf(text, sizeof(text), "%s\nnot this.so\n", library);
    write_file(icd, text);
    check_identity(ctx, DLM_BACKEND_OPENCL, library);
    write_file(icd, "cl.so\n");
    check_identity(ctx, DLM_BACKEND_OPENCL, library);
    if (old)
        setenv("LD_LIBRARY_PATH", old, 1);
    else
        unsetenv("LD_LIBRARY_PATH");
    free(old);
}

/* A driver that crashed and was built again is asked again, also by what takes any. */
static void test_mended(const char *dir, const char *line)
{
    struct world w = {.vulkan = line};
    struct dlm_ctx *ctx = make_ctx(&w);
    const enum dlm_backend_kind any = DLM_BACKEND_AUTO;
    char library[512], icd[512];

    snprintf(library, sizeof(library), "%s/sub/cl.so", dir);
    snprintf(icd, sizeof(icd), "%s/icd/new.icd", dir);
    write_file(library, "bad");
    write_file(icd, library);
    if (CHECK(ctx) && dlm_backend_is_built(DLM_BACKEND_OPENCL) &&
        dlm_backend_is_built(DLM_BACKEND_VULKAN)) {
        CHECK(jobs_of(&w, ctx, any, DLM_OK, DLM_BACKEND_VULKAN) > 1);
        CHECK_INT(jobs_of(&w, ctx, any, DLM_OK, DLM_BACKEND_VULKAN), 1); /* OpenCL is shut out */
        w.opencl = "[]\n";
        write_file(library, "good");
        CHECK_INT(jobs_of(&w, ctx, any, DLM_OK, any), 2); /* both are asked */
        CHECK_INT(jobs_of(&w, ctx, any, DLM_OK, any), 0);
    }
    dlm_ctx_destroy(&ctx);
}

/* Where loaders look, by their variables. */
static void test_files(struct dlm_ctx *ctx, const char *dir)
{
    struct dlm_driver_files files;
    char path[512], link[600];

    snprintf(path, sizeof(path), "%s/data/vulkan/icd.d", dir);
    CHECK(!dlm_dir_make(NULL, path));
    snprintf(link, sizeof(link), "%s/x.json", path);
    CHECK(!dlm_file_replace(NULL, link, "x", 1));
    snprintf(path, sizeof(path), "%s/none:%s/data", dir, dir);
    unsetenv("VK_DRIVER_FILES");
    setenv("XDG_DATA_DIRS", path, 1);
    setenv("XDG_DATA_HOME", dir, 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    setenv("XDG_CONFIG_DIRS", dir, 1);
    bool is_found = false;
    CHECK(!dlm_driver_files_find(ctx, &files, DLM_BACKEND_VULKAN));
    for (size_t i = 0; i < files.num; i++) /* this machine may have some in /etc */
        is_found = is_found || !strcmp(files.paths[i], link);
    CHECK(is_found);
    dlm_driver_files_finish(ctx, &files);
    setenv("VK_ICD_FILENAMES", link, 1);
    CHECK(!dlm_driver_files_find(ctx, &files, DLM_BACKEND_VULKAN));
    CHECK(files.num == 1 && !strcmp(files.paths[0], link));
    dlm_driver_files_finish(ctx, &files);
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    CHECK(!dlm_driver_files_find(ctx, &files, DLM_BACKEND_OPENCL));
    CHECK(!files.num);
    dlm_driver_files_finish(ctx, &files);
}

int main(void)
{
    char dir[] = "/tmp/dlm-test-probe-XXXXXX";
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    char *line = card_line();

    if (CHECK(ctx && line && mkdtemp(dir))) {
        check_case("a device as JSON and back");
        test_json(ctx);
        check_case("answers that are none");
        test_bad_answers();
        setenv("DLM_KERNEL_CACHE", "/dev/null", 1);
        check_case("which driver it is");
        test_blame(dir, line);
        check_case("without another process");
        test_alone();
        setenv("DLM_KERNEL_CACHE", dir, 1);
        check_case("what auto takes");
        test_guard(line);
        check_case("what is remembered");
        test_marks(line);
        check_case("the libraries that drivers' files name");
        test_libraries(ctx, dir);
        check_case("a driver that was built again");
        test_mended(dir, line);
        check_case("where loaders look");
        test_files(ctx, dir);
        CHECK(!dlm_path_remove(NULL, dir));
    }
    free(line);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
