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
    int mutes; /* dlm_log_mute() that have not ended */
    uint32_t *said; /* hashes of what dlm_log_once() logged; from malloc() */
    size_t num_said;
};

/* Number of threads that the affinity mask and control groups' quotas allow, at least 1. root: see
 * dlm_host_read(). */
int dlm_pool_default_workers(const char *root);
struct dlm_pool *dlm_pool_create(struct dlm_ctx *ctx, int num_workers);
void dlm_pool_destroy(struct dlm_pool **pool);

#endif
