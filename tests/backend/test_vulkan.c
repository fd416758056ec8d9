/* The Vulkan backend, on the first Vulkan device, with kernels of its own (axpy.comp, spin.comp).
 * Everything goes through backend.h, except that slices and staged copies are forced through the
 * backend's own header: short tests on a software device would never get there. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../check.h"
#include "backend/backend.h"
#include "backend/vulkan/vk.h"
#include "base/file.h"

#define NUM_ELEMS 1001

struct axpy_params {
    uint32_t total;
    float factor;
};

struct spin_params {
    uint32_t total;
    uint32_t rounds;
};

static enum dlm_status open_device(struct dlm_ctx *ctx, struct dlm_device **out,
                                   const char *cache_dir)
{
    const struct dlm_device_params params = {
        .kind = DLM_BACKEND_VULKAN, .index = -1, .cache_dir = cache_dir};

    return dlm_device_open(ctx, out, &params);
}

/* Matrix units are shown when they are asked for, and not even looked for when told not to. */
static void test_matrix_units(struct dlm_ctx *ctx)
{
    struct dlm_device_params params = {.kind = DLM_BACKEND_VULKAN, .index = -1,
                                       .show_caps = DLM_CAPS_MATRIX};
    struct dlm_device *device = NULL;

    check_case("matrix units");
    if (CHECK(!dlm_device_open(ctx, &device, &params))) {
        const struct dlm_device_caps *caps = dlm_device_get_caps(device);
        CHECK(!(caps->bits & DLM_CAPS_MATRIX) == !*caps->info.matrix_units);
    }
    dlm_device_destroy(&device);
    params.no_matrix = true;
    if (CHECK(!dlm_device_open(ctx, &device, &params))) {
        const struct dlm_device_caps *caps = dlm_device_get_caps(device);
        CHECK(!(caps->bits & DLM_CAPS_MATRIX) && !*caps->info.matrix_units);
    }
    dlm_device_destroy(&device);
}

static struct dlm_buffer *make_buffer(struct dlm_device *device, size_t bytes)
{
    struct dlm_buffer *buffer = NULL;

    if (!CHECK(!dlm_buffer_create(device, &buffer, bytes)))
        exit(check_summary());
    return buffer;
}

static struct dlm_dispatch axpy(const char *kernel, struct dlm_buffer *x, struct dlm_buffer *y,
                                float factor)
{
    const struct axpy_params params = {NUM_ELEMS, factor};
    struct dlm_dispatch dispatch = {
        .kernel = kernel,
        .bindings = {{x, 0, NUM_ELEMS * 4}, {y, 0, NUM_ELEMS * 4}},
        .num_bindings = 2,
        .groups = {4, 4, 1}, /* folded: 16 groups of 64 */
        .params_bytes = sizeof(params),
        .barrier = true,
    };

    memcpy(dispatch.params, &params, sizeof(params));
    return dispatch;
}

static struct dlm_dispatch spin(struct dlm_buffer *y, uint32_t rounds)
{
    const struct spin_params params = {NUM_ELEMS, rounds};
    struct dlm_dispatch dispatch = {
        .kernel = "spin",
        .bindings = {{y, 0, NUM_ELEMS * 4}},
        .num_bindings = 1,
        .groups = {16, 1, 1},
        .params_bytes = sizeof(params),
        .barrier = true,
    };

    memcpy(dispatch.params, &params, sizeof(params));
    return dispatch;
}

