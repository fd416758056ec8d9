/* The thread pool: pinned pthreads that claim work items from a shared counter. */
#ifndef DLM_BASE_POOL_H
#define DLM_BASE_POOL_H

#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"

struct dlm_pool;

/* Runs one work item. worker is 0..num_workers-1 (the caller of dlm_pool_run is worker 0). */
typedef void (*dlm_pool_fn)(void *user, int64_t item, int worker);

/* The context's pool, made at first use with the context's number of threads. NULL after logging.
 * Owned by the context. */
struct dlm_pool *dlm_ctx_pool(struct dlm_ctx *ctx);

/* Its number of workers, whether it was made already or not. */
int dlm_ctx_num_threads(const struct dlm_ctx *ctx);

int dlm_pool_num_workers(const struct dlm_pool *pool);

/* Runs fn for items 0..num_items-1, in any order on any worker, and returns when all are done. */
void dlm_pool_run(struct dlm_pool *pool, dlm_pool_fn fn, void *user, int64_t num_items);

#endif
