/* `dlm tokenize`: an encoder over a base's tokenizer, or over a tokenizer.json alone. */
#include "dlm/tokenize.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "images/processor.h"
#include "models/model.h"
#include "registry/registry.h"

#define MAX_CONFIG_BYTES ((size_t)16 << 20)
#define MAX_IMAGE_TOKENS 65536
#define MAX_PIXELS_A_SIDE 16384

struct dlm_encoder {
    const struct dlm_family *family;
    struct dlm_tokenizer *tok;
    bool raw;
    int64_t num_images, tokens_per_image;
    struct dlm_ids ids; /* of the last text */
};

/* Patches of a vision tower: (image_size / patch_size)^2 of config.json's vision_config. */
static enum dlm_status count_patches(struct dlm_ctx *ctx, const char *dir, int64_t *tokens)
{
    int64_t image_size = 224, patch_size = 14; /* SigLIP's defaults */
    json_t *root = NULL;
    char *path = dlm_path_join(ctx, dir, "config.json");

    if (!path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_json_load(ctx, path, MAX_CONFIG_BYTES, &root);
    const json_t *vision = json_object_get(root, "vision_config");
    if (!st && !json_is_object(vision))
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot use '%s': it has no vision_config", path);
    if (!st)
        st = dlm_json_int(ctx, vision, path, "image_size", 1, MAX_PIXELS_A_SIDE, &image_size);
    if (!st)
        st = dlm_json_int(ctx, vision, path, "patch_size", 1, image_size, &patch_size);
    if (!st)
        *tokens = (image_size / patch_size) * (image_size / patch_size);
    json_decref(root);
    dlm_free(path);
    return st;
}

/* Tokens that stand for an image: what the processor says, else what the vision tower gives. */
static enum dlm_status count_image_tokens(struct dlm_ctx *ctx, const char *dir, int64_t *tokens)
{
    struct dlm_processor processor = {0};

    enum dlm_status st = dlm_processor_load_folder(ctx, &processor, dir);
    *tokens = processor.image_seq_length;
    if (!st && *tokens <= 0)
        st = count_patches(ctx, dir, tokens);
    if (!st && *tokens > MAX_IMAGE_TOKENS)
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "'%s': %lld tokens for an image are too many", dir,
                      (long long)*tokens);
    return st;
}

static enum dlm_status check_images(struct dlm_ctx *ctx, const struct dlm_encoder_params *params)
{
    for (size_t i = 0; i < params->num_images; i++) {
        if (!dlm_path_is_file(params->images[i]))
            return dlm_fail(ctx, DLM_ERR_IO, "image not found: '%s'", params->images[i]);
    }
    return DLM_OK;
}

static enum dlm_status load_from_base(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                      const struct dlm_encoder_params *params)
{
    struct dlm_base base = {0};
    char *path = NULL;

    enum dlm_status st = dlm_base_resolve(ctx, &base, params->base, NULL);
    if (!st && !params->raw)
        st = dlm_family_of_folder(ctx, base.dir, &encoder->family);
    if (!st && encoder->num_images)
        st = count_image_tokens(ctx, base.dir, &encoder->tokens_per_image);
    if (!st) {
        path = dlm_path_join(ctx, base.dir, "tokenizer.json");
        st = path ? dlm_tokenizer_load(ctx, &encoder->tok, path) : DLM_ERR_MEMORY;
    }
    dlm_free(path);
    dlm_base_finish(&base);
    return st;
}

enum dlm_status dlm_encoder_create(struct dlm_ctx *ctx, struct dlm_encoder **out,
                                   const struct dlm_encoder_params *params)
{
    struct dlm_encoder *encoder = NULL;
    enum dlm_status st;

    *out = NULL;
    DLM_REQUIRE(ctx, !params->base != !params->tokenizer);
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
    encoder->num_images = params->raw ? 0 : (int64_t)params->num_images;
    st = params->base ? load_from_base(ctx, encoder, params)
                      : dlm_tokenizer_load(ctx, &encoder->tok, params->tokenizer);
    if (!st && !encoder->family)
        st = dlm_family_of_folder(ctx, NULL, &encoder->family);
    if (!st && !encoder->raw)
        st = encoder->family->add_tokens(ctx, encoder->tok);
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
    dlm_tokenizer_destroy(&(*encoder)->tok);
    dlm_ids_finish(&(*encoder)->ids);
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
    encoder->ids.len = 0;
    if (encoder->raw) {
        st = dlm_tokenizer_encode(ctx, encoder->tok, text, len, 0, &encoder->ids);
    } else {
        const struct dlm_input_text input = {
            .num_images = encoder->num_images,
            .tokens_per_image = encoder->tokens_per_image,
            .prefix = text,
            .prefix_len = len,
            .prefix_newline = true,
        };
        st = encoder->family->encode(ctx, encoder->tok, &input, &encoder->ids, NULL);
    }
    if (st)
        goto done;
    *ids = encoder->ids.ids;
    *num = encoder->ids.len;
done:
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
