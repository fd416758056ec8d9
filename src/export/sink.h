/* Where the files of an export go, one after the other: a folder, or a tar archive of one. Each is
 * hashed on its way; all appear at once, or none does. */
#ifndef DLM_EXPORT_SINK_H
#define DLM_EXPORT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/export.h"

struct dlm_sink;

/* Borrows everything until the sink is closed. */
struct dlm_sink_params {
    const char *path; /* of the folder, or of the archive */
    bool is_tar;
    const char *identity; /* of large files, for dlm_sink_take(); NULL: there are none */
    size_t num_files; /* for who follows the progress */
    uint64_t bytes;   /* of all files: so much must be free */
    void (*progress)(void *user, const struct dlm_export_progress *now); /* may be NULL */
    void *user;
    /* Called when all of a folder is written, with where it lies until then; what fails, fails the
     * export. Not called for an archive. May be NULL. */
    enum dlm_status (*check)(struct dlm_ctx *ctx, void *check_user, const char *folder);
    void *check_user;
};

/* Opens a sink; no byte is written that has no room. *out is owned, NULL on failure.
 * DLM_ERR_INVALID: something is in the way; DLM_ERR_IO. */
enum dlm_status dlm_sink_open(struct dlm_ctx *ctx, struct dlm_sink **out,
                              const struct dlm_sink_params *params) DLM_CHECK_RESULT;

/* Begins the file `name` ("adapter/adapter_config.json", at most one folder deep) of so many bytes.
 * Borrows name until return. */
enum dlm_status dlm_sink_begin(struct dlm_ctx *ctx, struct dlm_sink *sink, const char *name,
                               uint64_t bytes) DLM_CHECK_RESULT;

/* Whether a killed export of the same identity left this large file whole, as its hash shows: then
 * it counts as one that has ended. Else the file is begun as any other, and will be found so if
 * this process is killed. Never in an archive. */
enum dlm_status dlm_sink_take(struct dlm_ctx *ctx, struct dlm_sink *sink, const char *name,
                              uint64_t bytes, bool *is_there) DLM_CHECK_RESULT;

/* Appends to it: a copy, which is written while the caller goes on. A write that fails is told by
 * this call, a later one, or the end. DLM_ERR_CANCELLED: the context is. */
enum dlm_status dlm_sink_write(struct dlm_ctx *ctx, struct dlm_sink *sink, const void *data,
                               size_t bytes) DLM_CHECK_RESULT;

/* Ends it, all of whose bytes must be there. */
enum dlm_status dlm_sink_end(struct dlm_ctx *ctx, struct dlm_sink *sink) DLM_CHECK_RESULT;

/* A whole file: of a text, or the copy of another. */
enum dlm_status dlm_sink_text(struct dlm_ctx *ctx, struct dlm_sink *sink, const char *name,
                              const char *text, size_t len) DLM_CHECK_RESULT;
enum dlm_status dlm_sink_copy(struct dlm_ctx *ctx, struct dlm_sink *sink, const char *name,
                              const char *path, uint64_t bytes) DLM_CHECK_RESULT;

/* The files that have ended, in order of their paths. Valid until the next begins. */
const struct dlm_export_file *dlm_sink_files(struct dlm_sink *sink, size_t *num);

/* Syncs all and puts it in place. result gets the path and the files, which it owns. */
enum dlm_status dlm_sink_commit(struct dlm_ctx *ctx, struct dlm_sink *sink,
                                struct dlm_export_result *result) DLM_CHECK_RESULT;

/* Removes what was not committed, and frees. Accepts NULL. */
void dlm_sink_close(struct dlm_sink **sink);

#endif
