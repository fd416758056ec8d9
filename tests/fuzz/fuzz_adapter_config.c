/* An adapter_config.json from anywhere: parsed, then its patterns and targets are matched. */
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "weights/adapter_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {
    "model.language_model.layers.11.self_attn.q_proj",
    "model.vision_tower.encoder.layers.0.mlp.fc1",
    "lm_head",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

static void match_targets(struct dlm_ctx *ctx, const struct dlm_adapter_config *config)
{
    const struct dlm_target_spec spec = {
        .kind = config->target_regex ? DLM_TARGET_REGEX : DLM_TARGET_LIST,
        .names = config->target_names, .num_names = config->num_target_names,
        .regex = config->target_regex};
    struct dlm_lora_matcher *m = NULL;
    bool hit;

    if (!dlm_lora_matcher_create(ctx, &m, &spec))
        for (size_t i = 0; i < DLM_ARRAY_LEN(paths); i++)
            if (dlm_lora_matches(ctx, m, paths[i], &hit))
                break;
    dlm_lora_matcher_destroy(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_adapter_config_file file = {0};
    double value;

    if (ctx && !dlm_adapter_config_parse(ctx, &file, "fuzz", (const char *)data, size)) {
        if (file.config.r < 1)
            __builtin_trap();
        match_targets(ctx, &file.config);
        for (size_t i = 0; i < DLM_ARRAY_LEN(paths); i++)
            if (dlm_pattern_value(ctx, &file.rank_pattern, paths[i], paths[i], 1, &value) ||
                dlm_pattern_value(ctx, &file.alpha_pattern, paths[i], paths[i], 1, &value))
                break;
    }
    dlm_adapter_config_finish(&file);
    dlm_ctx_destroy(&ctx);
    return 0;
}
