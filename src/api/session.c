/* Sessions. */
#include "api/session.h"


#include "api/origin.h"
#include "base/file.h"
#include "base/log.h"
#include "doctor/trial.h"
#include "images/image.h"

enum dlm_status dlm_session_open_device(struct dlm_ctx *ctx, struct dlm_device **device,
                                        const struct dlm_compute *compute)
{
    char *cache = dlm_path_kernel_cache(ctx);
    struct dlm_device_params params = {
        .kind = compute->backend,
        .index = compute->has_device ? compute->device : -1,
        .cache_dir = cache,
        .max_free_bytes = (uint64_t)(compute->max_memory_mib * 0x1p20),
    };

    enum dlm_status st;
    DLM_REQUIRE(ctx, compute->max_memory_mib >= 0 && compute->max_memory_mib < 0x1p40);
    st = dlm_device_open(ctx, device, &params);
    /* With nowhere to keep what was found, every run would compile everything twice. */
    if (!st && cache)
        st = dlm_trial_run(ctx, *device, cache);
    if (st)
        dlm_device_destroy(device);
done:
    dlm_free(cache);
    return st;
}

static enum dlm_dtype policy_of(enum dlm_precision precision)
{
    switch (precision) {
    case DLM_PRECISION_FP32:
        return DLM_DTYPE_F32;
    case DLM_PRECISION_BF16:
        return DLM_DTYPE_BF16;
    case DLM_PRECISION_FP16:
        return DLM_DTYPE_F16;
    default:
        return DLM_DTYPE_COUNT;
    }
}

static enum dlm_status load_tokenizer(struct dlm_session *s)
{
    char *path = dlm_path_join(s->ctx, s->base.dir, "tokenizer.json");
    enum dlm_status st = path ? dlm_tokenizer_load(s->ctx, &s->tok, path) : DLM_ERR_MEMORY;

    dlm_free(path);
    return st ? st : s->model->family->add_tokens(s->ctx, s->tok);
}

enum dlm_status dlm_session_open(struct dlm_session *s, struct dlm_ctx *ctx,
                                 const struct dlm_session_params *params)
{
    const enum dlm_dtype policy = policy_of(params->compute.precision);

    s->ctx = ctx;
    enum dlm_status st = DLM_OK;
    if (!params->shape)
        st = dlm_base_resolve(ctx, &s->base, params->base, params->doc_dir);
    if (!st)
        st = dlm_session_open_device(ctx, &s->device, &params->compute);
    if (!st)
        st = params->shape
                 ? dlm_model_open_shape(ctx, &s->model, s->device, params->shape, policy)
                 : dlm_model_open(ctx, &s->model, s->device, s->base.dir, policy);
    if (!st && !params->shape)
        st = load_tokenizer(s);
    if (st)
        return st;
    const struct dlm_device_info *info = &dlm_device_get_caps(s->device)->info;
    dlm_log(ctx, DLM_LOG_INFO, "device %s: %s (%s), precision %s", dlm_backend_name(info->kind),
            info->name, info->driver, dlm_dtype_name(s->model->policy));
    return DLM_OK;
}

/* A version of the document's store was trained on the base that is open. */
static enum dlm_status check_version(struct dlm_session *s, const char *dir)
{
    struct dlm_origin now = {.base_model = s->base.key};

    dlm_checkpoint_fingerprint(s->model->weights->checkpoint, now.base_sha256);
    return dlm_origin_check_base(s->ctx, dir, &now);
}

void dlm_session_warn_system_prompt(const struct dlm_session *s)
{
    dlm_log(s->ctx, DLM_LOG_WARNING, "%s has no system prompt: 'system_prompt' is not used",
            s->model->family->model_type);
}

enum dlm_status dlm_session_open_source(struct dlm_session *s, struct dlm_ctx *ctx,
                                        const struct dlm_adapter_source_params *source,
                                        const struct dlm_compute *compute)
{
    struct dlm_adapter_source found = {0};

    enum dlm_status st = dlm_adapter_source_find(ctx, &found, source);
    const struct dlm_session_params params = {
        .base = found.base, .doc_dir = found.doc_dir, .compute = *compute};
    if (!st)
        st = dlm_session_open(s, ctx, &params);
    if (!st && found.has_system_prompt)
        dlm_session_warn_system_prompt(s);
    if (!st && found.is_version)
        st = check_version(s, found.adapter);
    if (!st && found.adapter)
        st = dlm_session_read_adapter(s, found.adapter);
    dlm_adapter_source_finish(&found);
    return st;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0);
}

void dlm_session_finish(struct dlm_session *s)
{
    if (s->device)
        dlm_log(s->ctx, DLM_LOG_DEBUG, "memory: at most %.1f MiB were taken",
                mib(dlm_device_peak_bytes(s->device)));
    if (s->has_vision)
        dlm_vision_finish(&s->vision);
    dlm_lora_destroy(&s->lora);
    dlm_tokenizer_destroy(&s->tok);
    dlm_model_destroy(&s->model);
    dlm_device_destroy(&s->device);
    dlm_base_finish(&s->base);
}

enum dlm_status dlm_session_read_adapter(struct dlm_session *s, const char *dir)
{
    struct dlm_adapter *adapter = NULL;

    enum dlm_status st = dlm_adapter_open(s->ctx, &adapter, dir, &s->model->family->names);
    if (!st)
        st = dlm_model_read_lora(s->model, &s->lora, adapter);
    dlm_adapter_destroy(&adapter);
    return st;
}

static uint32_t groups(bool with_tower)
{
    return with_tower ? DLM_WEIGHT_GROUPS_ALL : DLM_WEIGHT_GROUPS_NO_TOWER;
}

void dlm_session_add_to_budget(const struct dlm_session *s, bool with_tower,
                               enum dlm_lora_use use, struct dlm_budget *budget)
{
    dlm_budget_add_weights(budget, s->model, groups(with_tower));
    dlm_budget_add_lora(budget, s->lora, use);
}

enum dlm_status dlm_session_load(struct dlm_session *s, bool with_tower, enum dlm_lora_use use)
{
    enum dlm_status st = dlm_weights_load(s->model->weights, groups(with_tower));
    if (!st && s->lora)
        st = dlm_lora_upload(s->lora, s->device, use);
    return st;
}

enum dlm_status dlm_session_pixels(struct dlm_session *s, const char *path,
                                   const struct dlm_image_plan *plan, float **pixels)
{
    struct dlm_image image = {0};

    *pixels = NULL;
    enum dlm_status st = dlm_image_load(s->ctx, &image, path);
    if (!st) {
        *pixels = dlm_alloc_array(s->ctx, dlm_pixels_len(&plan->pixels), sizeof(**pixels));
        st = *pixels ? dlm_preprocess(s->ctx, &s->model->processor, &image, &plan->pixels, *pixels)
                     : DLM_ERR_MEMORY;
    }
    dlm_image_finish(&image);
    if (st) {
        dlm_free(*pixels);
        *pixels = NULL;
    }
    return st;
}

enum dlm_status dlm_session_see(struct dlm_session *s, const struct dlm_image_plan *plan,
                                const float *pixels, float **features)
{
    *features = dlm_alloc_array(s->ctx, dlm_image_plan_features_len(s->model, plan),
                                sizeof(**features));
    return *features ? dlm_vision_run(&s->vision, plan, pixels, *features) : DLM_ERR_MEMORY;
}
