/* A file written piece by piece that appears whole or not at all: a temporary file beside the
 * target (dlm_file_target), fsync, rename, fsync of the folder. */
#ifndef DLM_WEIGHTS_OUTFILE_H
#define DLM_WEIGHTS_OUTFILE_H

#include <stddef.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* All zero is a valid closed file. */
struct dlm_outfile {
    char *path; /* the target */
    char *temporary;
    int fd_plus_1; /* 0: closed */
};

enum dlm_status dlm_outfile_open(struct dlm_ctx *ctx, struct dlm_outfile *f,
                                 const char *path) DLM_CHECK_RESULT;

/* Appends. Does not buffer: pass large pieces. DLM_ERR_IO names the target and the reason. */
enum dlm_status dlm_outfile_write(struct dlm_ctx *ctx, struct dlm_outfile *f, const void *data,
                                  size_t bytes) DLM_CHECK_RESULT;

/* Puts the file in place as `path`, or under another name in the same folder. */
enum dlm_status dlm_outfile_commit(struct dlm_ctx *ctx, struct dlm_outfile *f) DLM_CHECK_RESULT;
enum dlm_status dlm_outfile_commit_as(struct dlm_ctx *ctx, struct dlm_outfile *f,
                                      const char *path) DLM_CHECK_RESULT;

/* Closes and frees; a file that was not committed is removed. */
void dlm_outfile_finish(struct dlm_outfile *f);

#endif
