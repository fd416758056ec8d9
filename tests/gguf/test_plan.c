/* Weights as llama.cpp's converter has them: names, types, shapes and bytes of two families'
 * tensors. */
#include "export/gguf_plan.h"

#include <jansson.h>

#include "base/json.h"
#include "base/sha256.h"
#include "export/gguf_values.h"
#include "gguf/blocks.h"
#include "models/model.h"
#include "tests/gguf/names.h"
#include "weights/checkpoint.h"

static struct dlm_ctx *ctx;

struct base {
    const char *folder;
    const struct dlm_family *family;
    int64_t heads, kv_heads, tower_heads, row;
    bool is_tied;
};
static const struct base bases[] = {
    {"qwen2_vl_f32_old", &dlm_family_qwen2_vl, 2, 1, 2, -1, true},
    {"mistral3_f32_old", &dlm_family_mistral3, 4, 2, 2, 12, false},
};

/* A base's weights, all f32, with their canonical names. */
struct weights {
    struct dlm_checkpoint *c;
    struct dlm_gguf_weight *items; /* in the order of c */
    size_t num;
};

static bool open_weights(struct weights *w, const struct base *b)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/golden/models/%s/base", check_data_dir(), b->folder);
    *w = (struct weights){0};
    if (!CHECK(!dlm_checkpoint_open(ctx, &w->c, path)))
        return false;
    w->num = dlm_checkpoint_num_tensors(w->c);
    w->items = calloc(w->num, sizeof(*w->items));
    for (size_t i = 0; i < w->num; i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(w->c, i);
        w->items[i].name = dlm_name_canonical(ctx, &b->family->names, t->name);
        w->items[i].ndim = t->ndim;
        memcpy(w->items[i].shape, t->shape, sizeof(t->shape));
        CHECK(w->items[i].name && t->dtype == DLM_DTYPE_F32);
    }
    return true;
}

static void close_weights(struct weights *w)
{
    for (size_t i = 0; i < w->num; i++)
        dlm_free((char *)w->items[i].name); /* ours, const for the plan only */
    free(w->items);
    dlm_checkpoint_destroy(&w->c);
}

/* The first 16 digits of the hash of a tensor's bytes in a type. */
static void hash_tensor(const struct weights *w, const struct dlm_gguf_planned *t,
                        enum dlm_ggml_type type, char out[17])
{
    const uint8_t *source = dlm_checkpoint_tensor(w->c, t->weight)->data;
    const size_t row_bytes = (size_t)t->cols * sizeof(float);
    float *x = malloc((size_t)t->rows * row_bytes);
    size_t bytes = 0;
    char sha[65];

    for (int64_t r = 0; r < t->rows; r++)
        memcpy(x + r * t->cols, source + (size_t)dlm_gguf_source_row(t, r) * row_bytes, row_bytes);
    CHECK(dlm_ggml_type_bytes(type, t->ne[0], t->rows * t->cols / t->ne[0], &bytes));
    uint8_t *data = malloc(bytes);
    CHECK(dlm_ggml_quantize(type, x, t->rows * t->cols, data));
    dlm_sha256_of(data, bytes, sha);
    snprintf(out, 17, "%.16s", sha);
    free(data);
    free(x);
}

