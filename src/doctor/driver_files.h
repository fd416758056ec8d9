/* The files by which the loaders of OpenCL and Vulkan find drivers, and environments in which they
 * find no others. */
#ifndef DLM_DOCTOR_DRIVER_FILES_H
#define DLM_DOCTOR_DRIVER_FILES_H

#include <stddef.h>

#include "base/attr.h"
#include "base/str.h"
#include "dlm/device.h"

struct dlm_driver_files {
    enum dlm_backend_kind kind;
    char **paths; /* owned, ends with NULL */
    size_t num, cap;
    char *folder; /* owned: of links, for OpenCL's loader; NULL: not made yet */
};

/* Those that the kind's loader would read in this process. What cannot be read is left out. */
enum dlm_status dlm_driver_files_find(struct dlm_ctx *ctx, struct dlm_driver_files *files,
                                      enum dlm_backend_kind kind) DLM_CHECK_RESULT;
/* Removes the folder, too. */
void dlm_driver_files_finish(struct dlm_ctx *ctx, struct dlm_driver_files *files);

/* Appends what tells these drivers from others in files of their names: sizes and times of the
 * files and of the libraries that they name. One that is named without a folder is looked for in
 * $LD_LIBRARY_PATH and the system's usual folders; of others, that the linker's cache changed is
 * told. What libraries load in turn is not looked at. */
enum dlm_status dlm_driver_files_identify(struct dlm_ctx *ctx, const struct dlm_driver_files *files,
                                          struct dlm_str *out) DLM_CHECK_RESULT;

/* NAME=VALUE strings for a process in which the loader finds only those files i with is_in[i]; an
 * array that ends with NULL, owned by the caller (dlm_names_free()). They hold until
 * dlm_driver_files_finish(). */
enum dlm_status dlm_driver_files_env(struct dlm_ctx *ctx, struct dlm_driver_files *files,
                                     const bool *is_in, char ***env) DLM_CHECK_RESULT;

/* What a user does to have the same: a line owned by the caller. NULL: nothing that is simple, or
 * no memory. */
char *dlm_driver_files_way_out(struct dlm_ctx *ctx, const struct dlm_driver_files *files,
                               const bool *is_in);

#endif
