/* The folder snapshots/<commit> of the hub's cache, made of links to blobs that are all there, and
 * the ref that names the commit. */
#ifndef DLM_HUB_SNAPSHOT_H
#define DLM_HUB_SNAPSHOT_H

#include "hub/blob.h"

/* Links the files of the listing, whose blobs are placed: a new folder appears whole, one that is
 * there (another program fetched some files) gets what it lacks, config.json last. With ref (a
 * branch or tag; NULL: none) refs/<ref> then names the commit. *dir is the folder, owned. */
enum dlm_status dlm_hub_snapshot_place(struct dlm_ctx *ctx, const struct dlm_hub_cache *cache,
                                       const struct dlm_hub_listing *listing, const char *ref,
                                       char **dir) DLM_CHECK_RESULT;

#endif
