/* origin.json. */
#include "api/origin.h"

#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "dlm/image_size.h"

#define MAX_BYTES ((size_t)4 << 20)

void dlm_origin_finish(struct dlm_origin *origin)
{
    dlm_free(origin->base_model);
    dlm_free(origin->target_modules);
    *origin = (struct dlm_origin){0};
}

enum dlm_status dlm_origin_set_form(struct dlm_ctx *ctx, struct dlm_origin *origin,
                                    const struct dlm_lora *lora)
{
    const char **paths = dlm_alloc_array(ctx, lora->num, sizeof(*paths));

    if (!paths)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < lora->num; i++)
        paths[i] = lora->modules[i]->path;
    dlm_free(origin->target_modules);
    origin->target_modules = dlm_target_regex_of(ctx, paths, lora->num);
    origin->lora_r = lora->params.r;
    origin->lora_alpha = (double)lora->params.alpha;
    dlm_free(paths);
    return origin->target_modules ? DLM_OK : DLM_ERR_MEMORY;
}

/* --- the file --- */

static char *path_in(struct dlm_ctx *ctx, const char *dir)
{
    return dlm_path_join(ctx, dir, "origin.json");
}

enum dlm_status dlm_origin_write(struct dlm_ctx *ctx, const char *dir,
                                 const struct dlm_origin *origin)
{
    char *path = path_in(ctx, dir);
    json_t *json = json_pack("{s:s, s:s, s:f, s:I, s:s}", "base_model", origin->base_model,
                             "base_sha256", origin->base_sha256, "lora_alpha", origin->lora_alpha,
                             "lora_r", (json_int_t)origin->lora_r, "target_modules",
                             origin->target_modules);
    enum dlm_status st = path && json ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && origin->image_size &&
        json_object_set_new(json, "image_size", json_integer(origin->image_size)))
        st = DLM_ERR_MEMORY;
    if (!st && *origin->base_form &&
        json_object_set_new(json, "base_form", json_string(origin->base_form)))
        st = DLM_ERR_MEMORY;
    if (!st)
        st = dlm_json_replace(ctx, path, json);
    json_decref(json);
    dlm_free(path);
    return st;
}

static enum dlm_status from_json(struct dlm_ctx *ctx, const char *path, const json_t *json,
                                 struct dlm_origin *origin)
{
    const char *base = NULL, *sha = NULL, *targets = NULL, *form = "";
    struct dlm_compute unused = {0};

    enum dlm_status st = dlm_json_string(ctx, json, path, "base_model", &base);
    if (!st)
        st = dlm_json_string(ctx, json, path, "base_sha256", &sha);
    if (!st)
        st = dlm_json_string(ctx, json, path, "target_modules", &targets);
    if (!st)
        st = dlm_json_int(ctx, json, path, "lora_r", 1, INT32_MAX, &origin->lora_r);
    if (!st)
        st = dlm_json_number(ctx, json, path, "lora_alpha", &origin->lora_alpha);
    if (!st)
        st = dlm_json_int(ctx, json, path, "image_size", DLM_IMAGE_SIZE_NATIVE,
                          DLM_PROCESSOR_MAX_SIZE, &origin->image_size);
    if (!st)
        st = dlm_json_string(ctx, json, path, "base_form", &form);
    if (!st && !dlm_quant_take_form(&unused, form))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': a base in '%s' is not known here",
                      path, form);
    if (!st && (!base || !targets || !sha || strlen(sha) != 64))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': it does not say what was trained",
                      path);
    if (st)
        return st;
    memcpy(origin->base_sha256, sha, 65);
    snprintf(origin->base_form, sizeof(origin->base_form), "%s", form);
    origin->base_model = dlm_strdup(ctx, base);
    origin->target_modules = dlm_strdup(ctx, targets);
    return origin->base_model && origin->target_modules ? DLM_OK : DLM_ERR_MEMORY;
}

