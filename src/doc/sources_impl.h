/* What sources.c, source_config.c and resolve.c share. */
#ifndef DLM_DOC_SOURCES_IMPL_H
#define DLM_DOC_SOURCES_IMPL_H

#include "doc/sources.h"

/* True when path is dir or lies below it; both absolute and resolved. */
bool dlm_doc_is_inside(const char *dir, const char *path);

/* One line of a .dlm/ignore file. */
struct dlm_source_rule {
    const char *pattern;
    bool is_anchored, is_for_dirs, is_negation;
};

/* The `.dlm/` folder of a folder on the way to a file. */
struct dlm_source_config {
    const struct dlm_source_config *parent; /* of the next folder up that has one; NULL: none */
    size_t anchor_len; /* bytes of a relative path up to the folder, with its '/' */
    bool has_config;   /* training.yaml was read */
    bool no_defaults;  /* exclude_defaults: false */
    struct dlm_doc_strings include, exclude;
    struct dlm_source_rule *rules;
    size_t num_rules;
};

/* Reads <dir>/.dlm/training.yaml and <dir>/.dlm/ignore. What is malformed is left out with a
 * warning. *out is NULL when there is no such folder, otherwise it lives in the arena. */
enum dlm_status dlm_source_config_read(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                       const char *dir, const struct dlm_source_config *parent,
                                       size_t anchor_len,
                                       struct dlm_source_config **out) DLM_CHECK_RESULT;

/* Is the file with this path, relative to the source's root, to be ingested? config is the nearest
 * one, or NULL. */
bool dlm_source_is_included(const struct dlm_doc_source *source,
                            const struct dlm_source_config *config, const char *rel_path);

#endif
