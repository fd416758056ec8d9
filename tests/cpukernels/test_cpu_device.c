/* The CPU device and what backend.c checks for every device: names, opening, limits, ranges,
 * counters, bad dispatches, cancelling, failing allocations. */
#include "isa.h"
#include "kernels/matmul_panel.h"
#include "tests/check.h"

static struct dlm_ctx *ctx;

static struct dlm_device *open_cpu(size_t max_alloc_bytes)
{
    struct dlm_device *device = NULL;
    const struct dlm_device_params params = {
        .kind = DLM_BACKEND_CPU, .index = -1, .max_alloc_bytes = max_alloc_bytes,
    };

    if (!CHECK(!dlm_device_open(ctx, &device, &params)))
        exit(1);
    return device;
}

static void test_names(void)
{
    enum dlm_backend_kind kind = DLM_BACKEND_COUNT;

    check_case("backend names");
    for (int i = 0; i < DLM_BACKEND_COUNT; i++) {
        CHECK(!dlm_backend_from_name(ctx, dlm_backend_name((enum dlm_backend_kind)i), &kind));
        CHECK_INT(kind, i);
    }
    CHECK_STR(dlm_backend_name(DLM_BACKEND_COUNT), "?");
    CHECK(dlm_backend_from_name(ctx, "cuda", &kind) == DLM_ERR_USAGE);
    CHECK_STR(dlm_ctx_last_error(ctx), "unknown backend 'cuda'");
}

static void test_list_and_open(void)
{
    struct dlm_device_info *list = NULL;
    struct dlm_device *device = NULL;
    int num = 0;

    check_case("enumeration and opening");
    CHECK(!dlm_device_list(ctx, &list, &num));
    if (CHECK(num >= 1)) {
        CHECK_INT(list[0].kind, DLM_BACKEND_CPU);
        CHECK(!list[0].is_software && list[0].name[0] && list[0].memory_bytes);
    }
    dlm_device_list_free(list);
    CHECK(dlm_device_open(ctx, &device, &(struct dlm_device_params){
                                            .kind = DLM_BACKEND_CPU, .index = 1}) ==
          DLM_ERR_NO_DEVICE);
    CHECK(!device);
    CHECK(dlm_device_open(ctx, &device, &(struct dlm_device_params){
                                            .kind = DLM_BACKEND_AUTO, .index = 0}) ==
          DLM_ERR_USAGE);
    CHECK(!dlm_device_open(ctx, &device, &(struct dlm_device_params){.index = -1}));
    CHECK(device && !dlm_device_get_caps(device)->info.is_software);
    dlm_device_destroy(&device);
    dlm_device_destroy(&device);
}

/* The rule of auto on lists that this machine does not have. */
static void test_auto(void)
{
    const struct dlm_device_info cpu = {.kind = DLM_BACKEND_CPU};
    const struct dlm_device_info gpu = {.kind = DLM_BACKEND_OPENCL, .index = 1};
    const struct dlm_device_info soft_gpu = {.kind = DLM_BACKEND_OPENCL, .is_software = true};
    const struct dlm_device_info vk = {.kind = DLM_BACKEND_VULKAN, .index = 2};
    const struct dlm_device_info soft_vk = {.kind = DLM_BACKEND_VULKAN, .is_software = true};
    const struct dlm_device_info all[] = {cpu, soft_vk, vk, soft_gpu, gpu};
    const struct dlm_device_info opencl[] = {cpu, soft_vk, soft_gpu, gpu};
    const struct dlm_device_info software[] = {soft_vk, soft_gpu, cpu};

    check_case("what auto takes");
    CHECK(dlm_device_auto(all, 5) == &all[2]);
    CHECK(dlm_device_auto(opencl, 4) == &opencl[3]);
    CHECK(dlm_device_auto(software, 3) == &software[2]);
    CHECK(!dlm_device_auto(software, 2));
    CHECK(!dlm_device_auto(all, 0));
}

