/* The tables of keys, types, defaults and ranges, and what can be said of an object from them. */
#include "doc/schema.h"

#include <float.h>
#include <stddef.h>
#include <string.h>

static const char *const adapter_choices[] = {"lora", "qlora", "dora", NULL};
static const char *const optimizer_choices[] = {
    "adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit", "galore_adamw", "galore_adamw_8bit", NULL};
static const char *const scheduler_choices[] = {"cosine", "linear", "constant", NULL};
static const char *const precision_choices[] = {"bf16", "fp16", "fp32", NULL};
static const char *const backend_choices[] = {"auto", "cpu", "opencl", "vulkan", NULL};
static const char *const loss_on_choices[] = {"assistant", "all", NULL};
static const char *const base_quant_choices[] = {"nf4", "q8_0", NULL};
static const char *const quant_scope_choices[] = {"decoder", "linears", "all", NULL};
static const char *const image_size_choices[] = {"pinned", "native", NULL};
static const char *const method_choices[] = {"dpo", "orpo", NULL};
static const char *const loss_choices[] = {"sigmoid", "hinge", "ipo", NULL};
static const char *const reference_choices[] = {"base", "pre_adapter", NULL};
static const char *const schedule_choices[] = {"auto", "dapt", "sft", NULL};
static const char *const policy_choices[] = {"permissive", "strict", NULL};
static const char *const quant_choices[] = {"Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", NULL};

/* Rows: each states the struct, the member (which is the key), default and range. */
#define MEMBER(s, m) .key = #m, .offset = offsetof(s, m)
#define BOOL(s, m, def) {MEMBER(s, m), .type = DLM_SCHEMA_BOOL, .default_number = (def)}
#define INT(s, m, def, lo, hi)                                                                     \
    {MEMBER(s, m), .type = DLM_SCHEMA_INT, .default_number = (def), .has_min = true,               \
     .min = (lo),  .has_max = true,        .max = (hi)}
#define INT_FROM(s, m, def, lo)                                                                    \
    {MEMBER(s, m), .type = DLM_SCHEMA_INT, .default_number = (def), .has_min = true, .min = (lo),  \
     .has_limit = true, .limit = INT32_MAX}
#define LONG_FROM(s, m, def, lo)                                                                   \
    {MEMBER(s, m), .type = DLM_SCHEMA_INT, .default_number = (def), .has_min = true, .min = (lo)}
#define AUTO_INT(s, m)                                                                             \
    {MEMBER(s, m), .type = DLM_SCHEMA_AUTO_INT, .has_limit = true, .limit = INT32_MAX}
#define FLOAT(s, m, def, lo, hi)                                                                   \
    {MEMBER(s, m),   .type = DLM_SCHEMA_FLOAT, .default_number = (def), .has_min = true,           \
     .min = (lo), .has_max = true, .max = (hi)}
#define FLOAT_ABOVE(s, m, def, lo)                                                                 \
    {MEMBER(s, m),   .type = DLM_SCHEMA_FLOAT,  .default_number = (def), .has_min = true,          \
     .min = (lo), .must_exceed_min = true, .has_limit = true, .limit = FLT_MAX}
#define FLOAT_ABOVE_TO(s, m, def, lo, hi)                                                          \
    {MEMBER(s, m),   .type = DLM_SCHEMA_FLOAT,  .default_number = (def), .has_min = true,          \
     .min = (lo), .must_exceed_min = true, .has_max = true, .max = (hi)}
#define CHOICE(s, m, list, def)                                                                    \
    {MEMBER(s, m), .type = DLM_SCHEMA_CHOICE, .choices = (list), .default_number = (def)}
#define TARGETS(s, m) {MEMBER(s, m), .type = DLM_SCHEMA_TARGETS}
#define SWITCH(s, m)                                                                               \
    {MEMBER(s, m), .type = DLM_SCHEMA_BOOL, .default_number = false, .is_used = true}
#define MAP(s, m, table) {MEMBER(s, m), .type = DLM_SCHEMA_MAP, .map = &(table)}
#define UNUSED_MAP(s, m, table, why)                                                               \
    {MEMBER(s, m), .type = DLM_SCHEMA_MAP, .map = &(table), .unused = (why)}
#define TABLE(s, fields_, name)                                                                    \
    {.class_name = (name), .fields = (fields_), .num_fields = DLM_ARRAY_LEN(fields_),              \
     .written_offset = offsetof(s, written)}

