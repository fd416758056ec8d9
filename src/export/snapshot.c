/* The Hugging Face snapshot. */
#include "export/snapshot.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "export/manifest.h"
#include "export/place.h"
#include "export/sources.h"

struct snapshot {
    const struct dlm_export_job *job;
    struct dlm_export_about about;
    struct dlm_source_list sources;
    struct dlm_str readme;
    struct dlm_sink *sink;
};

static enum dlm_status collect(struct dlm_ctx *ctx, struct snapshot *s)
{
    enum dlm_status st = dlm_sources_add_all(ctx, &s->sources, s->job->adapter, "adapter/");

    if (!st && !s->job->base->mmproj) /* GGUF files have none to copy */
        st = dlm_sources_add_base(ctx, &s->sources, s->job->base->dir, "processor/",
                                  dlm_export_is_of_processor);
    if (!st)
        st = dlm_export_about_base(ctx, &s->about, s->job);
    return st ? st : dlm_export_readme(ctx, s->job, &s->about, &s->readme);
}

/* --- the manifest --- */

/* [height, width] of what images become, null where that depends on the image. */
static json_t *target_size(const struct dlm_export_job *job)
{
    const struct dlm_processor *p = &job->model->processor;
    const json_int_t side = (json_int_t)job->image_size;

    if (p->size_rule == DLM_SIZE_FIXED)
        return json_pack("[i, i]", p->height, p->width);
    return side > 0 ? json_pack("[I, I]", side, side) : json_null();
}

static json_t *manifest(struct snapshot *s)
{
    const struct dlm_export_job *job = s->job;
    const struct dlm_base *base = job->base;
    const int num_tokens = base->row ? base->row->num_image_tokens : 0;

    return json_pack(
        "{s:n, s:I, s:o, s:o, s:o, s:o, s:s, s:s+, s:s, s:o, s:s, s:o, s:s, s:o}", "adapter_name",
        "adapter_version", (json_int_t)job->version, "artifacts", dlm_export_artifacts(s->sink),
        "base_model_architecture", dlm_json_text(s->about.architecture), "base_model_hf_id",
        dlm_json_text(base->hf_id), "base_model_revision", dlm_json_text(base->revision),
        "created_at", job->created_at, "created_by", "dlm-", dlm_version_text(), "export_target",
        "hf_snapshot", "image_token", dlm_json_text(s->about.image_token), "modality",
        "vision-language", "num_image_tokens", num_tokens ? json_integer(num_tokens) : json_null(),
        "rationale", dlm_export_rationale, "target_size", target_size(job));
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
        st = dlm_export_manifest(ctx, s.sink, DLM_EXPORT_SNAPSHOT_MANIFEST, manifest(&s));
    if (!st)
        st = dlm_sink_commit(ctx, s.sink, result);
    dlm_sink_close(&s.sink);
    dlm_sources_finish(&s.sources);
    dlm_str_finish(&s.readme);
    dlm_export_about_finish(&s.about);
    return st;
}
