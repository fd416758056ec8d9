/* What config.json may ask for and what a checkpoint may hold: members that change the maths are
 * refused by name unless they say what is computed anyway; what ends an answer; tensors of no use
 * are told of once. */
#include "models_test.h"

#include "backend/backend.h"
#include "base/json.h"
#include "base/log.h"
#include "models/model.h"
#include "tokens/tokenizer.h"

static struct dlm_ctx *ctx;
static struct dlm_device *device;
static char warning[1024];
static int num_warnings;

static void keep_warning(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level != DLM_LOG_WARNING)
        return;
    snprintf(warning, sizeof(warning), "%s", text);
    num_warnings++;
}

/* Copies the case's checkpoint, which config.json then stands in for a changed one. */
static void copy_base(void)
{
    static const char *const names[] = {"model.safetensors", "preprocessor_config.json",
                                        "tokenizer.json"};

    CHECK(!dlm_dir_make(ctx, tmp_path("base")));
    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++) {
        char from[64], to[64];
        size_t bytes = 0;
        snprintf(from, sizeof(from), "base/%s", names[i]);
        snprintf(to, sizeof(to), "base/%s", names[i]);
        char *data = get_file(case_path(from), &bytes);
        CHECK(data && put_file(tmp_path(to), data, bytes));
        free(data);
    }
}

static enum dlm_status open_base(void)
{
    struct dlm_model *m = NULL;

    num_warnings = 0;
    warning[0] = '\0';
    enum dlm_status st = dlm_model_open(ctx, &m, device, tmp_path("base"), DLM_DTYPE_COUNT, NULL);
    dlm_model_destroy(&m);
    return st;
}

/* config.json with `key` of the object at `where` ("" the whole) set to a JSON value. */
static void put_config(const char *where, const char *key, const char *value)
{
    json_t *config = json_load_file(case_path("base/config.json"), 0, NULL), *object = config;
    char parts[64];

    snprintf(parts, sizeof(parts), "%s", where);
    for (char *name = strtok(parts, "."); name; name = strtok(NULL, ".")) {
        if (!json_is_object(json_object_get(object, name)))
            CHECK(!json_object_set_new(object, name, json_object()));
        object = json_object_get(object, name);
    }
    CHECK(!json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL)));
    CHECK(!dlm_json_replace(ctx, tmp_path("base/config.json"), config));
    json_decref(config);
}

struct change {
    const char *where, *key, *value;
};

#define TEXT "text_config"
#define ROPE "text_config.rope_parameters"

static void test_refused(void)
{
    static const struct change list[] = {
        {TEXT, "attention_bias", "true"},
        {TEXT, "mlp_bias", "true"},
        {TEXT, "attention_dropout", "0.1"},
        {TEXT, "use_bidirectional_attention", "false"},
        {TEXT, "sliding_window", "4096"},
        {TEXT, "attn_logit_softcapping", "50.0"},
        {TEXT, "final_logit_softcapping", "30.0"},
        {TEXT, "query_pre_attn_scalar", "256"},
        {TEXT, "partial_rotary_factor", "0.5"},
        {TEXT, "model_type", "\"gemma3_text\""},
        {TEXT, "hidden_act", "\"relu\""},
        {TEXT, "hidden_activation", "\"relu\""},
        {TEXT, "hidden_activation", "\"silu\""},
        {"text_config.rope_scaling", "rope_type", "\"linear\""},
        {"text_config.rope_scaling", "type", "\"dynamic\""},
        {ROPE, "rope_type", "\"linear\""},
        {ROPE, "partial_rotary_factor", "0.25"},
        {ROPE, "full_attention", "{\"rope_theta\": 5.0}"},
        {"vision_config", "attention_dropout", "0.5"},
        {"vision_config", "hidden_act", "\"relu\""},
        {"vision_config", "num_channels", "1"},
        {"vision_config", "model_type", "\"clip_vision_model\""},
        {"", "quantization_config", "{\"load_in_4bit\": true}"},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++) {
        check_case(list[i].key);
        put_config(list[i].where, list[i].key, list[i].value);
        CHECK_INT(open_base(), DLM_ERR_UNSUPPORTED);
        const char *error = dlm_ctx_last_error(ctx);
        if (!CHECK(strstr(error, list[i].key) && strstr(error, "base/config.json'")))
            printf("     %s = %s: %s\n", list[i].key, list[i].value, error);
    }
    check_case("the whole message");
    put_config(TEXT, "attention_bias", "true");
    CHECK(open_base());
    CHECK(strstr(dlm_ctx_last_error(ctx), "': 'text_config.attention_bias' is true: not supported "
                                          "(only false is)"));
}