static const struct dlm_schema_field hyperparams_fields[] = {
    FLOAT(struct dlm_doc_hyperparams, beta, 0.1, 0, 1),
    FLOAT(struct dlm_doc_hyperparams, alpha, 0.1, 0, 1),
    FLOAT_ABOVE(struct dlm_doc_hyperparams, learning_rate, 5e-6, 0),
    INT_FROM(struct dlm_doc_hyperparams, num_epochs, 1, 1),
};
static const struct dlm_schema_map hyperparams_map =
    TABLE(struct dlm_doc_hyperparams, hyperparams_fields, "PreferenceHyperparams");

static const struct dlm_schema_field preference_fields[] = {
    SWITCH(struct dlm_doc_preference, enabled),
    CHOICE(struct dlm_doc_preference, method, method_choices, DLM_DOC_PREFERENCE_DPO),
    MAP(struct dlm_doc_preference, hyperparams, hyperparams_map),
    CHOICE(struct dlm_doc_preference, loss_type, loss_choices, DLM_DOC_LOSS_SIGMOID),
    CHOICE(struct dlm_doc_preference, reference, reference_choices, DLM_DOC_REFERENCE_PRE_ADAPTER),
};
static const struct dlm_schema_map preference_map =
    TABLE(struct dlm_doc_preference, preference_fields, "PreferenceConfig");

static const struct dlm_schema_field cpt_fields[] = {
    CHOICE(struct dlm_doc_cpt, schedule, schedule_choices, DLM_DOC_CPT_AUTO),
    INT_FROM(struct dlm_doc_cpt, embed_warmup_steps, 0, 0),
};
static const struct dlm_schema_map cpt_map = TABLE(struct dlm_doc_cpt, cpt_fields, "CptConfig");

static const struct dlm_schema_field gate_fields[] = {
    SWITCH(struct dlm_doc_gate, enabled),
    INT(struct dlm_doc_gate, hidden_proj_dim, 64, 8, 2048),
    INT(struct dlm_doc_gate, steps, 200, 1, 10000),
    FLOAT_ABOVE_TO(struct dlm_doc_gate, lr, 3e-4, 0, 1),
    INT(struct dlm_doc_gate, cold_start_floor, 4, 1, 1024),
    FLOAT(struct dlm_doc_gate, entropy_lambda, 0.01, 0, 1),
};
static const struct dlm_schema_map gate_map = TABLE(struct dlm_doc_gate, gate_fields, "GateConfig");

static const struct dlm_schema_field cache_fields[] = {
    BOOL(struct dlm_doc_cache, enabled, true),
    LONG_FROM(struct dlm_doc_cache, max_bytes, 10737418240.0, 1),
    INT_FROM(struct dlm_doc_cache, prune_older_than_days, 90, 1),
};
static const struct dlm_schema_map cache_map =
    TABLE(struct dlm_doc_cache, cache_fields, "CacheConfig");

static const struct dlm_schema_field audio_fields[] = {
    BOOL(struct dlm_doc_audio, auto_resample, false),
};
static const struct dlm_schema_map audio_map =
    TABLE(struct dlm_doc_audio, audio_fields, "AudioConfig");

static const struct dlm_schema_field adapter_fields[] = {
    CHOICE(struct dlm_doc_adapter, adapter, adapter_choices, DLM_DOC_ADAPTER_LORA),
    INT(struct dlm_doc_adapter, lora_r, 8, 1, 256),
    INT_FROM(struct dlm_doc_adapter, lora_alpha, 16, 1),
    FLOAT(struct dlm_doc_adapter, lora_dropout, 0.05, 0, 0.5),
    TARGETS(struct dlm_doc_adapter, target_modules),
    FLOAT_ABOVE(struct dlm_doc_adapter, learning_rate, 2e-4, 0),
};
const struct dlm_schema_map dlm_schema_adapter =
    TABLE(struct dlm_doc_adapter, adapter_fields, "AdapterConfig");

static const struct dlm_schema_field source_fields[] = {
    {MEMBER(struct dlm_doc_source, path), .type = DLM_SCHEMA_STR, .is_required = true,
     .is_non_empty = true},
    {MEMBER(struct dlm_doc_source, include), .type = DLM_SCHEMA_STRINGS, .default_item = "**/*"},
    {MEMBER(struct dlm_doc_source, exclude), .type = DLM_SCHEMA_STRINGS},
    {MEMBER(struct dlm_doc_source, max_bytes_per_file), .type = DLM_SCHEMA_INT,
     .can_be_null = true, .has_min = true, .min = 1},
    {MEMBER(struct dlm_doc_source, max_files), .type = DLM_SCHEMA_INT, .can_be_null = true,
     .has_min = true, .min = 1},
};
const struct dlm_schema_map dlm_schema_source =
    TABLE(struct dlm_doc_source, source_fields, "SourceDirective");

