/* Faults, one a run, that a checker must report: what is silent about these proves nothing about
 * the tests. tools/test --all runs them under its checkers.
 *
 *     faults race                two threads of the pool write one number       (TSan)
 *     faults overflow            a write past the end of a block                (ASan)
 *     faults undefined           a sum that its type cannot hold                (UBSan)
 *     faults leak                a block is lost, with the drivers loaded       (LSan)
 *     faults barrier [BACKEND]   a kernel reads what another writes, unordered  (Vulkan validation)
 *     faults range [BACKEND]     a kernel writes past the end of a buffer       (GPU-assisted
 *                                validation, oclgrind)
 *
 * Nothing here checks the outcome: the exit status is 0 unless a checker sees to it, 77 without a
 * device of the backend, 2 for wrong usage. */
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "base/pool.h"
#include "dlm/ctx.h"
#include "kernels/params.h"

#define NUM_ELEMS 4096

static struct dlm_ctx *ctx;

/* --- on the host --- */

struct race {
    atomic_int started;
    int value;
};

/* Both items wait for each other, relaxed, so that neither is ordered before the other. */
static void race_item(void *user, int64_t item, int worker)
{
    struct race *race = user;

    (void)worker;
    atomic_fetch_add_explicit(&race->started, 1, memory_order_relaxed);
    for (int i = 0; atomic_load_explicit(&race->started, memory_order_relaxed) < 2 && i < 5000; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    race->value += (int)item;
}

static int make_race(enum dlm_backend_kind kind)
{
    struct race race = {0};
    struct dlm_pool *pool = dlm_ctx_pool(ctx);

    (void)kind;
    if (!pool)
        return 1;
    dlm_pool_run(pool, race_item, &race, 2);
    return 0;
}

static int make_overflow(enum dlm_backend_kind kind)
{
    volatile size_t past = 8;
    char *block = malloc(past);

    (void)kind;
    if (!block)
        return 1;
    ((volatile char *)block)[past] = 1;
    free(block);
    return 0;
}

static int make_undefined(enum dlm_backend_kind kind)
{
    volatile int most = INT_MAX;

    (void)kind;
    most = most + 1;
    return 0;
}

static int make_leak(enum dlm_backend_kind kind)
{
    struct dlm_device_info *list = NULL;
    int num = 0;

    (void)kind;
    if (dlm_device_list(ctx, &list, &num))
        return 1;
    dlm_device_list_free(list);
    void *volatile lost = malloc(100);
    lost = NULL;
    return lost != NULL;
}

/* --- on a device --- */

/* y = x * 1 over total elements of buffers that hold NUM_ELEMS. */
static struct dlm_dispatch scale(struct dlm_buffer *x, struct dlm_buffer *y, uint32_t total)
{
    const struct dlm_map_params params = {.total = total, .factor = 1};
    const struct dlm_binding in = {x, 0, NUM_ELEMS * 4}, out = {y, 0, NUM_ELEMS * 4};
    struct dlm_dispatch dispatch = {
        .kernel = "scale",
        .bindings = {in, in, out},
        .num_bindings = 3,
        .groups = {2, 1, 1}, /* of 4096 elements */
        .params_bytes = sizeof(params),
    };

    memcpy(dispatch.params, &params, sizeof(params));
    return dispatch;
}

/* Runs scale x to y and y to x over total elements, the second without the barrier it needs where
 * `ordered` is false. */
static int run_kernels(enum dlm_backend_kind kind, uint32_t total, bool ordered)
{
    const struct dlm_device_params params = {.kind = kind, .index = -1};
    struct dlm_device *device = NULL;
    struct dlm_buffer *x = NULL, *y = NULL;
    struct dlm_recording *recording = NULL;

    enum dlm_status st = dlm_device_open(ctx, &device, &params);
    if (!st)
        st = dlm_buffer_create(device, &x, NUM_ELEMS * 4);
    if (!st)
        st = dlm_buffer_create(device, &y, NUM_ELEMS * 4);
    if (!st)
        st = dlm_buffer_fill(x, 0, NUM_ELEMS * 4, 0);
    if (!st) {
        struct dlm_dispatch list[] = {scale(x, y, total), scale(y, x, total)};
        list[0].barrier = true;
        list[1].barrier = ordered;
        printf("device %s\n", dlm_device_get_caps(device)->info.name);
        st = dlm_recording_create(device, &recording, list, 2);
    }
    if (!st)
        st = dlm_recording_run(recording);
    if (!st)
        st = dlm_device_wait(device);
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&x);
    dlm_buffer_destroy(&y);
    dlm_device_destroy(&device);
    return st == DLM_ERR_NO_DEVICE ? 77 : st != DLM_OK;
}

static int miss_barrier(enum dlm_backend_kind kind)
{
    return run_kernels(kind, NUM_ELEMS, false);
}

static int leave_range(enum dlm_backend_kind kind)
{
    return run_kernels(kind, NUM_ELEMS + 1, true);
}

static const struct {
    const char *name;
    int (*make)(enum dlm_backend_kind kind);
} faults[] = {
    {"race", make_race},           {"overflow", make_overflow}, {"undefined", make_undefined},
    {"leak", make_leak},           {"barrier", miss_barrier},   {"range", leave_range},
};

int main(int argc, char **argv)
{
    enum dlm_backend_kind kind = DLM_BACKEND_VULKAN;
    int status = 2;

    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 2});
    if (!ctx)
        return 1;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (argc > 1 && !strcmp(argv[1], faults[i].name) &&
            (argc < 3 || !dlm_backend_from_name(ctx, argv[2], &kind)))
            status = faults[i].make(kind);
    if (status == 2)
        fprintf(stderr, "usage: faults race|overflow|undefined|leak|barrier|range [BACKEND]\n");
    dlm_ctx_destroy(&ctx);
    return status;
}
