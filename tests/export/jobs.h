/* Exports of a golden's base with one of its adapters, and what each of them has to withstand. */
#ifndef DLM_TESTS_EXPORT_JOBS_H
#define DLM_TESTS_EXPORT_JOBS_H

#include <limits.h>

#include "check.h"
#include "countdown.h"
#include "export/snapshot.h"

typedef enum dlm_status (*export_fn)(struct dlm_ctx *with, struct dlm_export_result *result);

/* `job` with the base in folder base_dir, by `write`; *result is for the caller to finish. */
static inline enum dlm_status
export_folder(struct dlm_ctx *with, const char *base_dir, struct dlm_export_job job,
              enum dlm_status (*write)(struct dlm_ctx *, const struct dlm_export_job *,
                                       struct dlm_export_result *),
              struct dlm_export_result *result)
{
    struct dlm_base base = {0};
    struct dlm_model *model = NULL;
    char key[700];

    *result = (struct dlm_export_result){0};
    snprintf(key, sizeof(key), "dir:%s", base_dir);
    enum dlm_status st = dlm_base_resolve(with, &base, key, NULL);
    if (!st)
        st = dlm_model_read_folder(with, &model, base.dir);
    job.base = &base;
    job.model = model;
    job.version = 1;
    job.created_at = "2026-05-01T12:00:00";
    if (!st)
        st = write(with, &job, result);
    dlm_model_destroy(&model);
    dlm_base_finish(&base);
    return st;
}

/* Each allocation fails once, up to the 64th, from there on every `step`-th: that is an error. */
static inline void fail_allocations(export_fn run, long step)
{
    struct countdown c = {0};
    const struct dlm_ctx_params params = {.alloc_hook = allow, .alloc_user = &c};
    struct dlm_export_result result;
    long n = 0;

    do {
        c = (struct countdown){LONG_MAX, false};
        struct dlm_ctx *with = dlm_ctx_create(&params);
        c = (struct countdown){n, false};
        const enum dlm_status st = run(with, &result);
        CHECK(c.is_over ? st == DLM_ERR_MEMORY || st == DLM_ERR_INVALID : !st);
        dlm_export_result_finish(&result);
        dlm_ctx_destroy(&with);
        n += n < 64 ? 1 : step;
    } while (c.is_over);
    printf("# %ld allocations\n", n);
}

#endif
