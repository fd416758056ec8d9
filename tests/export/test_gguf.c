/* GGUF files of a base and an adapter: PEFT's merged weights, as llama.cpp has them, in little
 * memory. Hashes are those of golden/export/merged.json and golden/gguf/names.json; that names and
 * rows are llama.cpp's is for tests/gguf/test_plan.c. */
#include <fcntl.h>
#include <jansson.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "export/gguf_file.h"
#include "gguf/blocks.h"
#include "tests/export/jobs.h"
#include "weights/helpers.h"

static struct dlm_ctx *ctx;

static const char *golden(const char *name)
{
    static char buffers[4][512];
    static unsigned next;
    char *p = buffers[next++ % 4];

    snprintf(p, sizeof(buffers[0]), "%s/golden/%s", check_data_dir(), name);
    return p;
}

/* Writes GGUF of a golden's base and one of its adapters to tmp_root/<word>. */
static enum dlm_status export_gguf(struct dlm_ctx *with, const char *base_dir, const char *adapter,
                                   enum dlm_gguf_quant quant, struct dlm_export_result *result)
{
    const struct dlm_export_job job = {.adapter = adapter,
                                       .is_gguf = true,
                                       .quant = quant,
                                       .to = {.path = tmp_path(dlm_gguf_quant_name(quant))}};

    return export_folder(with, base_dir, job, dlm_export_gguf, result);
}

static struct dlm_gguf *open_file(const char *name)
{
    struct dlm_gguf *g = NULL;

    CHECK(!dlm_gguf_open(ctx, &g, tmp_path(name)));
    return g;
}

/* --- values --- */

struct subject {
    const char *folder, *adapter;
    const struct dlm_family *family;
    int64_t heads, kv_heads, tower_heads, row;
    bool is_tied;
};
static const struct subject subjects[] = {
    {"qwen2_vl_f32_old", "adapter_wide", &dlm_family_qwen2_vl, 2, 1, 2, -1, true},
    {"mistral3_f32_old", "adapter", &dlm_family_mistral3, 4, 2, 2, 12, false},
    {"f32_old", "adapter_wide", &dlm_family_paligemma, 4, 1, 4, -1, true},
};

/* A weight of the base, put together again from the tensors of the files. */
struct weight {
    const struct dlm_tensor_info *info;
    float *values;
    int64_t num_filled;
};

static void fill_weight(struct weight *w, const struct dlm_gguf_planned *p,
                        const struct dlm_gguf_tensor *t)
{
    for (int64_t r = 0; r < p->rows; r++)
        memcpy(w->values + dlm_gguf_source_row(p, r) * p->cols, t->data + (size_t)(r * p->cols) * 4,
               (size_t)p->cols * 4);
    w->num_filled += p->rows * p->cols;
}

static int64_t len_of(const struct dlm_tensor_info *t)
{
    return (int64_t)(t->bytes / sizeof(float));
}

/* Each tensor of a file is there; those of an f32 file go back into the weights. */
static void take_file(const struct subject *s, const struct dlm_gguf *g, bool is_text,
                      const struct dlm_gguf_weight *names, struct weight *weights, size_t num)
{
    const struct dlm_gguf_family *f = s->family->gguf;
    const struct dlm_gguf_plan_params params = {
        .rules = is_text ? f->text : f->vision, .language = s->family->language, .head = f->head,
        .weights = names, .num_weights = num, .heads = is_text ? s->heads : s->tower_heads,
        .kv_heads = is_text ? s->kv_heads : s->tower_heads,
        .keeps_heads = is_text && !f->interleaves_heads, .is_tied = s->is_tied, .row = s->row};
    struct dlm_gguf_plan plan;

    CHECK(!dlm_gguf_plan_make(ctx, &plan, &params));
    CHECK_INT(plan.num, dlm_gguf_num_tensors(g));
    for (size_t i = 0; i < plan.num; i++) {
        const struct dlm_gguf_tensor *t = dlm_gguf_find_tensor(g, plan.tensors[i].name);
        if (CHECK(t && t->type == DLM_GGML_TYPE_F32) &&
            plan.tensors[i].move != DLM_GGUF_MOVE_ROW)
            fill_weight(&weights[plan.tensors[i].weight], &plan.tensors[i], t);
    }
    dlm_gguf_plan_finish(&plan);
}

