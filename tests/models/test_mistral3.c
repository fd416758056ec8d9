/* What is Mistral 3's own and no case shows: what its config.json may ask for and leave out, a head
 * that is there or not, the released model's plan; and an image of as many patches as one of
 * 1540 x 1540 is to that, on the CPU, against transformers (tools/dev/make_mistral3_goldens.py). */
#include <sys/resource.h>

#include "backend/backend.h"
#include "changes.h"

#define TEXT "text_config"
#define VISION "vision_config"

static struct dlm_ctx *ctx;

static void test_refused(void)
{
    static const struct refusal list[] = {
        {{"", "vision_feature_layer", "-2"}, DLM_ERR_UNSUPPORTED, "vision_feature_layer"},
        {{"", "vision_feature_layer", "[-1, -2]"}, DLM_ERR_UNSUPPORTED, "vision_feature_layer"},
        {{"", "quantization_config", "{}"}, DLM_ERR_UNSUPPORTED, "quantization_config"},
        {{"", "projector_hidden_act", "\"relu\""}, DLM_ERR_UNSUPPORTED, "projector_hidden_act"},
        {{"", "spatial_merge_size", "0"}, DLM_ERR_PARSE, "spatial_merge_size"},
        {{"", "image_token_index", "100000"}, DLM_ERR_PARSE, "image_token_index"},
        {{"", "image_token_id", "-1"}, DLM_ERR_PARSE, "image_token_id"},
        {{"", "eos_token_id", "100000"}, DLM_ERR_PARSE, "eos_token_id"},
        {{TEXT, "model_type", "\"ministral3\""}, DLM_ERR_UNSUPPORTED, "text_config.model_type"},
        {{TEXT, "attention_dropout", "0.1"}, DLM_ERR_UNSUPPORTED, "attention_dropout"},
        {{TEXT, "hidden_act", "\"relu\""}, DLM_ERR_UNSUPPORTED, "hidden_act"},
        {{TEXT, "rope_theta", "-1"}, DLM_ERR_PARSE, "rope_theta"},
        {{TEXT, "rope_parameters", "{\"rope_type\": \"yarn\"}"}, DLM_ERR_UNSUPPORTED, "rope_type"},
        {{TEXT, "rope_scaling", "{\"type\": \"linear\"}"}, DLM_ERR_UNSUPPORTED,
         "rope_scaling.type"},
        {{TEXT, "num_key_value_heads", "3"}, DLM_ERR_PARSE, "text_config has impossible heads"},
        {{TEXT, "head_dim", "11"}, DLM_ERR_PARSE, "text_config has impossible heads"},
        {{TEXT, "head_dim", "100000"}, DLM_ERR_PARSE, "head_dim"},
        {{TEXT, "sliding_window", "0"}, DLM_ERR_PARSE, "sliding_window"},
        {{TEXT, "rms_norm_eps", "2"}, DLM_ERR_PARSE, "rms_norm_eps"},
        {{VISION, "model_type", "\"siglip_vision_model\""}, DLM_ERR_UNSUPPORTED,
         "vision_config.model_type"},
        {{VISION, "num_channels", "4"}, DLM_ERR_UNSUPPORTED, "num_channels"},
        {{VISION, "hidden_act", "\"relu\""}, DLM_ERR_UNSUPPORTED, "hidden_act"},
        {{VISION, "rope_parameters", "{\"rope_type\": \"linear\"}"}, DLM_ERR_UNSUPPORTED,
         "rope_type"},
        {{VISION, "num_attention_heads", "5"}, DLM_ERR_PARSE, "vision_config has impossible heads"},
        {{VISION, "num_attention_heads", "12"}, DLM_ERR_PARSE,
         "vision_config has impossible heads"},
        {{VISION, "patch_size", "[14, 14]"}, DLM_ERR_PARSE, "patch_size"},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++)
        check_refused(ctx, &list[i]);
}

