/* Runs the loops of limits*.comp, limits*.cl and cpukernels/limits*.c. */
#include "doctor/limits.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kernels/params.h"

enum {
    REPEAT = 5,
    GROUPS_A_UNIT = 64, /* enough to hide latencies, on every device */
    MAX_ROUNDS = 1 << 24,
};

#define MAX_BYTES ((uint64_t)512 << 20) /* more than the caches of any device, mostly */
#define MIN_SECONDS 0.01
#define ONE_WORD 0x3f000000u /* what buffers are filled with: 0.5 */

/* The loops: the first kernel of a limit that the device has counts. */
static const struct loop {
    enum dlm_limit limit;
    const char *kernel;
    uint32_t gpu, cpu; /* a group's or item's multiply-adds a round; KiB of rounds are copied */
} loops[] = {
    {DLM_LIMIT_COPY, "limit_copy", 0, 0},
    {DLM_LIMIT_READ, "limit_read", 0, 0},
    {DLM_LIMIT_F32, "limit_f32", 64 * 16, 256},
    {DLM_LIMIT_F16, "limit_f16", 64 * 16, 0},
    {DLM_LIMIT_MATRIX_F16, "limit_matrix_f16", 8 * 4 * 4096, 0},
    {DLM_LIMIT_MATRIX_BF16, "limit_matrix_bf16", 8 * 4 * 4096, 0},
    {DLM_LIMIT_BF16, "limit_bf16_avx512bf16", 0, 512},
    {DLM_LIMIT_BF16, "limit_bf16_neonbf16", 0, 256},
    {DLM_LIMIT_INT8, "limit_int8_avx512vnni", 0, 1024},
    {DLM_LIMIT_MATRIX_BF16, "limit_bf16_amx", 0, 4 * 16 * 16 * 32},
};

static const size_t fields[DLM_LIMIT_COUNT] = {
    offsetof(struct dlm_limits, copy),       offsetof(struct dlm_limits, read),
    offsetof(struct dlm_limits, f32),        offsetof(struct dlm_limits, f16),
    offsetof(struct dlm_limits, bf16),       offsetof(struct dlm_limits, int8),
    offsetof(struct dlm_limits, matrix_f16), offsetof(struct dlm_limits, matrix_bf16),
};

static const struct loop *find_loop(const struct dlm_device *device, enum dlm_limit limit)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(loops); i++)
        if (loops[i].limit == limit && dlm_device_has_kernel(device, loops[i].kernel))
            return &loops[i];
    return NULL;
}

bool dlm_limit_exists(const struct dlm_device *device, enum dlm_limit limit)
{
    return find_loop(device, limit) != NULL;
}

static bool is_cpu(const struct dlm_device *device)
{
    return dlm_device_get_caps(device)->info.kind == DLM_BACKEND_CPU;
}

static enum dlm_status record(struct dlm_limit_loop *loop, struct dlm_device *device,
                              struct dlm_dispatch *d)
{
    d->bindings[0] = (struct dlm_binding){loop->x, 0, dlm_buffer_bytes(loop->x)};
    d->bindings[1] = (struct dlm_binding){loop->y, 0, dlm_buffer_bytes(loop->y)};
    dlm_recording_destroy(&loop->recording);
    return dlm_recording_create(device, &loop->recording, d, 1);
}

enum dlm_status dlm_limit_loop_run(struct dlm_limit_loop *loop, double *seconds)
{
    const double begin = dlm_now();

    enum dlm_status st = dlm_recording_run(loop->recording);
    if (!st)
        st = dlm_device_wait(loop->device);
    if (seconds)
        *seconds = dlm_now() - begin;
    return st;
}

/* The best of a few runs: another process may have taken the time of one. */
static enum dlm_status time_loop(struct dlm_limit_loop *loop, int repeat, double *best)
{
    enum dlm_status st = dlm_limit_loop_run(loop, NULL); /* compiles, and touches memory */

    *best = INFINITY;
    for (int i = 0; !st && i < repeat; i++) {
        double seconds;
        st = dlm_limit_loop_run(loop, &seconds);
        *best = DLM_MIN(*best, seconds);
    }
    return st;
}

/* Buffers, and the dispatch that fills its part of them. */
static enum dlm_status make_memory_loop(struct dlm_limit_loop *loop, struct dlm_device *device,
                                        bool is_copy, struct dlm_dispatch *d)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);
    /* an item of the CPU is a thread's for a while, a group 64 lanes of 16 loads */
    const uint32_t rounds = is_cpu(device) ? 1024 : 16;
    const uint64_t room = DLM_MIN(dlm_device_max_tensor(device), MAX_BYTES);
    const uint64_t free = caps->free_bytes ? caps->free_bytes / 4 : room;
    const uint64_t groups =
        DLM_MIN(DLM_MIN(room, free) / 1024 / rounds / (is_copy ? 2 : 1), caps->max_groups);
    const uint64_t bytes = DLM_MAX(groups, 1) * rounds * 1024;

    enum dlm_status st = dlm_buffer_create(device, &loop->x, bytes);
    if (!st)
        st = dlm_buffer_create(device, &loop->y, is_copy ? bytes : DLM_ALIGN_BYTES);
    if (!st)
        st = dlm_buffer_fill(loop->x, 0, bytes, ONE_WORD);
    if (!st)
        st = dlm_buffer_fill(loop->y, 0, dlm_buffer_bytes(loop->y), 0);
    loop->amount = (double)bytes * (is_copy ? 2 : 1);
    d->groups[0] = (uint32_t)DLM_MAX(groups, 1); /* at most max_groups */
    memcpy(d->params, &(struct dlm_limit_params){rounds}, sizeof(struct dlm_limit_params));
    d->work = bytes / sizeof(float);
    return st;
}

