/* GGUF files as a base: what a model reads of them is what it reads of the folder that holds the
 * same weights as safetensors. That the files are llama.cpp's is for test_gguf.c and
 * tests/gguf/test_plan.c, that the folder's are PEFT's for test_merged.c. */
#include "models/gguf_model.h"

#include "base/quant.h"
#include "export/snapshot.h"
#include "gguf/blocks.h"
#include "weights/helpers.h"

static struct dlm_ctx *ctx;
static struct dlm_device *device;

struct subject {
    const char *folder, *adapter;
    bool has_blocks; /* of 32, in rows of its matrices */
};
static const struct subject subjects[] = {
    {"qwen2_vl_f32_old", "adapter_wide", true},
    {"mistral3_f32_old", "adapter_wide", true},
    {"f32_old", "adapter_wide"},
    {"paligemma2_f32_new", "adapter_wide"},
};

/* Exports the subject's base with its adapter folded in to tmp_root/<name>. */
static bool export_to(const struct subject *s, const char *name, bool is_gguf,
                      enum dlm_gguf_quant quant)
{
    struct dlm_export_result result = {0};
    struct dlm_base base = {0};
    struct dlm_model *model = NULL;
    char key[600], adapter[600];

    snprintf(key, sizeof(key), "dir:%s/golden/models/%s/base", check_data_dir(), s->folder);
    snprintf(adapter, sizeof(adapter), "%s/golden/models/%s/%s", check_data_dir(), s->folder,
             s->adapter);
    enum dlm_status st = dlm_base_resolve(ctx, &base, key, NULL);
    if (!st)
        st = dlm_model_read_folder(ctx, &model, base.dir);
    const struct dlm_export_job job = {
        .base = &base, .model = model, .adapter = adapter, .version = 1, .is_gguf = is_gguf,
        .is_merged = !is_gguf, .created_at = "2026-05-01T12:00:00", .quant = quant,
        .dtype = DLM_DTYPE_F32, .to = {.path = tmp_path(name)}};
    if (!st)
        st = is_gguf ? dlm_export_gguf(ctx, &job, &result) : dlm_export_merged(ctx, &job, &result);
    dlm_export_result_finish(&result);
    dlm_model_destroy(&model);
    dlm_base_finish(&base);
    return CHECK(!st);
}

static enum dlm_status open_gguf(struct dlm_model **out, const char *folder, const char *word,
                                 const char *tower_word)
{
    char text[600], tower[600];

    snprintf(text, sizeof(text), "%s/%s/base.%s.gguf", tmp_root, folder, word);
    snprintf(tower, sizeof(tower), "%s/%s/mmproj.%s.gguf", tmp_root, folder, tower_word);
    const struct dlm_gguf_paths paths = {text, tower};
    return dlm_gguf_model_open(ctx, out, device, &paths, DLM_DTYPE_F32, NULL);
}

/* All of a weight in its resident type, or as f32; owned. */
static void *read_weight(const struct dlm_weight *w)
{
    uint8_t *data = malloc(dlm_dtype_size(w->dtype, w->rows * w->cols) + 1);

    CHECK(!dlm_weight_read(ctx, w, 0, w->rows, data));
    return data;
}

/* --- f32: all is the same --- */

static void compare_weights(const struct dlm_model *a, const struct dlm_model *b)
{
    if (!CHECK_INT(a->weights->num, b->weights->num))
        return;
    for (size_t i = 0; i < a->weights->num; i++) {
        const struct dlm_weight *x = a->weights->list[i], *y = b->weights->list[i];
        check_case(x->name);
        if (!CHECK_STR(x->name, y->name) || !CHECK_INT(x->dtype, DLM_DTYPE_F32) ||
            !CHECK_INT(y->dtype, x->dtype) || !CHECK_INT(y->rows, x->rows) ||
            !CHECK_INT(y->cols, x->cols))
            continue;
        void *from = read_weight(x), *to = read_weight(y);
        CHECK(!memcmp(from, to, dlm_dtype_size(x->dtype, x->rows * x->cols)));
        free(from);
        free(to);
    }
}

/* Tokens that Qwen2-VL's generation_config.json ends an answer with beside the one that a file
 * names: "<|endoftext|>" of the base's tokenizer.json. */
static const struct {
    const char *folder;
    int32_t id;
} ends[] = {{"qwen2_vl_f32_old", 343}};

