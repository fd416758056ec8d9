/* Tar archives (POSIX.1-2001 pax over ustar): headers of regular files. */
#ifndef DLM_EXPORT_TAR_H
#define DLM_EXPORT_TAR_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/str.h"

#define DLM_TAR_BLOCK 512 /* headers and contents are padded to it */

/* Appends the header of a file of so many bytes, with an extended one before it where a long name
 * or a large file needs it. Mode 0644, of nobody. */
enum dlm_status dlm_tar_append_header(struct dlm_ctx *ctx, struct dlm_str *out, const char *name,
                                      uint64_t bytes, time_t when) DLM_CHECK_RESULT;

/* Whether the file at path is an archive of an export: its first file is the README, one folder
 * deep. */
enum dlm_status dlm_tar_is_own(struct dlm_ctx *ctx, const char *path,
                               bool *is_own) DLM_CHECK_RESULT;

#endif
