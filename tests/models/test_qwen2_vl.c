/* What is Qwen2-VL's own and no case shows whole: positions of several images of any grid, against
 * transformers (tools/dev/make_qwen2_vl_goldens.py); what its config.json may ask for. */
#include "backend/backend.h"
#include "changes.h"

#define IMAGE_ID 9
#define MAX_LEN 512
#define MAX_IMAGES 8

static struct dlm_ctx *ctx;

/* --- positions --- */

static void check_positions(const json_t *row)
{
    const json_t *runs = json_object_get(row, "runs"), *want = json_object_get(row, "positions");
    struct dlm_model m = {.image_id = IMAGE_ID};
    struct dlm_image_plan plans[MAX_IMAGES];
    int32_t ids[MAX_LEN], at[MAX_LEN][3], next = -1;
    struct dlm_example e = {.ids = ids, .plans = plans};
    const json_t *run;
    size_t i;

    const int32_t merge = (int32_t)json_integer_value(json_object_get(row, "merge"));
    m.processor.merge = merge;
    json_array_foreach(runs, i, run) {
        int32_t num = (int32_t)json_integer_value(run);
        if (json_is_array(run)) {
            struct dlm_image_plan *plan = &plans[e.num_images++];
            *plan = (struct dlm_image_plan){
                .grid_t = 1, .grid_h = (int32_t)json_integer_value(json_array_get(run, 0)),
                .grid_w = (int32_t)json_integer_value(json_array_get(run, 1))};
            num = plan->tokens = plan->grid_h * plan->grid_w / (merge * merge);
        }
        while (num-- > 0 && e.len < MAX_LEN)
            ids[e.len++] = json_is_array(run) ? IMAGE_ID : 1;
    }
    if (!CHECK_INT(e.len, json_array_size(want)))
        return;
    dlm_family_qwen2_vl.positions(&m, &e, at, &next);
    CHECK_INT(next, json_integer_value(json_object_get(row, "next")));
    for (size_t t = 0; t < (size_t)e.len; t++)
        for (size_t axis = 0; axis < 3; axis++)
            CHECK_INT(at[t][axis],
                      json_integer_value(json_array_get(json_array_get(want, t), axis)));
}

static void test_positions(void)
{
    char path[1024];
    const json_t *row;
    size_t i;

    check_case("positions");
    snprintf(path, sizeof(path), "%s/golden/models/qwen2_vl_positions.json", check_data_dir());
    json_t *rows = json_load_file(path, 0, NULL);
    CHECK(json_array_size(rows) >= 10);
    json_array_foreach(rows, i, row) {
        check_positions(row);
    }
    json_decref(rows);
}

/* A sequence that is cut within an image, and an image token that nobody's image fills. */
static void test_odd_positions(void)
{
    const struct dlm_model m = {.image_id = IMAGE_ID, .processor = {.merge = 2}};
    const struct dlm_image_plan plan = {.grid_t = 1, .grid_h = 4, .grid_w = 4, .tokens = 4};
    const int32_t ids[] = {1, IMAGE_ID, IMAGE_ID, IMAGE_ID, IMAGE_ID, 1, IMAGE_ID};
    struct dlm_example e = {.ids = ids, .len = 3, .plans = &plan, .num_images = 1};
    int32_t at[7][3] = {{0}}, next = -1;

    check_case("a sequence that is cut within an image");
    at[3][0] = -5;
    dlm_family_qwen2_vl.positions(&m, &e, at, &next);
    CHECK(at[2][0] == 1 && at[2][1] == 1 && at[2][2] == 2 && at[3][0] == -5);
    check_case("an image token that was generated is a word");
    e.len = 7;
    dlm_family_qwen2_vl.positions(&m, &e, at, &next);
    CHECK(at[5][0] == 3 && at[6][0] == 4 && at[6][2] == 4);
    CHECK_INT(next, 5);
}

/* --- config.json --- */

#define VISION "vision_config"

