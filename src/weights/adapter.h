/* LoRA adapters in PEFT's folder layout: adapter_config.json + adapter_model.safetensors.
 * Reads and writes files; the arithmetic of LoRA is the trainer's and the graph's. */
#ifndef DLM_WEIGHTS_ADAPTER_H
#define DLM_WEIGHTS_ADAPTER_H

#include <stdbool.h>

#include "weights/checkpoint.h"
#include "weights/names.h"

/* --- which modules are adapted --- */

enum dlm_target_kind {
    DLM_TARGET_LIST,  /* suffixes ("q_proj"): path == t or path ends with "." + t */
    DLM_TARGET_REGEX, /* PEFT's full match of the path */
    DLM_TARGET_ALL_LINEAR, /* PEFT's "all-linear", as far as `under` lets it: every linear */
};

/* `auto` in a document is DLM_TARGET_LIST with the registry row's list. All zero matches nothing.
 * Borrows everything. */
struct dlm_target_spec {
    enum dlm_target_kind kind;
    const char *const *names; /* DLM_TARGET_LIST */
    size_t num_names;
    const char *regex; /* DLM_TARGET_REGEX, in Python's syntax as far as PCRE2 shares it */
    const char *under; /* but for DLM_TARGET_REGEX: only below this path; NULL: anywhere */
};

struct dlm_lora_matcher;

/* Compiles spec. Copies what it needs; returns *out owned, NULL on failure.
 * DLM_ERR_INVALID: the regex does not compile, or is too large. */
enum dlm_status dlm_lora_matcher_create(struct dlm_ctx *ctx, struct dlm_lora_matcher **out,
                                        const struct dlm_target_spec *spec) DLM_CHECK_RESULT;
void dlm_lora_matcher_destroy(struct dlm_lora_matcher **matcher);

/* Whether the module at `path` (canonical, no "base_model.model.", no ".weight") is adapted; call
 * it for linear modules only. DLM_ERR_INVALID: the regex needs too many steps. */
enum dlm_status dlm_lora_matches(struct dlm_ctx *ctx, const struct dlm_lora_matcher *matcher,
                                 const char *path, bool *matches) DLM_CHECK_RESULT;

/* Each name of a list must match one of the base's linear modules, whose paths these are.
 * DLM_ERR_INVALID: one does not; a hint lists near names. */
enum dlm_status dlm_target_spec_check(struct dlm_ctx *ctx, const struct dlm_target_spec *spec,
                                      const char *const *paths, size_t num_paths) DLM_CHECK_RESULT;

/* --- reading --- */

struct dlm_adapter_config {
    const char *base_model; /* base_model_name_or_path, NULL if absent */
    const char *revision;   /* NULL if absent */
    int64_t r;
    double alpha;
    double dropout;
    bool use_rslora;
    /* target_modules as the file has it: exactly one of the two, or neither. For messages; the
     * tensors say what is adapted. */
    const char *target_regex;
    const char *const *target_names;
    size_t num_target_names;
};

/* y += scaling * B (A x) for the linear at path. */
struct dlm_adapter_module {
    const char *path; /* canonical module path in the base */
    int64_t r;        /* by rank_pattern, equals A's rows */
    double alpha;     /* by alpha_pattern */
    double scaling;   /* alpha / r, alpha / sqrt(r) for rsLoRA */
    int64_t in, out;
    const struct dlm_tensor_info *a; /* [r, in], f32, f16 or bf16 */
    const struct dlm_tensor_info *b; /* [out, r] */
};

/* Modules are sorted by path. All pointers live as long as the adapter. */
struct dlm_adapter {
    struct dlm_adapter_config config;
    size_t num_modules;
    const struct dlm_adapter_module *modules;
    struct dlm_adapter_impl *impl;
};

/* Opens the adapter in folder dir, with names made canonical by map (may be NULL).
 * Borrows both until return; returns *out owned, NULL on failure.
 * DLM_ERR_IO: a file is missing; DLM_ERR_PARSE: damaged, unpaired or misshapen tensors;
 * DLM_ERR_UNSUPPORTED: DoRA, bias, modules_to_save, a pickle..., named. */
enum dlm_status dlm_adapter_open(struct dlm_ctx *ctx, struct dlm_adapter **out, const char *dir,
                                 const struct dlm_name_map *map) DLM_CHECK_RESULT;
void dlm_adapter_destroy(struct dlm_adapter **adapter);

/* The module of exactly this canonical path, NULL if it is not adapted. */
const struct dlm_adapter_module *dlm_adapter_find(const struct dlm_adapter *adapter,
                                                  const char *path);

/* Copies t (f32, f16 or bf16) into dst as f32; dst has room for all its elements. */
enum dlm_status dlm_tensor_to_f32(struct dlm_ctx *ctx, const struct dlm_tensor_info *t,
                                  float *dst) DLM_CHECK_RESULT;

/* Whether the adapter names base_id (hf_id, key or folder) as its base; one that names none fits
 * any. Whether the shapes fit is the model's to check. */
bool dlm_adapter_names_base(const struct dlm_adapter *adapter, const char *base_id);

/* --- writing --- */

struct dlm_adapter_out_module {
    const char *path; /* canonical */
    int64_t r;        /* 0: the config's */
    double alpha;     /* 0: the config's */
    int64_t in, out;
    const float *a; /* [r, in] */
    const float *b; /* [out, r] */
};

enum dlm_adapter_names {
    DLM_ADAPTER_NAMES_V5, /* transformers 5: no inner "vision_model." */
    DLM_ADAPTER_NAMES_V4, /* transformers 4.52 and up: with it (PEFT on version 5 maps it back) */
};

/* Borrows everything until return. */
struct dlm_adapter_write_params {
    const char *base_model; /* hf_id, or path of a folder; NULL: null */
    const char *revision;   /* NULL: null */
    int64_t r;
    double alpha;
    double dropout;
    bool use_rslora;
    enum dlm_adapter_names names;
    const struct dlm_name_map *map; /* for DLM_ADAPTER_NAMES_V4; may be NULL */
    /* A regex that is written when it matches exactly the adapted ones among all_paths; NULL, or
     * when it does not: one that spells out the adapted modules. */
    const char *target_regex;
    /* Paths (canonical) of every module of the base, linear or not, that a regex could hit by
     * mistake; NULL: target_regex is not tried. */
    const char *const *all_paths;
    size_t num_all_paths;
};

/* Writes adapter_config.json and adapter_model.safetensors into the existing folder dir, as PEFT
 * 0.21 does; each file atomically and fsynced. Equal input gives equal bytes. */
enum dlm_status dlm_adapter_write(struct dlm_ctx *ctx, const char *dir,
                                  const struct dlm_adapter_write_params *params,
                                  const struct dlm_adapter_out_module *modules,
                                  size_t num_modules) DLM_CHECK_RESULT;

/* A regex that matches exactly `paths` (sorted or not, no duplicates): components that are equal
 * but for one place are folded into an alternation. Owned by the caller, NULL after logging. */
char *dlm_target_regex_of(struct dlm_ctx *ctx, const char *const *paths,
                          size_t num_paths) DLM_CHECK_RESULT;

#endif
