/* `dlm pull`: a base from the hub. */
#include "dlm/pull.h"

#include "base/log.h"
#include "hub/hub.h"

/* Only what is of the hub can be fetched. */
static enum dlm_status check_base(struct dlm_ctx *ctx, const struct dlm_base *base)
{
    if (base->hf_id)
        return DLM_OK;
    if (base->row)
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot fetch '%s': it is bundled with dlm, and here",
                        base->key);
    return dlm_fail(ctx, DLM_ERR_INVALID, "cannot fetch '%s': a folder is not of the hub",
                    base->key);
}

enum dlm_status dlm_pull(struct dlm_ctx *ctx, const struct dlm_pull_params *params,
                         struct dlm_pull_result *result)
{
    struct dlm_base base = {0};
    enum dlm_status st = DLM_OK;

    *result = (struct dlm_pull_result){0};
    DLM_REQUIRE(ctx, params->base && params->jobs >= 0 && params->stall_seconds >= 0);
    st = dlm_base_identify(ctx, &base, params->base);
    if (!st)
        st = check_base(ctx, &base);
    if (!st)
        st = dlm_hub_pull(ctx, &base, params, result);
done:
    if (st)
        dlm_pull_result_finish(result);
    dlm_base_finish(&base);
    return st;
}

void dlm_pull_result_finish(struct dlm_pull_result *result)
{
    dlm_free(result->dir);
    dlm_free(result->commit);
    *result = (struct dlm_pull_result){0};
}
