/* Sums of device memory. */
#include "models/budget.h"

#include <stdlib.h>

#include "base/log.h"

void dlm_budget_add_weights(struct dlm_budget *b, const struct dlm_model *m, uint32_t groups)
{
    b->weights += dlm_weights_bytes(m->weights, groups);
}

void dlm_budget_add_lora(struct dlm_budget *b, const struct dlm_lora *lora, bool for_training)
{
    const uint64_t vector = lora ? (uint64_t)lora->len * sizeof(float) : 0;

    b->adapter += for_training ? 2 * vector : vector;
    b->optimizer += for_training ? 2 * vector : 0;
}

void dlm_budget_add_workspace(struct dlm_budget *b, struct dlm_plan *const *plans, int num)
{
    b->activations += dlm_workspace_bytes(plans, num);
}

void dlm_budget_add_slots(struct dlm_budget *b, const struct dlm_slots *slots)
{
    const uint64_t state = dlm_slots_role_bytes(slots, DLM_ROLE_STATE);

    b->cache += state;
    b->inputs += dlm_slots_bytes(slots) - state;
}

uint64_t dlm_budget_total(const struct dlm_budget *b)
{
    return b->weights + b->adapter + b->optimizer + b->activations + b->cache + b->inputs;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0);
}

enum dlm_status dlm_budget_check(struct dlm_ctx *ctx, const struct dlm_budget *b,
                                 const struct dlm_device *device)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);
    const char *test = getenv("DLM_TEST_FREE_BYTES"); /* what a test says is free */
    const uint64_t free_bytes = test ? strtoull(test, NULL, 10) : caps->free_bytes;
    const uint64_t total = dlm_budget_total(b);

    dlm_log(ctx, DLM_LOG_INFO,
            "memory: %.1f MiB (weights %.1f, adapter %.1f, optimizer %.1f, activations %.1f, "
            "cache %.1f, inputs %.1f)",
            mib(total), mib(b->weights), mib(b->adapter), mib(b->optimizer), mib(b->activations),
            mib(b->cache), mib(b->inputs));
    if (!free_bytes || total <= free_bytes)
        return DLM_OK;
    dlm_fail(ctx, DLM_ERR_MEMORY,
             "this needs %.0f MiB on device '%s', which has %.0f MiB free: weights %.0f, adapter "
             "%.0f, optimizer %.0f, activations %.0f, cache %.0f, inputs %.0f MiB",
             mib(total), caps->info.name, mib(free_bytes), mib(b->weights), mib(b->adapter),
             mib(b->optimizer), mib(b->activations), mib(b->cache), mib(b->inputs));
    dlm_log(ctx, DLM_LOG_HINT, "use --precision bf16, a smaller sequence_len or "
                                  "micro_batch_size, or gradient_checkpointing: true");
    return DLM_ERR_MEMORY;
}
