/* Addresses fetched over HTTP, several at once, with patience: what is cut goes on where it was
 * cut, what is refused for now is asked for again. Where the build lacks libcurl it says so. */
#ifndef DLM_HUB_FETCH_H
#define DLM_HUB_FETCH_H

#include "base/str.h"
#include "hub/blob.h"
#include "hub/site.h"

/* One thing to fetch: a blob, or a text of at most max_text bytes. All is borrowed. */
struct dlm_hub_item {
    const char *name; /* for messages */
    const char *url;
    struct dlm_hub_blob *blob; /* NULL: into text */
    struct dlm_str *text;
    size_t max_text;
};

/* Where a fetch is. */
struct dlm_hub_state {
    size_t num_placed;
    uint64_t bytes;       /* of the items' blobs, in the cache or in partial files */
    double bytes_per_sec; /* from the network, of late */
};

struct dlm_hub_fetch_params {
    const struct dlm_hub_site *site;
    struct dlm_hub_refusal who; /* what refusals are about; status and code are filled in */
    int jobs;          /* at once; at least 1 */
    int retries;       /* in a row that bring nothing */
    int stall_seconds; /* a connection that brings less than 1 kB/s for so long is given up */
    void (*progress)(void *user, const struct dlm_hub_state *state); /* some 10 times a second */
    void *user;
};

/* Fetches all items, or fails; what was fetched of blobs until then stays. No two items have the
 * same blob. The token goes to the site's own host only, whatever it redirects to. */
enum dlm_status dlm_hub_fetch(struct dlm_ctx *ctx, const struct dlm_hub_fetch_params *params,
                              const struct dlm_hub_item *items, size_t num_items) DLM_CHECK_RESULT;

#endif
