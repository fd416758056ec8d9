/* What a base is, and how its processor is asked. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "export/snapshot.h"

#define MAX_CONFIG_BYTES ((size_t)16 << 20)

/* A base outside of the registry is like those of its family there; NULL: there is none. */
static const struct dlm_base_row *find_row(const struct dlm_export_job *job)
{
    if (job->base->row)
        return job->base->row;
    for (size_t i = 0; i < dlm_registry_num_rows(); i++) {
        const struct dlm_base_row *row = dlm_registry_row(i);
        if (row->family && !strcmp(row->family, job->model->family->model_type))
            return row;
    }
    return NULL;
}

bool dlm_export_is_of_processor(enum dlm_base_file file)
{
    return file == DLM_BASE_FILE_CONFIG || file == DLM_BASE_FILE_PROCESSOR ||
           file == DLM_BASE_FILE_LICENSE;
}

/* A JSON file of the base's folder; NULL where there is none. */
static enum dlm_status load(struct dlm_ctx *ctx, const struct dlm_base *base, const char *name,
                            json_t **json)
{
    char *path = dlm_path_join(ctx, base->dir, name);
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(path))
        st = dlm_json_load(ctx, path, MAX_CONFIG_BYTES, json);
    dlm_free(path);
    return st;
}

/* A template is a file of its own, or a member of the tokenizer's. */
static enum dlm_status find_template(struct dlm_ctx *ctx, struct dlm_export_about *about,
                                     const struct dlm_export_job *job)
{
    const struct dlm_base *base = job->base;
    static const char *const names[] = {"chat_template.json", "chat_template.jinja"};
    json_t *config = NULL;

    if (base->mmproj) { /* what GGUF files are made of has one, where llama.cpp knows the family */
        about->has_chat_template = !job->model->family->gguf->is_own;
        return DLM_OK;
    }
    enum dlm_status st = load(ctx, base, "tokenizer_config.json", &config);

    about->is_template_tokenizers = json_object_get(config, "chat_template");
    about->has_chat_template = about->is_template_tokenizers;
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(names); i++) {
        char *path = dlm_path_join(ctx, base->dir, names[i]);
        if (!path)
            st = DLM_ERR_MEMORY;
        else if (dlm_path_is_file(path))
            *about = (struct dlm_export_about){.has_chat_template = true};
        dlm_free(path);
    }
    json_decref(config);
    return st;
}

enum dlm_status dlm_export_about_base(struct dlm_ctx *ctx, struct dlm_export_about *about,
                                      const struct dlm_export_job *job)
{
    const struct dlm_base_row *row = find_row(job);

    *about = (struct dlm_export_about){0};
    enum dlm_status st = find_template(ctx, about, job);
    if (!st)
        st = load(ctx, job->base, "config.json", &about->config);
    if (st)
        return st;
    const json_t *names = json_object_get(about->config, "architectures");
    about->architecture = json_string_value(json_array_get(names, 0));
    if (!about->architecture && row)
        about->architecture = row->architecture;
    about->image_token = row ? row->image_token : NULL;
    return DLM_OK;
}

void dlm_export_about_finish(struct dlm_export_about *about)
{
    json_decref(about->config);
    *about = (struct dlm_export_about){0};
}
