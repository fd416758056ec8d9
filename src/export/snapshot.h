/* The exports. What each is made of comes as a job; what becomes of it goes to a sink. */
#ifndef DLM_EXPORT_SNAPSHOT_H
#define DLM_EXPORT_SNAPSHOT_H

#include "export/sink.h"
#include "models/model.h"
#include "registry/registry.h"

/* Borrows everything until return. */
struct dlm_export_job {
    const struct dlm_base *base;   /* resolved */
    const struct dlm_model *model; /* of its folder: what images become */
    const char *adapter;           /* folder of the version */
    int64_t version;
    int64_t image_size; /* that it was trained with, as origin.json has it */
    const char *created_at; /* UTC, ISO 8601 */
    struct dlm_sink_params to; /* files and bytes are left open */
};

/* adapter/, processor/, README.md, snapshot_manifest.json. */
enum dlm_status dlm_export_snapshot(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                    struct dlm_export_result *result) DLM_CHECK_RESULT;

/* What of a base's processor the model's code in Python is to be told: the token that stands for an
 * image in a text (NULL: not known), and whether the base has a chat template. */
struct dlm_export_usage {
    const char *image_token;
    bool has_chat_template;
    bool is_template_tokenizers; /* it is the tokenizer's, where processors do not look for it */
};

/* README.md of a snapshot: how adapter and processor are loaded with the base, and asked. */
enum dlm_status dlm_export_readme(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                  const struct dlm_export_usage *usage,
                                  struct dlm_str *out) DLM_CHECK_RESULT;

/* Why this export, in a sentence. */
extern const char dlm_export_rationale[];

#endif
