/* What is Qwen2-VL's own and no case shows whole: positions of several images of any grid, against
 * transformers (tools/dev/make_qwen2_vl_goldens.py); what its config.json may ask for. */
#include "base/json.h"
#include "models/model.h"
#include "models_test.h"

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

struct change {
    const char *where, *key, *value; /* value NULL: the member goes */
};

/* The case's config.json with a member of the object at `where` ("" the whole) changed. */
static enum dlm_status open_changed(const struct change *c, struct dlm_model **m)
{
    json_t *config = json_load_file(case_path("base/config.json"), 0, NULL);
    json_t *object = *c->where ? json_object_get(config, c->where) : config;

    if (c->value)
        CHECK(!json_object_set_new(object, c->key, json_loads(c->value, JSON_DECODE_ANY, NULL)));
    else
        CHECK(!json_object_del(object, c->key));
    CHECK(!dlm_json_replace(ctx, tmp_path("base/config.json"), config));
    json_decref(config);
    return dlm_model_read_folder(ctx, m, tmp_path("base"));
}

static void quiet(void *user, enum dlm_log_level level, const char *text)
{
    (void)user, (void)level, (void)text;
}

static void copy_base(void)
{
    CHECK(!dlm_dir_make(ctx, tmp_path("base")));
    copy_file(case_path("base/preprocessor_config.json"),
              tmp_path("base/preprocessor_config.json"));
}

#define VISION "vision_config"

static void test_refused(void)
{
    static const struct {
        struct change change;
        enum dlm_status status;
        const char *part; /* of the message */
    } list[] = {
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

    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++) {
        struct dlm_model *m = NULL;
        check_case(list[i].part);
        CHECK_INT(open_changed(&list[i].change, &m), list[i].status);
        const char *error = dlm_ctx_last_error(ctx);
        if (!CHECK(strstr(error, list[i].part) && strstr(error, "base/config.json'")))
            printf("     %s = %s: %s\n", list[i].change.key, list[i].change.value, error);
        dlm_model_destroy(&m);
    }
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

    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++) {
        struct dlm_model *m = NULL;
        check_case(list[i].key);
        CHECK_INT(open_changed(&list[i], &m), DLM_OK);
        dlm_model_destroy(&m);
    }
}

/* --- adapters --- */

#define MAX_TENSORS 128

/* Writes the case's adapter with the names of before transformers 4.52, which PEFT itself no longer
 * reads for this family. */
static void write_old_adapter(const char *dir)
{
    static const char *const rules[][2] = {{"model.language_model.layers", "model.layers"},
                                           {"model.visual", "visual"}};
    struct dlm_tensor_out out[MAX_TENSORS];
    struct dlm_checkpoint *file = NULL;
    char names[MAX_TENSORS][256], path[1400];
    size_t num = 0;

    snprintf(path, sizeof(path), "%s/adapter_config.json", dir);
    CHECK(!dlm_dir_make(ctx, dir));
    copy_file(case_path("adapter_wide/adapter_config.json"), path);
    if (CHECK(!dlm_checkpoint_open(ctx, &file,
                                   case_path("adapter_wide/adapter_model.safetensors"))))
        num = dlm_checkpoint_num_tensors(file);
    CHECK(num > 8 && num <= MAX_TENSORS);
    for (size_t i = 0; i < num && i < MAX_TENSORS; i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(file, i);
        for (size_t k = 0; k < DLM_ARRAY_LEN(rules); k++) {
            const char *at = strstr(t->name, rules[k][0]);
            if (at)
                snprintf(names[i], sizeof(names[i]), "%.*s%s%s", (int)(at - t->name), t->name,
                         rules[k][1], at + strlen(rules[k][0]));
        }
        out[i] = (struct dlm_tensor_out){.name = names[i], .dtype = t->dtype, .ndim = t->ndim,
                                         .data = t->data, .bytes = t->bytes};
        memcpy(out[i].shape, t->shape, sizeof(out[i].shape));
    }
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", dir);
    CHECK(!dlm_safetensors_write(ctx, path, out, num, NULL, 0));
    dlm_checkpoint_destroy(&file);
}

static void test_old_adapter(void)
{
    const struct dlm_name_map *names = &dlm_family_qwen2_vl.names;
    struct dlm_adapter *old = NULL, *now = NULL;

    check_case("an adapter with older names");
    write_old_adapter(tmp_path("old"));
    if (CHECK(!dlm_adapter_open(ctx, &now, case_path("adapter_wide"), names)) &&
        CHECK(!dlm_adapter_open(ctx, &old, tmp_path("old"), names)) &&
        CHECK_INT(old->num_modules, now->num_modules)) {
        for (size_t i = 0; i < now->num_modules; i++) {
            const struct dlm_adapter_module *a = &old->modules[i], *b = &now->modules[i];
            CHECK_STR(a->path, b->path);
            CHECK(a->alpha == b->alpha && a->a->bytes == b->a->bytes &&
                  !memcmp(a->a->data, b->a->data, b->a->bytes) &&
                  !memcmp(a->b->data, b->b->data, b->b->bytes));
        }
    }
    dlm_adapter_destroy(&old);
    dlm_adapter_destroy(&now);
}

int main(void)
{
    tmp_make();
    case_name = "qwen2_vl_f32_old";
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = quiet});
    check_case("set up");
    if (CHECK(ctx)) {
        copy_base();
        test_positions();
        test_odd_positions();
        test_refused();
        test_accepted();
        test_old_adapter();
    }
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
