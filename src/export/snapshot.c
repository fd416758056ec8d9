/* The Hugging Face snapshot. */
#include "export/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "export/place.h"
#include "export/sources.h"

#define MAX_CONFIG_BYTES ((size_t)16 << 20)

struct snapshot {
    const struct dlm_export_job *job;
    const struct dlm_base_row *row; /* of the base, or one of its family; NULL: none */
    struct dlm_source_list sources;
    json_t *config; /* of the base */
    struct dlm_export_usage usage;
    struct dlm_str readme;
    struct dlm_sink *sink;
};

/* --- what is known of the base --- */

/* A base outside of the registry is like those of its family there. */
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

static bool is_of_processor(enum dlm_base_file file)
{
    return file == DLM_BASE_FILE_CONFIG || file == DLM_BASE_FILE_PROCESSOR ||
           file == DLM_BASE_FILE_LICENSE;
}

/* A template is a file of its own, or a member of the tokenizer's. */
static enum dlm_status find_template(struct dlm_ctx *ctx, struct snapshot *s)
{
    json_t *config = NULL;
    char *path = dlm_path_join(ctx, s->job->base->dir, "tokenizer_config.json");
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(path))
        st = dlm_json_load(ctx, path, MAX_CONFIG_BYTES, &config);
    const bool is_own = dlm_sources_have(&s->sources, "processor/chat_template.json") ||
                        dlm_sources_have(&s->sources, "processor/chat_template.jinja");
    s->usage.is_template_tokenizers = !is_own && json_object_get(config, "chat_template");
    s->usage.has_chat_template = is_own || s->usage.is_template_tokenizers;
    json_decref(config);
    dlm_free(path);
    return st;
}

static enum dlm_status collect(struct dlm_ctx *ctx, struct snapshot *s)
{
    const struct dlm_export_job *job = s->job;
    char *path = dlm_path_join(ctx, job->base->dir, "config.json");
    enum dlm_status st = path ? dlm_json_load(ctx, path, MAX_CONFIG_BYTES, &s->config)
                              : DLM_ERR_MEMORY;

    dlm_free(path);
    if (!st)
        st = dlm_sources_add_all(ctx, &s->sources, job->adapter, "adapter/");
    if (!st)
        st = dlm_sources_add_base(ctx, &s->sources, job->base->dir, "processor/", is_of_processor);
    if (!st)
        st = find_template(ctx, s);
    s->row = find_row(job);
    s->usage.image_token = s->row ? s->row->image_token : NULL;
    return st ? st : dlm_export_readme(ctx, job, &s->usage, &s->readme);
}

/* --- the manifest --- */

static json_t *artifacts(struct snapshot *s)
{
    size_t num;
    const struct dlm_export_file *files = dlm_sink_files(s->sink, &num);
    json_t *list = json_array();

    for (size_t i = 0; list && i < num; i++) {
        if (!strcmp(files[i].path, DLM_EXPORT_README))
            continue;
        json_t *entry = json_pack("{s:s, s:s, s:I}", "path", files[i].path, "sha256",
                                  files[i].sha256, "size_bytes", (json_int_t)files[i].bytes);
        if (!entry || json_array_append_new(list, entry)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* [height, width] of what images become, null where that depends on the image. */
static json_t *target_size(const struct dlm_export_job *job)
{
    const struct dlm_processor *p = &job->model->processor;
    const json_int_t side = (json_int_t)job->image_size;

    if (p->size_rule == DLM_SIZE_FIXED)
        return json_pack("[i, i]", p->height, p->width);
    return side > 0 ? json_pack("[I, I]", side, side) : json_null();
}

static json_t *architecture(const struct snapshot *s)
{
    const char *name =
        json_string_value(json_array_get(json_object_get(s->config, "architectures"), 0));

    return dlm_json_text(name ? name : s->row ? s->row->architecture : NULL);
}

static json_t *manifest(struct snapshot *s)
{
    const struct dlm_export_job *job = s->job;
    const struct dlm_base *base = job->base;
    const int num_tokens = base->row ? base->row->num_image_tokens : 0;

    return json_pack(
        "{s:n, s:I, s:o, s:o, s:o, s:o, s:s, s:s+, s:s, s:o, s:s, s:o, s:s, s:o}", "adapter_name",
        "adapter_version", (json_int_t)job->version, "artifacts", artifacts(s),
        "base_model_architecture", architecture(s), "base_model_hf_id",
        dlm_json_text(base->hf_id), "base_model_revision", dlm_json_text(base->revision),
        "created_at", job->created_at, "created_by", "dlm-", dlm_version_text(), "export_target",
        "hf_snapshot", "image_token", dlm_json_text(s->usage.image_token), "modality",
        "vision-language", "num_image_tokens", num_tokens ? json_integer(num_tokens) : json_null(),
        "rationale", dlm_export_rationale, "target_size", target_size(job));
}

static enum dlm_status write_manifest(struct dlm_ctx *ctx, struct snapshot *s)
{
    json_t *json = manifest(s);
    char *text = json ? json_dumps(json, JSON_SORT_KEYS | JSON_INDENT(2)) : NULL;
    struct dlm_str line = {0};
    enum dlm_status st = text ? dlm_str_appendf(ctx, &line, "%s\n", text)
                              : dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%s': a name in it is "
                                         "no UTF-8, or no memory", DLM_EXPORT_SNAPSHOT_MANIFEST);

    if (!st)
        st = dlm_sink_text(ctx, s->sink, DLM_EXPORT_SNAPSHOT_MANIFEST, line.data, line.len);
    dlm_str_finish(&line);
    free(text);
    json_decref(json);
    return st;
}

/* --- the whole --- */

enum dlm_status dlm_export_snapshot(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                    struct dlm_export_result *result)
{
    struct snapshot s = {.job = job};
    struct dlm_sink_params to = job->to;

    enum dlm_status st = collect(ctx, &s);
    to.num_files = s.sources.len + 2;
    to.bytes = s.sources.bytes + s.readme.len;
    if (!st)
        st = dlm_sink_open(ctx, &s.sink, &to);
    if (!st) /* the first file, by which an archive is known */
        st = dlm_sink_text(ctx, s.sink, DLM_EXPORT_README, s.readme.data, s.readme.len);
    if (!st)
        st = dlm_sources_copy(ctx, &s.sources, s.sink);
    if (!st) /* the last: a folder with it is whole */
        st = write_manifest(ctx, &s);
    if (!st)
        st = dlm_sink_commit(ctx, s.sink, result);
    dlm_sink_close(&s.sink);
    dlm_sources_finish(&s.sources);
    dlm_str_finish(&s.readme);
    json_decref(s.config);
    return st;
}
