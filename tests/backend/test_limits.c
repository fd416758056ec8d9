/* The loops of limits on every device: which there are, that they do what is counted, and nothing
 * else. How fast they are is no test. */
#include "doctor/limits.h"
#include "tests/check.h"

static const char *const names[DLM_LIMIT_COUNT] = {
    "copy", "read", "f32", "f16", "bf16", "int8", "matrix f16", "matrix bf16",
};

static uint32_t first_word(struct dlm_buffer *buffer)
{
    uint32_t word = 0xdead;

    CHECK(!dlm_buffer_read(buffer, 0, &word, sizeof(word)));
    return word;
}

/* y has what x had, to the last word. */
static void check_copied(const struct dlm_limit_loop *loop)
{
    const size_t bytes = dlm_buffer_bytes(loop->x);
    uint32_t word;

    CHECK(loop->amount == 2.0 * (double)bytes && dlm_buffer_bytes(loop->y) == bytes);
    CHECK(!dlm_buffer_read(loop->y, bytes - 4, &word, sizeof(word)));
    CHECK_INT(word, first_word(loop->x));
    CHECK_INT(word, first_word(loop->y));
    CHECK(word != 0);
}

static void run_loop(struct dlm_device *device, enum dlm_limit limit)
{
    struct dlm_limit_loop loop;
    double seconds = 0;

    check_case(names[limit]);
    if (CHECK(!dlm_limit_loop_init(&loop, device, limit)) &&
        CHECK(!dlm_limit_loop_run(&loop, &seconds))) {
        CHECK(loop.amount > 0 && seconds > 0);
        if (limit == DLM_LIMIT_COPY)
            check_copied(&loop);
        else
            CHECK_INT(first_word(loop.y), 0); /* the write that keeps a loop is never done */
    }
    dlm_limit_loop_finish(&loop);
}

static void run_device(struct dlm_ctx *ctx, const struct dlm_device_info *info)
{
    const struct dlm_device_params params = {
        .kind = info->kind, .index = info->index, .show_caps = DLM_CAPS_MATRIX,
        .cache_dir = getenv("DLM_TEST_KERNEL_CACHE"), .max_alloc_bytes = 4 << 20};
    struct dlm_device *device = NULL;
    struct dlm_limits limits;

    check_case("device opens");
    if (!CHECK(!dlm_device_open(ctx, &device, &params)))
        return;
    printf("device %s %d: %s\n", dlm_backend_name(info->kind), info->index, info->name);
    const uint32_t bits = dlm_device_get_caps(device)->bits;
    check_case("memory and f32 everywhere, the rest by capability");
    CHECK(dlm_limit_exists(device, DLM_LIMIT_COPY) && dlm_limit_exists(device, DLM_LIMIT_READ));
    CHECK(dlm_limit_exists(device, DLM_LIMIT_F32));
    CHECK(dlm_limit_exists(device, DLM_LIMIT_INT8) == !!(bits & DLM_CAP_AVX512_VNNI));
    CHECK(dlm_limit_exists(device, DLM_LIMIT_MATRIX_F16) == !!(bits & DLM_CAP_MATRIX_F16));
    for (int i = 0; i < DLM_LIMIT_COUNT; i++)
        if (dlm_limit_exists(device, (enum dlm_limit)i))
            run_loop(device, (enum dlm_limit)i);
    check_case("measured");
    if (CHECK(!dlm_limits_measure(device, &limits))) {
        CHECK(limits.copy > 0 && limits.read > 0 && limits.f32 > 0);
        CHECK((limits.f16 > 0) == dlm_limit_exists(device, DLM_LIMIT_F16));
        CHECK(dlm_limits_product(&limits, DLM_DTYPE_F32) == limits.f32);
        CHECK(dlm_limits_product(&limits, DLM_DTYPE_BF16) >= limits.f32);
    }
    dlm_device_destroy(&device);
}

int main(void)
{
    const char *wanted = getenv("DLM_TEST_BACKENDS");
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){0});
    struct dlm_device_info *list = NULL;
    int num = 0;

    if (!CHECK(ctx && !dlm_device_list(ctx, &list, &num)))
        return check_summary();
    for (int i = 0; i < num; i++)
        if (!wanted || strstr(wanted, dlm_backend_name(list[i].kind)))
            run_device(ctx, &list[i]);
    dlm_device_list_free(list);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