static void test_accepted(void)
{
    static const struct change list[] = {
        {"", "image_token_id", "10"},
        {"", "projector_hidden_act", "\"gelu_pytorch_tanh\""},
        {"", "tie_word_embeddings", "true"},
        {TEXT, "attention_dropout", "0.0"},
        {TEXT, "rope_parameters", "{\"rope_type\": \"default\", \"rope_theta\": 1e9}"},
        {TEXT, "rope_scaling", "null"},
        {TEXT, "num_key_value_heads", "4"},
        {VISION, "rope_parameters", "{\"rope_type\": \"axial\", \"rope_theta\": 5000.0}"},
        {VISION, "image_size", "1540"},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++)
        check_accepted(ctx, &list[i]);
}

/* The defaults of Mistral's and Pixtral's own classes hold in a section that is there. */
static void test_left_out(void)
{
    struct dlm_model *m = NULL;

    check_case("what a section leaves out");
    if (CHECK(!open_changed(ctx, &(struct change){TEXT, "sliding_window", NULL}, &m)))
        CHECK_INT(m->decoder.config.block.window, 4096);
    dlm_model_destroy(&m);
    if (CHECK(!open_changed(ctx, &(struct change){TEXT, "sliding_window", "null"}, &m)))
        CHECK_INT(m->decoder.config.block.window, 0);
    dlm_model_destroy(&m);
    if (CHECK(!open_changed(ctx, &(struct change){TEXT, "head_dim", NULL}, &m)))
        CHECK_INT(m->decoder.config.block.head_dim, 32 / 4);
    dlm_model_destroy(&m);
    if (CHECK(!open_changed(ctx, &(struct change){TEXT, "rms_norm_eps", NULL}, &m)))
        CHECK(m->decoder.config.block.norm.eps == 1e-6f);
    dlm_model_destroy(&m);
    if (CHECK(!open_changed(ctx, &(struct change){VISION, "patch_size", NULL}, &m)))
        CHECK_INT(m->tower.patch_len, 3 * 16 * 16);
    dlm_model_destroy(&m);
}

/* --- the head --- */

/* The changed base on a device that only plans: whether its head is its own, or the failure. */
static enum dlm_status open_base(const struct change *c, bool *has_own_head)
{
    const struct dlm_device_params null = {.kind = DLM_BACKEND_CPU, .index = -1, .is_null = true};
    struct dlm_device *device = NULL;
    struct dlm_model *m = NULL;

    put_changed(ctx, c);
    enum dlm_status st = dlm_device_open(ctx, &device, &null);
    if (!st)
        st = dlm_model_open(ctx, &m, device, tmp_path("base"), DLM_DTYPE_COUNT, NULL);
    if (!st)
        *has_own_head = m->decoder.head != m->decoder.embed;
    dlm_model_destroy(&m);
    dlm_device_destroy(&device);
    return st;
}

static void test_head(void)
{
    static const char *const shards[] = {
        "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors", "model.safetensors.index.json"};
    static const char *const keys[] = {NULL, "true", "false"};
    bool has_own = false;

    check_case("a head in the file is the model's, whatever the config says");
    copy_base_file("model.safetensors");
    CHECK(!open_base(&(struct change){"", "use_cache", "true"}, &has_own) && has_own);
    CHECK(!open_base(&(struct change){"", "tie_word_embeddings", "true"}, &has_own) && has_own);
    CHECK(!open_base(&(struct change){"", "tie_word_embeddings", "false"}, &has_own) && has_own);

    check_case("without one it is the embedding, unless the config says that it is not");
    CHECK(!remove(tmp_path("base/model.safetensors")));
    case_name = "mistral3_bf16_new";
    for (size_t i = 0; i < DLM_ARRAY_LEN(shards); i++)
        copy_base_file(shards[i]);
    for (size_t i = 0; i < DLM_ARRAY_LEN(keys); i++) {
        const enum dlm_status st =
            open_base(&(struct change){"", "tie_word_embeddings", keys[i]}, &has_own);
        if (i < 2)
            CHECK(!st && !has_own);
        else
            CHECK(st && strstr(dlm_ctx_last_error(ctx), "lm_head.weight"));
    }
    case_name = "mistral3_f32_old";
}

