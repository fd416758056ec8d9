/* `dlm tokenize`: an encoder over a base's tokenizer, or over a tokenizer.json alone. */
#include "dlm/tokenize.h"

#include <string.h>

#include "api/base_model.h"
#include "api/image_size.h"
#include "api/request.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "doc/doc.h"
#include "registry/registry.h"

struct dlm_encoder {
    struct dlm_model *model; /* configuration alone */
    struct dlm_tokenizer *tok;
    bool raw;
    char *system, *target; /* or NULL */
    struct dlm_request request; /* with the images, for any words */
    struct dlm_input input; /* of the last text */
};

static enum dlm_status check_images(struct dlm_ctx *ctx, const struct dlm_encoder_params *params)
{
    for (size_t i = 0; i < params->num_images; i++) {
        if (!dlm_path_is_file(params->images[i]))
            return dlm_fail(ctx, DLM_ERR_IO, "image not found: '%s'", params->images[i]);
    }
    return DLM_OK;
}

/* dir: what the PATH of a base is relative to, or NULL. */
static enum dlm_status load_from_base(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                      const char *name, const char *mmproj, const char *dir,
                                      int64_t image_size)
{
    struct dlm_base base = {0};

    enum dlm_status st = dlm_base_resolve_files(ctx, &base, name, mmproj, dir);
    if (!st && !encoder->raw)
        st = dlm_base_read_model(ctx, &encoder->model, &base);
    if (!st && encoder->model)
        st = dlm_image_size_choose(encoder->model, &base, image_size);
    if (!st)
        st = dlm_base_load_tokenizer(ctx, NULL, &encoder->tok, &base);
    dlm_base_finish(&base);
    return st;
}

/* A copy in *to, owned; NULL of NULL. */
static enum dlm_status copy(struct dlm_ctx *ctx, const char *text, char **to)
{
    *to = text ? dlm_strdup(ctx, text) : NULL;
    return !*to == !text ? DLM_OK : DLM_ERR_MEMORY;
}

/* The document's base, and what it says of system prompt and size where the caller does not. */
static enum dlm_status load_from_document(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                          const struct dlm_encoder_params *params)
{
    struct dlm_doc *doc = NULL;
    char *dir = dlm_path_dirname(ctx, params->document);
    size_t len;

    enum dlm_status st = dir ? dlm_doc_load(ctx, &doc, params->document) : DLM_ERR_MEMORY;
    if (!st)
        st = load_from_base(ctx, encoder, doc->base_model, doc->mmproj, dir,
                            params->image_size ? params->image_size : doc->training.image_size);
    const char *system = st || params->system ? NULL : dlm_doc_system_prompt(doc, &len);
    if (system && encoder->model && dlm_request_can_say_system(encoder->model)) {
        encoder->system = dlm_strndup(ctx, system, len);
        st = encoder->system ? DLM_OK : DLM_ERR_MEMORY;
    }
    dlm_doc_destroy(&doc);
    dlm_free(dir);
    return st;
}

static enum dlm_status load(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                            const struct dlm_encoder_params *params)
{
    if (params->document)
        return load_from_document(ctx, encoder, params);
    if (params->base)
        return load_from_base(ctx, encoder, params->base, params->mmproj, NULL,
                              params->image_size);
    enum dlm_status st = dlm_tokenizer_load(ctx, &encoder->tok, params->tokenizer);
    return st || encoder->raw ? st : dlm_model_read_folder(ctx, &encoder->model, NULL);
}

/* What is said around each text. */
static enum dlm_status take_request(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                    const struct dlm_encoder_params *params)
{
    enum dlm_status st = DLM_OK;

    if (params->system)
        st = copy(ctx, params->system, &encoder->system);
    if (!st)
        st = copy(ctx, params->target, &encoder->target);
    const struct dlm_asked asked = {.system = encoder->system, .target = encoder->target,
                                    .images = params->images, .num_images = params->num_images};
    return st ? st : dlm_request_init(&encoder->request, encoder->model, &asked);
}

