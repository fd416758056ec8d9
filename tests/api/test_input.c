/* PaliGemma's input ids with a suffix, against transformers' PaliGemmaProcessor
 * (make_cli_goldens.py). Inputs without one are in tests/cli/test_tokenize.sh. */
#include "base/json.h"
#include "check.h"
#include "models/paligemma_input.h"

#define TOKENS_PER_IMAGE 4 /* of the checkpoint */

static void check_case_of(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok, const json_t *c)
{
    const json_t *prefix = json_object_get(c, "prefix"), *suffix = json_object_get(c, "suffix");
    const json_t *want = json_object_get(c, "ids");
    const struct dlm_input_text text = {
        .num_images = json_integer_value(json_object_get(c, "num_images")),
        .tokens_per_image = TOKENS_PER_IMAGE,
        .prefix = json_string_value(prefix),
        .prefix_len = json_string_length(prefix),
        .prefix_newline = true,
        .suffix = json_string_value(suffix),
        .suffix_len = json_string_length(suffix),
    };
    struct dlm_ids ids = {0};
    size_t prefix_len = 0;

    check_case(text.prefix);
    CHECK_INT(dlm_paligemma_input(ctx, tok, &text, &ids, &prefix_len), DLM_OK);
    CHECK_INT(prefix_len, json_integer_value(json_object_get(c, "prefix_len")));
    if (CHECK_INT(ids.len, json_array_size(want))) {
        for (size_t i = 0; i < ids.len; i++)
            CHECK_INT(ids.ids[i], json_integer_value(json_array_get(want, i)));
    }
    dlm_ids_finish(&ids);
}

/* Prose: <bos>, no newline, then the text with its end. */
static void check_prose(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok)
{
    const struct dlm_input_text text = {.prefix = "", .suffix = "<bos>", .suffix_len = 5};
    struct dlm_ids ids = {0};
    size_t prefix_len = 0;

    check_case("prose");
    CHECK_INT(dlm_paligemma_input(ctx, tok, &text, &ids, &prefix_len), DLM_OK);
    CHECK_INT(prefix_len, 1);
    CHECK(ids.len > 3); /* the user's "<bos>" is text of several tokens */
    CHECK_INT(ids.ids[0], dlm_tokenizer_id(tok, "<bos>"));
    CHECK_INT(ids.ids[ids.len - 1], dlm_tokenizer_id(tok, "<eos>"));
    for (size_t i = 1; i + 1 < ids.len; i++)
        CHECK(ids.ids[i] != ids.ids[0]);

    check_case("a failure keeps what was there");
    const struct dlm_input_text bad = {.prefix = "\xff", .prefix_len = 1};
    const size_t len = ids.len;
    CHECK_INT(dlm_paligemma_input(ctx, tok, &bad, &ids, NULL), DLM_ERR_INVALID);
    CHECK_INT(ids.len, len);
    dlm_ids_finish(&ids);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_tokenizer *tok = NULL;
    json_t *cases = NULL;
    char path[1024];

    check_case("load");
    snprintf(path, sizeof(path), "%s/golden/models/f32_old/base/tokenizer.json", check_data_dir());
    if (!CHECK_INT(dlm_tokenizer_load(ctx, &tok, path), DLM_OK))
        return check_summary();
    CHECK_INT(dlm_paligemma_add_tokens(ctx, tok), DLM_OK);
    snprintf(path, sizeof(path), "%s/golden/cli/suffix.json", check_data_dir());
    CHECK_INT(dlm_json_load(ctx, path, 1 << 20, &cases), DLM_OK);
    CHECK(json_array_size(cases) > 3);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case_of(ctx, tok, json_array_get(cases, i));
    check_prose(ctx, tok);
    json_decref(cases);
    dlm_tokenizer_destroy(&tok);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
