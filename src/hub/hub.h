/* Bases fetched from the Hugging Face hub into its cache, as huggingface_hub lays it out, so that
 * both find what the other fetched. */
#ifndef DLM_HUB_HUB_H
#define DLM_HUB_HUB_H

#include "dlm/pull.h"
#include "registry/registry.h"

/* Fetches what the base lacks in the cache. base (identified, of the hub) and the rest of params
 * but its base are borrowed. result is filled on success; finish it. */
enum dlm_status dlm_hub_pull(struct dlm_ctx *ctx, const struct dlm_base *base,
                             const struct dlm_pull_params *params,
                             struct dlm_pull_result *result) DLM_CHECK_RESULT;

#endif