/* Every weight is whole, and PEFT's merged one or the base's. */
static void compare(const struct subject *s, const struct weight *weights, size_t num,
                    const json_t *merged)
{
    size_t num_merged = 0;
    char sha[65];

    for (size_t i = 0; i < num; i++) {
        const struct dlm_tensor_info *t = weights[i].info;
        const char *hash = json_string_value(json_object_get(merged, t->name));
        if (s->is_tied && strstr(t->name, "lm_head"))
            continue;
        check_case(t->name);
        CHECK_INT(weights[i].num_filled, len_of(t));
        dlm_sha256_of(hash ? (const void *)weights[i].values : t->data, t->bytes, sha);
        if (hash)
            CHECK_STR(sha, hash);
        else
            CHECK(!memcmp(weights[i].values, t->data, t->bytes));
        num_merged += hash != NULL;
    }
    check_case(s->folder);
    CHECK_INT(num_merged, json_object_size(merged));
}

/* f16 is f32 rounded, of matrices but positions; nothing else has another type. */
static void compare_f16(const char *name32, const char *name16)
{
    struct dlm_gguf *a = open_file(name32), *b = open_file(name16);
    uint16_t want[1 << 15];

    for (size_t i = 0; a && b && i < dlm_gguf_num_tensors(a); i++) {
        const struct dlm_gguf_tensor *t = dlm_gguf_tensor(a, i);
        const struct dlm_gguf_tensor *got = dlm_gguf_find_tensor(b, t->name);
        check_case(t->name);
        if (!CHECK(got && t->bytes / 4 <= DLM_ARRAY_LEN(want)))
            continue;
        const bool is_f32 = t->ndim == 1 || strstr(t->name, ".position_embd.");
        CHECK(got->type == (is_f32 ? DLM_GGML_TYPE_F32 : DLM_GGML_TYPE_F16));
        CHECK(dlm_ggml_quantize(got->type, (const float *)(const void *)t->data,
                                is_f32 ? 0 : (int64_t)(t->bytes / 4), want));
        CHECK(!memcmp(got->data, is_f32 ? (const void *)t->data : want, got->bytes));
    }
    dlm_gguf_destroy(&a);
    dlm_gguf_destroy(&b);
}

/* The base's files are in one of ours as they are. */
static void check_own_files(const struct dlm_gguf *g, const char *dir)
{
    static const char *const names[] = {"config.json", "generation_config.json",
                                        "preprocessor_config.json", "tokenizer.json",
                                        "tokenizer_config.json"};
    struct dlm_gguf_text got;
    char path[700], key[64];

    check_case("files of the base");
    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++) {
        struct dlm_str want = {0};
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        snprintf(key, sizeof(key), "dlm.file.%s", names[i]);
        CHECK(!dlm_file_read(ctx, path, 1 << 20, &want));
        CHECK(!dlm_gguf_get_string(ctx, g, key, &got) && got.len == want.len &&
              !memcmp(got.data, want.data, want.len));
        dlm_str_finish(&want);
    }
    CHECK(!dlm_gguf_find_value(g, "dlm.file.processor_config.json")); /* it has none */
}

static void test_subject(const struct subject *s, const json_t *merged)
{
    struct dlm_export_result result;
    struct dlm_checkpoint *base = NULL;
    char dir[600], adapter[600], name[128];

    check_case(s->folder);
    snprintf(name, sizeof(name), "models/%s/base", s->folder);
    snprintf(dir, sizeof(dir), "%s", golden(name));
    snprintf(name, sizeof(name), "models/%s/%s", s->folder, s->adapter);
    snprintf(adapter, sizeof(adapter), "%s", golden(name));
    for (int quant = DLM_GGUF_QUANT_F32; quant <= DLM_GGUF_QUANT_F16; quant++) {
        CHECK(!export_gguf(ctx, dir, adapter, (enum dlm_gguf_quant)quant, &result));
        CHECK_INT(result.num_files, s->family->gguf->is_own ? 4 : 5); /* without Modelfile */
        dlm_export_result_finish(&result);
    }
    if (!CHECK(!dlm_checkpoint_open(ctx, &base, dir)))
        return;
    const size_t num = dlm_checkpoint_num_tensors(base);
    struct weight *weights = calloc(num, sizeof(*weights));
    struct dlm_gguf_weight *names = calloc(num, sizeof(*names));
    for (size_t i = 0; i < num; i++) {
        weights[i].info = dlm_checkpoint_tensor(base, i);
        weights[i].values = calloc(1, weights[i].info->bytes);
        names[i].name = dlm_name_canonical(ctx, &s->family->names, weights[i].info->name);
        names[i].ndim = weights[i].info->ndim;
        memcpy(names[i].shape, weights[i].info->shape, sizeof(names[i].shape));
    }
    struct dlm_gguf *text = open_file("f32/base.F32.gguf");
    struct dlm_gguf *vision = open_file("f32/mmproj.F32.gguf");
    if (text && vision) {
        take_file(s, text, true, names, weights, num);
        take_file(s, vision, false, names, weights, num);
        compare(s, weights, num, merged);
    }
    if (text && s->family->gguf->is_own)
        check_own_files(text, dir);
    dlm_gguf_destroy(&text);
    dlm_gguf_destroy(&vision);
    compare_f16("f32/base.F32.gguf", "f16/base.F16.gguf");
    compare_f16("f32/mmproj.F32.gguf", "f16/mmproj.F16.gguf");
    for (size_t i = 0; i < num; i++) {
        free(weights[i].values);
        dlm_free((char *)names[i].name); /* ours, const for the plan only */
    }
    free(weights);
    free(names);
    dlm_checkpoint_destroy(&base);
}