static void test_isa_levels(void)
{
    struct dlm_device *device = NULL;
    uint32_t last = 0;

    check_case("hidden capabilities lower the instruction set");
    for (size_t i = 0; i < DLM_ARRAY_LEN(isas); i++) {
        const struct dlm_device_params params = {
            .kind = DLM_BACKEND_CPU, .index = -1, .hide_caps = isas[i].hide_caps};
        if (!CHECK(!dlm_device_open(ctx, &device, &params)))
            exit(1);
        const uint32_t bits =
            dlm_device_get_caps(device)->bits &
            (DLM_CAP_AVX2 | DLM_CAP_AVX512 | DLM_CAP_AVX512_BF16 | DLM_CAP_AMX_BF16 |
             DLM_CAP_NEON_BF16);
        CHECK((bits & last) == last);
        CHECK(i || !bits);
        CHECK(!(bits & isas[i].hide_caps));
        CHECK(dlm_device_has_kernel(device, "matmul_panel_fwd_bf16"));
        CHECK_INT(dlm_device_has_kernel(device, "matmul_panel_fwd_bf16_avx512bf16"),
                  !!(bits & DLM_CAP_AVX512_BF16));
        CHECK_INT(dlm_device_has_kernel(device, "matmul_panel_fwd_bf16_amx"),
                  !!(bits & DLM_CAP_AMX_BF16));
        CHECK_INT(dlm_device_has_kernel(device, "matmul_panel_fwd_bf16_neonbf16"),
                  !!(bits & DLM_CAP_NEON_BF16));
        /* the table of kernels too, which the text names */
        const char *table = isas[bits & DLM_CAP_AVX512 ? 2 : bits & DLM_CAP_AVX2 ? 1 : 0].name;
        CHECK(!strncmp(dlm_device_get_caps(device)->info.driver, table, strlen(table)));
        last = bits;
        dlm_device_destroy(&device);
    }
}

static void test_buffers(void)
{
    const size_t sizes[] = {4, 4096, (size_t)2 << 20, ((size_t)5 << 20) + 12};
    struct dlm_device *device = open_cpu(0);
    struct dlm_buffer *buffers[4] = {NULL};
    uint64_t total = 0;

    check_case("buffers, ranges and counters");
    for (size_t i = 0; i < 4; i++) {
        uint32_t word = 0;
        const uint32_t value = 0x12345678u + (uint32_t)i;
        if (!CHECK(!dlm_buffer_create(device, &buffers[i], sizes[i])))
            exit(1);
        total += sizes[i];
        CHECK_INT(dlm_device_used_bytes(device), total);
        CHECK_INT(dlm_buffer_bytes(buffers[i]), sizes[i]);
        CHECK((uintptr_t)dlm_buffer_host_data(buffers[i]) % DLM_ALIGN_BYTES == 0);
        CHECK(!dlm_buffer_fill(buffers[i], 0, sizes[i], 7));
        CHECK(!dlm_buffer_write(buffers[i], sizes[i] - 4, &value, 4));
        CHECK(!dlm_buffer_read(buffers[i], sizes[i] - 4, &word, 4) && word == value);
        CHECK(sizes[i] == 4 || (!dlm_buffer_read(buffers[i], sizes[i] - 8, &word, 4) && word == 7));
        CHECK(dlm_buffer_read(buffers[i], sizes[i] - 3, &word, 4) == DLM_ERR_INVALID);
        CHECK(dlm_buffer_write(buffers[i], SIZE_MAX, &word, 4) == DLM_ERR_INVALID);
        CHECK(dlm_buffer_fill(buffers[i], 2, 4, 0) == DLM_ERR_INVALID);
    }
    for (size_t i = 0; i < 4; i++)
        dlm_buffer_destroy(&buffers[i]);
    CHECK_INT(dlm_device_used_bytes(device), 0);
    CHECK_INT(dlm_device_peak_bytes(device), total);
    CHECK(dlm_buffer_create(device, &buffers[0], 0) == DLM_ERR_INVALID);
    CHECK(dlm_buffer_create(device, &buffers[0], SIZE_MAX) == DLM_ERR_MEMORY);
    CHECK(dlm_buffer_create(device, &buffers[0], SIZE_MAX / 8) == DLM_ERR_MEMORY);
    CHECK(!buffers[0]);
    dlm_device_destroy(&device);
}

static void test_max_alloc(void)
{
    struct dlm_device *device = open_cpu(1000);
    struct dlm_buffer *buffer = NULL;

    check_case("a small largest allocation can be pretended");
    CHECK_INT(dlm_device_get_caps(device)->max_alloc_bytes, 1000);
    CHECK_INT(dlm_device_get_caps(device)->max_range_bytes, 1000);
    CHECK(dlm_buffer_create(device, &buffer, 1001) == DLM_ERR_MEMORY);
    CHECK(!dlm_buffer_create(device, &buffer, 1000));
    dlm_buffer_destroy(&buffer);
    dlm_device_destroy(&device);
}

/* x[4, 8] rounded to bf16: any kernel would do. */
static struct dlm_dispatch round_dispatch(struct dlm_buffer *x, struct dlm_buffer *y)
{
    const struct dlm_matmul_panel_params p = {.m = 4, .k = 8, .x_stride = 8};
    struct dlm_dispatch d = {
        .kernel = "matmul_panel_round",
        .bindings = {{.buffer = x, .bytes = 128}, {.buffer = y, .bytes = dlm_buffer_bytes(y)}},
        .num_bindings = 2,
        .groups = {1, 1, 1},
        .params_bytes = sizeof(p),
    };

