/* The .dlm document: front matter and sections, read, checked, migrated in memory and written back.
 * Paths in a document are resolved, and training.sources are read, by doc/sources.h. */
#ifndef DLM_DOC_DOC_H
#define DLM_DOC_DOC_H

#include <stdint.h>

#include "base/str.h"

#define DLM_DOC_VERSION 15

enum dlm_doc_adapter_kind { DLM_DOC_ADAPTER_LORA, DLM_DOC_ADAPTER_QLORA, DLM_DOC_ADAPTER_DORA };

enum dlm_doc_optimizer {
    DLM_DOC_OPTIMIZER_ADAMW_TORCH,
    DLM_DOC_OPTIMIZER_ADAMW_BNB_8BIT,
    DLM_DOC_OPTIMIZER_PAGED_ADAMW_8BIT,
    DLM_DOC_OPTIMIZER_GALORE_ADAMW,
    DLM_DOC_OPTIMIZER_GALORE_ADAMW_8BIT,
};

enum dlm_doc_scheduler {
    DLM_DOC_SCHEDULER_COSINE,
    DLM_DOC_SCHEDULER_LINEAR,
    DLM_DOC_SCHEDULER_CONSTANT,
};

/* NONE: the key is null or absent. */
enum dlm_doc_precision {
    DLM_DOC_PRECISION_NONE,
    DLM_DOC_PRECISION_BF16,
    DLM_DOC_PRECISION_FP16,
    DLM_DOC_PRECISION_FP32,
};

enum dlm_doc_backend {
    DLM_DOC_BACKEND_AUTO,
    DLM_DOC_BACKEND_CPU,
    DLM_DOC_BACKEND_OPENCL,
    DLM_DOC_BACKEND_VULKAN,
};

enum dlm_doc_base_quant { DLM_DOC_BASE_QUANT_NF4, DLM_DOC_BASE_QUANT_Q8_0 };
enum dlm_doc_quant_scope {
    DLM_DOC_QUANT_SCOPE_DECODER,
    DLM_DOC_QUANT_SCOPE_LINEARS,
    DLM_DOC_QUANT_SCOPE_ALL,
};

enum dlm_doc_loss_on { DLM_DOC_LOSS_ON_ASSISTANT, DLM_DOC_LOSS_ON_ALL };

enum dlm_doc_preference_method { DLM_DOC_PREFERENCE_DPO, DLM_DOC_PREFERENCE_ORPO };
enum dlm_doc_loss_type { DLM_DOC_LOSS_SIGMOID, DLM_DOC_LOSS_HINGE, DLM_DOC_LOSS_IPO };
enum dlm_doc_reference { DLM_DOC_REFERENCE_BASE, DLM_DOC_REFERENCE_PRE_ADAPTER };
enum dlm_doc_cpt_schedule { DLM_DOC_CPT_AUTO, DLM_DOC_CPT_DAPT, DLM_DOC_CPT_SFT };
enum dlm_doc_policy { DLM_DOC_POLICY_PERMISSIVE, DLM_DOC_POLICY_STRICT };
enum dlm_doc_quant {
    DLM_DOC_QUANT_Q4_K_M,
    DLM_DOC_QUANT_Q5_K_M,
    DLM_DOC_QUANT_Q6_K,
    DLM_DOC_QUANT_Q8_0,
};

/* Every pointer below is owned by the document it belongs to. `written` has one bit for each key
 * that the document states, in the order of the fields; read it with dlm_doc_is_written(). */

struct dlm_doc_strings {
    const char **items;
    size_t len;
};

enum dlm_doc_targets_kind { DLM_DOC_TARGETS_AUTO, DLM_DOC_TARGETS_REGEX, DLM_DOC_TARGETS_LIST };

struct dlm_doc_targets {
    enum dlm_doc_targets_kind kind;
    const char *regex;           /* REGEX: not empty, otherwise unchecked */
    struct dlm_doc_strings list; /* LIST: name suffixes, may be empty */
};

struct dlm_doc_hyperparams {
    uint32_t written;
    double beta, alpha, learning_rate;
    int64_t num_epochs;
};

struct dlm_doc_preference {
    uint32_t written;
    bool enabled; /* as written; dlm_doc_wants_preference() adds the sections' say */
    enum dlm_doc_preference_method method;
    struct dlm_doc_hyperparams hyperparams;
    enum dlm_doc_loss_type loss_type;
    enum dlm_doc_reference reference;
};

struct dlm_doc_cpt {
    uint32_t written;
    enum dlm_doc_cpt_schedule schedule;
    int64_t embed_warmup_steps;
};

struct dlm_doc_gate {
    uint32_t written;
    bool enabled;
    int64_t hidden_proj_dim, steps;
    double lr;
    int64_t cold_start_floor;
    double entropy_lambda;
};

struct dlm_doc_cache {
    uint32_t written;
    bool enabled;
    int64_t max_bytes, prune_older_than_days;
};

struct dlm_doc_audio {
    uint32_t written;
    bool auto_resample;
};

