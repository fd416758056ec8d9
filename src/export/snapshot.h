/* The exports. What each is made of comes as a job; what becomes of it goes to a sink. */
#ifndef DLM_EXPORT_SNAPSHOT_H
#define DLM_EXPORT_SNAPSHOT_H

#include "export/sink.h"
#include "gguf/mixture.h"
#include "models/model.h"
#include "registry/base_files.h"
#include "registry/registry.h"

/* What ollama is told of a document. All zero: nothing. */
struct dlm_export_document {
    const char *path, *id; /* absolute; both or none */
    const char *system_prompt; /* NULL: none */
    size_t system_len;
    double temperature, top_p; /* 0: what documents have that are silent */
    int64_t sequence_len;      /* 0: what the base takes */
    bool no_template;          /* the conversation's form is left to the files */
};

/* What llama.cpp makes of a base. */
struct dlm_export_verdict {
    const char *architecture; /* as config.json spells it; NULL: not known */
    const char *support;      /* SUPPORTED, PARTIAL, UNSUPPORTED: docs/export.md */
    char reason[160];
};

/* Borrows everything until return. */
struct dlm_export_job {
    const struct dlm_base *base;   /* resolved */
    const struct dlm_model *model; /* of its folder: what images become */
    const char *adapter;           /* folder of the version */
    int64_t version;
    int64_t image_size; /* that it was trained with, as origin.json has it */
    const char *created_at; /* UTC, ISO 8601 */
    /* What is written: dlm_export_merged(), dlm_export_gguf() or dlm_export_gguf_lora(), else
     * dlm_export_snapshot() */
    bool is_merged, is_gguf, is_gguf_lora;
    enum dlm_dtype dtype; /* of merged weights; DLM_DTYPE_COUNT: the base's */
    enum dlm_gguf_quant quant; /* of the language model in GGUF, or of the adapter */
    const struct dlm_export_verdict *verdict; /* of vl_gguf.json beside it; NULL: none */
    struct dlm_export_document document; /* for the Modelfile beside it */
    struct dlm_sink_params to; /* files and bytes are left open */
};

/* adapter/, processor/, README.md, snapshot_manifest.json. */
enum dlm_status dlm_export_snapshot(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                    struct dlm_export_result *result) DLM_CHECK_RESULT;

/* The base with the adapter folded in, as one that it could have been: model*.safetensors with the
 * names and shards of the base, config.json, processor, README.md, export_manifest.json. */
enum dlm_status dlm_export_merged(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                  struct dlm_export_result *result) DLM_CHECK_RESULT;

/* The same for llama.cpp, of a base whose family has a GGUF form: base.<quant>.gguf, the language
 * model with its tokenizer; mmproj.<quant>.gguf, the tower and its projector; Modelfile,
 * vl_gguf.json, README.md, export_manifest.json. Memory is some blocks of rows and what the base's
 * tokenizer takes. DLM_ERR_UNSUPPORTED: what llama.cpp has no form for. */
enum dlm_status dlm_export_gguf(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                struct dlm_export_result *result) DLM_CHECK_RESULT;

/* The adapter by itself, of a base whose family has a GGUF form: adapter.gguf, README.md,
 * export_manifest.json. No weight of the base is read. DLM_ERR_UNSUPPORTED: a module lies outside
 * of the language model, over which alone llama.cpp lays one. */
enum dlm_status dlm_export_gguf_lora(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                     struct dlm_export_result *result) DLM_CHECK_RESULT;

/* "Q4_K_M", as files and manifests spell it. */
void dlm_export_gguf_name(enum dlm_gguf_quant quant, char out[16]);

/* The kind that the tower's file is of. */
enum dlm_gguf_quant dlm_export_gguf_vision(enum dlm_gguf_quant quant);

/* How the files of a job with GGUF are asked, for README.md. */
enum dlm_status dlm_export_gguf_command(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                        struct dlm_str *out) DLM_CHECK_RESULT;

/* The commit of llama.cpp whose models and files are meant; of a job's GGUF files, NULL where they
 * are for dlm alone. */
extern const char dlm_export_llama_cpp[];
const char *dlm_export_llama_cpp_of(const struct dlm_export_job *job);

/* What is known of a base besides its weights, from its folder or its family's row. */
struct dlm_export_about {
    json_t *config; /* config.json, owned */
    const char *architecture; /* NULL: not known, as is the next */
    const char *image_token;  /* that stands for an image in a text */
    bool has_chat_template;
    bool is_template_tokenizers; /* it is the tokenizer's, where processors do not look for it */
};

enum dlm_status dlm_export_about_base(struct dlm_ctx *ctx, struct dlm_export_about *about,
                                      const struct dlm_export_job *job) DLM_CHECK_RESULT;
void dlm_export_about_finish(struct dlm_export_about *about);

/* A file that processors, tokenizers or people read, beside the weights. */
bool dlm_export_is_of_processor(enum dlm_base_file file);

/* README.md: how what is exported is loaded, and asked. about: not of GGUF. */
enum dlm_status dlm_export_readme(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                  const struct dlm_export_about *about,
                                  struct dlm_str *out) DLM_CHECK_RESULT;

/* Why this export, in a sentence. */
extern const char dlm_export_rationale[];

#endif
