/* Sessions: what is open, and for how long. */
#include "api/session_impl.h"

#include "api/adapter_source.h"
#include "api/base_model.h"
#include "api/image_size.h"
#include "api/origin.h"
#include "api/quant.h"
#include "base/file.h"
#include "base/host.h"
#include "base/log.h"
#include "doctor/driver_guard.h"
#include "doctor/tiles.h"
#include "doctor/trial.h"
#include "images/image.h"
#include "registry/base_files.h"

enum dlm_status dlm_session_open_device(struct dlm_ctx *ctx, struct dlm_device **device,
                                        const struct dlm_compute *compute, bool plan_only)
{
    char *cache = dlm_path_kernel_cache(ctx);
    struct dlm_compute with = *compute;
    struct dlm_device_params params = {.cache_dir = cache};

    enum dlm_status st;
    *device = NULL;
    DLM_REQUIRE(ctx, compute->max_memory_mib >= 0 && compute->max_memory_mib < 0x1p40);
    st = plan_only ? DLM_OK : dlm_driver_guard_once(ctx, &with);
    params.kind = with.backend;
    params.index = with.has_device ? with.device : -1;
    params.no_matrix = with.no_matrix_units;
    params.max_free_bytes = (uint64_t)(with.max_memory_mib * 0x1p20);
    if (!st)
        st = dlm_driver_open(ctx, device, &params);
    /* With nowhere to keep what was found, every run would compile everything twice. */
    if (!st && cache && !plan_only)
        st = dlm_trial_run(ctx, *device, cache);
    if (!st && cache)
        st = dlm_tiles_load(ctx, *device, cache);
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

enum dlm_precision dlm_session_precision(const struct dlm_session *s)
{
    const enum dlm_dtype policy = s->model->policy;

    return policy == DLM_DTYPE_BF16  ? DLM_PRECISION_BF16
           : policy == DLM_DTYPE_F16 ? DLM_PRECISION_FP16
                                     : DLM_PRECISION_FP32;
}

/* A folder of configs alone, which is only planned, may have none. */
static enum dlm_status load_tokenizer(struct dlm_session *s)
{
    if (s->model->has_no_files && !dlm_tokenizer_is_in(s->ctx, s->base.dir))
        return DLM_OK;
    return dlm_base_load_tokenizer(s->ctx, s->model, &s->tok, &s->base);
}

/* *shape: the one to open the model by; NULL: it is opened from s->base.dir. */
static enum dlm_status find_base(struct dlm_session *s, const struct dlm_session_base *params,
                                 const char **shape)
{
    *shape = params->shape;
    if (*shape)
        return DLM_OK;
    if (params->plan_only) {
        enum dlm_status st = dlm_base_identify(s->ctx, &s->base, params->base);
        if (!st && s->base.row && s->base.row->shape)
            st = dlm_base_locate(s->ctx, &s->base);
        if (st || s->base.dir)
            return st;
        *shape = s->base.row ? s->base.row->shape : NULL;
        if (*shape)
            return DLM_OK;
        dlm_base_finish(&s->base);
    }
    return dlm_base_find(s->ctx, &s->base, params->base, params->mmproj, params->dir);
}

/* True for a snapshot of the hub's of which some weights are missing: a fetch was broken off. */
static bool is_cut(const struct dlm_session *s)
{
    struct dlm_base_content content;

    return s->base.hf_id && s->base.dir && !dlm_base_look(s->ctx, s->base.dir, &content) &&
           content.num_weights && content.num_weights < content.num_wanted;
}

/* With shape, or a folder without (all) weights that is only planned: without files. */
static enum dlm_status open_model(struct dlm_session *s, const struct dlm_session_base *params,
                                  const char *shape)
{
    const enum dlm_dtype policy = policy_of(params->compute.precision);
    const struct dlm_quant_policy quant = dlm_quant_policy_of(&params->compute);
    bool has_files = true;

    if (shape && !params->shape)
        return dlm_model_open_released(s->ctx, &s->model, s->device, shape,
                                       s->base.row->file_dtype, policy, &quant);
    if (shape)
        return dlm_model_open_shape(s->ctx, &s->model, s->device, shape, params->layers, policy,
                                    &quant);
    enum dlm_status st = params->plan_only && !dlm_base_is_gguf(&s->base)
                             ? dlm_checkpoint_look(s->ctx, s->base.dir, &has_files) : DLM_OK;
    if (st)
        return st;
    const bool is_outline = !has_files || (params->plan_only && is_cut(s));
    st = is_outline ? dlm_model_open_outline(s->ctx, &s->model, s->device, s->base.dir, policy,
                                             &quant)
                    : dlm_base_open_model(s->ctx, &s->model, s->device, &s->base, policy, &quant);
    if (st && s->base.hf_id && (is_outline || is_cut(s)))
        dlm_log(s->ctx, DLM_LOG_HINT, "`dlm pull %s` fetches what is missing of it", s->base.key);
    return st;
}

static enum dlm_status open_all(struct dlm_session *s, const struct dlm_session_base *params)
{
    struct dlm_ctx *ctx = s->ctx;
    const char *shape = NULL;

    enum dlm_status st = dlm_quant_check(ctx, &params->compute);
    if (!st)
        st = find_base(s, params, &shape);
    if (!st)
        st = dlm_session_open_device(ctx, &s->device, &params->compute, params->plan_only);
    if (!st)
        st = open_model(s, params, shape);
    if (!st && !params->shape)
        st = dlm_image_size_choose(s->model, &s->base, params->image_size);
    return !st && !shape ? load_tokenizer(s) : st;
}

/* What was asked for and cannot be is no silent detour. */
static void warn_of_saved(const struct dlm_session *s)
{
    const enum dlm_dtype saved = dlm_quant_saved(s->model->weights);
    const enum dlm_dtype asked = s->model->weights->quant.dtype;

    if (saved != DLM_DTYPE_F32 && asked != DLM_DTYPE_F32 && asked != saved)
        dlm_log(s->ctx, DLM_LOG_WARNING, "what the base has in %s stays so, and does not become "
                "%s", dlm_dtype_name(saved), dlm_dtype_name(asked));
}

enum dlm_status dlm_session_open_base(struct dlm_ctx *ctx, struct dlm_session **out,
                                      const struct dlm_session_base *params)
{
    struct dlm_session *s = dlm_alloc(ctx, sizeof(*s));

    *out = NULL;
    if (!s)
        return DLM_ERR_MEMORY;
    s->ctx = ctx;
    enum dlm_status st = open_all(s, params);
    if (st) {
        dlm_session_close(&s);
        return st;
    }
    dlm_quant_form_of(s->model->weights, s->base_form);
    const struct dlm_device_info *info = &dlm_device_get_caps(s->device)->info;
    const enum dlm_log_level level = params->plan_only || params->is_quiet ? DLM_LOG_DEBUG
                                                                            : DLM_LOG_INFO;
    dlm_log(ctx, level, "device %s: %s (%s), precision %s%s%s",
            dlm_backend_name(info->kind), info->name, info->driver,
            dlm_dtype_name(s->model->policy), *s->base_form ? ", base in " : "", s->base_form);
    warn_of_saved(s);
    const int64_t side = dlm_image_size_of(s->model);
    if (side > 0)
        dlm_log(ctx, level, s->model->processor.size_rule == DLM_SIZE_LONGEST
                    ? "images are made to fit into %lld x %lld"
                    : "images are made %lld x %lld", (long long)side, (long long)side);
    *out = s;
    return DLM_OK;
}

/* A version of the document's store was trained on the base that is open. */
static enum dlm_status check_version(const struct dlm_session *s, const char *dir)
{
    struct dlm_origin now = {.base_model = s->base.key};

    dlm_checkpoint_fingerprint(s->model->weights->checkpoint, now.base_sha256);
    return dlm_origin_check_base(s->ctx, dir, &now);
}

/* What the caller leaves open: as the version was trained, else the document's. */
static enum dlm_status find_form(struct dlm_ctx *ctx, const struct dlm_adapter_source *found,
                                 struct dlm_session_base *base)
{
    struct dlm_origin origin = {0};
    enum dlm_status st = DLM_OK;

    if (found->is_version)
        st = dlm_origin_read(ctx, found->adapter, &origin);
    if (origin.base_model && !strcmp(origin.base_model, found->base)) {
        base->image_size = base->image_size ? base->image_size : origin.image_size;
        (void)dlm_quant_take_form(&base->compute, origin.base_form); /* read: a known one */
    }
    if (!base->image_size)
        base->image_size = found->image_size;
    if (!base->compute.quant)
        base->compute.quant = found->quant;
    if (!base->compute.quant_scope && base->compute.quant != DLM_QUANT_NONE)
        base->compute.quant_scope = found->quant_scope;
    dlm_origin_finish(&origin);
    return st;
}

static enum dlm_status take_system_prompt(struct dlm_session *s, const char *text)
{
    if (!dlm_request_can_say_system(s->model))
        return DLM_OK;
    s->system_prompt = dlm_strdup(s->ctx, text);
    return s->system_prompt ? DLM_OK : DLM_ERR_MEMORY;
}

const char *dlm_session_system(const struct dlm_session *s, const char *system,
                               const struct dlm_message *messages, size_t num_messages)
{
    if (system || (num_messages && messages[0].role == DLM_ROLE_SYSTEM))
        return system;
    return s->system_prompt;
}

enum dlm_status dlm_session_open(struct dlm_ctx *ctx, struct dlm_session **out,
                                 const struct dlm_session_params *params)
{
    struct dlm_adapter_source found = {0};
    enum dlm_status st;

    *out = NULL;
    DLM_REQUIRE(ctx, !params->document != !params->base);
    st = dlm_adapter_source_find(ctx, &found, params);
    struct dlm_session_base base = {
        .base = found.base, .mmproj = found.mmproj, .dir = found.dir,
        .image_size = params->image_size, .compute = params->compute};
    if (!st)
        st = find_form(ctx, &found, &base);
    if (!st)
        st = dlm_session_open_base(ctx, out, &base);
    if (!st && found.system_prompt)
        st = take_system_prompt(*out, found.system_prompt);
    if (!st && found.is_version)
        st = check_version(*out, found.adapter);
    if (!st && found.adapter)
        st = dlm_session_load_adapter(*out, DLM_SESSION_ADAPTER, found.adapter);
    if (!st && found.adapter)
        st = dlm_session_use_adapter(*out, DLM_SESSION_ADAPTER);
    if (st)
        dlm_session_close(out);
done:
    dlm_adapter_source_finish(&found);
    return st;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0);
}