static void compare_configs(const char *folder, const struct dlm_model *a,
                            const struct dlm_model *b)
{
    const struct dlm_decoder_config *x = &a->decoder.config, *y = &b->decoder.config;

    CHECK_INT(y->block.hidden, x->block.hidden);
    CHECK_INT(y->block.intermediate, x->block.intermediate);
    CHECK_INT(y->block.heads, x->block.heads);
    CHECK_INT(y->block.kv_heads, x->block.kv_heads);
    CHECK_INT(y->block.head_dim, x->block.head_dim);
    CHECK_INT(y->block.window, x->block.window);
    CHECK(y->block.norm.eps == x->block.norm.eps && y->rope_theta == x->rope_theta);
    CHECK_INT(y->layers, x->layers);
    CHECK_INT(y->vocab, x->vocab);
    CHECK_INT(b->image_id, a->image_id);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(y->mrope_section[i], x->mrope_section[i]);
        CHECK((float)a->processor.mean[i] == (float)b->processor.mean[i]);
        CHECK((float)a->processor.std[i] == (float)b->processor.std[i]);
    }
    CHECK_INT(b->tower.patch_len, a->tower.patch_len);
    CHECK_INT(b->tower.width, a->tower.width);
    CHECK_INT(b->tower.merge, a->tower.merge);
    CHECK_INT(b->processor.patch, a->processor.patch);
    CHECK_INT(b->processor.merge, a->processor.merge);
    CHECK_INT(b->processor.min_pixels, a->processor.min_pixels);
    CHECK_INT(b->processor.max_pixels, a->processor.max_pixels);
    CHECK(dlm_model_is_stop(b, a->stops.ids[0]));
    for (size_t i = 0; i < DLM_ARRAY_LEN(ends); i++)
        if (!strcmp(ends[i].folder, folder)) {
            check_case("its second end");
            CHECK(dlm_model_is_stop(b, ends[i].id));
        }
}

static void compare_tokens(const char *folder, const struct dlm_gguf_paths *paths)
{
    static const char *const texts[] = {
        "", "a red ring", "It's  two\n\n lines, 12345 of  them.",
        "\xc3\xa9\xcc\x81 e\xcc\x81 \xf0\x9f\x8c\xb1",
        "<|im_start|>user [INST] <s>", " \t x\r\n", "don't WE'LL"};
    struct dlm_tokenizer *a = NULL, *b = NULL;

    if (!CHECK(!dlm_tokenizer_load_folder(ctx, &a, folder)) ||
        !CHECK(!dlm_gguf_load_tokenizer(ctx, &b, paths)))
        goto done;
    for (size_t i = 0; i < 2 * DLM_ARRAY_LEN(texts); i++) {
        const char *text = texts[i / 2];
        const unsigned flags = i % 2 ? DLM_ENCODE_SPECIAL_AS_TEXT : 0;
        struct dlm_ids x = {0}, y = {0};
        const enum dlm_status st = dlm_tokenizer_encode(ctx, a, text, strlen(text), flags, &x);
        check_case(text);
        CHECK_INT(dlm_tokenizer_encode(ctx, b, text, strlen(text), flags, &y), st);
        CHECK(x.len == y.len && !memcmp(x.ids, y.ids, x.len * sizeof(*x.ids)));
        dlm_ids_finish(&x);
        dlm_ids_finish(&y);
    }
    for (int32_t id = 0; id < dlm_tokenizer_vocab_len(a); id++) {
        const char *x = dlm_tokenizer_content(a, id), *y = dlm_tokenizer_content(b, id);
        CHECK(!x == !y && (!x || !strcmp(x, y)));
        CHECK(dlm_tokenizer_is_special(a, id) == dlm_tokenizer_is_special(b, id));
    }
done:
    dlm_tokenizer_destroy(&a);
    dlm_tokenizer_destroy(&b);
}

