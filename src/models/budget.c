/* Sums of device memory. */
#include "models/budget.h"

#include <assert.h>

#include "base/host.h"
#include "base/log.h"

#define MAX_PLANS 8 /* that share a workspace */

void dlm_budget_add_weights(struct dlm_budget *b, const struct dlm_model *m, uint32_t groups)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(m->device);
    struct dlm_host_budget *host = &b->host;
    uint64_t loading;

    host->page_bytes = caps->host_page_bytes;
    host->workers = caps->num_units;
    host->device += dlm_weights_host_bytes(m->weights, groups, host->page_bytes, &loading);
    host->loading = DLM_MAX(host->loading, loading);
    b->weights += dlm_weights_bytes(m->weights, groups & DLM_WEIGHT_GROUPS_NO_TOWER);
    b->vision += dlm_weights_bytes(m->weights, groups & DLM_WEIGHT_GROUP_TOWER);
}

void dlm_budget_add_lora(struct dlm_budget *b, const struct dlm_lora *lora,
                         enum dlm_lora_use use)
{
    const uint64_t vector = lora ? (uint64_t)lora->len * sizeof(float) : 0;

    const int num = use >= DLM_LORA_MOMENTS ? 4 : use >= DLM_LORA_GRADIENTS ? 2 : 1;

    b->adapter += use >= DLM_LORA_GRADIENTS ? 2 * vector : vector;
    b->optimizer += use >= DLM_LORA_MOMENTS ? 2 * vector : 0;
    b->host.device += (uint64_t)num * dlm_host_bytes(b->host.page_bytes, vector);
    if (use == DLM_LORA_MOMENTS) /* values and moments, when a state is saved */
        b->host.data += 3 * vector;
    if (lora && !lora->values)
        b->host.data += vector;
}

static void add_scratch(struct dlm_budget *b, struct dlm_plan *const *plans, int num)
{
    for (int i = 0; i < num; i++)
        if (plans[i])
            b->host.scratch =
                DLM_MAX(b->host.scratch, dlm_host_bytes(b->host.page_bytes,
                                                        dlm_plan_scratch_bytes(plans[i])));
}

void dlm_budget_add_workspace(struct dlm_budget *b, struct dlm_plan *const *plans, int num)
{
    b->activations += dlm_workspace_bytes(plans, num);
    b->host.device += dlm_workspace_host_bytes(plans, num, b->host.page_bytes);
    add_scratch(b, plans, num);
}

void dlm_budget_add_vision(struct dlm_budget *b, const struct dlm_vision *vision,
                           struct dlm_plan *const *plans, int num)
{
    const size_t page = b->host.page_bytes;
    struct dlm_plan *all[MAX_PLANS];

    if (!vision->largest.plan)
        return;
    assert(num < MAX_PLANS);
    for (int i = 0; i < num; i++)
        all[i] = plans[i];
    all[num] = vision->largest.plan;
    b->vision += dlm_workspace_bytes(all, num + 1) - dlm_workspace_bytes(plans, num) +
                 dlm_slots_bytes(&vision->largest.slots);
    b->host.device += dlm_workspace_host_bytes(all, num + 1, page) -
                      dlm_workspace_host_bytes(plans, num, page) +
                      dlm_slots_host_bytes(&vision->largest.slots, page);
    add_scratch(b, all, num + 1);
}

void dlm_budget_trim_workspace(struct dlm_budget *b, struct dlm_plan *const *plans, int num,
                               struct dlm_plan *const *used, int num_used)
{
    const size_t page = b->host.page_bytes;

    b->host.device += dlm_workspace_host_bytes(used, num_used, page);
    b->host.device -= dlm_workspace_host_bytes(plans, num, page);
}

void dlm_budget_add_program(struct dlm_budget *b, const struct dlm_plan *plan,
                            const struct dlm_device *device)
{
    b->host.data += dlm_program_host_bytes(plan, device);
}

static uint64_t beyond(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

void dlm_budget_add_early_vision(struct dlm_budget *b, const struct dlm_vision *vision)
{
    const struct dlm_weights *weights = vision->model->weights;
    const struct dlm_slots *slots = &vision->largest.slots;
    const size_t page = b->host.page_bytes;
    uint64_t loading;

    if (!vision->largest.plan)
        return;
    b->host.device += beyond(
        dlm_weights_host_bytes(weights, DLM_WEIGHT_GROUP_TOWER, page, &loading) +
            dlm_slots_host_bytes(slots, page),
        b->host.device - dlm_host_bytes(page, b->activations));
    b->vision += beyond(dlm_weights_bytes(weights, DLM_WEIGHT_GROUP_TOWER) + dlm_slots_bytes(slots),
                        dlm_budget_total(b) - b->activations);
    add_scratch(b, &(struct dlm_plan *){vision->largest.plan}, 1);
}

void dlm_budget_add_slots(struct dlm_budget *b, const struct dlm_slots *slots)
{
    const uint64_t state = dlm_slots_role_bytes(slots, DLM_ROLE_STATE);

    b->cache += state;
    b->inputs += dlm_slots_bytes(slots) - state;
    b->host.device += dlm_slots_host_bytes(slots, b->host.page_bytes);
}

void dlm_held_images_add(struct dlm_held_images *held, const struct dlm_model *m,
                         const struct dlm_image_plan *plan, bool as_pixels)
{
    const uint64_t pixels = dlm_pixels_len(&plan->pixels) * sizeof(float);

    held->bytes += as_pixels ? pixels : dlm_image_plan_features_len(m, plan) * sizeof(float);
    held->largest = DLM_MAX(held->largest, pixels);
}

void dlm_budget_add_images(struct dlm_budget *b, const struct dlm_held_images *held,
                           uint64_t most_bytes)
{
    b->host.data += DLM_MIN(held->bytes, most_bytes) + 2 * held->largest;
}

uint64_t dlm_budget_total(const struct dlm_budget *b)
{
    return b->weights + b->vision + b->adapter + b->optimizer + b->activations + b->cache +
           b->inputs;
}

uint64_t dlm_budget_host_peak(const struct dlm_budget *b)
{
    const struct dlm_host_budget *host = &b->host;
    const uint64_t running = host->device + host->workers * host->scratch;
    struct dlm_host_process now;

    dlm_host_read_process(&now);
    return now.resident_bytes ? now.resident_bytes + host->data + DLM_MAX(running, host->loading)
                              : 0;
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
    dlm_log(ctx, DLM_LOG_DEBUG,
            "process: %.1f MiB resident at most, as planned (device %.1f, loading %.1f, scratch "
            "%.1f, data %.1f)",
            mib(dlm_budget_host_peak(b)), mib(b->host.device), mib(b->host.loading),
            mib(b->host.workers * b->host.scratch), mib(b->host.data));
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

    if (!room)
        dlm_log(ctx, DLM_LOG_WARNING, "device '%s' does not tell how much memory it has: whether "
                "%.0f MiB fit is not known", caps->info.name, mib(total));
    else if (!caps->free_bytes)
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