/* --- the released model --- */

/* What config.json of Mistral-Small-3.1-24B-Instruct-2503 says of the graphs. */
static const char released[] =
    "{\"architectures\": [\"Mistral3ForConditionalGeneration\"], \"image_token_index\": 10,"
    " \"model_type\": \"mistral3\", \"multimodal_projector_bias\": false,"
    " \"projector_hidden_act\": \"gelu\", \"spatial_merge_size\": 2, \"text_config\": {"
    "\"attention_dropout\": 0.0, \"head_dim\": 128, \"hidden_act\": \"silu\","
    " \"hidden_size\": 5120, \"initializer_range\": 0.02, \"intermediate_size\": 32768,"
    " \"max_position_embeddings\": 131072, \"model_type\": \"mistral\","
    " \"num_attention_heads\": 32, \"num_hidden_layers\": 40, \"num_key_value_heads\": 8,"
    " \"rms_norm_eps\": 1e-05, \"rope_theta\": 1000000000.0, \"sliding_window\": null,"
    " \"use_cache\": true, \"vocab_size\": 131072}, \"torch_dtype\": \"bfloat16\","
    " \"vision_config\": {\"attention_dropout\": 0.0, \"head_dim\": 64, \"hidden_act\": \"silu\","
    " \"hidden_size\": 1024, \"image_size\": 1540, \"initializer_range\": 0.02,"
    " \"intermediate_size\": 4096, \"model_type\": \"pixtral\", \"num_attention_heads\": 16,"
    " \"num_channels\": 3, \"num_hidden_layers\": 24, \"patch_size\": 14, \"rope_theta\": 10000.0},"
    " \"vision_feature_layer\": -1}";

static void check_released(const struct dlm_model *m)
{
    static const struct {
        int width, height, grid_w, grid_h; /* in tokens */
    } images[] = {{1540, 1540, 55, 55}, {1541, 1541, 55, 55}, {640, 480, 23, 18},
                  {1920, 1080, 55, 31}, {100, 100, 4, 4},     {1, 1, 1, 1},
                  {20, 3000, 1, 55}};
    const struct dlm_decoder_config *c = &m->decoder.config;

    CHECK_INT(m->policy, DLM_DTYPE_BF16);
    CHECK_INT(c->layers, 40);
    CHECK_INT(c->block.head_dim, 128);
    CHECK_INT(c->block.window, 0);
    CHECK(c->rope_theta == 1e9f && c->block.norm.eps == 1e-5f);
    CHECK_INT(m->image_id, 10);
    CHECK(m->stops.num == 1 && m->stops.ids[0] == 2);
    CHECK(m->decoder.head != m->decoder.embed);
    CHECK_INT(m->tower.max_patches, 12100);
    /* 24.0 billion parameters; norms are f32 */
    const size_t bytes = dlm_weights_bytes(m->weights, DLM_WEIGHT_GROUPS_ALL);
    CHECK(bytes > 48022400000u && bytes < 48027000000u);
    for (size_t i = 0; i < DLM_ARRAY_LEN(images); i++) {
        const struct dlm_image_size size = {images[i].width, images[i].height, {"x.png", 0}};
        struct dlm_image_plan plan;
        CHECK(!m->family->plan_image(ctx, m, &size, &plan));
        CHECK_INT(plan.grid_w, 2 * images[i].grid_w);
        CHECK_INT(plan.grid_h, 2 * images[i].grid_h);
        CHECK_INT(plan.tokens, images[i].grid_w * images[i].grid_h);
    }
}