/* Random bytes in and out, at odd offsets, across the blocks of staged copies. */
static void test_copies(struct dlm_device *device)
{
    const size_t bytes = 2 * DLM_VK_BLOCK_BYTES + DLM_VK_BLOCK_BYTES / 2 + 3;
    struct dlm_buffer *buffer = make_buffer(device, bytes);
    uint8_t *want = malloc(bytes);
    uint8_t *got = calloc(bytes, 1);
    uint32_t random = 1;

    if (!CHECK(want && got))
        exit(check_summary());
    for (size_t i = 0; i < bytes; i++) {
        random = random * 1664525u + 1013904223u;
        want[i] = (uint8_t)(random >> 24);
    }
    CHECK(!dlm_buffer_write(buffer, 0, want, bytes));
    CHECK(!dlm_buffer_read(buffer, 0, got, bytes));
    CHECK(!memcmp(want, got, bytes));

    CHECK(!dlm_buffer_write(buffer, 1001, want, 777));
    memmove(want + 1001, want, 777);
    CHECK(!dlm_buffer_fill(buffer, 4096, 4000, 0x01020304));
    for (size_t i = 0; i < 1000; i++)
        memcpy(want + 4096 + 4 * i, &(uint32_t){0x01020304}, 4);
    memset(got, 0, bytes);
    CHECK(!dlm_buffer_read(buffer, 5, got + 5, bytes - 5));
    CHECK(!memcmp(want + 5, got + 5, bytes - 5));
    CHECK(!dlm_buffer_read(buffer, bytes - 1, got, 1));
    CHECK_INT(got[0], want[bytes - 1]);
    free(want);
    free(got);
    dlm_buffer_destroy(&buffer);
}

/* y += x, num times a run; counts are small integers, so every sum is exact. */
static void test_chain(struct dlm_device *device, size_t num, int runs)
{
    struct dlm_buffer *x = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_buffer *y = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_dispatch *list = calloc(num, sizeof(*list));
    struct dlm_recording *recording = NULL;
    float in[NUM_ELEMS], out[NUM_ELEMS];
    int num_bad = 0;

    if (!CHECK(list))
        exit(check_summary());
    for (int i = 0; i < NUM_ELEMS; i++)
        in[i] = (float)(i % 7);
    CHECK(!dlm_buffer_write(x, 0, in, sizeof(in)));
    CHECK(!dlm_buffer_fill(y, 0, sizeof(in), 0));
    for (size_t i = 0; i < num; i++)
        list[i] = axpy(i % 3 == 2 ? "axpy_minus" : "axpy", x, y, i % 3 == 1 ? 2 : 1);
    CHECK(!dlm_recording_create(device, &recording, list, num));
    memset(list, 0xff, num * sizeof(*list)); /* it was copied */
    free(list);
    for (int run = 0; run < runs; run++) {
        if (!CHECK(!dlm_recording_run(recording)))
            break;
    }
    CHECK(!dlm_device_wait(device));
    CHECK(!dlm_buffer_read(y, 0, out, sizeof(out)));
    for (int i = 0; i < NUM_ELEMS; i++) { /* every three dispatches add 1 + 2 - 1 */
        size_t rest = num % 3 == 2 ? 3 : num % 3;
        num_bad += out[i] != in[i] * (float)((num / 3 * 2 + rest) * (size_t)runs);
    }
    CHECK_INT(num_bad, 0);
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&x);
    dlm_buffer_destroy(&y);
}

/* y += x, with x written again while the run before is under way: nobody waits, and each run sees
 * its own x. */
static void test_queued_writes(struct dlm_device *device)
{
    enum { RUNS = 5 };
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    struct dlm_buffer *x = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_buffer *y = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_buffer *z = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_dispatch list[] = {spin(z, 100000), axpy("axpy", x, y, 1)};
    struct dlm_recording *recording = NULL;
    float in[NUM_ELEMS], out[NUM_ELEMS];
    int num_pending = 0, num_bad = 0;

    CHECK(!dlm_buffer_fill(y, 0, sizeof(out), 0));
    CHECK(!dlm_buffer_fill(z, 0, sizeof(out), 0));
    CHECK(!dlm_recording_create(device, &recording, list, DLM_ARRAY_LEN(list)));
    for (int run = 0; run < RUNS; run++) {
        for (int i = 0; i < NUM_ELEMS; i++)
            in[i] = (float)(i + run);
        CHECK(!dlm_buffer_write(x, 0, in, sizeof(in)));
        num_pending += dlm_vk_completed(d) < d->submitted;
        memset(in, 0xff, sizeof(in)); /* it was taken over */
        CHECK(!dlm_recording_run(recording));
    }
    CHECK(num_pending > 0);
    CHECK(!dlm_buffer_read(y, 0, out, sizeof(out)));
    for (int i = 0; i < NUM_ELEMS; i++)
        num_bad += out[i] != (float)(RUNS * i + RUNS * (RUNS - 1) / 2);
    CHECK_INT(num_bad, 0);
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&x);
    dlm_buffer_destroy(&y);
    dlm_buffer_destroy(&z);
}