static void finish_adapter(struct dlm_session_adapter *adapter)
{
    dlm_free(adapter->name);
    dlm_lora_destroy(&adapter->lora);
}

void dlm_session_close(struct dlm_session **session)
{
    struct dlm_session *s = session ? *session : NULL;

    if (!s)
        return;
    if (s->device) {
        struct dlm_host_process process;
        dlm_host_read_process(&process);
        dlm_log(s->ctx, DLM_LOG_DEBUG, "memory: at most %.1f MiB were taken",
                mib(dlm_device_peak_bytes(s->device)));
        dlm_log(s->ctx, DLM_LOG_DEBUG, "process: %.1f MiB were resident at most",
                mib(process.peak_bytes));
    }
    for (size_t i = 0; i < s->num_adapters; i++)
        finish_adapter(&s->adapters[i]);
    dlm_free(s->adapters);
    dlm_free(s->system_prompt);
    dlm_tokenizer_destroy(&s->tok);
    dlm_model_destroy(&s->model);
    dlm_device_destroy(&s->device);
    dlm_base_finish(&s->base);
    dlm_free(s);
    *session = NULL;
}

/* --- adapters --- */

/* NULL: no adapter has this name. */
static struct dlm_session_adapter *find_adapter(struct dlm_session *s, const char *name)
{
    for (size_t i = 0; i < s->num_adapters; i++)
        if (!strcmp(s->adapters[i].name, name))
            return &s->adapters[i];
    return NULL;
}