/* One named adapter of training.adapters. */
struct dlm_doc_adapter {
    uint32_t written;
    const char *name;
    enum dlm_doc_adapter_kind adapter;
    int64_t lora_r, lora_alpha;
    double lora_dropout;
    struct dlm_doc_targets target_modules;
    double learning_rate;
};

/* One entry of training.sources. */
struct dlm_doc_source {
    uint32_t written;
    const char *path;
    struct dlm_doc_strings include, exclude;
    int64_t max_bytes_per_file, max_files; /* 0: no limit */
};

struct dlm_doc_training {
    uint32_t written;
    enum dlm_doc_adapter_kind adapter;
    int64_t lora_r, lora_alpha;
    double lora_dropout;
    struct dlm_doc_targets target_modules;
    int64_t sequence_len;
    int64_t micro_batch_size, grad_accum; /* 0: auto */
    double learning_rate;
    int64_t num_epochs;
    enum dlm_doc_optimizer optimizer;
    enum dlm_doc_scheduler lr_scheduler;
    double warmup_ratio;
    enum dlm_doc_precision precision;
    int64_t seed;
    struct dlm_doc_preference preference;
    struct dlm_doc_cpt cpt;
    struct dlm_doc_gate gate;
    struct dlm_doc_cache cache;
    struct dlm_doc_audio audio;
    struct dlm_doc_adapter *adapters; /* NULL when the key is null or absent */
    size_t num_adapters;
    struct dlm_doc_source *sources; /* NULL when the key is null or absent */
    size_t num_sources;
    enum dlm_doc_policy sources_policy;
    bool gradient_checkpointing;  /* not in the reference */
    enum dlm_doc_backend backend; /* not in the reference */
    const char *caption_prompt;   /* not in the reference; NULL: the family's own words */
    enum dlm_doc_loss_on loss_on; /* not in the reference */
    int64_t image_size; /* not in the reference; as dlm/image_size.h, 0: the base's */
    enum dlm_doc_base_quant quant;        /* of qlora; not in the reference, as the next two */
    bool double_quant;                    /* of nf4 */
    enum dlm_doc_quant_scope quant_scope;
};

struct dlm_doc_export {
    uint32_t written;
    enum dlm_doc_quant default_quant;
    double default_temperature, default_top_p; /* 0: null */
};

enum dlm_doc_section_type {
    DLM_DOC_SECTION_PROSE,
    DLM_DOC_SECTION_INSTRUCTION,
    DLM_DOC_SECTION_PREFERENCE,
    DLM_DOC_SECTION_IMAGE,
    DLM_DOC_SECTION_AUDIO,
    DLM_DOC_SECTION_TYPE_COUNT,
};

/* Provenance of a mined preference section. */
struct dlm_doc_mined {
    const char *judge_name;
    double score_chosen, score_rejected; /* finite */
    const char *mined_at;
    int64_t run_id; /* >= 1 */
};

/* Provenance of a synthesised instruction section. */
struct dlm_doc_synth {
    const char *teacher, *strategy, *synth_at;
    const char *source_section_id;
};

struct dlm_doc_section {
    enum dlm_doc_section_type type;
    char id[17]; /* 16 lower-case hex digits */
    /* Body without fence line and provenance markers; an image's body is its caption.
     * NUL-terminated, but may hold NUL bytes: content_len counts. */
    const char *content;
    size_t content_len;
    int64_t start_line;           /* 1-based line of the fence, or of the first line of prose */
    const char *adapter;          /* the #name of the fence, or NULL */
    const char *media_path;       /* image, audio; else NULL */
    const char *media_alt;        /* image; may be NULL */
    const char *media_transcript; /* audio; else NULL */
    const char *harvest_source;   /* NULL: not harvested */
    const struct dlm_doc_mined *mined; /* or NULL */
    const struct dlm_doc_synth *synth; /* or NULL */
    const char *source_file; /* the file it was ingested from (absolute); NULL: the document */
};

struct dlm_yaml;

struct dlm_doc {
    struct dlm_arena arena;
    const char *path; /* as given, or NULL */
    const struct dlm_yaml *front; /* the front matter as it was read, in the arena */
    uint32_t written;
    const char *id;   /* 26 characters */
    int64_t declared_version; /* 1 when the key is absent; the document is always migrated to 15 */
    const char *base_model;   /* registry key, "hf:org/name", "dir:PATH" or "gguf:PATH"; not looked
                               * up here */
    const char *mmproj;       /* path of the vision tower of gguf:, or NULL */
    struct dlm_doc_training training;
    struct dlm_doc_export export;
    const char *system_prompt; /* or NULL */
    struct dlm_doc_section *sections;
    size_t num_sections;
};

/* Parses the bytes of a document: UTF-8 check, BOM and line ends, YAML, migration, schema,
 * sections. Borrows path (named in messages as "<text>" when NULL) and text. Returns *out owned,
 * NULL on failure. DLM_ERR_PARSE: the message is `path:line:col: text` as the reference has it. */
