/* Weights that bitsandbytes saved in 4 bits: their parts put together, and each form and fault that
 * is refused by name. That the values are bitsandbytes' own is tested with whole models
 * (golden/models/qwen2_vl_bnb) and on blocks (base/test_quant.c). */
#include "weights/bnb.h"

#include "base/json.h"
#include "helpers.h"

#define ROWS 4
#define COLS 64 /* a block a row */

static struct dlm_ctx *ctx;

/* What is in the file; all zero is NF4 in whole, with f32 scales. */
struct form {
    const char *state;      /* the JSON text; NULL: as state_text */
    const char *state_name; /* NULL: nf4 */
    const char *type;       /* of the codes; NULL: U8 */
    const char *absent;     /* the part that is not there */
    const char *is_short;   /* the part that is a byte shorter */
    bool is_double;
    float absmax, nested, code15, map0; /* of the scales and tables; NaN must be told from 0: */
    bool sets_absmax, sets_nested;
};

static const char state_text[] =
    "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": [4, 64]}";
static const char double_text[] =
    "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": [4, 64], "
    "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": 0.5}";

/* A safetensors file as it grows. */
struct file {
    uint8_t bytes[1 << 13], data[1 << 13];
    char header[1 << 11];
    size_t header_len, data_len, len;
};

static void add(struct file *f, const struct form *form, const char *part, const char *type,
                const void *data, size_t bytes)
{
    const int elem = !strcmp(type, "F32") ? 4 : 1;

    if (form->absent && !strcmp(form->absent, part))
        return;
    if (form->is_short && !strcmp(form->is_short, part))
        bytes -= (size_t)elem;
    f->header_len += (size_t)snprintf(
        f->header + f->header_len, sizeof(f->header) - f->header_len,
        "%s\"w%s\": {\"dtype\": \"%s\", \"shape\": [%zu], \"data_offsets\": [%zu, %zu]}",
        f->header_len ? ", " : "{", part, type, bytes / (size_t)elem, f->data_len,
        f->data_len + bytes);
    memcpy(f->data + f->data_len, data, bytes);
    f->data_len += bytes;
}

static void finish(struct file *f)
{
    f->header_len += (size_t)snprintf(f->header + f->header_len,
                                      sizeof(f->header) - f->header_len, "}");
    while (f->header_len % 8)
        f->header[f->header_len++] = ' ';
    const uint64_t len = f->header_len;
    memcpy(f->bytes, &len, sizeof(len)); /* of a machine as the file is: least byte first */
    memcpy(f->bytes + 8, f->header, f->header_len);
    memcpy(f->bytes + 8 + f->header_len, f->data, f->data_len);
    f->len = 8 + f->header_len + f->data_len;
}

static void make_file(const struct form *form, struct file *f)
{
    const char *state = form->state ? form->state : form->is_double ? double_text : state_text;
    uint8_t codes[ROWS * COLS / 2], doubled[ROWS];
    float absmax[ROWS], table[16], map[256], nested = 2;
    char name[64];

    memset(f, 0, sizeof(*f));
    for (size_t i = 0; i < sizeof(codes); i++)
        codes[i] = (uint8_t)(37 * i);
    for (unsigned i = 0; i < 16; i++)
        table[i] = dlm_nf4_value(i);
    for (unsigned i = 0; i < 256; i++)
        map[i] = dlm_dynamic_map(i);
    for (int i = 0; i < ROWS; i++) {
        absmax[i] = (float)i;
        doubled[i] = (uint8_t)(60 * i);
    }
    table[15] += form->code15;
    map[0] += form->map0;
    if (form->sets_absmax)
        absmax[2] = form->absmax;
    if (form->sets_nested)
        nested = form->nested;
    snprintf(name, sizeof(name), ".quant_state.bitsandbytes__%s",
             form->state_name ? form->state_name : "nf4");
    if (form->is_double) {
        add(f, form, ".absmax", "U8", doubled, sizeof(doubled));
        add(f, form, ".nested_absmax", "F32", &nested, sizeof(nested));
        add(f, form, ".nested_quant_map", "F32", map, sizeof(map));
    } else {
        add(f, form, ".absmax", "F32", absmax, sizeof(absmax));
    }
    add(f, form, ".quant_map", "F32", table, sizeof(table));
    add(f, form, name, "U8", state, strlen(state));
    add(f, form, "", form->type ? form->type : "U8", codes, sizeof(codes));
    finish(f);
}