static enum dlm_status no_such_adapter(struct dlm_session *s, const char *name)
{
    return dlm_fail(s->ctx, DLM_ERR_USAGE, "no adapter '%s' is loaded", name);
}

enum dlm_status dlm_session_read_adapter(const struct dlm_session *s, const char *dir,
                                         struct dlm_lora **lora)
{
    struct dlm_adapter *adapter = NULL;

    enum dlm_status st = dlm_adapter_open(s->ctx, &adapter, dir, &s->model->family->names);
    if (!st)
        st = dlm_model_read_lora(s->model, lora, adapter);
    if (st)
        dlm_lora_destroy(lora);
    dlm_adapter_destroy(&adapter);
    return st;
}

enum dlm_status dlm_session_load_adapter(struct dlm_session *session, const char *name,
                                         const char *dir)
{
    struct dlm_session *s = session;
    struct dlm_session_adapter made = {0}, *old;
    enum dlm_status st;

    DLM_REQUIRE(s->ctx, name && name[0] && dir);
    made.name = dlm_strdup(s->ctx, name);
    st = made.name ? dlm_session_read_adapter(s, dir, &made.lora) : DLM_ERR_MEMORY;
    if (st)
        goto done;
    old = find_adapter(s, name);
    if (old) {
        struct dlm_session_adapter gone = *old;
        if (s->lora == gone.lora)
            s->lora = made.lora;
        *old = made;
        made = gone;
    } else if (dlm_grow(s->ctx, &s->adapters, &s->cap_adapters, s->num_adapters,
                        sizeof(*s->adapters))) {
        s->adapters[s->num_adapters++] = made;
        made = (struct dlm_session_adapter){0};
    } else {
        st = DLM_ERR_MEMORY;
    }
done:
    finish_adapter(&made);
    return st;
}

