/* manifest.json, the store's running record. Canonical JSON; unknown keys and another
 * schema_version are refused. */
#ifndef DLM_STORE_MANIFEST_H
#define DLM_STORE_MANIFEST_H

#include "base/json.h"
#include "store/store.h"

struct dlm_manifest {
    json_t *root; /* owned; every key of the schema is present and of its type */
};

/* A fresh record of now. source_path may be NULL. */
enum dlm_status dlm_manifest_init(struct dlm_ctx *ctx, struct dlm_manifest *m, const char *dlm_id,
                                  const char *base_model, const char *base_revision,
                                  const char *source_path) DLM_CHECK_RESULT;

/* Reads and checks the store's manifest. DLM_ERR_PARSE: `'<path>': manifest is corrupt: ...`. */
enum dlm_status dlm_manifest_load(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                  const struct dlm_store *store) DLM_CHECK_RESULT;

/* Sets updated_at and replaces the file atomically. */
enum dlm_status dlm_manifest_save(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                  const struct dlm_store *store) DLM_CHECK_RESULT;

void dlm_manifest_finish(struct dlm_manifest *m);

/* A top-level string, NULL when null. Borrowed from m. */
const char *dlm_manifest_string(const struct dlm_manifest *m, const char *key);
enum dlm_status dlm_manifest_set_string(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                        const char *key, const char *value) DLM_CHECK_RESULT;

/* The file that the store belongs to when it is another one than `document`: source_path, if that
 * file is there, is not document itself (by another name or a link), and still holds the store's
 * dlm_id, as the original of a copied document does. Else NULL. Borrowed from m. */
const char *dlm_manifest_other_source(const struct dlm_manifest *m, const char *document);

/* DLM_ERR_INVALID when there is such a file: what changes the store is for its own document. */
enum dlm_status dlm_manifest_check_source(struct dlm_ctx *ctx, const struct dlm_manifest *m,
                                          const char *document) DLM_CHECK_RESULT;

/* Warns if there is such a file. */
void dlm_manifest_warn_other_source(struct dlm_ctx *ctx, const struct dlm_manifest *m,
                                    const char *document);

int64_t dlm_manifest_adapter_version(const struct dlm_manifest *m);
enum dlm_status dlm_manifest_set_adapter_version(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                                 int64_t version) DLM_CHECK_RESULT;

/* Makes `key` ("content_hashes" or "pinned_versions") hold exactly these pairs. */
enum dlm_status dlm_manifest_set_map(struct dlm_ctx *ctx, struct dlm_manifest *m, const char *key,
                                     const char *const *names, const char *const *values,
                                     size_t num) DLM_CHECK_RESULT;

/* Licence acceptance. `via`: "cli_flag", "interactive" or "frontmatter". */
bool dlm_manifest_has_license(const struct dlm_manifest *m);
enum dlm_status dlm_manifest_set_license(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                         const char *url, const char *spdx,
                                         const char *via) DLM_CHECK_RESULT;

struct dlm_training_run {
    int64_t run_id;          /* >= 1 */
    time_t started_at;
    time_t ended_at;         /* 0: null */
    int64_t adapter_version; /* >= 1 */
    const char *base_revision;
    int64_t seed;
    int64_t steps;
    double final_train_loss; /* NaN: null */
    double final_val_loss;   /* NaN: null */
    const char *status;      /* "running", "completed", "failed", "cancelled" */
    const char *summary_path; /* relative to the store; may be NULL */
};

/* Appends the run, or replaces the entry with its run_id: adding twice is adding once. */
enum dlm_status dlm_manifest_add_run(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                     const struct dlm_training_run *run) DLM_CHECK_RESULT;

struct dlm_export_entry {
    time_t exported_at;
    const char *target; /* "hf_snapshot" */
    bool is_merged;     /* with the base's weights */
    const char *quant, *llama_cpp_tag; /* of GGUF files; else NULL, as the next */
    const char *base_gguf_sha256, *adapter_gguf_sha256; /* of one of the two */
};

/* Appends an export to the record. */
enum dlm_status dlm_manifest_add_export(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                        const struct dlm_export_entry *entry) DLM_CHECK_RESULT;

/* The last export whose base_gguf_sha256 is this became a model of ollama; version may be NULL.
 * Nothing, where there is none. */
enum dlm_status dlm_manifest_set_model(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                       const char *base_gguf_sha256, const char *name,
                                       const char *version) DLM_CHECK_RESULT;

#endif