/* The rounds are doubled until a run is seen by the clock; loops want a multiple of 4. */
static enum dlm_status make_product_loop(struct dlm_limit_loop *loop, struct dlm_device *device,
                                         uint32_t multiply_adds, struct dlm_dispatch *d)
{
    const uint32_t units = dlm_device_get_caps(device)->num_units;
    double seconds = 0;

    d->groups[0] = (is_cpu(device) ? 16 : GROUPS_A_UNIT) * DLM_MAX(units, 1);
    enum dlm_status st = dlm_buffer_create(device, &loop->x, DLM_ALIGN_BYTES);
    if (!st)
        st = dlm_buffer_create(device, &loop->y, DLM_ALIGN_BYTES);
    if (!st)
        st = dlm_buffer_fill(loop->x, 0, DLM_ALIGN_BYTES, ONE_WORD);
    if (!st)
        st = dlm_buffer_fill(loop->y, 0, DLM_ALIGN_BYTES, 0);
    for (uint32_t rounds = 4; !st && seconds < MIN_SECONDS && rounds <= MAX_ROUNDS; rounds *= 2) {
        const struct dlm_limit_params params = {rounds};
        memcpy(d->params, &params, sizeof(params));
        d->work = (uint64_t)d->groups[0] * multiply_adds * rounds;
        loop->amount = 2.0 * (double)d->work;
        st = record(loop, device, d);
        if (!st)
            st = time_loop(loop, 3, &seconds);
    }
    return st;
}

enum dlm_status dlm_limit_loop_init(struct dlm_limit_loop *loop, struct dlm_device *device,
                                    enum dlm_limit limit)
{
    const struct loop *which = find_loop(device, limit);
    struct dlm_dispatch d = {.num_bindings = 2,
                             .groups = {1, 1, 1},
                             .params_bytes = sizeof(struct dlm_limit_params)};

    *loop = (struct dlm_limit_loop){.device = device};
    d.kernel = which->kernel;
    if (limit != DLM_LIMIT_COPY && limit != DLM_LIMIT_READ)
        return make_product_loop(loop, device, is_cpu(device) ? which->cpu : which->gpu, &d);
    enum dlm_status st = make_memory_loop(loop, device, limit == DLM_LIMIT_COPY, &d);
    return st ? st : record(loop, device, &d);
}

void dlm_limit_loop_finish(struct dlm_limit_loop *loop)
{
    dlm_recording_destroy(&loop->recording);
    dlm_buffer_destroy(&loop->x);
    dlm_buffer_destroy(&loop->y);
}

static enum dlm_status measure(struct dlm_device *device, enum dlm_limit limit, double *rate)
{
    struct dlm_limit_loop loop;
    double best;

    enum dlm_status st = dlm_limit_loop_init(&loop, device, limit);
    if (!st)
        st = time_loop(&loop, REPEAT, &best);
    if (!st)
        *rate = loop.amount / best;
    dlm_limit_loop_finish(&loop);
    return st;
}

enum dlm_status dlm_limits_measure(struct dlm_device *device, struct dlm_limits *limits)
{
    enum dlm_status st = DLM_OK;

    *limits = (struct dlm_limits){0};
    for (int i = 0; !st && i < DLM_LIMIT_COUNT; i++)
        if (dlm_limit_exists(device, (enum dlm_limit)i))
            st = measure(device, (enum dlm_limit)i, (double *)((char *)limits + fields[i]));
    return st;
}

double dlm_limits_product(const struct dlm_limits *limits, enum dlm_dtype operands)
{
    double best = limits->f32;

    if (operands == DLM_DTYPE_F32)
        return best;
    /* f16 has a longer fraction than bf16: units for it can take bf16 with a scale */
    best = DLM_MAX(best, limits->matrix_f16);
    if (operands == DLM_DTYPE_F16)
        return DLM_MAX(best, limits->f16);
    return DLM_MAX(best, DLM_MAX(limits->bf16, limits->matrix_bf16));
}

double dlm_limits_seconds(const struct dlm_limits *limits, const struct dlm_cost *cost)
{
    const double peak = dlm_limits_product(limits, cost->operands);
    /* of a byte; what a copy takes beside its reading, if that is anything */
    const double read = limits->read > 0 ? 1 / limits->read : 0;
    const double written = limits->copy > 0 ? DLM_MAX(2 / limits->copy - read, 0) : 0;
    const double memory = cost->read * read + cost->written * written;
    const double products = peak > 0 ? cost->flops / peak : 0;

    return DLM_MAX(memory, products);
}
