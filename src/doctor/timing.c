/* Batches of runs, timed. */
#include "doctor/timing.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "graph/program.h"

#define BATCH_SECONDS 0.01

static int compare_seconds(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static enum dlm_status time_batch(struct dlm_ctx *ctx, struct dlm_device *device,
                                  struct dlm_program *program, int runs, double *seconds)
{
    const double begin = dlm_now();
    enum dlm_status st = dlm_ctx_is_cancelled(ctx)
                             ? dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted")
                             : DLM_OK;

    for (int i = 0; !st && i < runs; i++)
        st = dlm_program_run(program);
    if (!st)
        st = dlm_device_wait(device);
    *seconds = (dlm_now() - begin) / runs;
    return st;
}

static enum dlm_status time_program(struct dlm_ctx *ctx, struct dlm_device *device,
                                    struct dlm_program *program, int num_batches,
                                    double *seconds)
{
    double batches[DLM_MAX_BATCHES], once;

    enum dlm_status st = time_batch(ctx, device, program, 1, &once); /* compiles */
    if (!st)
        st = time_batch(ctx, device, program, 1, &once);
    const int runs = once < BATCH_SECONDS ? (int)(BATCH_SECONDS / DLM_MAX(once, 1e-6)) + 1 : 1;
    const int num = once < 0.1 ? num_batches : 1;
    for (int i = 0; !st && i < num; i++)
        st = time_batch(ctx, device, program, runs, &batches[i]);
    if (!st) {
        qsort(batches, (size_t)num, sizeof(*batches), compare_seconds);
        *seconds = batches[num / 2];
    }
    return st;
}

enum dlm_status dlm_plan_time(struct dlm_ctx *ctx, struct dlm_device *device,
                              struct dlm_plan *plan, int num_batches, double *seconds)
{
    struct dlm_workspace workspace = {0};
    struct dlm_program *program = NULL;

    *seconds = 0;
    enum dlm_status st = dlm_workspace_init(&workspace, device, &plan, 1);
    if (!st)
        st = dlm_program_create(ctx, &program, device, plan, &workspace);
    if (!st)
        st = time_program(ctx, device, program, num_batches, seconds);
    dlm_program_destroy(&program);
    dlm_workspace_finish(&workspace);
    return st;
}
