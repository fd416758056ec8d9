/* PaliGemma's input ids with a suffix, against transformers' PaliGemmaProcessor
 * (make_cli_goldens.py). Inputs without one are in tests/cli/test_tokenize.sh. */
#include "base/json.h"
#include "check.h"
#include "models/paligemma_input.h"

#define TOKENS_PER_IMAGE 4 /* of the checkpoint */

static struct dlm_part text_of(const json_t *string)
{
    return (struct dlm_part){.text = json_string_value(string), .len = json_string_length(string)};
}

static void check_case_of(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok, const json_t *c)
{
    const struct dlm_image_plan plans[4] = {{.tokens = TOKENS_PER_IMAGE},
                                            {.tokens = TOKENS_PER_IMAGE},
                                            {.tokens = TOKENS_PER_IMAGE},
                                            {.tokens = TOKENS_PER_IMAGE}};
    const size_t num_images = (size_t)json_integer_value(json_object_get(c, "num_images"));
    const int64_t prompt_len = json_integer_value(json_object_get(c, "prefix_len"));
    const json_t *want = json_object_get(c, "ids");
    const struct dlm_part answer = text_of(json_object_get(c, "suffix"));
    struct dlm_part request[5] = {{.kind = DLM_PART_TEXT}};
    const struct dlm_turn turns[] = {{DLM_TURN_USER, request, num_images + 1},
                                     {DLM_TURN_ASSISTANT, &answer, 1}};
    struct dlm_input in = {0};

    CHECK(num_images <= 4);
    for (size_t i = 0; i < num_images; i++)
        request[i].kind = DLM_PART_IMAGE;
    request[num_images] = text_of(json_object_get(c, "prefix"));
    check_case(request[num_images].text);
    CHECK_INT(dlm_paligemma_encode(ctx, NULL, tok, &(struct dlm_conversation){turns, 2}, plans,
                                   &in), DLM_OK);
    CHECK_INT(in.bidirectional_len, prompt_len);
    if (CHECK_INT(in.ids.len, json_array_size(want)))
        for (size_t i = 0; i < in.ids.len; i++) {
            CHECK_INT(in.ids.ids[i], json_integer_value(json_array_get(want, i)));
            CHECK_INT(in.is_label[i], (int64_t)i >= prompt_len);
        }
    CHECK_INT(dlm_paligemma_encode(ctx, NULL, tok, &(struct dlm_conversation){turns, 1}, plans,
                                   &in), DLM_OK);
    CHECK_INT(in.ids.len, prompt_len); /* the prompt alone */
    CHECK_INT(dlm_count_labels(in.is_label, (int64_t)in.ids.len), 0);
    dlm_input_finish(&in);
}

/* Prose: <bos>, no newline, then the text with its end. */
static void check_prose(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok)
{
    const struct dlm_part text = {.text = "<bos>", .len = 5}, bad = {.text = "\xff", .len = 1};
    const struct dlm_turn turns[] = {{DLM_TURN_PROSE, &text, 1}, {DLM_TURN_USER, &bad, 1},
                                     {DLM_TURN_SYSTEM, &text, 1}};
    struct dlm_input in = {0};

    check_case("prose");
    CHECK_INT(dlm_paligemma_encode(ctx, NULL, tok, &(struct dlm_conversation){turns, 1}, NULL,
                                   &in), DLM_OK);
    CHECK_INT(in.bidirectional_len, 1);
    CHECK(in.ids.len > 3); /* the user's "<bos>" is text of several tokens */
    CHECK_INT(dlm_count_labels(in.is_label, (int64_t)in.ids.len), in.ids.len - 1);
    CHECK_INT(in.is_label[0], 0);
    CHECK_INT(in.ids.ids[0], dlm_tokenizer_id(tok, "<bos>"));
    CHECK_INT(in.ids.ids[in.ids.len - 1], dlm_tokenizer_id(tok, "<eos>"));
    for (size_t i = 1; i + 1 < in.ids.len; i++)
        CHECK(in.ids.ids[i] != in.ids.ids[0]);

    check_case("what it does not take");
    CHECK_INT(dlm_paligemma_encode(ctx, NULL, tok, &(struct dlm_conversation){turns + 1, 1}, NULL,
                                   &in), DLM_ERR_INVALID);
    CHECK_INT(dlm_paligemma_encode(ctx, NULL, tok, &(struct dlm_conversation){turns, 2}, NULL,
                                   &in), DLM_ERR_UNSUPPORTED);
    CHECK_INT(dlm_paligemma_encode(ctx, NULL, tok, &(struct dlm_conversation){turns + 2, 1}, NULL,
                                   &in), DLM_ERR_UNSUPPORTED);
    dlm_input_finish(&in);
}

/* The request for a caption is PaliGemma's task word, as a user would write it. */
static void check_caption(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok)
{
    const struct dlm_part ways[] = {{.kind = DLM_PART_CAPTION_REQUEST},
                                    {.text = "caption en", .len = 10}};
    struct dlm_input in[2] = {{.cap_labels = 0}};

    check_case("the request for a caption");
    for (int i = 0; i < 2; i++)
        CHECK(!dlm_paligemma_encode(
            ctx, NULL, tok,
            &(struct dlm_conversation){&(struct dlm_turn){DLM_TURN_USER, &ways[i], 1}, 1}, NULL,
            &in[i]));
    CHECK(in[0].ids.len > 2);
    if (CHECK_INT(in[0].ids.len, in[1].ids.len))
        CHECK(!memcmp(in[0].ids.ids, in[1].ids.ids, in[0].ids.len * sizeof(int32_t)));
    dlm_input_finish(&in[0]);
    dlm_input_finish(&in[1]);
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
    check_caption(ctx, tok);
    json_decref(cases);
    dlm_tokenizer_destroy(&tok);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