static const struct dlm_schema_field training_fields[] = {
    CHOICE(struct dlm_doc_training, adapter, adapter_choices, DLM_DOC_ADAPTER_LORA),
    INT(struct dlm_doc_training, lora_r, 8, 1, 256),
    INT_FROM(struct dlm_doc_training, lora_alpha, 16, 1),
    FLOAT(struct dlm_doc_training, lora_dropout, 0.05, 0, 0.5),
    TARGETS(struct dlm_doc_training, target_modules),
    INT(struct dlm_doc_training, sequence_len, 2048, 64, 32768),
    AUTO_INT(struct dlm_doc_training, micro_batch_size),
    AUTO_INT(struct dlm_doc_training, grad_accum),
    FLOAT_ABOVE(struct dlm_doc_training, learning_rate, 2e-4, 0),
    INT_FROM(struct dlm_doc_training, num_epochs, 3, 1),
    CHOICE(struct dlm_doc_training, optimizer, optimizer_choices, DLM_DOC_OPTIMIZER_ADAMW_TORCH),
    CHOICE(struct dlm_doc_training, lr_scheduler, scheduler_choices, DLM_DOC_SCHEDULER_COSINE),
    FLOAT(struct dlm_doc_training, warmup_ratio, 0.1, 0, 0.5),
    {MEMBER(struct dlm_doc_training, precision), .type = DLM_SCHEMA_CHOICE,
     .choices = precision_choices, .can_be_null = true},
    {MEMBER(struct dlm_doc_training, seed), .type = DLM_SCHEMA_INT, .default_number = 42},
    UNUSED_MAP(struct dlm_doc_training, preference, preference_map, "preferences are not trained"),
    MAP(struct dlm_doc_training, cpt, cpt_map),
    UNUSED_MAP(struct dlm_doc_training, gate, gate_map, "adapters are not routed"),
    MAP(struct dlm_doc_training, cache, cache_map),
    UNUSED_MAP(struct dlm_doc_training, audio, audio_map, "there is no audio yet"),
    {MEMBER(struct dlm_doc_training, adapters), .type = DLM_SCHEMA_ADAPTERS, .can_be_null = true,
     .count_offset = offsetof(struct dlm_doc_training, num_adapters)},
    {MEMBER(struct dlm_doc_training, sources), .type = DLM_SCHEMA_SOURCES, .can_be_null = true,
     .count_offset = offsetof(struct dlm_doc_training, num_sources)},
    CHOICE(struct dlm_doc_training, sources_policy, policy_choices, DLM_DOC_POLICY_PERMISSIVE),
    BOOL(struct dlm_doc_training, gradient_checkpointing, false),
    CHOICE(struct dlm_doc_training, backend, backend_choices, DLM_DOC_BACKEND_AUTO),
    {MEMBER(struct dlm_doc_training, caption_prompt), .type = DLM_SCHEMA_STR,
     .can_be_null = true, .is_non_empty = true},
    CHOICE(struct dlm_doc_training, loss_on, loss_on_choices, DLM_DOC_LOSS_ON_ASSISTANT),
    {MEMBER(struct dlm_doc_training, image_size), .type = DLM_SCHEMA_INT, .can_be_null = true,
     .choices = image_size_choices, .has_min = true, .min = 1, .has_limit = true,
     .limit = INT32_MAX},
    CHOICE(struct dlm_doc_training, quant, base_quant_choices, DLM_DOC_BASE_QUANT_NF4),
    BOOL(struct dlm_doc_training, double_quant, true),
    CHOICE(struct dlm_doc_training, quant_scope, quant_scope_choices, DLM_DOC_QUANT_SCOPE_DECODER),
};
const struct dlm_schema_map dlm_schema_training =
    TABLE(struct dlm_doc_training, training_fields, "TrainingConfig");

static const struct dlm_schema_field export_fields[] = {
    {MEMBER(struct dlm_doc_export, default_quant), .type = DLM_SCHEMA_CHOICE,
     .is_used = true, .choices = quant_choices, .default_number = DLM_DOC_QUANT_Q4_K_M},
    {MEMBER(struct dlm_doc_export, default_temperature), .type = DLM_SCHEMA_FLOAT,
     .is_used = true, .can_be_null = true, .has_min = true, .must_exceed_min = true,
     .has_max = true, .max = 2},
    {MEMBER(struct dlm_doc_export, default_top_p), .type = DLM_SCHEMA_FLOAT, .is_used = true,
     .can_be_null = true, .has_min = true, .must_exceed_min = true, .has_max = true, .max = 1},
};
static const struct dlm_schema_map export_map =
    TABLE(struct dlm_doc_export, export_fields, "ExportConfig");

