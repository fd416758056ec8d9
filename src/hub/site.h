/* Where the hub is and who asks: HF_ENDPOINT, HF_TOKEN, addresses, and what a refusal means. */
#ifndef DLM_HUB_SITE_H
#define DLM_HUB_SITE_H

#include <stdbool.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* Strings are owned by the struct. */
struct dlm_hub_site {
    char *endpoint; /* https://huggingface.co, or what HF_ENDPOINT says; no slash at the end */
    char *token;    /* HF_TOKEN, else what `hf auth login` left in HF_TOKEN_PATH or HF_HOME/token;
                     * NULL: none */
};

enum dlm_status dlm_hub_site_init(struct dlm_ctx *ctx, struct dlm_hub_site *site) DLM_CHECK_RESULT;
void dlm_hub_site_finish(struct dlm_hub_site *site);

/* Whether the environment says that nothing may be asked of the hub: HF_HUB_OFFLINE, else
 * TRANSFORMERS_OFFLINE, is 1, on, yes or true, as huggingface_hub reads them. */
bool dlm_hub_is_offline(void);

/* Addresses, owned by the caller; NULL when out of memory. */
char *dlm_hub_listing_url(struct dlm_ctx *ctx, const struct dlm_hub_site *site, const char *id,
                          const char *revision) DLM_CHECK_RESULT;
char *dlm_hub_file_url(struct dlm_ctx *ctx, const struct dlm_hub_site *site, const char *id,
                       const char *commit, const char *name) DLM_CHECK_RESULT;

/* A revision as the hub and the cache allow it: no empty part, no "." or "..", no odd letter. */
bool dlm_hub_is_revision(const char *revision);

/* What the hub was asked for, and what it answered instead. Borrowed. */
struct dlm_hub_refusal {
    const char *id;         /* org/name */
    const char *revision;
    bool is_gated;          /* as far as the registry knows */
    const char *license_url; /* of the registry's row; NULL: not known */
    long status;            /* HTTP */
    const char *code;       /* its X-Error-Code, "" if there is none */
};

/* Says what an answer of 401, 403 or 404 means and what to do; always fails. */
enum dlm_status dlm_hub_refuse(struct dlm_ctx *ctx, const struct dlm_hub_site *site,
                               const struct dlm_hub_refusal *refusal);

#endif