/* Every family is named. */
static void test_unknown(void)
{
#define FAMILY_TYPE(name) dlm_family_##name.model_type,
    const char *const types[] = {DLM_FAMILY_LIST(FAMILY_TYPE)};
#undef FAMILY_TYPE

    check_case("a family that is not known");
    put_config("", "model_type", "\"llava\"");
    CHECK_INT(open_base(), DLM_ERR_UNSUPPORTED);
    CHECK(strstr(dlm_ctx_last_error(ctx), "model_type 'llava' is not supported ("));
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++)
        CHECK(strstr(dlm_ctx_last_error(ctx), types[i]));
}

static void test_accepted(void)
{
    static const struct change list[] = {
        {TEXT, "attention_bias", "null"},
        {TEXT, "attention_dropout", "0"},
        {TEXT, "sliding_window", "null"},
        {TEXT, "query_pre_attn_scalar", "18"},
        {TEXT, "partial_rotary_factor", "1.0"},
        {TEXT, "hidden_act", "\"gelu\""},
        {TEXT, "hidden_activation", "\"gelu_pytorch_tanh\""},
        {TEXT, "rope_scaling", "null"},
        {"text_config.rope_scaling", "type", "\"default\""},
        {"vision_config", "projector_hidden_act", "\"gelu_fast\""},
        {"vision_config", "vision_use_head", "true"},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++) {
        check_case(list[i].key);
        put_config(list[i].where, list[i].key, list[i].value);
        if (!CHECK_INT(open_base(), DLM_OK))
            printf("     %s\n", dlm_ctx_last_error(ctx));
        CHECK(!num_warnings);
    }
}

/* --- PaliGemma 2 --- */

/* config.json of google/paligemma2-3b-mix-224 and -28b-pt-896, less what says nothing of sizes. */
#define PUBLISHED(hidden, vision, text) \
    "{\"_vocab_size\": 257152, \"architectures\": [\"PaliGemmaForConditionalGeneration\"]," \
    " \"bos_token_id\": 2, \"eos_token_id\": 1, \"hidden_size\": " #hidden "," \
    " \"image_token_index\": 257152, \"model_type\": \"paligemma\", \"pad_token_id\": 0," \
    " \"projection_dim\": " #hidden ", \"torch_dtype\": \"bfloat16\"," \
    " \"text_config\": {\"architectures\": [\"Gemma2ForCausalLM\"]," \
    "  \"attn_logit_softcapping\": 50.0, \"cache_implementation\": \"hybrid\"," \
    "  \"eos_token_id\": [1, 107], \"final_logit_softcapping\": 30.0," \
    "  \"hidden_act\": \"gelu_pytorch_tanh\", \"hidden_activation\": \"gelu_pytorch_tanh\"," \
    "  \"hidden_size\": " #hidden ", \"model_type\": \"gemma2\", \"sliding_window\": 4096," \
    "  \"torch_dtype\": \"bfloat16\", \"vocab_size\": 257216, " text "}," \
    " \"vision_config\": {\"hidden_size\": 1152, \"intermediate_size\": 4304," \
    "  \"model_type\": \"siglip_vision_model\", \"num_attention_heads\": 16," \
    "  \"num_hidden_layers\": 27, \"patch_size\": 14, \"projection_dim\": " #hidden "," \
    "  \"torch_dtype\": \"bfloat16\", \"vision_use_head\": false, " vision "}}"

static const char published_3b[] = PUBLISHED(
    2304, "\"num_image_tokens\": 256, \"num_positions\": 256",
    "\"intermediate_size\": 9216, \"num_hidden_layers\": 26, \"num_image_tokens\": 256,"
    "\"num_key_value_heads\": 4, \"query_pre_attn_scalar\": 256");
static const char published_28b[] = PUBLISHED(
    4608, "\"image_size\": 896, \"num_image_tokens\": 4096, \"num_positions\": 4096",
    "\"head_dim\": 128, \"intermediate_size\": 36864, \"num_attention_heads\": 32,"
    "\"num_hidden_layers\": 46, \"num_image_tokens\": 4096, \"num_key_value_heads\": 16,"
    "\"query_pre_attn_scalar\": 144");