/* Opens the weight "w" of the file. */
static enum dlm_status open_form(const struct form *form, struct file *f,
                                 struct dlm_checkpoint **ckpt, struct dlm_bnb_weight **w)
{
    make_file(form, f);
    *w = NULL;
    if (!CHECK(!dlm_checkpoint_open_memory(ctx, ckpt, "file", f->bytes, f->len)))
        return DLM_ERR_IO;
    return dlm_bnb_open(ctx, *ckpt, dlm_checkpoint_find(*ckpt, "w"), w);
}

static void check_good(bool is_double)
{
    const struct form form = {.is_double = is_double};
    struct dlm_checkpoint *ckpt = NULL;
    struct dlm_bnb_weight *w = NULL;
    static struct file f;
    float got[COLS];

    check_case(is_double ? "double quantised" : "scales in f32");
    if (!CHECK_INT(open_form(&form, &f, &ckpt, &w), DLM_OK) || !CHECK(w))
        goto done;
    CHECK_INT(w->rows, ROWS);
    CHECK_INT(w->cols, COLS);
    CHECK_INT(w->view.dtype, is_double ? DLM_DTYPE_NF4_DQ : DLM_DTYPE_NF4);
    for (int r = 0; r < ROWS; r++) {
        const float scale =
            is_double ? dlm_dynamic_map((unsigned)(60 * r)) * 2 + 0.5f : (float)r;
        dlm_quant_view_to_f32(&w->view, r * COLS, COLS, got);
        for (int i = 0; i < COLS; i++) {
            const uint8_t two = (uint8_t)(37 * ((r * COLS + i) / 2));
            CHECK(got[i] == dlm_nf4_value(i % 2 ? two & 15u : two >> 4u) * scale);
        }
    }
done:
    dlm_bnb_close(&w);
    dlm_checkpoint_destroy(&ckpt);
}

static const struct {
    const char *what;
    struct form form;
    enum dlm_status status;
    const char *error; /* behind file and tensor */
} faults[] = {
    {"FP4", {.state_name = "fp4"}, DLM_ERR_UNSUPPORTED, "it is in bitsandbytes' FP4"},
    {"8 bits", {.type = "I8"}, DLM_ERR_UNSUPPORTED, "it is in 8 bits (LLM.int8)"},
    {"FP4 under NF4's name",
     {.state = "{\"quant_type\": \"fp4\", \"blocksize\": 64, \"shape\": [4, 64]}"},
     DLM_ERR_UNSUPPORTED, "its quant_state asks for another form"},
    {"blocks of 128",
     {.state = "{\"quant_type\": \"nf4\", \"blocksize\": 128, \"shape\": [4, 64]}"},
     DLM_ERR_UNSUPPORTED, "its quant_state asks for another form"},
    {"no block size", {.state = "{\"quant_type\": \"nf4\", \"shape\": [4, 64]}"},
     DLM_ERR_UNSUPPORTED, "its quant_state asks for another form"},
    {"nested blocks of 128",
     {.is_double = true,
      .state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [4, 64], "
               "\"nested_blocksize\": 128, \"nested_offset\": 0.5}"},
     DLM_ERR_UNSUPPORTED, "its quant_state asks for another form"},
    {"another table", {.code15 = 0.01f}, DLM_ERR_UNSUPPORTED, "its quant_map is another"},
    {"scales of another quantiser", {.is_double = true, .map0 = 0.01f}, DLM_ERR_UNSUPPORTED,
     "its quant_map is another"},
    {"no scales", {.absent = ".absmax"}, DLM_ERR_PARSE, "its absmax does not go with its shape"},
    {"no nested scales", {.is_double = true, .absent = ".nested_absmax"}, DLM_ERR_PARSE,
     "its nested_absmax does not go with its shape"},
    {"no offset of the scales",
     {.is_double = true,
      .state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [4, 64]}"},
     DLM_ERR_PARSE, "its quant_state has no nested_offset"},
    {"no shape", {.state = "{\"quant_type\": \"nf4\", \"blocksize\": 64}"}, DLM_ERR_PARSE,
     "its quant_state has no shape of two dimensions"},
    {"a shape of one dimension",
     {.state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [256]}"}, DLM_ERR_PARSE,
     "its quant_state has no shape of two dimensions"},
    {"a negative shape",
     {.state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [-4, -64]}"},
     DLM_ERR_PARSE, "its quant_state has no shape of two dimensions"},
    {"another shape",
     {.state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [4, 128]}"},
     DLM_ERR_PARSE, "its codes do not go with its shape"},
    {"codes that end early", {.is_short = ""}, DLM_ERR_PARSE, "its codes do not go with its shape"},
    {"scales that end early", {.is_short = ".absmax"}, DLM_ERR_PARSE,
     "its absmax does not go with its shape"},
    {"double scales that end early", {.is_double = true, .is_short = ".absmax"}, DLM_ERR_PARSE,
     "its absmax does not go with its shape"},
    {"a table that ends early", {.is_short = ".quant_map"}, DLM_ERR_UNSUPPORTED,
     "its quant_map is another"},
    {"a scale that is NaN", {.sets_absmax = true, .absmax = NAN}, DLM_ERR_PARSE,
     "its absmax has numbers that are no scales"},
    {"a scale that is infinite", {.sets_absmax = true, .absmax = INFINITY}, DLM_ERR_PARSE,
     "its absmax has numbers that are no scales"},
    {"a negative scale", {.sets_absmax = true, .absmax = -1}, DLM_ERR_PARSE,
     "its absmax has numbers that are no scales"},
    {"a nested scale that is NaN", {.is_double = true, .sets_nested = true, .nested = NAN},
     DLM_ERR_PARSE, "its nested_absmax has numbers that are no scales"},
    {"a negative nested scale", {.is_double = true, .sets_nested = true, .nested = -1},
     DLM_ERR_PARSE, "its nested_absmax has numbers that are no scales"},
};