/* The same bits, however a recording is cut; returns after more than one way of cutting. */
static void test_slices(struct dlm_device *device)
{
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    const double slice_seconds = d->slice_seconds;
    struct dlm_buffer *y = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_recording *recording = NULL;
    struct dlm_dispatch list[30];
    float in[NUM_ELEMS], want[NUM_ELEMS], out[NUM_ELEMS];
    double seconds[30], total = 0;
    uint64_t fewest = UINT64_MAX, most = 0;

    for (int i = 0; i < NUM_ELEMS; i++)
        in[i] = (float)i * 0.37f;
    for (uint32_t i = 0; i < DLM_ARRAY_LEN(list); i++)
        list[i] = spin(y, 500 * (i % 5 + 1));
    CHECK(!dlm_recording_create(device, &recording, list, DLM_ARRAY_LEN(list)));
    for (int run = 0; run < 8; run++) {
        CHECK(!dlm_buffer_write(y, 0, in, sizeof(in)));
        d->slice_seconds = run < 4 ? slice_seconds : 1e-6;
        if (run == 4) {
            CHECK(!dlm_recording_profile(recording, seconds));
            CHECK(!dlm_buffer_write(y, 0, in, sizeof(in)));
        }
        uint64_t before = d->submitted;
        CHECK(!dlm_recording_run(recording));
        fewest = DLM_MIN(fewest, d->submitted - before);
        most = DLM_MAX(most, d->submitted - before);
        CHECK(!dlm_buffer_read(y, 0, run ? out : want, sizeof(out)));
        CHECK(!run || !memcmp(out, want, sizeof(out)));
    }
    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++) {
        CHECK(seconds[i] >= 0 && seconds[i] < 60);
        total += seconds[i];
    }
    CHECK(total > 0);
    CHECK_INT(most, DLM_ARRAY_LEN(list));
    CHECK(fewest < DLM_ARRAY_LEN(list));
    d->slice_seconds = slice_seconds;
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&y);
}

/* More buffers than a driver must allow allocations: they share chunks, each has its own bytes, and
 * what goes makes room for what comes. */
static void test_many_buffers(struct dlm_device *device)
{
    enum { NUM = 5000 };
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    struct dlm_buffer **list = calloc(NUM, sizeof(struct dlm_buffer *));
    const uint32_t before = d->num_allocations;
    size_t num_bad = 0;

    if (!CHECK(list))
        return;
    for (uint32_t i = 0; i < NUM; i++) {
        list[i] = make_buffer(device, 4 + i % 7 * 600);
        CHECK(!dlm_buffer_write(list[i], i % 7 * 600, &i, 4));
    }
    const uint32_t all = d->num_allocations - before;
    CHECK(all < 16); /* none if a chunk of before has room for them */
    for (uint32_t i = 0; i < NUM; i += 2)
        dlm_buffer_destroy(&list[i]);
    for (uint32_t i = 0; i < NUM; i += 2) {
        list[i] = make_buffer(device, 4 + i % 7 * 600);
        CHECK(!dlm_buffer_write(list[i], i % 7 * 600, &i, 4));
    }
    CHECK_INT(d->num_allocations - before, all);
    for (uint32_t i = 0; i < NUM; i++) {
        uint32_t got = 0;
        CHECK(!dlm_buffer_read(list[i], i % 7 * 600, &got, 4));
        num_bad += got != i;
    }
    CHECK_INT(num_bad, 0);
    for (uint32_t i = 0; i < NUM; i++)
        dlm_buffer_destroy(&list[i * 3 % NUM]); /* 3 and NUM have no common factor */
    CHECK_INT(d->num_allocations, before);
    free(list);
}

