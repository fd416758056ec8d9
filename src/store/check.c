/* The check of a store: its parts in their order. */
#include "store/check.h"

#include "base/file.h"
#include "base/log.h"
#include "store/check_impl.h"
#include "store/store_impl.h"

enum dlm_status dlm_store_check(struct dlm_ctx *ctx, struct dlm_store *store,
                                const struct dlm_store_check_params *params,
                                struct dlm_findings *findings)
{
    struct dlm_check c = {.ctx = ctx, .store = store, .params = params, .findings = findings};
    enum dlm_status st = DLM_OK;

    if (!dlm_path_is_dir(store->root))
        return DLM_OK;
    DLM_REQUIRE(ctx, store->lock_fd_plus_1);
    st = dlm_check_versions(&c);
    if (!st)
        st = dlm_check_manifest(&c);
    if (!st)
        st = dlm_check_files(&c);
done:
    return st;
}