static void test_f32(const struct subject *s)
{
    struct dlm_model *dir = NULL, *gguf = NULL;
    char text[600], tower[600];

    check_case(s->folder);
    if (!export_to(s, "merged", false, DLM_GGUF_QUANT_F32) ||
        !export_to(s, "f32", true, DLM_GGUF_QUANT_F32))
        return;
    if (CHECK(!dlm_model_open(ctx, &dir, device, tmp_path("merged"), DLM_DTYPE_F32, NULL)) &&
        CHECK(!open_gguf(&gguf, "f32", "F32", "F32"))) {
        compare_configs(s->folder, dir, gguf);
        compare_weights(dir, gguf);
    }
    snprintf(text, sizeof(text), "%s/f32/base.F32.gguf", tmp_root);
    snprintf(tower, sizeof(tower), "%s/f32/mmproj.F32.gguf", tmp_root);
    compare_tokens(tmp_path("merged"), &(struct dlm_gguf_paths){text, tower});
    dlm_model_destroy(&dir);
    dlm_model_destroy(&gguf);
    CHECK(!dlm_path_remove(ctx, tmp_path("merged")));
}

/* --- other types: what llama.cpp would compute with ------------------------------------------- */

/* Row `row` of a weight, of which w lies in a GGUF file: f32 numbers through the file's type. */
static void round_row(const struct dlm_weight *w, int64_t row, float *x)
{
    const struct dlm_weight_part *part = w->parts;
    uint8_t block[4096];

    while (row * w->cols >= part->begin + part->len)
        part++;
    const struct dlm_tensor_info *t = part->source;
    if (t->form->block_type >= 0) {
        const enum dlm_ggml_type type = (enum dlm_ggml_type)t->form->block_type;
        CHECK(dlm_ggml_quantize(type, x, w->cols, block));
        dlm_ggml_dequantize(type, block, w->cols, x);
    } else {
        CHECK(dlm_dtype_from_f32(t->dtype, x, block, (size_t)w->cols));
        CHECK(dlm_dtype_to_f32(t->dtype, block, x, (size_t)w->cols));
    }
}

/* All of a weight as f32; owned. */
static float *widen(const struct dlm_weight *w)
{
    const int64_t len = w->rows * w->cols;
    float *x = malloc((size_t)len * sizeof(*x));
    void *data = read_weight(w);

    if (dlm_dtype_is_quant(w->dtype))
        dlm_dequantize(w->dtype, data, len, 0, len, x);
    else
        CHECK(dlm_dtype_to_f32(w->dtype, data, x, (size_t)len));
    free(data);
    return x;
}

/* The dir's weight that holds the tensor of this name, and from which element on. */
static const struct dlm_weight *find_tensor(const struct dlm_model *dir, const char *name,
                                            int64_t *begin)
{
    for (size_t i = 0; i < dir->weights->num; i++) {
        const struct dlm_weight *w = dir->weights->list[i];
        for (int k = 0; k < w->num_parts; k++)
            if (!strcmp(w->parts[k].name, name)) {
                *begin = w->parts[k].begin;
                return w;
            }
    }
    return NULL;
}

static void compare_rounded(const struct dlm_model *dir, const struct dlm_model *gguf,
                            enum dlm_dtype dtype, size_t *num)
{
    for (size_t i = 0; i < gguf->weights->num; i++) {
        const struct dlm_weight *w = gguf->weights->list[i];
        int64_t begin = 0;
        const struct dlm_weight *from = find_tensor(dir, w->parts[0].name, &begin);
        check_case(w->name);
        if (!CHECK(from && begin + w->rows * w->cols <= from->rows * from->cols))
            continue;
        float *want = widen(from), *got = widen(w);
        for (int64_t r = 0; r < w->rows; r++) {
            float *row = want + begin + r * w->cols;
            round_row(w, r, row);
            CHECK(!memcmp(row, got + r * w->cols, (size_t)w->cols * sizeof(*row)));
        }
        *num += w->dtype == dtype;
        free(want);
        free(got);
    }
}

static void test_kind(const struct subject *s, enum dlm_gguf_quant quant, const char *word,
                      enum dlm_dtype dtype)
{
    struct dlm_model *dir = NULL, *gguf = NULL;
    size_t num = 0;

    check_case(word);
    if (export_to(s, "merged", false, quant) && export_to(s, word, true, quant) &&
        CHECK(!dlm_model_open(ctx, &dir, device, tmp_path("merged"), DLM_DTYPE_F32, NULL)) &&
        CHECK(!open_gguf(&gguf, word, word, quant == DLM_GGUF_QUANT_Q8_0 ? word : "F16"))) {
        compare_rounded(dir, gguf, dtype, &num);
        check_case(word);
        /* such weights are there, as they lie in the file */
        CHECK(num > 0 || (quant == DLM_GGUF_QUANT_Q8_0 && !s->has_blocks));
    }
    dlm_model_destroy(&dir);
    dlm_model_destroy(&gguf);
}