static void check_file(const struct base *b, const struct weights *w, const json_t *want,
                       bool is_text, enum dlm_gguf_quant quant)
{
    const struct dlm_gguf_family *f = b->family->gguf;
    const struct dlm_gguf_mixture mixture = {quant, 2, b->is_tied};
    const struct dlm_gguf_plan_params params = {
        .rules = is_text ? f->text : f->vision, .language = b->family->language,
        .head = f->head, .weights = w->items, .num_weights = w->num,
        .heads = is_text ? b->heads : b->tower_heads, .kv_heads = b->kv_heads,
        .keeps_heads = is_text && !f->interleaves_heads, .is_tied = b->is_tied, .row = b->row};
    struct dlm_gguf_plan plan;
    char sha[17];

    CHECK(!dlm_gguf_plan_make(ctx, &plan, &params));
    CHECK_INT(plan.num, json_object_size(want));
    for (size_t i = 0; i < plan.num; i++) {
        const struct dlm_gguf_planned *t = &plan.tensors[i];
        const json_t *entry = json_object_get(want, t->name), *ne = json_array_get(entry, 1);
        const enum dlm_ggml_type type =
            is_text ? dlm_gguf_mixture_type(&mixture, t->name, t->ndim, t->ne)
                    : dlm_gguf_mmproj_type(quant, t->name, t->ndim, t->ne);
        if (!CHECK(entry)) {
            printf("     %s\n", t->name);
            continue;
        }
        check_case(t->name);
        CHECK_STR(dlm_ggml_type_name(type), json_string_value(json_array_get(entry, 0)));
        CHECK_INT(t->ndim, json_array_size(ne));
        for (int d = 0; d < t->ndim; d++)
            CHECK_INT(t->ne[d], json_integer_value(json_array_get(ne, (size_t)d)));
        hash_tensor(w, t, type, sha);
        CHECK_STR(sha, json_string_value(json_array_get(entry, 2)));
    }
    dlm_gguf_plan_finish(&plan);
}

static enum dlm_status append(struct dlm_ctx *c, void *user, const void *data, size_t bytes)
{
    return dlm_str_append(c, user, data, bytes);
}

/* The values of a file, written and read again. */
static struct dlm_gguf *make_values(const struct dlm_gguf_about *about, bool is_text,
                                    struct dlm_str *bytes)
{
    struct dlm_gguf_writer *w = NULL;
    struct dlm_gguf *g = NULL;

    CHECK(!dlm_gguf_writer_create(ctx, &w, "values"));
    CHECK(!(is_text ? dlm_gguf_put_text_values(ctx, w, about)
                    : dlm_gguf_put_vision_values(ctx, w, about)));
    CHECK(!dlm_gguf_writer_begin(ctx, w, append, bytes));
    CHECK(!dlm_gguf_writer_end(ctx, w));
    dlm_gguf_writer_destroy(&w);
    CHECK(!dlm_gguf_open_memory(ctx, &g, "values", bytes->data, bytes->len));
    return g;
}

/* An element as the golden file has it. */
static void check_element(const struct dlm_gguf *g, const struct dlm_gguf_value *v, size_t i,
                          const json_t *want)
{
    struct dlm_gguf_text text;
    double x = 0;
    int64_t n = 0;

    if (v->element == DLM_GGUF_KIND_STRING) {
        CHECK(!dlm_gguf_get_string(ctx, g, v->key, &text));
        CHECK(text.len == json_string_length(want) &&
              !memcmp(text.data, json_string_value(want), text.len));
    } else if (v->element == DLM_GGUF_KIND_BOOL) {
        CHECK_INT(v->data[i], json_is_true(want));
    } else if (dlm_gguf_value_number(v, i, &x)) {
        CHECK(x == json_number_value(want));
    } else {
        CHECK(dlm_gguf_value_int(v, i, &n));
        CHECK_INT(n, json_integer_value(want));
    }
}

/* What a kind is called by gguf's Python package. */
static const char *python_name(enum dlm_gguf_kind kind)
{
    return kind == DLM_GGUF_KIND_U32      ? "UINT32"
           : kind == DLM_GGUF_KIND_I32    ? "INT32"
           : kind == DLM_GGUF_KIND_F32    ? "FLOAT32"
           : kind == DLM_GGUF_KIND_BOOL   ? "BOOL"
           : kind == DLM_GGUF_KIND_STRING ? "STRING"
                                          : "?";
}

/* What the converter leaves out: bounds of an image's area that are no file's usual ones. */
static size_t check_bounds(const struct dlm_gguf *g, const struct dlm_processor *p)
{
    static const char *const keys[] = {"clip.vision.image_min_pixels",
                                       "clip.vision.image_max_pixels"};
    const bool has_them = p && p->size_rule == DLM_SIZE_AREA && p->max_pixels != 28 * 28 * 1280;
    int64_t n = 0;

    for (size_t i = 0; i < DLM_ARRAY_LEN(keys); i++) {
        check_case(keys[i]);
        if (CHECK(!dlm_gguf_find_value(g, keys[i]) == !has_them) && has_them) {
            CHECK(!dlm_gguf_get_int(ctx, g, keys[i], 1, UINT32_MAX, &n));
            CHECK_INT(n, i ? p->max_pixels : p->min_pixels);
        }
    }
    return has_them ? DLM_ARRAY_LEN(keys) : 0;
}