/* A driver that allows only a few allocations. */
static void test_few_allocations(struct dlm_ctx *ctx, struct dlm_device *device)
{
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    const uint32_t max_allocations = d->max_allocations;
    const size_t bytes = (size_t)80 << 20; /* too large to share a chunk */
    struct dlm_buffer *first = make_buffer(device, bytes), *second = NULL;

    d->max_allocations = d->num_allocations;
    CHECK_INT(dlm_buffer_create(device, &second, bytes), DLM_ERR_MEMORY);
    CHECK(!second && strstr(dlm_ctx_last_error(ctx), "too many objects"));
    dlm_buffer_destroy(&first);
    CHECK(!dlm_buffer_create(device, &second, bytes)); /* in the place of the other */
    dlm_buffer_destroy(&second);
    d->max_allocations = max_allocations;
}

static VKAPI_ATTR VkResult VKAPI_CALL no_times(VkDevice device, VkQueryPool pool, uint32_t first,
                                               uint32_t num, size_t bytes, void *data,
                                               VkDeviceSize stride, VkQueryResultFlags flags)
{
    (void)device;
    (void)pool;
    (void)first;
    (void)num;
    (void)flags;
    memset(data, 0, bytes);
    return stride ? VK_NOT_READY : VK_SUCCESS;
}

static uint64_t count_slices(struct dlm_vk_device *d, struct dlm_recording *recording)
{
    const uint64_t before = d->submitted;

    CHECK(!dlm_recording_run(recording));
    return d->submitted - before;
}

/* A run whose timestamps the driver does not have is measured again: all of it in one slice, as
 * times of zero would have it, could be longer than a watchdog allows. */
static void test_no_times(struct dlm_device *device)
{
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    struct dlm_buffer *y = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_recording *recording = NULL;
    struct dlm_dispatch list[30];
    double seconds[30];

    CHECK(!dlm_buffer_fill(y, 0, NUM_ELEMS * 4, 0));
    for (uint32_t i = 0; i < DLM_ARRAY_LEN(list); i++)
        list[i] = spin(y, 10);
    CHECK(!dlm_recording_create(device, &recording, list, DLM_ARRAY_LEN(list)));
    d->get_times = no_times;
    const uint64_t small = count_slices(d, recording);
    CHECK(small > 1);
    CHECK_INT(count_slices(d, recording), small);
    CHECK_INT(count_slices(d, recording), small);
    CHECK_INT(dlm_recording_profile(recording, seconds), DLM_ERR_DEVICE);
    d->get_times = vkGetQueryPoolResults;
    CHECK_INT(count_slices(d, recording), small);
    CHECK_INT(count_slices(d, recording), 1);
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&y);
}

static void test_cut(void)
{
    const double seconds[6] = {0.05, 0.05, 0.08, 0.4, 0.01, 0.02};
    const double doubled[6] = {0.2, 0.2, 0.08, 0.4, 0.01, 0.02};
    const double tenth[6] = {0.005, 0.005, 0.008, 0.04, 0.001, 0.002};
    struct dlm_vk_slice slices[6];

    check_case("slices follow the measured times");
    if (!CHECK(dlm_vk_slices_cut(seconds, 6, 0.15, 6, slices) == 4))
        return;
    CHECK(slices[0].first == 0 && slices[0].num == 2);
    CHECK(slices[1].first == 2 && slices[1].num == 1);
    CHECK(slices[2].first == 3 && slices[2].num == 1);
    CHECK(slices[3].first == 4 && slices[3].num == 2);
    CHECK(!dlm_vk_slices_are_stale(slices, 4, seconds, 0.15));
    CHECK(dlm_vk_slices_are_stale(slices, 4, doubled, 0.15));
    CHECK(dlm_vk_slices_are_stale(slices, 4, tenth, 0.15));
    CHECK(dlm_vk_slices_cut(seconds, 6, 100, 4, slices) == 2);
    CHECK(dlm_vk_slices_cut(seconds, 0, 100, 4, slices) == 0);
}