    memcpy(d.params, &p, sizeof(p));
    return d;
}

static enum dlm_status try_recording(struct dlm_device *device, const struct dlm_dispatch *d)
{
    struct dlm_recording *r = NULL;
    enum dlm_status st = dlm_recording_create(device, &r, d, 1);

    CHECK(!st == !!r);
    dlm_recording_destroy(&r);
    return st;
}

static void test_recordings(void)
{
    struct dlm_device *device = open_cpu(0);
    struct dlm_buffer *x = NULL, *y = NULL;
    struct dlm_recording *recording = NULL;
    double seconds[2] = {-1.0, -1.0};
    uint16_t first = 0;

    check_case("recordings are checked, run and cancelled");
    if (!CHECK(!dlm_buffer_create(device, &x, 128) &&
               !dlm_buffer_create(device, &y, dlm_matmul_round_bytes(4, 8, 2))))
        exit(1);
    CHECK(!dlm_buffer_fill(x, 0, 128, 0x3f800000u)); /* 1.0f */
    const struct dlm_dispatch good = round_dispatch(x, y);
    struct dlm_dispatch bad = good;
    bad.kernel = "no_such_kernel";
    CHECK(try_recording(device, &bad) == DLM_ERR_UNSUPPORTED);
    bad = good;
    bad.bindings[0].bytes = 129;
    CHECK(try_recording(device, &bad) == DLM_ERR_INVALID);
    bad = good;
    bad.bindings[1].buffer = NULL;
    CHECK(try_recording(device, &bad) == DLM_ERR_INVALID);
    bad = good;
    bad.groups[2] = 0;
    CHECK(try_recording(device, &bad) == DLM_ERR_INVALID);
    bad = good;
    bad.num_bindings = DLM_MAX_BINDINGS + 1;
    CHECK(try_recording(device, &bad) == DLM_ERR_INVALID);
    bad = good;
    bad.groups[0] = bad.groups[1] = bad.groups[2] = INT32_MAX;
    CHECK(try_recording(device, &bad) == DLM_ERR_INVALID);

    const struct dlm_dispatch list[] = {good, good};
    CHECK(!dlm_recording_create(device, &recording, list, 2));
    CHECK(!dlm_recording_run(recording));
    CHECK(!dlm_device_wait(device));
    CHECK(!dlm_buffer_read(y, 0, &first, 2) && first == 0x3f80); /* 1.0 in bf16 */
    CHECK(!dlm_recording_profile(recording, seconds));
    CHECK(seconds[0] >= 0.0 && seconds[1] >= 0.0);
    dlm_ctx_cancel(ctx);
    CHECK(dlm_recording_run(recording) == DLM_ERR_CANCELLED);
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&x);
    dlm_buffer_destroy(&y);
    dlm_device_destroy(&device);
}

static bool allow_some(void *user, size_t bytes)
{
    int *left = user;

    (void)bytes;
    return (*left)-- > 0;
}

/* Everything again with the n-th allocation failing, until none does. */
static void test_failing_allocations(void)
{
    bool is_done = false;

    check_case("every allocation may fail");
    for (int n = 0; n < 100 && !is_done; n++) {
        int left = n;
        struct dlm_device *device = NULL;
        struct dlm_buffer *x = NULL, *y = NULL;
        struct dlm_recording *recording = NULL;
        struct dlm_ctx *poor = dlm_ctx_create(
            &(struct dlm_ctx_params){.alloc_hook = allow_some, .alloc_user = &left});
        enum dlm_status st = dlm_device_open(
            poor, &device, &(struct dlm_device_params){.kind = DLM_BACKEND_CPU, .index = -1});
        if (!st)
            st = dlm_buffer_create(device, &x, 128);
        if (!st)
            st = dlm_buffer_create(device, &y, dlm_matmul_round_bytes(4, 8, 2));
        if (!st) {
            const struct dlm_dispatch d = round_dispatch(x, y);
            st = dlm_recording_create(device, &recording, &d, 1);
        }
        CHECK(!st || st == DLM_ERR_MEMORY);
        is_done = !st;
        dlm_recording_destroy(&recording);
        dlm_buffer_destroy(&x);
        dlm_buffer_destroy(&y);
        dlm_device_destroy(&device);
        dlm_ctx_destroy(&poor);
    }
    CHECK(is_done);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    if (!ctx)
        return 1;
    test_names();
    test_list_and_open();
    test_auto();
    test_isa_levels();
    test_buffers();
    test_max_alloc();
    test_failing_allocations();
    test_recordings(); /* last: it cancels the context */
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
