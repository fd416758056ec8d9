/* generation_config.json's part about sampling. */
#include "models/sampling_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"

/* Members that change the answer and are not done, with the value that changes nothing. */
static const struct {
    const char *key;
    double neutral;
    bool for_sampling; /* without do_sample nothing asks for it */
} others[] = {
    {"num_beams", 1, false},           {"repetition_penalty", 1, false},
    {"no_repeat_ngram_size", 0, false}, {"top_k", 0, true},
    {"min_p", 0, true},                {"typical_p", 1, true},
    {"epsilon_cutoff", 0, true},       {"eta_cutoff", 0, true},
};

static void note_left_out(const json_t *config, struct dlm_sampling_config *out)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(others); i++) {
        const json_t *value = json_object_get(config, others[i].key);
        const size_t len = strlen(out->left_out);
        if (!json_is_number(value) || json_number_value(value) == others[i].neutral ||
            (others[i].for_sampling && !out->samples))
            continue;
        snprintf(out->left_out + len, sizeof(out->left_out) - len, "%s%s %g", len ? ", " : "",
                 others[i].key, json_number_value(value));
    }
}

enum dlm_status dlm_sampling_config_read(struct dlm_ctx *ctx, const json_t *config,
                                         const char *path, struct dlm_sampling_config *out)
{
    int64_t top_k = 0;

    *out = (struct dlm_sampling_config){.temperature = 1, .top_p = 1};
    enum dlm_status st = dlm_json_bool(ctx, config, path, "do_sample", &out->samples);
    if (!st)
        st = dlm_json_number(ctx, config, path, "temperature", &out->temperature);
    if (!st)
        st = dlm_json_number(ctx, config, path, "top_p", &out->top_p);
    if (!st)
        st = dlm_json_int(ctx, config, path, "top_k", 0, INT32_MAX, &top_k);
    if (st)
        return st;
    if (out->samples && !(out->temperature > 0 && isfinite(out->temperature)))
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'temperature' is %g, not above 0",
                        path, out->temperature);
    if (out->samples && !(out->top_p > 0 && out->top_p <= 1))
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'top_p' is %g, not in (0, 1]", path,
                        out->top_p);
    out->samples = out->samples && top_k != 1; /* one token to choose from: the likeliest */
    note_left_out(config, out);
    return DLM_OK;
}