enum dlm_status dlm_origin_read(struct dlm_ctx *ctx, const char *dir, struct dlm_origin *origin)
{
    char *path = path_in(ctx, dir);
    json_t *json = NULL;
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    *origin = (struct dlm_origin){0};
    if (!st && dlm_path_is_file(path))
        st = dlm_json_load(ctx, path, MAX_BYTES, &json);
    if (!st && json)
        st = from_json(ctx, path, json, origin);
    if (st)
        dlm_origin_finish(origin);
    json_decref(json);
    dlm_free(path);
    return st;
}

/* --- whether it still holds --- */

enum dlm_status dlm_origin_check_base(struct dlm_ctx *ctx, const char *dir,
                                      const struct dlm_origin *now)
{
    struct dlm_origin was;
    const char *name = dlm_path_basename(dir);

    enum dlm_status st = dlm_origin_read(ctx, dir, &was);
    if (st || !was.base_model || !strcmp(was.base_sha256, now->base_sha256))
        goto done;
    if (strcmp(was.base_model, now->base_model)) {
        st = dlm_fail(ctx, DLM_ERR_INVALID,
                      "the adapter %s belongs to another base: it was trained on '%s', and the "
                      "document's base is '%s'", name, was.base_model, now->base_model);
        dlm_log(ctx, DLM_LOG_HINT, "`dlm train --update-lock` trains one for '%s'; with "
                "'base_model: %s' this one answers again", now->base_model, was.base_model);
    } else {
        st = dlm_fail(ctx, DLM_ERR_INVALID,
                      "the adapter %s belongs to another base: '%s' had other weights when it was "
                      "trained", name, was.base_model);
        dlm_log(ctx, DLM_LOG_HINT, "`dlm train --update-lock` trains one for what the base is now");
    }
done:
    dlm_origin_finish(&was);
    return st;
}

static enum dlm_status name_differences(struct dlm_ctx *ctx, struct dlm_str *text,
                                        const struct dlm_origin *was, const struct dlm_origin *now)
{
    enum dlm_status st = DLM_OK;

    if (was->lora_r != now->lora_r)
        st = dlm_str_appendf(ctx, text, "; lora_r was %lld and is %lld", (long long)was->lora_r,
                             (long long)now->lora_r);
    if (!st && was->lora_alpha != now->lora_alpha)
        st = dlm_str_appendf(ctx, text, "; lora_alpha was %g and is %g", was->lora_alpha,
                             now->lora_alpha);
    if (!st && strcmp(was->base_form, now->base_form))
        st = dlm_str_appendf(ctx, text, "; the base was held in %s and is in %s",
                             *was->base_form ? was->base_form : "its precision",
                             *now->base_form ? now->base_form : "its precision");
    if (!st && strcmp(was->target_modules, now->target_modules))
        st = dlm_str_appendf(ctx, text, "; target_modules were '%s' and are '%s'",
                             was->target_modules, now->target_modules);
    return st;
}

enum dlm_status dlm_origin_check_form(struct dlm_ctx *ctx, const char *dir,
                                      const struct dlm_lora *current, const struct dlm_origin *now)
{
    struct dlm_origin was;
    struct dlm_str text = {0};

    enum dlm_status st = dlm_origin_read(ctx, dir, &was);
    if (!st && !was.target_modules) /* made before versions knew: the adapter itself tells */
        st = dlm_origin_set_form(ctx, &was, current);
    if (!st)
        st = name_differences(ctx, &text, &was, now);
    if (!st && text.len) {
        st = dlm_fail(ctx, DLM_ERR_INVALID, "resume: the adapter %s cannot go on in another form: "
                      "%s", dlm_path_basename(dir), text.data + strlen("; "));
        dlm_log(ctx, DLM_LOG_HINT, "`dlm train --fresh` starts a new adapter");
    }
    dlm_str_finish(&text);
    dlm_origin_finish(&was);
    return st;
}