static const struct dlm_schema_field root_fields[] = {
    {.key = "dlm_id", .offset = offsetof(struct dlm_doc, id), .type = DLM_SCHEMA_ID,
     .is_required = true},
    {.key = "dlm_version", .type = DLM_SCHEMA_VERSION},
    {MEMBER(struct dlm_doc, base_model), .type = DLM_SCHEMA_STR, .is_required = true,
     .is_non_empty = true},
    {MEMBER(struct dlm_doc, mmproj), .type = DLM_SCHEMA_STR, .can_be_null = true},
    MAP(struct dlm_doc, training, dlm_schema_training),
    MAP(struct dlm_doc, export, export_map),
    {MEMBER(struct dlm_doc, system_prompt), .type = DLM_SCHEMA_STR, .can_be_null = true},
};
const struct dlm_schema_map dlm_schema_root = TABLE(struct dlm_doc, root_fields, "DlmFrontmatter");

const struct dlm_schema_field *dlm_schema_find(const struct dlm_schema_map *map, const char *key,
                                               size_t len)
{
    for (size_t i = 0; i < map->num_fields; i++) {
        if (strlen(map->fields[i].key) == len && !memcmp(map->fields[i].key, key, len))
            return &map->fields[i];
    }
    return NULL;
}

bool dlm_schema_is_written(const struct dlm_schema_map *map, const void *object,
                           const struct dlm_schema_field *field)
{
    uint32_t written;
    memcpy(&written, (const char *)object + map->written_offset, sizeof(written));
    return written >> (field - map->fields) & 1;
}

static bool is_default_list(const struct dlm_schema_field *field, const void *object)
{
    const struct dlm_doc_strings *list = dlm_schema_const_member(field, object);
    if (!field->default_item)
        return !list->len;
    return list->len == 1 && !strcmp(list->items[0], field->default_item);
}

static bool is_default_map(const struct dlm_schema_map *map, const void *object)
{
    for (size_t i = 0; i < map->num_fields; i++) {
        if (!dlm_schema_is_default(&map->fields[i], object))
            return false;
    }
    return true;
}

bool dlm_schema_is_default(const struct dlm_schema_field *field, const void *object)
{
    const void *member = dlm_schema_const_member(field, object);

    switch (field->type) {
    case DLM_SCHEMA_BOOL:
        return *(const bool *)member == (field->default_number != 0);
    case DLM_SCHEMA_INT:
    case DLM_SCHEMA_AUTO_INT:
        return *(const int64_t *)member == (int64_t)field->default_number;
    case DLM_SCHEMA_FLOAT:
        return *(const double *)member == field->default_number;
    case DLM_SCHEMA_CHOICE: {
        int choice;
        memcpy(&choice, member, sizeof(choice));
        return choice == (int)field->default_number;
    }
    case DLM_SCHEMA_STRINGS:
        return is_default_list(field, object);
    case DLM_SCHEMA_TARGETS:
        return ((const struct dlm_doc_targets *)member)->kind == DLM_DOC_TARGETS_AUTO;
    case DLM_SCHEMA_MAP:
        return is_default_map(field->map, member);
    case DLM_SCHEMA_STR:
    case DLM_SCHEMA_ID:
    case DLM_SCHEMA_ADAPTERS:
    case DLM_SCHEMA_SOURCES: {
        const void *p;
        memcpy(&p, member, sizeof(p));
        return !p;
    }
    case DLM_SCHEMA_VERSION:
        break;
    }
    return true;
}

static enum dlm_status set_default(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                   const struct dlm_schema_field *field, void *object)
{
    void *member = dlm_schema_member(field, object);

    switch (field->type) {
    case DLM_SCHEMA_BOOL:
        *(bool *)member = field->default_number != 0;
        break;
    case DLM_SCHEMA_INT:
        *(int64_t *)member = (int64_t)field->default_number;
        break;
    case DLM_SCHEMA_FLOAT:
        *(double *)member = field->default_number;
        break;
    case DLM_SCHEMA_CHOICE:
        memcpy(member, &(int){(int)field->default_number}, sizeof(int));
        break;
    case DLM_SCHEMA_STRINGS: {
        struct dlm_doc_strings *list = member;
        list->len = field->default_item ? 1 : 0;
        list->items = dlm_arena_alloc(ctx, arena, sizeof(*list->items));
        if (!list->items)
            return DLM_ERR_MEMORY;
        list->items[0] = field->default_item;
        break;
    }
    case DLM_SCHEMA_MAP:
        return dlm_schema_set_defaults(ctx, arena, field->map, member);
    default: /* zero is the default */
        break;
    }
    return DLM_OK;
}

enum dlm_status dlm_schema_set_defaults(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                        const struct dlm_schema_map *map, void *object)
{
    enum dlm_status st = DLM_OK;
    for (size_t i = 0; !st && i < map->num_fields; i++)
        st = set_default(ctx, arena, &map->fields[i], object);
    return st;
}