static void test_values(void)
{
    json_t *goldens = NULL;
    char key[128];

    if (!CHECK(!dlm_json_load(ctx, golden("export/merged.json"), 1 << 20, &goldens)))
        return;
    for (size_t i = 0; i < DLM_ARRAY_LEN(subjects); i++) {
        snprintf(key, sizeof(key), "%s/%s", subjects[i].folder, subjects[i].adapter);
        test_subject(&subjects[i], json_object_get(goldens, key));
    }
    json_decref(goldens);
}

/* --- other kinds --- */

/* The types that llama-quantize chooses where rows are no whole blocks of 256: an embedding that is
 * the head as well has the head's. */
static void test_kinds(void)
{
    struct dlm_export_result result;
    struct dlm_gguf *g = NULL;

    check_case("q4_k_m");
    CHECK(!export_gguf(ctx, golden("models/qwen2_vl_f32_old/base"),
                       golden("models/qwen2_vl_f32_old/adapter"), DLM_GGUF_QUANT_Q4_K_M, &result));
    dlm_export_result_finish(&result);
    g = open_file("q4_k_m/base.Q4_K_M.gguf");
    if (!g)
        return;
    const struct dlm_gguf_tensor *embed = dlm_gguf_find_tensor(g, "token_embd.weight");
    const struct dlm_gguf_tensor *query = dlm_gguf_find_tensor(g, "blk.0.attn_q.weight");
    CHECK(embed && embed->type == DLM_GGML_TYPE_Q8_0);
    CHECK(query && query->type == DLM_GGML_TYPE_Q5_0);
    CHECK(!dlm_gguf_find_tensor(g, "output.weight"));
    dlm_gguf_destroy(&g);
}

/* --- a large base --- */

#define HEADS 4 /* of mistral3_f32_old */
#define ROWS 2000 /* a block is no two heads of them */
#define COLS 1100
#define RANK 3
#define EMBED_BYTES ((size_t)96 << 20)
#define PATH "model.language_model.layers.0.self_attn.q_proj"

static float weight[ROWS * COLS], lora_a[RANK * COLS], lora_b[ROWS * RANK];

static void fill(float *x, size_t len, uint64_t stream)
{
    for (size_t i = 0; i < len; i++)
        x[i] = (float)((i * 2654435761u + stream * 40503u) % 20011) / 10005.5f - 1;
}

/* The golden's folder with the matrix above, and an embedding of zeros that takes no room on the
 * disk. */