/* --- files that are wrong in one place -------------------------------------------------------- */

/* After the first place where `mark` stands in a file, `skip` bytes on, `bytes` replace as many;
 * what the error then says, of that file. */
struct damage {
    int subject; /* index into subjects; OLD: the golden base with a tower's file as of 2024 */
    bool is_tower;
    const char *mark;
    size_t skip;
    const char *bytes;
    size_t len;
    enum dlm_status st;
    const char *says;
};
#define OLD (-1)
#define TYPE 4 /* of a value, between its key and what it is */
#define VALUE(bytes) TYPE, bytes, 4
static const struct damage damages[] = {
    {0, false, "rms_epsilon", VALUE("\0\0\xc0\x7f"), DLM_ERR_PARSE,
     "'qwen2vl.attention.layer_norm_rms_epsilon' is not finite"},
    {1, false, "rope.freq_base", VALUE("\0\0\x80\x7f"), DLM_ERR_PARSE,
     "'mistral3.rope.freq_base' is not finite"},
    {0, true, "clip.vision.image_std", TYPE + 4 + 8, "\0\0\x80\xff", 4, DLM_ERR_PARSE,
     "'clip.vision.image_std' is not finite"},
    {1, false, "rope.dimension_count", VALUE("\6\0\0\0"), DLM_ERR_UNSUPPORTED,
     "'mistral3.rope.dimension_count' is 6"},
    {0, true, "clip.vision.feed_forward_length", VALUE("\11\0\0\0"), DLM_ERR_PARSE,
     "'clip.vision.feed_forward_length' is 9"},
    {1, true, "clip.vision.spatial_merge_size", VALUE("\0\0\0\x80"), DLM_ERR_PARSE,
     "'clip.vision.spatial_merge_size' is not between 1 and 64"},
    {0, true, "clip.vision.block_count", VALUE("\0\0\1\0"), DLM_ERR_PARSE,
     "'clip.vision.block_count' is not between 1 and 512"},
    {1, true, "clip.vision.attention.head_count", VALUE("\7\0\0\0"), DLM_ERR_PARSE,
     "'clip.vision.attention.head_count' is 7"},
    {0, false, "qwen2vl.block_count", VALUE("\1\0\0\0"), DLM_ERR_INVALID,
     "tensor 'blk.1.attn_k.bias' is no weight of"},
    {1, true, "clip.vision.block_count", VALUE("\1\0\0\0"), DLM_ERR_INVALID,
     "tensor 'v.blk.1.attn_k.weight' is no weight of"},
    {0, false, "blk.1.attn_norm.weig", 0, "X", 1, DLM_ERR_INVALID,
     "tensor 'blk.1.attn_norm.weight' is missing"},
    {0, true, "v.blk.1.attn_k.weig", 0, "X", 1, DLM_ERR_INVALID,
     "tensor 'v.blk.1.attn_k.weight' is missing"},
    {1, true, "v.blk.1.ffn_down.weig", 0, "X", 1, DLM_ERR_INVALID,
     "tensor 'v.blk.1.ffn_down.weight' is missing"},
    {0, false, "blk.0.attn_q.bias", (size_t)-17, "rope_freqs.weight", 17, DLM_ERR_UNSUPPORTED,
     "tensor 'rope_freqs.weight' is not supported"},
    {0, false, "<|image_pad|", 0, "X", 1, DLM_ERR_UNSUPPORTED, "it has no token '<|image_pad|>'"},
    {0, true, "v.patch_embd.weight.", 0, "X", 1, DLM_ERR_INVALID,
     "tensor 'v.patch_embd.weight.1', of a patch's second frame, is missing"},
    {OLD, true, "v.blk.1.ffn_down.weig", 0, "X", 1, DLM_ERR_INVALID,
     "tensor 'v.blk.1.ffn_down.weight' is missing"},
    {OLD, true, "v.blk.1.ffn_up.bi", 0, "X", 1, DLM_ERR_INVALID,
     "tensor 'v.blk.1.ffn_up.bias' is missing"},
    {OLD, true, "v.position_embd.weig", 0, "X", 1, DLM_ERR_INVALID,
     "tensor 'v.position_embd.weigXt' is no weight of"},
    {OLD, true, "clip.vision.feed_forward_length", VALUE("\11\0\0\0"), DLM_ERR_PARSE,
     "is 9, neither the language model's 64 nor the 64 rows of 'v.blk.0.ffn_down.weight'"},
    /* IQ4_NL, whose blocks are as large as Q4_0's */
    {OLD, false, "blk.0.attn_q.weight", 4 + 8 + 8, "\24\0\0\0", 4, DLM_ERR_UNSUPPORTED,
     "tensor 'blk.0.attn_q.weight' has type IQ4_NL, which is not supported"},
};

