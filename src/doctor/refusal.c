/* The matrix of refusals, and its texts. */
#include "doctor/refusal.h"

#include <stdio.h>

#include "base/log.h"

#define SMALL_PARAMS 200e6   /* up to which every host trains */
#define REGISTRY_PARAMS 1e9  /* from which on a registry row trains on no CPU */
#define CARD_BYTES 12e9
#define UNIFIED_BYTES 16e9
#define UNIFIED_SHARE 0.85   /* of unified memory that weights may take */
#define WEIGHT_BYTES 2.0     /* in 16 bits */
#define GIB 0x1p30

static const struct {
    const char *name;
    bool can_force;
} rules[DLM_REFUSAL_COUNT] = {
    [DLM_REFUSAL_NONE] = {"none", true},
    [DLM_REFUSAL_CPU_REGISTRY] = {"cpu_registry", false},
    [DLM_REFUSAL_CPU] = {"cpu", true},
    [DLM_REFUSAL_CARD] = {"card", false},
    [DLM_REFUSAL_UNIFIED] = {"unified", true},
    [DLM_REFUSAL_UNIFIED_BASE] = {"unified_base", true},
};

static bool applies(enum dlm_refusal_rule rule, const struct dlm_refusal_facts *f)
{
    const double memory = (double)f->memory_bytes; /* 0 is less than what is asked for, too */

    if (f->params <= SMALL_PARAMS)
        return false;
    switch (rule) {
    case DLM_REFUSAL_CPU_REGISTRY:
        return f->kind == DLM_HOST_CPU && f->is_registry_row && f->params >= REGISTRY_PARAMS;
    case DLM_REFUSAL_CPU:
        return f->kind == DLM_HOST_CPU;
    case DLM_REFUSAL_CARD:
        return f->kind == DLM_HOST_CARD && memory < CARD_BYTES;
    case DLM_REFUSAL_UNIFIED:
        return f->kind == DLM_HOST_UNIFIED && memory < UNIFIED_BYTES;
    case DLM_REFUSAL_UNIFIED_BASE:
        return f->kind == DLM_HOST_UNIFIED && f->memory_bytes &&
               f->params * WEIGHT_BYTES > UNIFIED_SHARE * memory;
    default:
        return false;
    }
}

enum dlm_refusal_rule dlm_refusal_find(const struct dlm_refusal_facts *facts)
{
    for (int r = DLM_REFUSAL_NONE + 1; r < DLM_REFUSAL_COUNT; r++)
        if (applies((enum dlm_refusal_rule)r, facts) && !(facts->force && rules[r].can_force))
            return (enum dlm_refusal_rule)r;
    return DLM_REFUSAL_NONE;
}

bool dlm_refusal_can_force(enum dlm_refusal_rule rule)
{
    return rules[rule].can_force;
}

const char *dlm_refusal_name(enum dlm_refusal_rule rule)
{
    return rules[rule].name;
}

void dlm_refusal_text(enum dlm_refusal_rule rule, const struct dlm_refusal_facts *f, char *text,
                      size_t bytes)
{
    const double gib = (double)f->memory_bytes / GIB, millions = f->params / 1e6;
    char has[48], shared[32];

    snprintf(has, sizeof(has), "with %.1f GB of memory", (double)f->memory_bytes / 1e9);
    snprintf(shared, sizeof(shared), "%.1f GB of", (double)f->memory_bytes / 1e9);
    switch (rule) {
    case DLM_REFUSAL_CPU_REGISTRY:
        snprintf(text, bytes, "refusing to train a %.0fM-parameter model on CPU: bases of the "
                 "registry of 1000M and more train on a GPU only, and nothing overrides this",
                 millions);
        break;
    case DLM_REFUSAL_CPU:
        snprintf(text, bytes, "refusing to train a %.0fM-parameter model on CPU: CPU training is "
                 "capped at 200M parameters by default", millions);
        break;
    case DLM_REFUSAL_CARD:
        snprintf(text, bytes, "refusing to train a %.0fM-parameter model on a device %s: "
                 "vision-language training asks for 12 GB, and nothing overrides this", millions,
                 f->memory_bytes ? has : "whose driver does not tell how much memory it has");
        break;
    case DLM_REFUSAL_UNIFIED:
        snprintf(text, bytes, "refusing to train a %.0fM-parameter model in %s unified memory: "
                 "vision-language training asks for 16 GB", millions,
                 f->memory_bytes ? shared : "an unknown amount of");
        break;
    case DLM_REFUSAL_UNIFIED_BASE:
        snprintf(text, bytes, "refusing this base in unified memory by default: even an fp16 base "
                 "copy is ~%.1f GiB vs ~%.1f GiB usable headroom from %.1f GiB unified memory",
                 f->params * WEIGHT_BYTES / GIB, UNIFIED_SHARE * gib, gib);
        break;
    default:
        snprintf(text, bytes, "may be trained here");
    }
}

/* What the plan says beside the rule. */
static void plan_text(const struct dlm_refusal_facts *f, char *text, size_t bytes)
{
    const double planned = (double)f->planned_bytes / GIB, room = (double)f->free_bytes / GIB;

    *text = '\0';
    if (f->planned_bytes && f->free_bytes)
        snprintf(text, bytes, f->planned_bytes <= f->free_bytes
                     ? " (the plan of this run takes %.1f GiB and fits in the %.1f GiB that are "
                       "free: the rule is stricter than it needs to be here)"
                     : " (the plan of this run takes %.1f GiB, too, and %.1f GiB are free)",
                 planned, room);
}

void dlm_refusal_way_out(enum dlm_refusal_rule rule, const struct dlm_refusal_facts *f, char *text,
                         size_t bytes)
{
    char plan[192];

    plan_text(f, plan, sizeof(plan));
    switch (rule) {
    case DLM_REFUSAL_CPU_REGISTRY:
        snprintf(text, bytes, "train on a GPU with at least 12 GB (--backend vulkan or opencl), or "
                 "take one of the tiny bases (`dlm bases`)");
        break;
    case DLM_REFUSAL_CPU:
        snprintf(text, bytes, "pass `--force` if you accept very slow steps, or train on a GPU "
                 "(--backend vulkan or opencl)%s", plan);
        break;
    case DLM_REFUSAL_CARD:
        snprintf(text, bytes, "train on a device with 12 GB or more, or take a base of up to 200M "
                 "parameters%s", plan);
        break;
    case DLM_REFUSAL_UNIFIED:
        snprintf(text, bytes, "pass `--force` to train all the same, or use a machine with 16 GB "
                 "or more%s", plan);
        break;
    case DLM_REFUSAL_UNIFIED_BASE:
        snprintf(text, bytes, "pass `--force` only if you want to override this policy on a "
                 "large-memory host; `adapter: qlora` holds the base in 4 or 8 bits%s", plan);
        break;
    default:
        snprintf(text, bytes, "nothing is in the way%s", plan);
    }
}

enum dlm_status dlm_refusal_check(struct dlm_ctx *ctx, const struct dlm_refusal_facts *facts)
{
    const enum dlm_refusal_rule rule = dlm_refusal_find(facts);
    char text[512];

    if (rule == DLM_REFUSAL_NONE)
        return DLM_OK;
    dlm_refusal_text(rule, facts, text, sizeof(text));
    dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "doctor: %s", text);
    dlm_refusal_way_out(rule, facts, text, sizeof(text));
    dlm_log(ctx, DLM_LOG_HINT, "%s", text);
    return DLM_ERR_UNSUPPORTED;
}