static void test_released(void)
{
    const struct dlm_device_params null = {.kind = DLM_BACKEND_CPU, .index = -1, .is_null = true};
    json_t *config = json_loads(released, 0, NULL);
    struct dlm_device *device = NULL;
    struct dlm_model *m = NULL;

    check_case("the released model");
    if (CHECK(config) && CHECK(!dlm_device_open(ctx, &device, &null)) &&
        CHECK(!dlm_model_open_config(ctx, &m, device, config, "config.json", DLM_DTYPE_COUNT,
                                     NULL)))
        check_released(m);
    dlm_model_destroy(&m);
    dlm_device_destroy(&device);
    json_decref(config);
}

/* --- many patches --- */

#define SIDE 901
#define LINE_BYTES (SIDE * 3 + 1) /* of a bitmap: a multiple of 4 */
#define SCORES_BYTES (12100ll * 12100 * 4) /* of all pairs of patches, for one head */

/* The formula's picture as a bitmap of 24 bits, from the last line up. */
static bool write_large(const char *path)
{
    const uint32_t bytes = 54 + LINE_BYTES * SIDE;
    uint8_t *file = calloc(1, bytes);
    const uint32_t fields[] = {bytes, 0, 54, 40, SIDE, SIDE, 1 | 24 << 16};

    if (!CHECK(file))
        return false;
    memcpy(file, "BM", 2);
    for (size_t i = 0; i < DLM_ARRAY_LEN(fields); i++)
        for (int k = 0; k < 4; k++)
            file[2 + 4 * i + k] = (uint8_t)(fields[i] >> 8 * k);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            uint8_t *bgr = file + 54 + (SIDE - 1 - y) * LINE_BYTES + 3 * x;
            bgr[2] = (uint8_t)(3 * x + y);
            bgr[1] = (uint8_t)(x / 8 ^ y / 4);
            bgr[0] = (uint8_t)(x * y / 700);
        }
    const bool ok = CHECK(put_file(path, file, bytes));
    free(file);
    return ok;
}

static void test_many_patches(void)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/golden/models/mistral3_large.json", check_data_dir());
    json_t *want = json_load_file(path, 0, NULL);
    const json_t *logprobs = json_object_get(want, "logprobs");
    const char *images[] = {tmp_path("large.bmp")};
    const struct dlm_session_params from = {
        .base = case_base(), .home = tmp_path("home"),
        .image_size = json_integer_value(json_object_get(want, "image_size")),
        .compute = {.backend = DLM_BACKEND_CPU, .precision = DLM_PRECISION_FP32}};
    const struct dlm_score_request request = {
        .prompt = json_string_value(json_object_get(want, "prompt")),
        .target = json_string_value(json_object_get(want, "target")),
        .images = images, .num_images = 1};
    struct dlm_score_result result = {0};
    struct rusage usage;

    check_case("an image of 12,100 patches");
    if (CHECK(want) && write_large(images[0]) &&
        CHECK(!dlm_score(ctx, &from, &request, &result)) &&
        CHECK_INT(result.len, json_array_size(logprobs)))
        for (size_t i = 0; i < result.len; i++)
            check_near(result.logprobs[i], json_number_value(json_array_get(logprobs, i)), 1e-4,
                       "log-probability");
    CHECK(!getrusage(RUSAGE_SELF, &usage) && usage.ru_maxrss * 1024ll < SCORES_BYTES);
    dlm_score_result_finish(&result);
    json_decref(want);
}

static const struct dlm_name_rule old_names[] = {
    {"model.language_model", "language_model.model"},
    {"model.vision_tower", "vision_tower"},
    {"model.multi_modal_projector", "multi_modal_projector"},
};

int main(void)
{
    tmp_make();
    case_name = "mistral3_f32_old";
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = quiet});
    check_case("set up");
    if (CHECK(ctx)) {
        copy_processor(ctx);
        test_refused();
        test_accepted();
        test_left_out();
        test_head();
        test_released();
        test_many_patches();
        check_old_adapter(ctx, &dlm_family_mistral3.names, old_names, DLM_ARRAY_LEN(old_names));
    }
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
