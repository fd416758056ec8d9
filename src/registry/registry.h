/* The base models that dlm knows by name, and where a base lies on this machine.
 * Reads folder names and the hub cache's pointer files; the checkpoint itself is weights' part.
 * Never goes to the network. */
#ifndef DLM_REGISTRY_REGISTRY_H
#define DLM_REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/mem.h"

enum dlm_modality {
    DLM_MODALITY_TEXT,
    DLM_MODALITY_TEXT_MOE,
    DLM_MODALITY_VISION_LANGUAGE,
    DLM_MODALITY_AUDIO_LANGUAGE,
};

enum dlm_resize_policy {
    DLM_RESIZE_FIXED,
    DLM_RESIZE_DYNAMIC,
};

/* A constant row of the registry. Pointers are to constants; 0 and NULL mean "not stated". */
struct dlm_base_row {
    const char *key;
    const char *hf_id;    /* NULL: bundled with dlm */
    const char *revision; /* 40 lower-case hex; NULL: bundled */
    const char *architecture;
    const char *family; /* of src/models, that trains it; NULL: none does yet */
    const char *shape;  /* of that family: its sizes, known without its config.json; or NULL */
    const char *file_dtype; /* with shape: the type of its files, as its config.json says it */
    double params; /* number of parameters */
    enum dlm_modality modality;
    const char *template_name;
    const char *gguf_arch;
    const char *tokenizer_pre;
    const char *license_spdx;
    const char *license_url;
    bool requires_acceptance; /* gated */
    bool redistributable;
    bool trust_remote_code; /* upstream's flag, for `show --json`; dlm runs no remote code */
    bool reasoning_tuned;   /* upstream's flag: temperature 0.6 instead of 0.7 */
    double size_gb_fp16;
    int context_length;
    int recommended_seq_len;
    const char *target_modules[8]; /* for `target_modules: auto`; NULL-terminated */
    /* Vision-language rows only. */
    int target_height, target_width; /* 0 with a NULL hf_id: from config.json */
    enum dlm_resize_policy resize_policy;
    const char *image_token;
    int num_image_tokens; /* 0: from config.json */
};

/* The rows, in the registry's order. */
size_t dlm_registry_num_rows(void);
const struct dlm_base_row *dlm_registry_row(size_t i);

/* The row with this key, NULL if there is none. Logs nothing. */
const struct dlm_base_row *dlm_registry_find(const char *key);

/* The rows of <home>/bases.d/NAME.yaml (home as in dlm_path_home()). All zero is none. */
struct dlm_own_rows {
    struct dlm_arena arena; /* of all of it */
    struct dlm_base_row *rows;
    size_t len, cap;
};

/* A file that is not right is left out with a warning; no such folder is no rows. */
enum dlm_status dlm_own_rows_read(struct dlm_ctx *ctx, struct dlm_own_rows *own,
                                  const char *home) DLM_CHECK_RESULT;
void dlm_own_rows_finish(struct dlm_own_rows *own);

/* By key, or where key is NULL by hf_id; NULL if there is none. */
const struct dlm_base_row *dlm_own_rows_find(const struct dlm_own_rows *own, const char *key,
                                             const char *hf_id);

/* "text", "text-moe", "vision-language", "audio-language". */
const char *dlm_modality_name(enum dlm_modality modality);

/* A base as a document names it. All strings are owned by the struct; all zero is empty. */
struct dlm_base {
    char *key;      /* the text of base_model */
    char *hf_id;    /* NULL for tiny-shapes and dir: */
    char *revision; /* pinned by the row, else what the cache holds once resolved; may be NULL */
    char *dir;      /* folder of the checkpoint once resolved, absolute; else NULL. Of gguf: the
                     * file of the language model */
    char *mmproj;   /* of gguf: the file of its tower, absolute; else NULL */
    char *source;   /* of gguf: the repository of the hub that the file names as its own, or NULL;
                     * filled in by who opens the file */
    const struct dlm_base_row *row; /* NULL outside the registry */
    struct dlm_own_rows own;        /* what row points into, where it is a row of the user's */
    bool gated;                     /* needs the recorded acceptance of its licence */
    enum dlm_modality modality;     /* of the row; outside it vision-language, until config.json */
};

/* True for org/name, as the hub allows them. */
bool dlm_base_is_hf_id(const char *id);

/* True for the text gguf:PATH. */
bool dlm_base_names_gguf(const char *text);

/* Fills *base from the text of base_model (a registry key, `hf:org/name`, `dir:PATH`, `gguf:PATH`)
 * without looking at the checkpoint; a key that is not built in is looked for in the user's rows.
 * Borrows text. DLM_ERR_INVALID: unknown key, with the known ones. */
enum dlm_status dlm_base_identify(struct dlm_ctx *ctx, struct dlm_base *base,
                                  const char *text) DLM_CHECK_RESULT;

/* After identify. DLM_ERR_UNSUPPORTED: of a vision-language base there is only the row, and no
 * family; refused before anyone fetches it. */
enum dlm_status dlm_base_check_family(struct dlm_ctx *ctx,
                                      const struct dlm_base *base) DLM_CHECK_RESULT;

/* identify, then finds the folder, or the files of gguf:. mmproj is the path of a tower's file, or
 * NULL: then there is one beside the language model whose name has "mmproj" in it. doc_dir is what
 * all paths are relative to (NULL: the working folder). DLM_ERR_IO: not on this machine; says what
 * was looked for and how to get it; DLM_ERR_INVALID: mmproj of another kind of base. */
enum dlm_status dlm_base_resolve_files(struct dlm_ctx *ctx, struct dlm_base *base, const char *text,
                                       const char *mmproj, const char *doc_dir) DLM_CHECK_RESULT;

/* The same without mmproj. */
enum dlm_status dlm_base_resolve(struct dlm_ctx *ctx, struct dlm_base *base, const char *text,
                                 const char *doc_dir) DLM_CHECK_RESULT;

/* After identify, of a row: sets base->dir (and revision, to the one there) where its folder is on
 * this machine; leaves it NULL where it is not, which is no error and not logged. */
enum dlm_status dlm_base_locate(struct dlm_ctx *ctx, struct dlm_base *base) DLM_CHECK_RESULT;

void dlm_base_finish(struct dlm_base *base);

/* What base_model_name_or_path of an adapter says: hf_id, the key of a bundled base, what a GGUF
 * file names, or dir. */
const char *dlm_base_name(const struct dlm_base *base);

/* What huggingface_hub keeps: HF_HOME, else ~/.cache/huggingface (XDG_CACHE_HOME is honoured as
 * there). Owned by the caller, NULL after logging, like the next two. */
char *dlm_hub_home_dir(struct dlm_ctx *ctx) DLM_CHECK_RESULT;

/* The hub's cache folder: HF_HUB_CACHE, else hub in the folder above. */
char *dlm_hub_cache_dir(struct dlm_ctx *ctx) DLM_CHECK_RESULT;

/* <cache>/models--org--name. */
char *dlm_hub_repo_dir(struct dlm_ctx *ctx, const char *cache, const char *hf_id) DLM_CHECK_RESULT;

/* Folder of bundled data: $DLM_SHARE_DIR, else the installed one, else the source tree's share/
 * (the first that holds `name`). *path is <folder>/<name>, owned. DLM_ERR_IO when none has it. */
enum dlm_status dlm_share_find(struct dlm_ctx *ctx, const char *name, char **path) DLM_CHECK_RESULT;

#endif