enum dlm_status dlm_encoder_create(struct dlm_ctx *ctx, struct dlm_encoder **out,
                                   const struct dlm_encoder_params *params)
{
    struct dlm_encoder *encoder = NULL;
    enum dlm_status st;

    *out = NULL;
    DLM_REQUIRE(ctx, !!params->base + !!params->document + !!params->tokenizer == 1);
    DLM_REQUIRE(ctx, !params->num_images || params->images);
    if (params->tokenizer && params->num_images && !params->raw) {
        st = dlm_fail(ctx, DLM_ERR_USAGE, "a tokenizer alone does not say how many tokens an image "
                                          "takes: give a base");
        goto done;
    }
    st = check_images(ctx, params);
    if (st)
        goto done;
    encoder = dlm_alloc(ctx, sizeof(*encoder));
    if (!encoder) {
        st = DLM_ERR_MEMORY;
        goto done;
    }
    encoder->raw = params->raw;
    st = load(ctx, encoder, params);
    if (!st && !encoder->raw)
        st = take_request(ctx, encoder, params);
    if (!st && !encoder->raw)
        st = dlm_model_add_tokens(encoder->model, encoder->tok);
    if (st)
        goto done;
    *out = encoder;
    encoder = NULL;
done:
    dlm_encoder_destroy(&encoder);
    return st;
}

void dlm_encoder_destroy(struct dlm_encoder **encoder)
{
    if (!encoder || !*encoder)
        return;
    dlm_request_finish(&(*encoder)->request);
    dlm_free((*encoder)->system);
    dlm_free((*encoder)->target);
    dlm_input_finish(&(*encoder)->input);
    dlm_tokenizer_destroy(&(*encoder)->tok);
    dlm_model_destroy(&(*encoder)->model);
    dlm_free(*encoder);
    *encoder = NULL;
}

enum dlm_status dlm_encoder_encode(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                   const char *text, size_t len, const int32_t **ids, size_t *num)
{
    enum dlm_status st;

    *ids = NULL;
    *num = 0;
    DLM_REQUIRE(ctx, encoder && text);
    if (encoder->raw) {
        dlm_input_clear(&encoder->input);
        st = dlm_tokenizer_encode(ctx, encoder->tok, text, len, 0, &encoder->input.ids);
    } else {
        st = dlm_request_encode_words(ctx, &encoder->request, encoder->tok, text, len,
                                      &encoder->input);
    }
    if (st)
        goto done;
    *ids = encoder->input.ids.ids;
    *num = encoder->input.ids.len;
done:
    return st;
}

enum dlm_status dlm_encoder_encode_messages(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                            const struct dlm_message *messages,
                                            size_t num_messages, const int32_t **ids, size_t *num)
{
    struct dlm_request request = {0};
    enum dlm_status st;

    *ids = NULL;
    *num = 0;
    DLM_REQUIRE(ctx, encoder && !encoder->raw && messages);
    const struct dlm_asked asked = {.system = encoder->system, .target = encoder->target,
                                    .messages = messages, .num_messages = num_messages};
    st = dlm_request_init(&request, encoder->model, &asked);
    if (!st)
        st = dlm_request_encode(ctx, &request, encoder->tok, &encoder->input);
    if (st)
        goto done;
    *ids = encoder->input.ids.ids;
    *num = encoder->input.ids.len;
done:
    dlm_request_finish(&request);
    return st;
}

enum dlm_status dlm_encoder_encode_json(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                        const char *json, size_t len, const int32_t **ids,
                                        size_t *num)
{
    json_error_t error;
    json_t *value = json_loadb(json, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    enum dlm_status st;

    *ids = NULL;
    *num = 0;
    if (!value)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read a line: column %d: %s", error.column,
                      error.text);
    else if (!json_is_string(value))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read a line: not a JSON string");
    else
        st = dlm_encoder_encode(ctx, encoder, json_string_value(value), json_string_length(value),
                                ids, num);
    json_decref(value);
    return st;
}