static void test_refused(void)
{
    static const struct refusal list[] = {
        {{"", "use_sliding_window", "true"}, DLM_ERR_UNSUPPORTED, "use_sliding_window"},
        {{"", "attention_dropout", "0.1"}, DLM_ERR_UNSUPPORTED, "attention_dropout"},
        {{"", "quantization_config", "{}"}, DLM_ERR_UNSUPPORTED, "quantization_config"},
        {{"", "layer_types", "[\"full_attention\", \"sliding_attention\"]"}, DLM_ERR_UNSUPPORTED,
         "'sliding_attention'"},
        {{"", "head_dim", "20"}, DLM_ERR_UNSUPPORTED, "head_dim"},
        {{"", "hidden_act", "\"relu\""}, DLM_ERR_UNSUPPORTED, "hidden_act"},
        {{"", "num_attention_heads", "3"}, DLM_ERR_PARSE, "impossible heads"},
        {{"", "num_key_value_heads", "3"}, DLM_ERR_PARSE, "impossible heads"},
        {{"", "rope_scaling", "{\"type\": \"yarn\", \"mrope_section\": [1, 3, 4]}"},
         DLM_ERR_UNSUPPORTED, "'yarn'"},
        {{"", "rope_scaling", "{\"type\": \"mrope\", \"mrope_section\": [1, 3, 5]}"},
         DLM_ERR_PARSE, "mrope_section"},
        {{"", "rope_scaling", "{\"type\": \"mrope\", \"mrope_section\": [4, 4]}"}, DLM_ERR_PARSE,
         "mrope_section"},
        {{"", "rope_scaling", "{\"type\": \"mrope\"}"}, DLM_ERR_PARSE, "mrope_section"},
        {{"", "rope_theta", "0"}, DLM_ERR_PARSE, "rope_theta"},
        {{"", "image_token_id", "100000"}, DLM_ERR_PARSE, "image_token_id"},
        {{"", "image_token_id", NULL}, DLM_ERR_PARSE, "image_token_id"},
        {{"", "eos_token_id", "100000"}, DLM_ERR_PARSE, "eos_token_id"},
        {{VISION, "in_channels", "1"}, DLM_ERR_UNSUPPORTED, "in_channels"},
        {{VISION, "in_chans", "4"}, DLM_ERR_UNSUPPORTED, "in_chans"},
        {{VISION, "hidden_act", "\"relu\""}, DLM_ERR_UNSUPPORTED, "hidden_act"},
        {{VISION, "rope_parameters", "{\"rope_type\": \"linear\"}"}, DLM_ERR_UNSUPPORTED,
         "rope_type"},
        {{VISION, "num_heads", "5"}, DLM_ERR_PARSE, "impossible heads"},
        {{VISION, "hidden_size", "24"}, DLM_ERR_PARSE, "not the decoder's 32"},
        {{VISION, "patch_size", "14"}, DLM_ERR_INVALID, "patches of 7 x 7"},
        {{VISION, "spatial_merge_size", "1"}, DLM_ERR_INVALID, "not the tower's 7, 2, 1"},
        {{VISION, "temporal_patch_size", "1"}, DLM_ERR_INVALID, "not the tower's 7, 1, 2"},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++)
        check_refused(ctx, &list[i]);
}

static void test_accepted(void)
{
    static const struct change list[] = {
        {"", "sliding_window", "4096"}, /* of which use_sliding_window: false makes nothing */
        {"", "layer_types", "[\"full_attention\", \"full_attention\"]"},
        {"", "head_dim", "16"},
        {"", "rope_scaling", "{\"rope_type\": \"default\", \"mrope_section\": [1, 3, 4]}"},
        {VISION, "hidden_act", "\"gelu\""},
        {VISION, "rope_parameters", "{\"rope_type\": \"axial\", \"rope_theta\": 5000.0}"},
        {VISION, "model_type", "\"qwen2_vl\""},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++)
        check_accepted(ctx, &list[i]);
}

/* Names of before transformers 4.52, which PEFT itself no longer reads for this family. */
static const struct dlm_name_rule old_names[] = {{"model.language_model.layers", "model.layers"},
                                                 {"model.visual", "visual"}};

/* --- shapes --- */

/* As many numbers as the hub's checkpoints have, which make_qwen2_vl_goldens.py counts. */
static void test_shapes(void)
{
    static const struct {
        const char *name;
        int64_t numbers;
    } list[] = {{"qwen2-vl-2b", 2208985600}, {"qwen2-vl-7b", 8291375616}};
    const struct dlm_device_params params = {
        .kind = DLM_BACKEND_CPU, .index = -1, .is_null = true};
    struct dlm_device *device = NULL;

    check_case("shapes");
    CHECK(!dlm_device_open(ctx, &device, &params));
    for (size_t i = 0; device && i < DLM_ARRAY_LEN(list); i++) {
        struct dlm_model *m = NULL;
        int64_t numbers = 0;
        if (CHECK(!dlm_model_open_shape(ctx, &m, device, list[i].name, 0, DLM_DTYPE_BF16, NULL)))
            for (size_t k = 0; k < m->weights->num; k++)
                numbers += m->weights->list[k]->rows * m->weights->list[k]->cols;
        CHECK_INT(numbers, list[i].numbers);
        dlm_model_destroy(&m);
    }
    dlm_device_destroy(&device);
}

int main(void)
{
    tmp_make();
    case_name = "qwen2_vl_f32_old";
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = quiet});
    check_case("set up");
    if (CHECK(ctx)) {
        copy_processor(ctx);
        test_positions();
        test_odd_positions();
        test_refused();
        test_accepted();
        test_shapes();
        check_old_adapter(ctx, &dlm_family_qwen2_vl.names, old_names, DLM_ARRAY_LEN(old_names));
    }
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