enum dlm_status dlm_doc_parse(struct dlm_ctx *ctx, struct dlm_doc **out, const char *path,
                              const char *text, size_t len) DLM_CHECK_RESULT;

/* The same from a file. DLM_ERR_IO: it cannot be read. */
enum dlm_status dlm_doc_load(struct dlm_ctx *ctx, struct dlm_doc **out,
                             const char *path) DLM_CHECK_RESULT;
void dlm_doc_destroy(struct dlm_doc **doc);

/* True when the document states the key, e.g. "training.preference.enabled". A key that does not
 * exist is false. */
bool dlm_doc_is_written(const struct dlm_doc *doc, const char *dotted_key);

/* The system prompt, stripped as the other texts of a document are where they are used: a YAML
 * block ends with a newline that nobody means. NULL: none. */
const char *dlm_doc_system_prompt(const struct dlm_doc *doc, size_t *len);

/* preference.enabled, or preference sections present and the key not written. */
bool dlm_doc_wants_preference(const struct dlm_doc *doc);

/* Appends the canonical text. serialize(parse(x)) is a fixed point of serialize(parse()). */
enum dlm_status dlm_doc_serialize(struct dlm_ctx *ctx, const struct dlm_doc *doc,
                                  struct dlm_str *out) DLM_CHECK_RESULT;

/* What `dlm migrate` writes: new front matter that keeps every written key, and the body as it is.
 * *from_version is the declared version; when it is DLM_DOC_VERSION nothing is appended. */
enum dlm_status dlm_doc_migrate(struct dlm_ctx *ctx, const char *path, const char *text, size_t len,
                                struct dlm_str *out, int64_t *from_version) DLM_CHECK_RESULT;

/* Appends the document's text with another dlm_id, every other byte as it is. text may lack an id
 * or have a bad one. DLM_ERR_PARSE: its front matter is no YAML, or writes the id in a form that
 * cannot be edited, as with an anchor, a tag or escapes. */
enum dlm_status dlm_doc_set_id(struct dlm_ctx *ctx, const char *path, const char *text, size_t len,
                               const char *id, struct dlm_str *out) DLM_CHECK_RESULT;

/* A warning for each key whose value is not the default and is not used, with the reason. */
void dlm_doc_warn_unused(struct dlm_ctx *ctx, const struct dlm_doc *doc);

/* DLM_ERR_UNSUPPORTED naming the key when the document asks for what `train` cannot do. */
enum dlm_status dlm_doc_check_trainable(struct dlm_ctx *ctx,
                                        const struct dlm_doc *doc) DLM_CHECK_RESULT;

enum dlm_doc_scaffold_kind { DLM_DOC_SCAFFOLD_TEXT, DLM_DOC_SCAFFOLD_MULTIMODAL };

/* Appends the document that `dlm init` writes. mmproj: of gguf:, or NULL. */
enum dlm_status dlm_doc_scaffold(struct dlm_ctx *ctx, enum dlm_doc_scaffold_kind kind,
                                 const char *dlm_id, const char *base_model, const char *mmproj,
                                 struct dlm_str *out) DLM_CHECK_RESULT;

/* First 16 hex digits of sha256(type "\n" X): X is the content, or for image and audio media_path
 * and, when blob_sha is not NULL, "\n" and its 64 hex digits. */
void dlm_doc_section_id(const struct dlm_doc_section *section, const char *blob_sha, char id[17]);

/* "prose", "instruction", ... */
const char *dlm_doc_section_type_name(enum dlm_doc_section_type type);

/* One Q/A pair of an instruction section. */
struct dlm_doc_pair {
    const char *question, *answer;
    size_t question_len, answer_len;
    bool is_probe; /* its header was "### Q !probe" */
};

/* One triple of a preference section. */
struct dlm_doc_triple {
    const char *prompt, *chosen, *rejected;
    size_t prompt_len, chosen_len, rejected_len;
};

/* Parse the bodies of instruction and preference sections. Strings and array live in the arena.
 * DLM_ERR_PARSE names the document, the line in it, the section and the line in the section. path
 * may be NULL. */
enum dlm_status dlm_doc_parse_pairs(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                                    const struct dlm_doc_section *section,
                                    struct dlm_doc_pair **pairs, size_t *num_pairs)
    DLM_CHECK_RESULT;
enum dlm_status dlm_doc_parse_triples(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                      const char *path, const struct dlm_doc_section *section,
                                      struct dlm_doc_triple **triples, size_t *num_triples)
    DLM_CHECK_RESULT;

/* Crockford base 32 of 16 bytes (6 of milliseconds, big-endian, 10 random), 26 characters. */
void dlm_ulid_encode(const uint8_t bytes[16], char out[27]);
/* A fresh id from the clock and the system's random source. DLM_ERR_IO without one. */
enum dlm_status dlm_ulid_new(struct dlm_ctx *ctx, char out[27]) DLM_CHECK_RESULT;
bool dlm_ulid_is_valid(const char *text);

#endif
