/* Rates of runs. */
#include "api/run_rate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#define MAX_LOG_BYTES ((size_t)256 << 20)

/* A line of the log; false: it is damaged, or says too little. */
static bool add_line(const char *line, size_t len, struct dlm_run_rate *rate)
{
    json_t *json = NULL;

    if (dlm_json_parse(NULL, "", line, len, &json))
        return false;
    const char *type = json_string_value(json_object_get(json, "type"));
    const bool is_step = type && !strcmp(type, "step");
    const json_int_t tokens = json_integer_value(json_object_get(json, "tokens"));
    const double per_second = json_number_value(json_object_get(json, "tokens_per_sec"));
    const json_t *foretold =
        json_object_get(json_object_get(json, "plan"), "est_step_seconds");
    if (json_is_number(foretold))
        rate->foretold = DLM_MAX(json_number_value(foretold), 0);
    json_decref(json);
    if (!is_step)
        return true;
    if (tokens <= 0 || tokens > INT64_MAX - rate->tokens || !(per_second > 0))
        return false;
    rate->steps++;
    rate->tokens += tokens;
    rate->seconds += (double)tokens / per_second;
    return true;
}

static enum dlm_status read_log(struct dlm_ctx *ctx, const char *path, struct dlm_run_rate *rate)
{
    struct dlm_str text = {0};
    bool is_good = true;

    dlm_log_mute(ctx);
    const enum dlm_status st = dlm_file_read(ctx, path, MAX_LOG_BYTES, &text);
    const char *at = dlm_str_text(&text), *end = at + text.len;
    for (const char *stop; !st && is_good && (stop = memchr(at, '\n', (size_t)(end - at)));
         at = stop + 1)
        is_good = add_line(at, (size_t)(stop - at), rate);
    if (st || !is_good)
        rate->steps = 0;
    dlm_str_finish(&text);
    return dlm_log_excuse(ctx, st);
}

enum dlm_status dlm_run_rate(struct dlm_ctx *ctx, const struct dlm_store *store, int64_t run_id,
                             struct dlm_run_rate *rate)
{
    char *path = NULL;

    *rate = (struct dlm_run_rate){0};
    enum dlm_status st = dlm_store_find_log(ctx, store, run_id, &path);
    if (!st && path)
        st = read_log(ctx, path, rate);
    if (!st && rate->steps)
        rate->run_id = run_id;
    else
        *rate = (struct dlm_run_rate){0};
    dlm_free(path);
    return st;
}