static void test_errors(struct dlm_ctx *ctx, struct dlm_device *device)
{
    struct dlm_buffer *buffer = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_buffer *huge = NULL;
    struct dlm_recording *recording = NULL;
    struct dlm_dispatch list[2] = {spin(buffer, 1), spin(buffer, 1)};

    check_case("kernels are known by name");
    CHECK(dlm_device_has_kernel(device, "axpy"));
    CHECK(dlm_device_has_kernel(device, "axpy_minus"));
    CHECK(!dlm_device_has_kernel(device, "axp"));
    list[1].kernel = "no_such_kernel";
    CHECK_INT(dlm_recording_create(device, &recording, list, 2), DLM_ERR_UNSUPPORTED);
    CHECK(!recording && strstr(dlm_ctx_last_error(ctx), "'no_such_kernel'"));

    check_case("a kernel needs all its buffers");
    list[1].kernel = "axpy";
    CHECK_INT(dlm_recording_create(device, &recording, list, 2), DLM_ERR_INVALID);
    CHECK(!recording && strstr(dlm_ctx_last_error(ctx), "'axpy'"));

    check_case("an empty recording does nothing");
    CHECK(!dlm_recording_create(device, &recording, NULL, 0));
    CHECK(!dlm_recording_run(recording));
    dlm_recording_destroy(&recording);

    check_case("a buffer that is too large is refused with its size");
    CHECK_INT(dlm_buffer_create(device, &huge, (size_t)1 << 46), DLM_ERR_MEMORY);
    CHECK(!huge && dlm_ctx_last_error(ctx)[0]);
    dlm_buffer_destroy(&buffer);
}

/* A buffer beyond the largest binding of some devices is one allocation all the same. */
static void test_big_buffer(struct dlm_device *device)
{
    const size_t bytes = (size_t)160 << 20;
    struct dlm_buffer *buffer = make_buffer(device, bytes);
    uint32_t word = 0;

    CHECK(!dlm_buffer_fill(buffer, bytes - 8, 8, 77));
    CHECK(!dlm_buffer_read(buffer, bytes - 4, &word, 4));
    CHECK_INT(word, 77);
    dlm_buffer_destroy(&buffer);
}

static void damage_file(const char *path)
{
    FILE *file = fopen(path, "r+b");

    if (!CHECK(file != NULL))
        return;
    CHECK(!fseek(file, -1, SEEK_END));
    int last = fgetc(file);
    CHECK(!fseek(file, -1, SEEK_END));
    CHECK(fputc(last ^ 0x55, file) != EOF);
    fclose(file);
}

/* The cache file is made, used, and replaced when it is damaged. */
static void test_cache(struct dlm_ctx *ctx)
{
    char dir[] = "/tmp/dlm-test-vulkan-XXXXXX";
    char hex[3][65] = {"", "", ""};
    char **names = NULL;

    if (!CHECK(mkdtemp(dir) != NULL))
        return;
    for (int round = 0; round < 3; round++) {
        struct dlm_device *device = NULL;
        struct dlm_str text = {0};
        CHECK(!open_device(ctx, &device, dir));
        test_chain(device, 3, 2);
        dlm_device_destroy(&device);
        CHECK(!dlm_dir_list(ctx, dir, &names));
        if (!CHECK(names && names[0] && !names[1] && !strncmp(names[0], "vulkan-", 7)))
            break;
        char *path = dlm_path_join(ctx, dir, names[0]);
        CHECK(!dlm_file_read(ctx, path, 1 << 26, &text));
        CHECK(text.len > 75);
        snprintf(hex[round], sizeof(hex[round]), "%.64s", dlm_str_text(&text) + 9);
        if (round == 1)
            damage_file(path);
        dlm_str_finish(&text);
        dlm_free(path);
        dlm_names_free(names);
        names = NULL;
    }
    CHECK_STR(hex[1], hex[0]);
    CHECK_STR(hex[2], hex[0]);
    dlm_names_free(names);
    CHECK(!dlm_path_remove(ctx, dir));
}

/* In a process of its own: the loader may read its settings once only. */
static void test_no_driver(void)
{
    check_case("no driver is no device, not an error");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct dlm_ctx *ctx = dlm_ctx_create(NULL);
        struct dlm_device *device = NULL;
        setenv("VK_ICD_FILENAMES", "/nonexistent.json", 1);
        setenv("VK_DRIVER_FILES", "/nonexistent.json", 1);
        bool ok = open_device(ctx, &device, NULL) == DLM_ERR_NO_DEVICE && !device &&
                  dlm_ctx_last_error(ctx)[0];
        dlm_ctx_destroy(&ctx);
        _exit(ok ? 0 : 1);
    }
    int status = 1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
}

