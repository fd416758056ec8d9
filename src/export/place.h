/* Where an export will stand: found and checked before it is written, and taken whole in the end.
 * What is on its way lies beside the place as <name>.tmp.<pid>.<nonce>, held by flock, so that what
 * a killed process left is told from what another is writing. */
#ifndef DLM_EXPORT_PLACE_H
#define DLM_EXPORT_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* The manifests by which a folder is known as an export. */
#define DLM_EXPORT_SNAPSHOT_MANIFEST "snapshot_manifest.json"
#define DLM_EXPORT_MANIFEST "export_manifest.json"
#define DLM_EXPORT_README "README.md"

/* All zero is none. */
struct dlm_place {
    char *target; /* at the end of its links; owned */
    char *folder; /* that it lies in; owned */
    char *left;   /* what a killed process left of a folder with the same identity; NULL; owned */
};

/* Finds the place of `path`, makes the folders above it, and removes what killed processes left,
 * but for one folder of this identity (export/kept.h; NULL: none), in which there may be files
 * already. There must be room for `bytes`, less those, and what stands there must be an export (a
 * folder whose files are all in its manifest, an archive of one) or an empty folder: DLM_ERR_IO,
 * DLM_ERR_INVALID. */
enum dlm_status dlm_place_find(struct dlm_ctx *ctx, struct dlm_place *place, const char *path,
                               bool is_tar, uint64_t bytes,
                               const char *identity) DLM_CHECK_RESULT;
void dlm_place_finish(struct dlm_place *place);

/* Marks fd, of something on its way, as being written for as long as it is open. */
enum dlm_status dlm_place_hold(struct dlm_ctx *ctx, int fd, const char *path) DLM_CHECK_RESULT;

/* Puts the folder at `temporary` in place; what was there goes. */
enum dlm_status dlm_place_take(struct dlm_ctx *ctx, const struct dlm_place *place,
                               const char *temporary) DLM_CHECK_RESULT;

#endif
