/* What the store's tests share: a context that keeps its last warning, and a prepared store. */
#ifndef DLM_TESTS_STORE_HELPERS_H
#define DLM_TESTS_STORE_HELPERS_H

#include "../weights/helpers.h"
#include "base/mem.h"
#include "store/store.h"

#define TEST_ID "01JZ0000000000000000000000"

static struct dlm_ctx *ctx;
static char warning[1024];

static inline void keep_warning(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level == DLM_LOG_WARNING)
        snprintf(warning, sizeof(warning), "%s", text);
}

static inline struct dlm_ctx *make_ctx(void)
{
    const struct dlm_ctx_params params = {.log = keep_warning};
    return dlm_ctx_create(&params);
}

/* A store below <tmp>/<home>, its folders made. */
static inline struct dlm_store *make_store(const char *home)
{
    struct dlm_store *store = NULL;

    CHECK(!dlm_store_open(ctx, &store, tmp_path(home), TEST_ID));
    CHECK(!dlm_store_prepare(ctx, store));
    return store;
}

/* Path below the store, in a rotating buffer. */
static inline const char *in_store(const struct dlm_store *store, const char *name)
{
    static char buffers[8][512];
    static unsigned next;
    char *p = buffers[next++ % 8];

    snprintf(p, sizeof(buffers[0]), "%s/%s", dlm_store_path(store), name);
    return p;
}

#endif