static void test_published(void)
{
    static const struct {
        const char *what, *config;
        int64_t layers, heads, kv_heads, head_dim, image_tokens;
        double score_scale;
    } list[] = {
        {"paligemma2-3b-mix-224", published_3b, 26, 8, 4, 256, 256, 1.0 / 16},
        {"paligemma2-28b-pt-896", published_28b, 46, 32, 16, 128, 4096, 1.0 / 12},
    };
    const struct dlm_device_params null = {.kind = DLM_BACKEND_CPU, .index = -1, .is_null = true};
    struct dlm_device *nothing = NULL;

    if (!CHECK(!dlm_device_open(ctx, &nothing, &null)))
        return;
    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++) {
        struct dlm_model *m = NULL;
        json_t *config = json_loads(list[i].config, 0, NULL);
        check_case(list[i].what);
        if (CHECK(config) && CHECK(!dlm_model_open_config(ctx, &m, nothing, config, list[i].what,
                                                          DLM_DTYPE_COUNT, NULL))) {
            const struct dlm_decoder_config *c = &m->decoder.config;
            CHECK_INT(m->policy, DLM_DTYPE_BF16);
            CHECK_INT(c->layers, list[i].layers);
            CHECK_INT(c->block.heads, list[i].heads);
            CHECK_INT(c->block.kv_heads, list[i].kv_heads);
            CHECK_INT(c->block.head_dim, list[i].head_dim);
            CHECK_INT(m->tower.max_patches, list[i].image_tokens);
            CHECK_INT(m->image_id, 257152);
            CHECK(fabs(c->block.score_scale - list[i].score_scale) < 1e-7);
            CHECK(c->block.score_softcap == 50 && c->logit_softcap == 30);
            CHECK(m->decoder.blocks[0].window == 4096 && m->decoder.blocks[1].window == 0);
            CHECK(m->stops.num == 1 && m->stops.ids[0] == 1);
        }
        dlm_model_destroy(&m);
        json_decref(config);
    }
    dlm_device_destroy(&nothing);
}

static void test_gemma2(void)
{
    static const struct {
        struct change change;
        enum dlm_status status;
    } list[] = {
        {{TEXT, "sliding_window", "0"}, DLM_ERR_PARSE},
        {{TEXT, "query_pre_attn_scalar", "0"}, DLM_ERR_PARSE},
        {{TEXT, "attn_logit_softcapping", "-1.0"}, DLM_ERR_PARSE},
        {{TEXT, "final_logit_softcapping", "\"30\""}, DLM_ERR_PARSE},
        {{TEXT, "layer_types", "[\"full_attention\"]"}, DLM_ERR_PARSE},
        {{TEXT, "layer_types",
          "[\"sliding_attention\", \"full_attention\", \"chunked_attention\"]"},
         DLM_ERR_UNSUPPORTED},
        {{TEXT, "layer_types", "[\"full_attention\", \"sliding_attention\", \"full_attention\"]"},
         DLM_ERR_UNSUPPORTED},
        {{TEXT, "attention_bias", "true"}, DLM_ERR_UNSUPPORTED},
        {{TEXT, "attn_logit_softcapping", "null"}, DLM_OK},
        {{TEXT, "layer_types", "null"}, DLM_OK},
        {{TEXT, "layer_types", "[\"full_attention\", \"full_attention\", \"full_attention\"]"},
         DLM_OK},
        {{TEXT, "use_bidirectional_attention", "null"}, DLM_OK},
    };

    case_name = "paligemma2_f32_new";
    copy_base();
    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++) {
        const struct change *c = &list[i].change;
        check_case(c->key);
        put_config(c->where, c->key, c->value);
        if (!CHECK_INT(open_base(), list[i].status))
            printf("     %s = %s: %s\n", c->key, c->value, dlm_ctx_last_error(ctx));
        CHECK(!list[i].status || strstr(dlm_ctx_last_error(ctx), c->key));
    }
}

/* --- what ends an answer --- */

static void keep_text(void *user, const char *utf8, size_t len)
{
    strncat(user, utf8, len);
}

/* The answer of the changed base to the case's first question is the first `want` tokens of the
 * reference's. */
static void expect_tokens(size_t want)
{
    json_t *expected = json_load_file(case_path("expected.json"), 0, NULL);
    const json_t *g = json_array_get(json_object_get(expected, "generations"), 0);
    const char *const images[] = {case_path(json_string_value(json_object_get(g, "image")))};
    struct dlm_tokenizer *tok = NULL;
    struct dlm_str text = {0};
    char base[1100], answer[512] = "";
    int32_t ids[8];
    const struct dlm_session_params from = {
        .base = base, .home = tmp_path("home"),
        .compute = {.backend = DLM_BACKEND_CPU, .precision = DLM_PRECISION_FP32}};
    const struct dlm_prompt_request request = {
        .query = json_string_value(json_object_get(g, "prompt")), .images = images,
        .num_images = 1, .max_tokens = 8, .text = keep_text, .user = answer};

    snprintf(base, sizeof(base), "dir:%s", tmp_path("base"));
    for (size_t i = 0; i < want; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(json_object_get(g, "ids"), i));
    if (CHECK(!dlm_tokenizer_load(ctx, &tok, tmp_path("base/tokenizer.json"))) &&
        CHECK(!dlm_tokenizer_decode(ctx, tok, ids, want, true, &text)) &&
        CHECK(!dlm_prompt(ctx, &from, &request)))
        CHECK_STR(answer, dlm_str_text(&text));
    dlm_str_finish(&text);
    dlm_tokenizer_destroy(&tok);
    json_decref(expected);
}