/* All values but the tokenizer's, and what the converter says of the folder. p: of the tower's
 * file, else NULL. */
static void check_values(const struct dlm_gguf *g, const json_t *want,
                         const struct dlm_processor *p)
{
    const char *key;
    json_t *entry;
    char kind[32];
    size_t num = 0;

    json_object_foreach((json_t *)want, key, entry) {
        const json_t *content = json_array_get(entry, 1);
        if (!strncmp(key, "tokenizer.", 10) || !strcmp(key, "general.name") ||
            !strcmp(key, "general.size_label"))
            continue;
        check_case(key);
        const struct dlm_gguf_value *v = dlm_gguf_find_value(g, key);
        num++;
        if (!CHECK(v))
            continue;
        const bool is_array = v->kind == DLM_GGUF_KIND_ARRAY;
        snprintf(kind, sizeof(kind), "%s%s", is_array ? "ARRAY/" : "", python_name(v->element));
        CHECK_STR(kind, json_string_value(json_array_get(entry, 0)));
        CHECK_INT(v->len, is_array ? json_array_size(content) : 1);
        for (size_t i = 0; i < v->len; i++)
            check_element(g, v, i, is_array ? json_array_get(content, i) : content);
    }
    num += check_bounds(g, p);
    check_case("no other values");
    CHECK_INT(dlm_gguf_num_values(g), num);
}

static void test_values(const json_t *golden)
{
    char path[512], file[600];

    for (size_t i = 0; i < DLM_ARRAY_LEN(bases); i++) {
        const json_t *files = json_object_get(golden, bases[i].folder);
        struct dlm_model *model = NULL;
        json_t *config = NULL;
        snprintf(path, sizeof(path), "%s/golden/models/%s/base", check_data_dir(), bases[i].folder);
        snprintf(file, sizeof(file), "%s/config.json", path);
        check_case(bases[i].folder);
        if (CHECK(!dlm_model_read_folder(ctx, &model, path)) &&
            CHECK(!dlm_json_load(ctx, file, 1 << 20, &config)))
            for (int k = 0; k < 3; k++) { /* the tower, then both with the usual bounds */
                const bool is_text = k == 2;
                if (k)
                    model->processor = *model->family->processor;
                const struct dlm_gguf_about about = {.model = model, .config = config,
                                                     .path = file, .quant = DLM_GGUF_QUANT_F32};
                const char *key = is_text ? "text_f32" : "mmproj_f32";
                struct dlm_str bytes = {0};
                struct dlm_gguf *g = make_values(&about, is_text, &bytes);
                if (CHECK(g))
                    check_values(g, json_object_get(json_object_get(files, key), "values"),
                                 is_text ? NULL : &model->processor);
                dlm_gguf_destroy(&g);
                dlm_str_finish(&bytes);
            }
        json_decref(config);
        dlm_model_destroy(&model);
    }
}

