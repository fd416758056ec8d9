/* Config, tokenizer and chat template of a base, for its GGUF files. */
#include "export/gguf_base.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "export/gguf_own.h"
#include "tokens/tokenizer.h"

#define MAX_JSON_BYTES ((size_t)64 << 20)

/* A JSON file of the folder; *path is owned by the caller. NULL where there is none. */
static enum dlm_status load(struct dlm_ctx *ctx, const char *dir, const char *name, char **path,
                            json_t **json)
{
    *path = dlm_path_join(ctx, dir, name);
    if (!*path)
        return DLM_ERR_MEMORY;
    return dlm_path_is_file(*path) ? dlm_json_load(ctx, *path, MAX_JSON_BYTES, json) : DLM_OK;
}

/* The template's own file, or the one with it in a JSON object; tokenizer_config.json's counts more
 * for llama.cpp. */
static enum dlm_status read_template(struct dlm_ctx *ctx, struct dlm_gguf_base *base,
                                     const char *dir)
{
    char *path = dlm_path_join(ctx, dir, "chat_template.jinja"), *json_path = NULL;
    json_t *json = NULL;
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(path)) {
        st = dlm_file_read(ctx, path, MAX_JSON_BYTES, &base->chat_template);
    } else if (!st) {
        st = load(ctx, dir, "chat_template.json", &json_path, &json);
        const char *text = json_string_value(json_object_get(json, "chat_template"));
        if (!st && text)
            st = dlm_str_appendz(ctx, &base->chat_template, text);
    }
    json_decref(json);
    dlm_free(json_path);
    dlm_free(path);
    return st;
}

/* The row of the token that the tower's file holds. */
static enum dlm_status find_row(struct dlm_ctx *ctx, struct dlm_gguf_base *base, const char *dir)
{
    const char *token = base->job->model->family->gguf->row_token;
    struct dlm_tokenizer *tok = NULL;

    if (!token)
        return DLM_OK;
    enum dlm_status st = dlm_tokenizer_load_folder(ctx, &tok, dir);
    if (st)
        return st;
    base->row = dlm_tokenizer_id(tok, token);
    dlm_tokenizer_destroy(&tok);
    return base->row >= 0 ? DLM_OK
                          : dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot write '%s' as GGUF: its "
                                     "tokenizer has no %s", base->job->base->key, token);
}

enum dlm_status dlm_gguf_base_read(struct dlm_ctx *ctx, struct dlm_gguf_base *base,
                                   const struct dlm_export_job *job)
{
    const char *dir = job->base->dir;
    char *path = NULL;

    *base = (struct dlm_gguf_base){.job = job, .row = -1};
    if (job->model->family->gguf->is_own)
        return DLM_OK;
    enum dlm_status st = load(ctx, dir, "config.json", &base->config_path, &base->config);
    if (!st)
        st = load(ctx, dir, "tokenizer.json", &base->tokenizer_path, &base->tokenizer);
    if (!st && !base->tokenizer)
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot write '%s' as GGUF: it has no "
                      "tokenizer.json", job->base->key);
    if (!st)
        st = load(ctx, dir, "tokenizer_config.json", &path, &base->tokenizer_config);
    dlm_free(path);
    if (!st)
        st = read_template(ctx, base, dir);
    if (!st)
        st = job->model->family->gguf->read_vision(ctx, base->config, base->config_path,
                                                   &base->vision);
    return st ? st : find_row(ctx, base, dir);
}

void dlm_gguf_base_finish(struct dlm_gguf_base *base)
{
    json_decref(base->config);
    json_decref(base->tokenizer);
    json_decref(base->tokenizer_config);
    dlm_free(base->config_path);
    dlm_free(base->tokenizer_path);
    dlm_str_finish(&base->chat_template);
    *base = (struct dlm_gguf_base){0};
}

/* What the base is called: the last part of its repository's name, or of its folder's. */
static const char *name_of(const struct dlm_base *base)
{
    return dlm_path_basename(base->hf_id ? base->hf_id : base->dir);
}

enum dlm_status dlm_gguf_base_put(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                  const struct dlm_gguf_base *base, bool is_text,
                                  enum dlm_gguf_quant quant)
{
    const struct dlm_model *model = base->job->model;
    const json_t *own = json_object_get(base->tokenizer_config, "chat_template");
    const struct dlm_gguf_about about = {.model = model, .config = base->config,
                                         .path = base->config_path,
                                         .name = name_of(base->job->base), .quant = quant};
    const struct dlm_gguf_tokens tokens = {
        .tokenizer = base->tokenizer,
        .tokenizer_config = base->tokenizer_config,
        .config = base->config,
        .path = base->tokenizer_path,
        .pretokenizer = model->family->gguf->pretokenizer,
        .chat_template = json_is_string(own)       ? json_string_value(own)
                         : base->chat_template.len ? base->chat_template.data
                                                   : NULL,
        .vocab = model->decoder.config.vocab};

    if (model->family->gguf->is_own)
        return dlm_gguf_put_own_values(ctx, w, base->job, is_text, quant);
    if (!is_text)
        return dlm_gguf_put_vision_values(ctx, w, &about);
    enum dlm_status st = dlm_gguf_put_text_values(ctx, w, &about);
    return st ? st : dlm_gguf_put_tokens(ctx, w, &tokens);
}
