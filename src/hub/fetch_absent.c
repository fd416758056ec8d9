/* Builds without libcurl. */
#include "base/log.h"
#include "hub/fetch.h"

enum dlm_status dlm_hub_fetch(struct dlm_ctx *ctx, const struct dlm_hub_fetch_params *params,
                              const struct dlm_hub_item *items, size_t num_items)
{
    (void)items;
    (void)num_items;
    (void)dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                   "cannot fetch '%s': fetching is not part of this build", params->who.id);
    dlm_log(ctx, DLM_LOG_HINT, "`hf download %s --revision %s` puts it where dlm looks for it",
            params->who.id, params->who.revision);
    return DLM_ERR_UNSUPPORTED;
}
