/* Files that an export copies as they are, listed before the first is written. */
#ifndef DLM_EXPORT_SOURCES_H
#define DLM_EXPORT_SOURCES_H

#include "export/sink.h"
#include "registry/base_files.h"

struct dlm_source {
    char *name; /* in the export: "processor/tokenizer.json" */
    char *path;
    uint64_t bytes;
};

/* All zero is empty. */
struct dlm_source_list {
    struct dlm_source *items;
    size_t len, cap;
    uint64_t bytes; /* of all */
};

/* Adds every file of the folder dir under `prefix` ("adapter/"). DLM_ERR_INVALID: there is
 * something else in it, as a link. */
enum dlm_status dlm_sources_add_all(struct dlm_ctx *ctx, struct dlm_source_list *list,
                                    const char *dir, const char *prefix) DLM_CHECK_RESULT;

/* Adds the files of a base, of which `wants` is true, at the ends of their links. */
enum dlm_status dlm_sources_add_base(struct dlm_ctx *ctx, struct dlm_source_list *list,
                                     const char *dir, const char *prefix,
                                     bool (*wants)(enum dlm_base_file file)) DLM_CHECK_RESULT;
void dlm_sources_finish(struct dlm_source_list *list);

/* Copies all of them. */
enum dlm_status dlm_sources_copy(struct dlm_ctx *ctx, const struct dlm_source_list *list,
                                 struct dlm_sink *sink) DLM_CHECK_RESULT;

#endif