/* A cancel is seen between two slices; what was submitted is waited for. */
static void test_cancel(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_device *device = NULL;
    struct dlm_recording *recording = NULL;

    CHECK(!open_device(ctx, &device, NULL));
    struct dlm_buffer *y = make_buffer(device, NUM_ELEMS * 4);
    struct dlm_dispatch list[16];
    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++)
        list[i] = spin(y, 10);
    CHECK(!dlm_recording_create(device, &recording, list, DLM_ARRAY_LEN(list)));
    dlm_ctx_cancel(ctx);
    CHECK_INT(dlm_recording_run(recording), DLM_ERR_CANCELLED);
    CHECK(!dlm_device_wait(device));
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&y);
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
}

/* The message of a loss names what was running; a lost device stays lost. */
static void test_loss(struct dlm_ctx *ctx)
{
    struct dlm_device *device = NULL;

    CHECK(!open_device(ctx, &device, NULL));
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    struct dlm_buffer *y = make_buffer(device, 256);
    d->submitted++; /* as if this had been submitted and never finished */
    d->jobs[d->submitted % DLM_VK_MAX_PENDING] = (struct dlm_vk_job){
        .first = "axpy", .last = "spin", .first_index = 3, .last_index = 9};
    CHECK_INT(dlm_vk_fail(d, VK_ERROR_DEVICE_LOST, "wait"), DLM_ERR_DEVICE_LOST);
    CHECK(strstr(dlm_ctx_last_error(ctx), "dispatches 3 ('axpy') to 9 ('spin')"));
    CHECK_INT(dlm_device_wait(device), DLM_ERR_DEVICE_LOST);
    CHECK_INT(dlm_buffer_fill(y, 0, 4, 0), DLM_ERR_DEVICE_LOST);
    dlm_buffer_destroy(&y);
    dlm_device_destroy(&device);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_device *device = NULL;

    test_cut();
    test_no_driver();
    enum dlm_status st = open_device(ctx, &device, NULL);
    if (st == DLM_ERR_NO_DEVICE) {
        check_skip("vulkan", dlm_ctx_last_error(ctx));
        dlm_ctx_destroy(&ctx);
        return check_summary();
    }
    check_case("device");
    if (!CHECK(!st))
        return check_summary();
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);
    printf("# %s (%s)\n", caps->info.name, caps->info.driver);
    CHECK(caps->info.kind == DLM_BACKEND_VULKAN && caps->info.name[0] && caps->info.driver[0]);
    CHECK(caps->max_alloc_bytes >= (size_t)1 << 30 && caps->max_range_bytes >= (size_t)1 << 27);
    CHECK(caps->align_bytes <= DLM_ALIGN_BYTES && caps->max_groups >= 65535 && caps->num_units);
    CHECK(caps->free_bytes > 0 && caps->info.memory_bytes >= caps->free_bytes);

    struct dlm_vk_device *d = dlm_vk_device_of(device);
    test_matrix_units(ctx);
    check_case("copies");
    test_copies(device);
    check_case("chains");
    test_chain(device, 1, 3);
    test_chain(device, 50, 1000);
    check_case("writes are queued");
    test_queued_writes(device);
    check_case("copies through blocks");
    d->map_buffers = false;
    test_copies(device);
    test_chain(device, 50, 3);
    test_queued_writes(device);
    d->map_buffers = true;
    check_case("slicing keeps every bit");
    test_slices(device);
    check_case("5000 buffers share a few allocations");
    test_many_buffers(device);
    check_case("the driver's limit of allocations");
    test_few_allocations(ctx, device);
    if (d->tick_mask) {
        check_case("timestamps that are not ready");
        test_no_times(device);
    }
    check_case("a buffer of 160 MiB");
    test_big_buffer(device);
    test_errors(ctx, device);
    dlm_device_destroy(&device);

    check_case("cancel");
    test_cancel();
    check_case("loss");
    test_loss(ctx);
    check_case("pipeline cache");
    test_cache(ctx);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
