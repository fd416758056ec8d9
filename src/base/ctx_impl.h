/* The context's fields, for src/base only. */
#ifndef DLM_BASE_CTX_IMPL_H
#define DLM_BASE_CTX_IMPL_H

#include <stdatomic.h>

#include "base/pool.h"
#include "dlm/ctx.h"

struct dlm_ctx {
    struct dlm_ctx_params params;
    char last_error[1024];
    atomic_bool cancelled;
    atomic_bool is_cancel_held; /* see base/cancel.h; both flags are read in signal handlers */
    struct dlm_pool *pool;
};

/* Number of threads that affinity mask and cgroup (v2 cpu.max) allow, at least 1. */
int dlm_pool_default_workers(void);
struct dlm_pool *dlm_pool_create(struct dlm_ctx *ctx, int num_workers);
void dlm_pool_destroy(struct dlm_pool **pool);

#endif