enum dlm_status dlm_session_use_adapter(struct dlm_session *session, const char *name)
{
    const struct dlm_session_adapter *adapter = name ? find_adapter(session, name) : NULL;

    if (name && !adapter)
        return no_such_adapter(session, name);
    session->lora = adapter ? adapter->lora : NULL;
    return DLM_OK;
}

enum dlm_status dlm_session_drop_adapter(struct dlm_session *session, const char *name)
{
    struct dlm_session *s = session;
    struct dlm_session_adapter *adapter;
    enum dlm_status st;

    DLM_REQUIRE(s->ctx, name);
    adapter = find_adapter(s, name);
    if (!adapter)
        return no_such_adapter(s, name);
    if (adapter->lora == s->lora)
        return dlm_fail(s->ctx, DLM_ERR_USAGE, "cannot drop adapter '%s': it is being used", name);
    finish_adapter(adapter);
    *adapter = s->adapters[--s->num_adapters];
    st = DLM_OK;
done:
    return st;
}

/* --- on the device --- */

static uint32_t groups(bool with_tower)
{
    return with_tower ? DLM_WEIGHT_GROUPS_ALL : DLM_WEIGHT_GROUPS_NO_TOWER;
}

void dlm_session_add_to_budget(const struct dlm_session *s, const struct dlm_lora *lora,
                               bool with_tower, enum dlm_lora_use use, struct dlm_budget *budget)
{
    dlm_budget_add_weights(budget, s->model, groups(with_tower));
    budget->weights += dlm_weights_loaded_bytes(s->model->weights, ~groups(with_tower));
    dlm_budget_add_lora(budget, lora, use);
    for (size_t i = 0; i < s->num_adapters; i++)
        if (s->adapters[i].lora != lora)
            budget->adapter += dlm_lora_loaded_bytes(s->adapters[i].lora);
}

void dlm_session_add_answer(const struct dlm_session *s, const struct dlm_generator *generator,
                            const struct dlm_vision *vision, struct dlm_budget *budget)
{
    struct dlm_plan *plans[2];

    dlm_generator_plans(generator, plans);
    dlm_session_add_to_budget(s, s->lora, vision, DLM_LORA_VALUES, budget);
    dlm_generator_add_to_budget(generator, budget);
    dlm_budget_add_workspace(budget, plans, DLM_ARRAY_LEN(plans));
    if (vision)
        dlm_budget_add_vision(budget, vision, plans, DLM_ARRAY_LEN(plans));
}

enum dlm_status dlm_session_load(struct dlm_session *s, struct dlm_lora *lora, bool with_tower,
                                 enum dlm_lora_use use)
{
    enum dlm_status st = dlm_weights_load(s->model->weights, groups(with_tower));

    return !st && lora ? dlm_lora_upload(lora, s->device, use) : st;
}

/* --- images --- */

enum dlm_status dlm_session_pixels(const struct dlm_session *s,
                                   const struct dlm_message_part *part,
                                   const struct dlm_image_plan *plan, float **pixels)
{
    const struct dlm_image_source source = {
        .data = part->data, .bytes = part->bytes, .name = part->image};
    struct dlm_image image = {0};

    *pixels = NULL;
    enum dlm_status st = part->data ? dlm_image_decode(s->ctx, &image, &source)
                                    : dlm_image_load(s->ctx, &image, part->image);
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

enum dlm_status dlm_session_see(const struct dlm_session *s, struct dlm_vision *vision,
                                const struct dlm_image_plan *plan, const float *pixels,
                                float **features)
{
    *features = dlm_alloc_array(s->ctx, dlm_image_plan_features_len(s->model, plan),
                                sizeof(**features));
    return *features ? dlm_vision_run(vision, plan, pixels, *features) : DLM_ERR_MEMORY;
}