static void make_base(const char *dir)
{
    static const char *const files[] = {"config.json", "preprocessor_config.json",
                                        "processor_config.json", "tokenizer.json"};
    struct dlm_tensor_out tensors[] = {
        {.name = PATH ".weight", .dtype = DLM_DTYPE_F32, .ndim = 2, .shape = {ROWS, COLS},
         .data = weight, .bytes = sizeof(weight)},
        {.name = "model.language_model.embed_tokens.weight", .dtype = DLM_DTYPE_F32, .ndim = 2,
         .shape = {EMBED_BYTES / 128, 32}, .bytes = EMBED_BYTES},
    };
    struct dlm_str text = {0}, header = {0};
    char path[600];

    CHECK(!dlm_dir_make(ctx, dir));
    for (size_t i = 0; i < DLM_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", golden("models/mistral3_f32_old/base"), files[i]);
        CHECK(!dlm_file_read(ctx, path, 1 << 20, &text));
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        CHECK(!dlm_file_replace(ctx, path, text.data, text.len));
        dlm_str_finish(&text);
    }
    fill(weight, ROWS * COLS, 1);
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    CHECK(!dlm_safetensors_plan(ctx, path, tensors, 2, NULL, 0, &header));
    const bool is_first = !strcmp(tensors[0].name, PATH ".weight");
    const off_t at = (off_t)(header.len + (is_first ? 0 : EMBED_BYTES));
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(write(fd, header.data, header.len) == (ssize_t)header.len);
    CHECK(pwrite(fd, weight, sizeof(weight), at) == (ssize_t)sizeof(weight));
    CHECK(!ftruncate(fd, (off_t)(header.len + sizeof(weight) + EMBED_BYTES)));
    close(fd);
    dlm_str_finish(&header);
}

static void make_adapter(const char *dir)
{
    const struct dlm_adapter_write_params params = {.r = RANK, .alpha = 6};
    const struct dlm_adapter_out_module m = {.path = PATH, .in = COLS, .out = ROWS, .a = lora_a,
                                             .b = lora_b};

    fill(lora_a, RANK * COLS, 2);
    fill(lora_b, ROWS * RANK, 3);
    CHECK(!dlm_dir_make(ctx, dir));
    CHECK(!dlm_adapter_write(ctx, dir, &params, &m, 1));
}

/* Of a head's two halves, row by row in turn: W + 2 B A. */
static void check_query(const struct dlm_gguf_tensor *t)
{
    const int64_t len = ROWS / HEADS;
    size_t num_wrong = 0;

    for (int64_t row = 0; row < ROWS; row++) {
        const int64_t in = row % len, from = row - in + in / 2 + (in % 2 ? len / 2 : 0);
        for (int64_t c = 0; c < COLS; c++) {
            float got;
            double sum = 0;
            for (int64_t k = 0; k < RANK; k++)
                sum += (double)lora_b[from * RANK + k] * lora_a[k * COLS + c];
            memcpy(&got, t->data + (size_t)(row * COLS + c) * sizeof(got), sizeof(got));
            num_wrong += got != (float)(weight[from * COLS + c] + 2 * sum);
        }
    }
    CHECK_INT(num_wrong, 0);
}

static bool add_bytes(void *user, size_t bytes)
{
    *(size_t *)user += bytes;
    return true;
}

static void test_large(void)
{
    struct dlm_export_result result;
    size_t bytes = 0;
    const struct dlm_ctx_params counting = {.alloc_hook = add_bytes, .alloc_user = &bytes};

    check_case("a base larger than all memory that is taken, freed or not");
    make_base(tmp_path("base"));
    make_adapter(tmp_path("adapter"));
    struct dlm_ctx *with = dlm_ctx_create(&counting);
    CHECK(!export_gguf(with, tmp_path("base"), tmp_path("adapter"), DLM_GGUF_QUANT_F32, &result));
    dlm_export_result_finish(&result);
    dlm_ctx_destroy(&with);
    printf("# %.1f MB were taken for %.1f MB\n", (double)bytes * 1e-6, (double)EMBED_BYTES * 1e-6);
    CHECK(bytes > 0 && bytes < EMBED_BYTES / 4);
    struct dlm_gguf *g = open_file("f32/base.F32.gguf");
    const struct dlm_gguf_tensor *query = g ? dlm_gguf_find_tensor(g, "blk.0.attn_q.weight") : NULL;
    if (CHECK(query && query->bytes == sizeof(weight)))
        check_query(query);
    dlm_gguf_destroy(&g);
}

/* --- what it takes --- */

static enum dlm_status export_small(struct dlm_ctx *with, struct dlm_export_result *result)
{
    return export_gguf(with, golden("models/mistral3_f32_old/base"),
                       golden("models/mistral3_f32_old/adapter"), DLM_GGUF_QUANT_Q4_K_M, result);
}

static void test_memory(void)
{
    check_case("each allocation fails once");
    fail_allocations(export_small, 13);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    tmp_make();
    test_values();
    test_kinds();
    test_large();
    test_memory();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
