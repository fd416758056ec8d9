/* Sums of device memory. */
#include "models/budget.h"

#include <assert.h>

#include "base/log.h"

#define MAX_PLANS 8 /* that share a workspace */

void dlm_budget_add_weights(struct dlm_budget *b, const struct dlm_model *m, uint32_t groups)
{
    b->weights += dlm_weights_bytes(m->weights, groups & DLM_WEIGHT_GROUPS_NO_TOWER);
    b->vision += dlm_weights_bytes(m->weights, groups & DLM_WEIGHT_GROUP_TOWER);
}

void dlm_budget_add_lora(struct dlm_budget *b, const struct dlm_lora *lora,
                         enum dlm_lora_use use)
{
    const uint64_t vector = lora ? (uint64_t)lora->len * sizeof(float) : 0;

    b->adapter += use >= DLM_LORA_GRADIENTS ? 2 * vector : vector;
    b->optimizer += use >= DLM_LORA_MOMENTS ? 2 * vector : 0;
}

void dlm_budget_add_workspace(struct dlm_budget *b, struct dlm_plan *const *plans, int num)
{
    b->activations += dlm_workspace_bytes(plans, num);
}

void dlm_budget_add_vision(struct dlm_budget *b, const struct dlm_vision *vision,
                           struct dlm_plan *const *plans, int num)
{
    struct dlm_plan *all[MAX_PLANS];

    if (!vision->largest.plan)
        return;
    assert(num < MAX_PLANS);
    for (int i = 0; i < num; i++)
        all[i] = plans[i];
    all[num] = vision->largest.plan;
    b->vision += dlm_workspace_bytes(all, num + 1) - dlm_workspace_bytes(plans, num) +
                 dlm_slots_bytes(&vision->largest.slots);
}

void dlm_budget_add_early_vision(struct dlm_budget *b, const struct dlm_vision *vision)
{
    if (!vision->largest.plan)
        return;
    const uint64_t first =
        dlm_weights_bytes(vision->model->weights, DLM_WEIGHT_GROUP_TOWER) +
        dlm_slots_bytes(&vision->largest.slots);
    const uint64_t later = dlm_budget_total(b) - b->activations;
    b->vision += first > later ? first - later : 0;
}

void dlm_budget_add_slots(struct dlm_budget *b, const struct dlm_slots *slots)
{
    const uint64_t state = dlm_slots_role_bytes(slots, DLM_ROLE_STATE);

    b->cache += state;
    b->inputs += dlm_slots_bytes(slots) - state;
}

uint64_t dlm_budget_total(const struct dlm_budget *b)
{
    return b->weights + b->vision + b->adapter + b->optimizer + b->activations + b->cache +
           b->inputs;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0);
}

void dlm_budget_say(struct dlm_ctx *ctx, const struct dlm_budget *b)
{
    dlm_log(ctx, DLM_LOG_INFO,
            "memory: %.1f MiB (weights %.1f, vision %.1f, adapter %.1f, optimizer %.1f, "
            "activations %.1f, cache %.1f, inputs %.1f)",
            mib(dlm_budget_total(b)), mib(b->weights), mib(b->vision), mib(b->adapter),
            mib(b->optimizer), mib(b->activations), mib(b->cache), mib(b->inputs));
}

uint64_t dlm_budget_room(const struct dlm_device *device)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);

    return caps->free_bytes ? caps->free_bytes : caps->info.memory_bytes;
}

enum dlm_status dlm_budget_check(struct dlm_ctx *ctx, const struct dlm_budget *b,
                                 const struct dlm_device *device)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);
    const uint64_t room = dlm_budget_room(device);
    const char *kind = caps->free_bytes ? "free" : "in all (how much is free is not known)";
    const uint64_t total = dlm_budget_total(b);

    if (!caps->free_bytes)
        dlm_log(ctx, DLM_LOG_INFO, "device '%s' does not tell how much of its %.0f MiB is free",
                caps->info.name, mib(room));
    if (!room || total <= room)
        return DLM_OK;
    return dlm_fail(ctx, DLM_ERR_MEMORY,
                    "this needs %.0f MiB on device '%s', which has %.0f MiB %s: weights %.0f, "
                    "vision %.0f, adapter %.0f, optimizer %.0f, activations %.0f, cache %.0f, "
                    "inputs %.0f MiB",
                    mib(total), caps->info.name, mib(room), kind, mib(b->weights), mib(b->vision),
                    mib(b->adapter), mib(b->optimizer), mib(b->activations), mib(b->cache),
                    mib(b->inputs));
}