static void check_faults(void)
{
    static struct file f;

    for (size_t i = 0; i < DLM_ARRAY_LEN(faults); i++) {
        struct dlm_checkpoint *ckpt = NULL;
        struct dlm_bnb_weight *w = NULL;
        char want[256];

        check_case(faults[i].what);
        CHECK_INT(open_form(&faults[i].form, &f, &ckpt, &w), faults[i].status);
        CHECK(!w);
        snprintf(want, sizeof(want), "cannot read 'file': tensor 'w': %s", faults[i].error);
        CHECK_STR(dlm_ctx_last_error(ctx), want);
        dlm_bnb_close(&w);
        dlm_checkpoint_destroy(&ckpt);
    }
}

/* --- config.json --- */

static const struct {
    const char *what, *text, *error; /* error NULL: it is read */
} configs[] = {
    {"no quantisation", "{}", NULL},
    {"NF4",
     "{\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true, "
     "\"bnb_4bit_quant_type\": \"nf4\", \"bnb_4bit_quant_storage\": \"uint8\"}}", NULL},
    {"FP4",
     "{\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true, "
     "\"bnb_4bit_quant_type\": \"fp4\"}}", "asks for bitsandbytes, fp4: not supported"},
    {"8 bits",
     "{\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_8bit\": true, "
     "\"load_in_4bit\": false, \"bnb_4bit_quant_type\": \"nf4\"}}",
     "asks for bitsandbytes, nf4: not supported"},
    {"codes stored as another type",
     "{\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true, "
     "\"bnb_4bit_quant_type\": \"nf4\", \"bnb_4bit_quant_storage\": \"bfloat16\"}}",
     "not supported"},
    {"another method", "{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}}",
     "asks for gptq: not supported"},
};

static void check_configs(void)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(configs); i++) {
        json_t *json = NULL;

        check_case(configs[i].what);
        if (!CHECK(!dlm_json_parse(ctx, "config.json", configs[i].text, strlen(configs[i].text),
                                   &json)))
            continue;
        const enum dlm_status st = dlm_bnb_check_config(ctx, json, "config.json");
        CHECK_INT(st, configs[i].error ? DLM_ERR_UNSUPPORTED : DLM_OK);
        if (configs[i].error && !CHECK(strstr(dlm_ctx_last_error(ctx), configs[i].error)))
            printf("     %s\n", dlm_ctx_last_error(ctx));
        json_decref(json);
    }
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    check_good(false);
    check_good(true);
    check_faults();
    check_configs();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