static void put_generation_config(const char *text)
{
    CHECK(put_file(tmp_path("base/generation_config.json"), text, strlen(text)));
}

/* The reference goes on with 103, 321, 46, 289, 83, 337, 270, 333. */
static void test_stops(void)
{
    static const char *const bad[] = {"\"x\"", "[]", "[1, -1]", "[366.5]", "100000"};

    check_case("one token ends an answer");
    put_config("", "eos_token_id", "83");
    expect_tokens(4);
    check_case("each token of a list ends an answer");
    put_config("", "eos_token_id", "[1, 83, 46]");
    expect_tokens(2);
    check_case("generation_config.json says it first");
    put_generation_config("{\"eos_token_id\": [270, 337]}");
    expect_tokens(5);
    put_generation_config("{\"do_sample\": false}");
    expect_tokens(2);
    for (size_t i = 0; i < DLM_ARRAY_LEN(bad); i++) {
        char text[64];
        check_case(bad[i]);
        put_config("", "eos_token_id", bad[i]);
        CHECK_INT(open_base(), DLM_ERR_PARSE);
        CHECK(strstr(dlm_ctx_last_error(ctx), "base/config.json': 'eos_token_id'"));
        put_config("", "eos_token_id", "1");
        snprintf(text, sizeof(text), "{\"eos_token_id\": %s}", bad[i]);
        put_generation_config(text);
        CHECK_INT(open_base(), DLM_ERR_PARSE);
        CHECK(strstr(dlm_ctx_last_error(ctx), "generation_config.json': 'eos_token_id'"));
        put_generation_config("{}");
    }
}

/* --- the processor --- */

static void put_processor(const char *text)
{
    CHECK(put_file(tmp_path("base/preprocessor_config.json"), text, strlen(text)));
}

static void test_processor(void)
{
    put_config("", "model_type", "\"paligemma\"");
    check_case("a processor of another size than the tower's");
    put_processor("{\"size\": {\"height\": 28, \"width\": 56}}");
    CHECK_INT(open_base(), DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx), "the processor's 28 x 56 is not the tower's image size "
                                          "28"));
    check_case("a processor that counts other tokens than the tower gives");
    put_processor("{\"size\": {\"height\": 28, \"width\": 28}, \"image_seq_length\": 256}");
    CHECK_INT(open_base(), DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx), "the processor's 256 tokens an image are not the tower's "
                                          "4"));
    put_processor("{\"size\": {\"height\": 28, \"width\": 28}}");
    CHECK_INT(open_base(), DLM_OK);
}

/* The case's tensors with more of the given names. */
static void write_with(const struct dlm_tensor_out *more, size_t num)
{
    struct dlm_checkpoint *ckpt = NULL;
    struct dlm_tensor_out out[256];
    size_t len = 0;

    if (!CHECK(!dlm_checkpoint_open(ctx, &ckpt, case_path("base"))))
        return;
    for (; len < dlm_checkpoint_num_tensors(ckpt) && len + num < DLM_ARRAY_LEN(out); len++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(ckpt, len);
        out[len] = (struct dlm_tensor_out){.name = t->name, .dtype = t->dtype, .ndim = t->ndim,
                                           .data = t->data, .bytes = t->bytes};
        memcpy(out[len].shape, t->shape, sizeof(t->shape));
    }
    CHECK_INT(len, dlm_checkpoint_num_tensors(ckpt));
    memcpy(out + len, more, num * sizeof(*more));
    CHECK(!dlm_safetensors_write(ctx, tmp_path("base/model.safetensors"), out, len + num, NULL,
                                 0));
    dlm_checkpoint_destroy(&ckpt);
}

static void write_with_zeros(const char *const *names, size_t num)
{
    static const float zeros[4];
    struct dlm_tensor_out more[4];

    for (size_t i = 0; i < num; i++)
        more[i] = (struct dlm_tensor_out){.name = names[i], .dtype = DLM_DTYPE_F32, .ndim = 1,
                                          .shape = {4}, .data = zeros, .bytes = sizeof(zeros)};
    write_with(more, num);
}

