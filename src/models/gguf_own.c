/* A base's files out of a GGUF file. */
#include "models/gguf_own.h"

#include "base/json.h"
#include "models/config_rules.h"

#define FILE_KEY(name) "dlm.file." name

/* A JSON file; *json is NULL where there is none and may be none. */
static enum dlm_status load(struct dlm_ctx *ctx, const struct dlm_gguf *g, const char *key,
                            bool may_miss, json_t **json)
{
    struct dlm_gguf_text text;

    *json = NULL;
    if (may_miss && !dlm_gguf_find_value(g, key))
        return DLM_OK;
    enum dlm_status st = dlm_gguf_get_string(ctx, g, key, &text);
    return st ? st : dlm_json_parse(ctx, dlm_gguf_path(g), text.data, text.len, json);
}

/* In the order of dlm_processor_load_folder(). */
static enum dlm_status read_processor(struct dlm_ctx *ctx, const struct dlm_gguf *g,
                                      struct dlm_model *m)
{
    json_t *json = NULL;

    enum dlm_status st = load(ctx, g, FILE_KEY("processor_config.json"), true, &json);
    if (!st && !json_object_get(json, "image_processor")) {
        json_decref(json);
        st = load(ctx, g, FILE_KEY("preprocessor_config.json"), false, &json);
    }
    if (!st)
        st = dlm_processor_parse(ctx, &m->processor, json, dlm_gguf_path(g));
    m->has_processor = true;
    json_decref(json);
    return st;
}

static enum dlm_status read_generation(struct dlm_ctx *ctx, const struct dlm_gguf *g,
                                       struct dlm_model *m)
{
    const char *path = dlm_gguf_path(g);
    json_t *json = NULL;

    enum dlm_status st = load(ctx, g, FILE_KEY("generation_config.json"), true, &json);
    if (!st)
        st = dlm_config_read_stops(ctx, json, path, m->decoder.config.vocab, &m->stops);
    if (!st)
        st = dlm_sampling_config_read(ctx, json, path, &m->sampling);
    json_decref(json);
    return st;
}

enum dlm_status dlm_gguf_read_own(struct dlm_ctx *ctx, const struct dlm_gguf *text,
                                  struct dlm_model *m)
{
    json_t *config = NULL;

    enum dlm_status st = read_processor(ctx, text, m);
    if (!st)
        st = load(ctx, text, FILE_KEY("config.json"), false, &config);
    if (!st)
        st = m->family->read_config(ctx, config, dlm_gguf_path(text), m);
    json_decref(config);
    return st ? st : read_generation(ctx, text, m);
}

enum dlm_status dlm_gguf_read_own_tokenizer(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                            const struct dlm_gguf *text)
{
    struct dlm_gguf_text json;

    *out = NULL;
    enum dlm_status st = dlm_gguf_get_string(ctx, text, FILE_KEY("tokenizer.json"), &json);
    return st ? st : dlm_tokenizer_parse(ctx, out, dlm_gguf_path(text), json.data, json.len);
}