/* The tower's activation: tools/mtmd/clip.cpp takes the sigmoid of 1.702 x without either key. */
static void test_activation(void)
{
    static const struct {
        const char *act;
        bool has_gelu, has_silu;
    } rows[] = {{"quick_gelu", false, false}, {"silu", false, true}, {"gelu", true, false},
                {"gelu_pytorch_tanh", true, false}};
    char path[512], file[600];
    struct dlm_model *model = NULL;
    json_t *config = NULL;

    snprintf(path, sizeof(path), "%s/golden/models/%s/base", check_data_dir(), bases[0].folder);
    snprintf(file, sizeof(file), "%s/config.json", path);
    if (CHECK(!dlm_model_read_folder(ctx, &model, path)) &&
        CHECK(!dlm_json_load(ctx, file, 1 << 20, &config)))
        for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
            const struct dlm_gguf_about about = {.model = model, .config = config, .path = file,
                                                 .quant = DLM_GGUF_QUANT_F32};
            struct dlm_str bytes = {0};
            bool flag;
            check_case(rows[i].act);
            json_object_set_new(json_object_get(config, "vision_config"), "hidden_act",
                                json_string(rows[i].act));
            struct dlm_gguf *g = make_values(&about, false, &bytes);
            if (CHECK(g)) {
                flag = false;
                if (dlm_gguf_find_value(g, "clip.use_gelu"))
                    CHECK(!dlm_gguf_get_bool(ctx, g, "clip.use_gelu", &flag));
                CHECK_INT(flag, rows[i].has_gelu);
                flag = false;
                if (dlm_gguf_find_value(g, "clip.use_silu"))
                    CHECK(!dlm_gguf_get_bool(ctx, g, "clip.use_silu", &flag));
                CHECK_INT(flag, rows[i].has_silu);
            }
            dlm_gguf_destroy(&g);
            dlm_str_finish(&bytes);
        }
    json_decref(config);
    dlm_model_destroy(&model);
}

static void test_bases(const json_t *golden)
{
    static const enum dlm_gguf_quant quants[] = {DLM_GGUF_QUANT_F32, DLM_GGUF_QUANT_F16,
                                                 DLM_GGUF_QUANT_Q8_0};
    struct weights w;
    char key[32];

    for (size_t i = 0; i < DLM_ARRAY_LEN(bases); i++) {
        const json_t *files = json_object_get(golden, bases[i].folder);
        if (!open_weights(&w, &bases[i]))
            continue;
        for (size_t q = 0; q < DLM_ARRAY_LEN(quants); q++)
            for (int is_text = 0; is_text < 2; is_text++) {
                snprintf(key, sizeof(key), "%s_%s", is_text ? "text" : "mmproj",
                         dlm_gguf_quant_name(quants[q]));
                check_case(key);
                const json_t *file = json_object_get(files, key);
                check_file(&bases[i], &w, json_object_get(file, "tensors"), is_text, quants[q]);
            }
        close_weights(&w);
    }
    check_case("a family that llama.cpp does not know");
    CHECK(dlm_family_paligemma.gguf && dlm_family_paligemma.gguf->is_own);
    CHECK(!dlm_family_qwen2_vl.gguf->is_own && !dlm_family_mistral3.gguf->is_own);
}

static void test_bad_shapes(void)
{
    static const struct dlm_gguf_rule rules[] = {
        {"q", "q", DLM_GGUF_MOVE_HEADS, 0},
        {"part", "part", DLM_GGUF_MOVE_PART, 2},
        {"frame", "frame", DLM_GGUF_MOVE_FRAME, 1},
        {"row", "row", DLM_GGUF_MOVE_ROW, 0},
        {"many", "many", DLM_GGUF_MOVE_NONE, 0},
    };
    static const struct dlm_gguf_rules all = {rules, DLM_ARRAY_LEN(rules)};
    static const struct dlm_gguf_weight bad[] = {
        {"q", 2, {10, 4}},   {"part", 2, {10, 4}}, {"frame", 5, {2, 3, 1, 4, 4}},
        {"frame", 2, {2, 3}}, {"row", 2, {12, 4}},  {"row", 1, {20}},
        {"many", 5, {1, 1, 1, 1, 1}}, {"many", 0, {0}},
    };
    struct dlm_gguf_plan plan;

    check_case("shapes that a rule cannot take");
    for (size_t i = 0; i < DLM_ARRAY_LEN(bad); i++) {
        const struct dlm_gguf_plan_params params = {.rules = &all, .weights = &bad[i],
                                                    .num_weights = 1, .heads = 2, .row = 12};
        CHECK_INT(dlm_gguf_plan_make(ctx, &plan, &params), DLM_ERR_UNSUPPORTED);
        CHECK(strstr(dlm_ctx_last_error(ctx), "has a shape that GGUF has no form for"));
        CHECK(!plan.num && !plan.tensors);
    }
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    json_t *golden = load_names(ctx);
    if (golden) {
        test_bases(golden);
        test_values(golden);
    }
    json_decref(golden);
    test_activation();
    test_bad_shapes();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
