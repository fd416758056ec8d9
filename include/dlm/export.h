/* Export: what a document's adapter has learned, as files for other programs. */
#ifndef DLM_EXPORT_H
#define DLM_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dlm/compute.h"
#include "dlm/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of what is written, then of what is read to compare it. */
struct dlm_export_progress {
    size_t num_files, files_done; /* 0: it is being compared */
    uint64_t bytes, bytes_done;
    double bytes_per_sec; /* 0: not known yet */
};

/* A params struct that is all zero but for document means the defaults. Borrows everything until
 * return. */
struct dlm_export_params {
    const char *document; /* path of a .dlm */
    const char *home;     /* NULL: $DLM_HOME, else ~/.dlm */
    int64_t version;      /* of its adapter; 0: the current one */
    bool is_merged; /* the base with the adapter folded in, instead of a snapshot */
    enum dlm_precision precision; /* of merged weights; auto: what the base has */
    /* GGUF files for llama.cpp instead: "f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m" or
     * "q4_0", as llama.cpp calls them; without precision. NULL: none, or without is_merged,
     * is_adapter_only and is_snapshot what the document's export.default_quant says */
    const char *gguf_quant;
    bool is_snapshot; /* a snapshot, whatever the document says */
    /* What ollama is to call a model of GGUF files; NULL: by the document's id. Making it is the
     * caller's, who then calls dlm_export_record_model(). */
    const char *ollama_name;
    bool skips_ollama; /* the caller makes none */
    bool is_gguf_anyway; /* also of a base that llama.cpp has no model for: for dlm alone */
    bool no_template; /* the Modelfile beside GGUF files has no TEMPLATE */
    /* The adapter by itself as GGUF, for llama.cpp to lay over the base; in gguf_quant, which is
     * "f32", "f16", "bf16", "q8_0" or NULL for f32. Not with is_merged */
    bool is_adapter_only;
    /* For merged weights and GGUF of a base whose licence forbids to pass them on: the licence's
     * address, from who holds one and keeps them. NULL: they are refused */
    const char *licensee;
    /* The folder to write, or the archive. NULL: exports/hf-snapshot, exports/hf-merged,
     * exports/vl-gguf-Q4_K_M or exports/gguf-adapter, or that with ".tar", in the
     * document's store */
    const char *out;
    bool is_tar; /* one archive instead of a folder */
    bool no_verify; /* what is written is not compared with the model: struct dlm_export_proof */
    struct dlm_compute compute; /* where that is done: backend, device, memory; auto: the CPU */
    /* Called some 10 times a second from the thread of the call. NULL: no one. */
    void (*progress)(void *user, const struct dlm_export_progress *now);
    void *user;
};

struct dlm_export_file {
    char *path; /* below the folder */
    uint64_t bytes;
    char sha256[65];
};

/* What the files say of a row of the document beside the model in memory, base and adapter, both in
 * f32 arithmetic. */
struct dlm_export_proof {
    size_t num_tensors; /* of weights that were written, that are base and adapter but for rounding;
                           0: none were compared */
    char *skipped;     /* why no row was; NULL: one was */
    char section_id[17];
    int64_t line;      /* of the row's section in the document; 0: it was ingested */
    size_t num_tokens; /* of the answer, or of prose; 0: nothing was compared */
    double loss;       /* of the model in memory */
    double loss_difference, logprob_difference; /* of the files; the second is a token's largest */
};

/* Strings and lists are owned, but for target. */
struct dlm_export_result {
    char *path;      /* what was written, absolute if out is */
    int64_t version; /* of the adapter */
    const char *target; /* what was written: "hf_snapshot", "hf_merged", "gguf", "gguf_adapter" */
    struct dlm_export_file *files; /* all of them, in order of their paths */
    size_t num_files;
    uint64_t bytes; /* of the files */
    struct dlm_export_proof proof;
    char *ollama_name; /* of GGUF files for llama.cpp: what was asked for, else by the id */
    char *json;     /* the same as text, see docs/json.md */
};

/* Writes a version of a document's adapter for transformers and PEFT: adapter/, processor/ (the
 * base's own files), snapshot_manifest.json (the hash of each file) and README.md, which says how
 * both are loaded with the base. The base's weights are not in it.
 *
 * is_merged: writes a base that transformers loads by itself, each weight W + scaling B A, rounded
 * once; names, shards and types are the base's. One that is saved in 4 bits (bitsandbytes' NF4)
 * becomes bf16. Memory stays below some 100 MB, whatever the base.
 *
 * gguf_quant: writes the language model with the adapter folded in (base.Q4_K_M.gguf) and the
 * vision tower with its projector (mmproj.F16.gguf), bit for bit as llama.cpp's own tools would,
 * and a Modelfile for ollama. A base that llama.cpp has no model for gives a snapshot instead, and
 * a warning, or with is_gguf_anyway files that dlm alone reads. Memory stays below some 100 MB and
 * what the base's tokenizer takes.
 *
 * is_adapter_only: writes adapter.gguf, as llama.cpp's convert_lora_to_gguf.py would of the same
 * adapter; what rsLoRA or patterns scale otherwise is folded into B. No weight of the base is read.
 *
 * Unless no_verify: the files are opened, their weights compared with base and adapter, and one row
 * of the document scored, as the model in memory does; if they hold or say anything else than
 * rounding explains, the call fails and leaves none of them. The row takes the memory of one model;
 * where there is less, or where the document has no row that can be scored, it is left out. Of an
 * archive and of an adapter in GGUF nothing is compared. The result says so.
 *
 * What is written appears whole or not at all, in place of an earlier export; the call after one
 * that was killed takes the large files that it wrote whole. A folder or archive that is no export
 * stays, and the call fails. *result: give it back with dlm_export_result_finish(),
 * also after a failure. DLM_ERR_INVALID: no adapter yet, a licence not accepted or one that forbids
 * it, an adapter of another base, something in the way; DLM_ERR_IO: the base is not on this
 * machine, or the disk is full, of which nothing is written if it is known before; DLM_ERR_USAGE:
 * what is for GGUF files alone, where none are asked for; DLM_ERR_PARSE:
 * the version is damaged; DLM_ERR_UNSUPPORTED: a base that has no form in GGUF, though its
 * family has, or an adapter that has none by itself. */
DLM_API enum dlm_status dlm_export(struct dlm_ctx *ctx, const struct dlm_export_params *params,
                                   struct dlm_export_result *result) DLM_CHECK_RESULT;
DLM_API void dlm_export_result_finish(struct dlm_export_result *result);

/* ollama has made a model of the files that dlm_export() has written with these params: the store's
 * record, the folder's export_manifest.json and result->json name it, and ollama's version (NULL:
 * not known) where they have a place for it. A store that is locked is left with a warning. */
DLM_API enum dlm_status dlm_export_record_model(struct dlm_ctx *ctx,
                                                const struct dlm_export_params *params,
                                                struct dlm_export_result *result,
                                                const char *version) DLM_CHECK_RESULT;

/* Which bases of the registry gguf_quant writes files of that llama.cpp runs, and why not the
 * others: a table, or JSON (docs/json.md). *text (ends with a newline) is owned by the caller, NULL
 * on failure; free with dlm_text_free(). */
DLM_API enum dlm_status dlm_export_matrix(struct dlm_ctx *ctx, bool is_json,
                                          char **text) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
