/* Facts about machine, device and base, as refusals ask for them. */
#include "api/may_train.h"

#include "base/host.h"
#include "base/log.h"

static struct dlm_refusal_facts facts_of(const struct dlm_device_info *info,
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

    if (facts.kind != DLM_HOST_CARD) { /* drivers give a part of it */
        struct dlm_host host;
        dlm_host_read(&host, "");
        facts.memory_bytes = DLM_MAX(facts.memory_bytes, host.memory_bytes);
    }
    return facts;
}

struct dlm_refusal_facts dlm_may_train_facts(const struct dlm_session *s, uint64_t planned_bytes,
                                             bool force)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(s->device);
    struct dlm_refusal_facts facts = facts_of(&caps->info, &s->base);

    if (facts.params <= 0)
        facts.params = (double)dlm_weights_num_params(s->model->weights);
    facts.force = force;
    facts.planned_bytes = planned_bytes;
    facts.free_bytes = dlm_budget_room(s->device);
    return facts;
}

enum dlm_status dlm_may_train_check_row(struct dlm_ctx *ctx, const char *base,
                                        const struct dlm_compute *compute, bool force)
{
    const struct dlm_device_params params = {
        .kind = compute->backend, .index = compute->has_device ? compute->device : -1};
    struct dlm_base named = {0};
    struct dlm_device_info info;

    enum dlm_status st = dlm_base_identify(ctx, &named, base);
    if (!st && named.row && named.row->family && named.row->params > 0) {
        st = dlm_device_find(ctx, &params, &info);
        if (!st) {
            struct dlm_refusal_facts facts = facts_of(&info, &named);
            facts.force = force;
            st = dlm_refusal_check(ctx, &facts);
        }
    }
    dlm_base_finish(&named);
    return st;
}