/* The golden files under the names that open_gguf() asks for. */
static bool copy_old(const char *folder)
{
    static const char *const names[][2] = {{"base.gguf", "base.F32.gguf"},
                                           {"mmproj.gguf", "mmproj.F32.gguf"}};
    bool is_done = CHECK(!dlm_dir_make(ctx, tmp_path(folder)));

    for (size_t i = 0; is_done && i < DLM_ARRAY_LEN(names); i++) {
        char from[600], to[600];
        struct dlm_str s = {0};
        snprintf(from, sizeof(from), "%s/golden/models/qwen2_vl_gguf/base/%s", check_data_dir(),
                 names[i][0]);
        snprintf(to, sizeof(to), "%s/%s/%s", tmp_root, folder, names[i][1]);
        is_done = CHECK(!dlm_file_read(ctx, from, (size_t)1 << 30, &s)) &&
                  CHECK(put_file(to, s.data, s.len));
        dlm_str_finish(&s);
    }
    return is_done;
}

static bool damage_file(const struct damage *d, const char *path)
{
    const size_t mark_len = strlen(d->mark);
    struct dlm_str s = {0};
    size_t at = 0;

    if (!CHECK(!dlm_file_read(ctx, path, (size_t)1 << 30, &s)))
        return false;
    while (at + mark_len < s.len && memcmp(s.data + at, d->mark, mark_len) != 0)
        at++;
    at += mark_len + d->skip;
    const bool is_there = CHECK(at + d->len <= s.len);
    if (is_there)
        memcpy(s.data + at, d->bytes, d->len);
    const bool is_done = is_there && CHECK(put_file(path, s.data, s.len));
    dlm_str_finish(&s);
    return is_done;
}

static void test_damage(const struct damage *d)
{
    struct dlm_model *model = NULL;
    char path[600];

    check_case(d->says);
    snprintf(path, sizeof(path), "%s/wrong/%s.F32.gguf", tmp_root, d->is_tower ? "mmproj" : "base");
    if (!(d->subject == OLD
              ? copy_old("wrong")
              : export_to(&subjects[d->subject], "wrong", true, DLM_GGUF_QUANT_F32)) ||
        !damage_file(d, path))
        return;
    CHECK_INT(open_gguf(&model, "wrong", "F32", "F32"), d->st);
    CHECK(strstr(dlm_ctx_last_error(ctx), d->says) && strstr(dlm_ctx_last_error(ctx), path));
    dlm_model_destroy(&model);
    CHECK(!dlm_path_remove(ctx, tmp_path("wrong")));
}

int main(void)
{
    const struct dlm_device_params params = {.kind = DLM_BACKEND_CPU, .index = -1};

    ctx = dlm_ctx_create(NULL);
    tmp_make();
    if (CHECK(ctx) && CHECK(!dlm_device_open(ctx, &device, &params))) {
        for (size_t i = 0; i < DLM_ARRAY_LEN(subjects); i++) {
            test_f32(&subjects[i]);
            test_kind(&subjects[i], DLM_GGUF_QUANT_F16, "F16", DLM_DTYPE_F16);
            test_kind(&subjects[i], DLM_GGUF_QUANT_Q8_0, "Q8_0", DLM_DTYPE_Q8_0);
            test_kind(&subjects[i], DLM_GGUF_QUANT_Q4_K_M, "Q4_K_M", DLM_DTYPE_F32);
        }
        for (size_t i = 0; i < DLM_ARRAY_LEN(damages); i++)
            test_damage(&damages[i]);
    }
    dlm_device_destroy(&device);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
