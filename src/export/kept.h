/* What a killed export left whole, for the next one of the same files. The folder that it was
 * writing has a record of its large files, a line each, synced after the file itself: what is in it
 * is whole, what is not is written anew. */
#ifndef DLM_EXPORT_KEPT_H
#define DLM_EXPORT_KEPT_H

#include "export/snapshot.h"
#include "weights/checkpoint.h"

#define DLM_KEPT_RECORD ".dlm-export" /* in the folder, as long as it is on its way */

/* What large files are made of: their kind, the base and the adapter, by sizes and times of all
 * files of both, and this program's version. */
enum dlm_status dlm_kept_identity(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                  const struct dlm_checkpoint *base,
                                  char identity[65]) DLM_CHECK_RESULT;

/* All zero is none. */
struct dlm_kept {
    struct dlm_export_file *files; /* a later one of a name is the one that counts */
    size_t len, cap;
    uint64_t bytes; /* of all */
};

/* Reads the record of a folder; nothing where it has none, or one of another identity. */
enum dlm_status dlm_kept_read(struct dlm_ctx *ctx, struct dlm_kept *kept, const char *folder,
                              const char *identity, bool *is_same) DLM_CHECK_RESULT;
void dlm_kept_finish(struct dlm_kept *kept);
const struct dlm_export_file *dlm_kept_find(const struct dlm_kept *kept, const char *name);

/* Removes from a folder what its record does not name. */
enum dlm_status dlm_kept_clean(struct dlm_ctx *ctx, const struct dlm_kept *kept,
                               const char *folder) DLM_CHECK_RESULT;

/* Begins the record of a folder, or appends a file to it; on the disk when it returns. */
enum dlm_status dlm_kept_begin(struct dlm_ctx *ctx, const char *folder,
                               const char *identity) DLM_CHECK_RESULT;
enum dlm_status dlm_kept_add(struct dlm_ctx *ctx, const char *folder,
                             const struct dlm_export_file *file) DLM_CHECK_RESULT;

#endif