static void test_tensors(void)
{
    static const char *const spare[] = {
        "vision_tower.vision_model.head.probe",
        "vision_tower.vision_model.embeddings.position_ids",
        "language_model.model.layers.0.self_attn.rotary_emb.inv_freq",
    };
    static const char *const odd[] = {
        "language_model.model.layers.0.self_attn.q_proj.bias",
        "language_model.model.layers.1.self_attn.q_proj.bias",
    };

    put_config("", "model_type", "\"paligemma\"");
    check_case("tensors that may be there");
    write_with_zeros(spare, DLM_ARRAY_LEN(spare));
    CHECK_INT(open_base(), DLM_OK);
    CHECK_INT(num_warnings, 0);
    check_case("tensors of no use");
    write_with_zeros(odd, 2);
    CHECK_INT(open_base(), DLM_OK);
    CHECK_INT(num_warnings, 1);
    if (!CHECK(strstr(warning, ": 2 tensors are of no use to a paligemma model, the first is '") &&
               strstr(warning, odd[0])))
        printf("     %s\n", warning);
    write_with_zeros(odd, 1);
    CHECK_INT(open_base(), DLM_OK);
    CHECK(num_warnings == 1 && strstr(warning, ": 1 tensor is of no use"));
}

/* A head in the file: tied, when equal or the config says so and there is none; else its own. As
 * transformers 5.23 has it, which text_config's tie_word_embeddings says nothing to. */
static void test_head(void)
{
    struct dlm_checkpoint *ckpt = NULL;
    struct dlm_tensor_out head = {.name = "language_model.lm_head.weight"};
    static const struct {
        const char *what, *tie; /* tie_word_embeddings */
        bool has_head, is_other; /* the file's head */
        enum dlm_status status;
        bool is_own;
    } list[] = {
        {"tied, no head", "true", false, false, DLM_OK, false},
        {"tied, an equal head", "true", true, false, DLM_OK, false},
        {"tied, another head", "true", true, true, DLM_OK, true},
        {"not said, another head", "null", true, true, DLM_OK, true},
        {"untied, an equal head", "false", true, false, DLM_OK, true},
        {"untied, another head", "false", true, true, DLM_OK, true},
        {"untied, no head", "false", false, false, DLM_ERR_INVALID, false},
    };

    check_case("the embedding of the case");
    if (!CHECK(!dlm_checkpoint_open(ctx, &ckpt, case_path("base"))))
        return;
    const struct dlm_tensor_info *embed =
        dlm_checkpoint_find(ckpt, "language_model.model.embed_tokens.weight");
    uint8_t *other = embed ? malloc(embed->bytes) : NULL;
    if (CHECK(other)) {
        memcpy(other, embed->data, embed->bytes);
        other[embed->bytes - 1] ^= 1;
        head.dtype = embed->dtype;
        head.ndim = embed->ndim;
        head.bytes = embed->bytes;
        memcpy(head.shape, embed->shape, sizeof(head.shape));
    }
    for (size_t i = 0; other && i < DLM_ARRAY_LEN(list); i++) {
        struct dlm_model *m = NULL;
        check_case(list[i].what);
        put_config("", "tie_word_embeddings", list[i].tie);
        head.data = list[i].is_other ? other : embed->data;
        write_with(&head, list[i].has_head);
        num_warnings = 0;
        CHECK_INT(dlm_model_open(ctx, &m, device, tmp_path("base"), DLM_DTYPE_COUNT, NULL),
                  list[i].status);
        CHECK_INT(num_warnings, 0);
        CHECK(!m || (m->decoder.head != m->decoder.embed) == list[i].is_own);
        CHECK(list[i].status == DLM_OK ||
              strstr(dlm_ctx_last_error(ctx), "tensor 'lm_head.weight' is missing"));
        dlm_model_destroy(&m);
    }
    free(other);
    dlm_checkpoint_destroy(&ckpt);
}

int main(void)
{
    const struct dlm_device_params cpu = {.kind = DLM_BACKEND_CPU, .index = -1};

    case_name = "f32_old";
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = keep_warning});
    tmp_make();
    check_case("device");
    if (CHECK(!dlm_device_open(ctx, &device, &cpu))) {
        copy_base();
        test_refused();
        test_unknown();
    test_accepted();
        test_stops();
        test_processor();
        test_tensors();
        test_head();
        test_published();
        test_gemma2();
    }
    dlm_device_destroy(&device);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
