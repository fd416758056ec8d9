/* Facts about machine, device and base, as refusals ask for them. */
#include "api/may_train.h"

#include "api/train_impl.h"
#include "base/host.h"
#include "base/log.h"
#include "doctor/driver_guard.h"
#include "train/footprint.h"

struct dlm_refusal_facts dlm_may_train_facts_of(const struct dlm_device_info *info,
                                                uint64_t machine_bytes,
                                                const struct dlm_base *base)
{
    const struct dlm_base_row *row = base->row;
    const bool is_cpu = info->kind == DLM_BACKEND_CPU || info->is_software;
    struct dlm_refusal_facts facts = {
        .kind = is_cpu             ? DLM_HOST_CPU
                : info->is_unified ? DLM_HOST_UNIFIED
                                   : DLM_HOST_CARD,
        .memory_bytes = info->memory_bytes,
        .params = row ? row->params : 0,
        .is_registry_row = row && row->hf_id && !base->own.rows,
    };

    if (facts.kind != DLM_HOST_CARD) /* drivers give a part of it */
        facts.memory_bytes = DLM_MAX(facts.memory_bytes, machine_bytes);
    return facts;
}

static uint64_t machine_bytes(void)
{
    struct dlm_host host;

    dlm_host_read(&host, "");
    return host.memory_bytes;
}

struct dlm_refusal_facts dlm_may_train_facts(const struct dlm_session *s, uint64_t planned_bytes,
                                             bool force)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(s->device);
    struct dlm_refusal_facts facts = dlm_may_train_facts_of(&caps->info, machine_bytes(), &s->base);

    if (facts.params <= 0)
        facts.params = (double)dlm_weights_num_params(s->model->weights);
    facts.force = force;
    facts.planned_bytes = planned_bytes;
    facts.free_bytes = dlm_budget_room(s->device);
    return facts;
}

/* What the document's run takes with rows of sequence_len and one usual image. */
static enum dlm_status plan(const struct dlm_session *s, const struct dlm_doc *doc,
                            uint64_t *bytes)
{
    const struct dlm_doc_training *d = &doc->training;
    struct dlm_footprint_row row = {.tokens = d->sequence_len};
    struct dlm_footprint_params params = {.batch = DLM_MAX(d->micro_batch_size, 1),
                                          .grad_accum = 1,
                                          .checkpoint = d->gradient_checkpointing};
    struct dlm_image_plan image = {0};
    struct dlm_budget budget = {0};
    struct dlm_lora *lora = NULL;

    enum dlm_status st = dlm_train_document_lora(s->model, &s->base, doc, &lora);
    if (!st && !s->model->is_text)
        st = dlm_image_plan_usual(s->model, &image);
    if (!st) {
        row.labels = DLM_MAX(row.tokens - image.tokens, 1);
        dlm_image_room_add(s->model, &row.room, &image, !s->model->is_text);
        row.slice = dlm_image_plan_slice(&image);
        params.with_tower = dlm_model_trains_tower(s->model, lora);
        dlm_session_add_to_budget(s, lora, row.slice > 0, DLM_LORA_MOMENTS, &budget);
        st = dlm_footprint_add(s->model, lora, &row, &params, &budget);
    }
    *bytes = st ? 0 : dlm_budget_total(&budget);
    dlm_lora_destroy(&lora);
    return st;
}

/* Adds that to the facts; nothing of a run that cannot be planned, which is refused as well. */
static void add_plan(struct dlm_ctx *ctx, const struct dlm_session_base *params,
                     const struct dlm_doc *doc, struct dlm_refusal_facts *facts)
{
    struct dlm_session_base base = *params;
    struct dlm_session *s = NULL;

    base.plan_only = true;
    dlm_log_mute(ctx);
    enum dlm_status st = dlm_session_open_base(ctx, &s, &base);
    if (!st)
        st = plan(s, doc, &facts->planned_bytes);
    if (!st)
        facts->free_bytes = dlm_budget_room(s->device);
    dlm_session_close(&s);
    dlm_log_excuse(ctx, st);
}

static enum dlm_status check_device(struct dlm_ctx *ctx, const struct dlm_device_info *info,
                                    const struct dlm_base *named,
                                    const struct dlm_session_base *params,
                                    const struct dlm_doc *doc, bool force)
{
    struct dlm_refusal_facts facts = dlm_may_train_facts_of(info, machine_bytes(), named);

    facts.force = force;
    /* that a plan fits says nothing for a CPU that is too slow */
    if (dlm_refusal_find(&facts) && facts.kind != DLM_HOST_CPU && named->row->shape)
        add_plan(ctx, params, doc, &facts);
    return dlm_refusal_check(ctx, &facts);
}

enum dlm_status dlm_may_train_check_row(struct dlm_ctx *ctx, const struct dlm_session_base *params,
                                        const struct dlm_doc *doc, bool force)
{
    const struct dlm_compute *compute = &params->compute;
    const struct dlm_device_params device = {
        .kind = compute->backend, .index = compute->has_device ? compute->device : -1};
    struct dlm_base named = {0};
    struct dlm_device_info info;

    enum dlm_status st = dlm_base_identify(ctx, &named, params->base);
    if (!st && named.row && named.row->family && named.row->params > 0) {
        st = dlm_driver_find(ctx, &device, &info);
        if (!st)
            st = check_device(ctx, &info, &named, params, doc, force);
    }
    dlm_base_finish(&named);
    return st;
}
