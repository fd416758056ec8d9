/* The files that a base is made of, by name: what is fetched, and what an export passes on. */
#ifndef DLM_REGISTRY_BASE_FILES_H
#define DLM_REGISTRY_BASE_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "dlm/ctx.h"

enum dlm_base_file {
    DLM_BASE_FILE_NONE,      /* no part of a base */
    DLM_BASE_FILE_CONFIG,    /* config.json, and how answers are chosen */
    DLM_BASE_FILE_PROCESSOR, /* images, tokenizer, chat template */
    DLM_BASE_FILE_LICENSE,
    DLM_BASE_FILE_INDEX,     /* which shard holds which weight */
    DLM_BASE_FILE_WEIGHTS,
};

/* What the file of this name is; a name with a folder is none. Another form of the weights beside
 * them (Mistral's consolidated.safetensors, a variant in another type) is none, either. */
enum dlm_base_file dlm_base_file_of(const char *name);

/* What of a base is in a folder. A link to a file that is not there is no file. */
struct dlm_base_content {
    size_t num_files;
    size_t num_weights, num_wanted; /* files of weights, and how many their names say there are */
    bool has_config;
};

/* No folder is an empty one. */
enum dlm_status dlm_base_look(struct dlm_ctx *ctx, const char *dir,
                              struct dlm_base_content *content) DLM_CHECK_RESULT;

static inline bool dlm_base_is_whole(const struct dlm_base_content *content)
{
    return content->has_config && content->num_wanted &&
           content->num_weights >= content->num_wanted;
}

#endif
