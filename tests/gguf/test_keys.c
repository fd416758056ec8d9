/* Keys of two GGUF files as the members of a config.json and of a processor's file: of golden bases
 * (tools/dev/make_gguf_bases_goldens.py) in which a key is another one, or is not there. What a key
 * means is llama.cpp's (0c1e57098: src/llama-model.cpp, tools/mtmd/clip.cpp). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "check.h"
#include "gguf/reader.h"
#include "models/gguf_config.h"
#include "tests/weights/helpers.h"

enum { TEXT, TOWER, NUM_FILES };
enum { QWEN2_VL, MISTRAL3, NUM_BASES };

static struct dlm_ctx *ctx;

/* --- files with other keys -------------------------------------------------------------------- */

struct bytes {
    uint8_t *data;
    size_t len;
};

static struct bytes originals[NUM_BASES][NUM_FILES];

enum value { GONE, U32, F32, BOOL, WORD, I32S, F32S };

/* A key and what it has instead. */
struct edit {
    const char *key;
    enum value value;
    double number;
    const char *word;
    double list[4];
    size_t len;
};

static void put(struct bytes *b, const void *data, size_t len)
{
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void put_u64(struct bytes *b, uint64_t v)
{
    put(b, &v, sizeof(v));
}

static void put_u32(struct bytes *b, uint32_t v)
{
    put(b, &v, sizeof(v));
}

static void put_text(struct bytes *b, const char *s)
{
    put_u64(b, strlen(s));
    put(b, s, strlen(s));
}

static void put_f32(struct bytes *b, double v)
{
    const float f = (float)v;

    put(b, &f, sizeof(f));
}

static void put_list(struct bytes *b, const struct edit *e)
{
    put_u32(b, DLM_GGUF_KIND_ARRAY);
    put_u32(b, e->value == I32S ? DLM_GGUF_KIND_I32 : DLM_GGUF_KIND_F32);
    put_u64(b, e->len);
    for (size_t i = 0; i < e->len; i++)
        if (e->value == I32S)
            put_u32(b, (uint32_t)(int32_t)e->list[i]);
        else
            put_f32(b, e->list[i]);
}

static void put_value(struct bytes *b, const struct edit *e)
{
    put_text(b, e->key);
    switch (e->value) {
    case U32:
        put_u32(b, DLM_GGUF_KIND_U32);
        put_u32(b, (uint32_t)e->number);
        break;
    case F32:
        put_u32(b, DLM_GGUF_KIND_F32);
        put_f32(b, e->number);
        break;
    case BOOL:
        put_u32(b, DLM_GGUF_KIND_BOOL);
        put(b, &(uint8_t){e->number != 0}, 1);
        break;
    case WORD:
        put_u32(b, DLM_GGUF_KIND_STRING);
        put_text(b, e->word);
        break;
    default:
        put_list(b, e);
    }
}

/* A copy of a file whose first values are those of the edits; a key of theirs that stands behind
 * them has another last letter. The bytes before the data grow by whole alignments. Owned. */
static struct bytes edited(const struct bytes *from, const struct edit *edits, size_t num)
{
    struct bytes b = {.data = malloc(from->len + 4096)};
    uint64_t num_values = 0;

    put(&b, from->data, 24);
    memcpy(&num_values, from->data + 16, sizeof(num_values));
    for (size_t i = 0; i < num; i++)
        if (edits[i].value != GONE) {
            put_value(&b, &edits[i]);
            num_values++;
        }
    put_text(&b, "filler");
    put_u32(&b, DLM_GGUF_KIND_STRING);
    const size_t fill = (24 + 32 - (b.len + 8) % 32) % 32;
    put_u64(&b, fill);
    put(&b, "................................", fill);
    num_values++;
    memcpy(b.data + 16, &num_values, sizeof(num_values));
    uint8_t *rest = b.data + b.len;
    put(&b, from->data + 24, from->len - 24);
    for (size_t i = 0; i < num; i++) {
        uint8_t key[96];
        const size_t len = strlen(edits[i].key);
        memcpy(key, &(uint64_t){len}, 8);
        memcpy(key + 8, edits[i].key, len);
        uint8_t *at = memmem(rest, from->len - 24, key, len + 8);
        CHECK(at || edits[i].value != GONE);
        if (at)
            at[8 + len - 1] = '#';
    }
    return b;
}

struct read {
    struct dlm_gguf *files[NUM_FILES];
    struct bytes copy;
    struct dlm_gguf_told told;
    struct dlm_processor processor;
    json_t *config;
};

static void finish(struct read *r)
{
    json_decref(r->config);
    for (int i = 0; i < NUM_FILES; i++)
        dlm_gguf_destroy(&r->files[i]);
    free(r->copy.data);
}

static enum dlm_status read_edited(struct read *r, int base, int file, const struct edit *edits,
                                   size_t num)
{
    static const char *const names[] = {"base.gguf", "mmproj.gguf"};
    const struct dlm_family *family = NULL;
    enum dlm_status st = DLM_OK;

    *r = (struct read){.copy = edited(&originals[base][file], edits, num)};
    for (int i = 0; !st && i < NUM_FILES; i++) {
        const struct bytes *b = i == file ? &r->copy : &originals[base][i];
        st = dlm_gguf_open_memory(ctx, &r->files[i], names[i], b->data, b->len);
    }
    if (!st)
        st = dlm_gguf_find_family(ctx, r->files[TEXT], r->files[TOWER], &family);
    if (!st)
        st = dlm_gguf_read_config(ctx, family, r->files[TEXT], r->files[TOWER], &r->told,
                                  &r->config);
    if (!st) {
        r->processor = *family->processor;
        st = dlm_gguf_read_processor(ctx, r->files[TOWER], &r->processor);
    }
    return st;
}

/* --- what is taken ---------------------------------------------------------------------------- */

static double number_at(const json_t *config, const char *section, const char *member)
{
    const json_t *value = json_object_get(*section ? json_object_get(config, section) : config,
                                          member);

    return json_is_number(value) ? json_number_value(value) : json_is_true(value);
}

#define TEXT_MEMBER "text_config"
#define VISION_MEMBER "vision_config"

static void test_taken(void)
{
    static const struct {
        int base, file;
        struct edit edit;
        const char *section, *member;
        double want; /* of null and false: 0 */
    } rows[] = {
        {MISTRAL3, TEXT, {"llama.attention.sliding_window", U32, 21}, TEXT_MEMBER,
         "sliding_window", 21},
        {MISTRAL3, TEXT, {"none", U32, 1}, TEXT_MEMBER, "sliding_window", 0},
        {MISTRAL3, TEXT, {"llama.rope.freq_base", F32, 3e5}, TEXT_MEMBER, "rope_theta", 3e5},
        {MISTRAL3, TEXT, {"llama.rope.freq_base", GONE}, TEXT_MEMBER, "rope_theta", 1e4},
        {MISTRAL3, TEXT, {"llama.context_length", U32, 77}, TEXT_MEMBER,
         "max_position_embeddings", 77},
        {MISTRAL3, TEXT, {"llama.context_length", GONE}, TEXT_MEMBER, "max_position_embeddings", 0},
        {MISTRAL3, TEXT, {"llama.block_count", U32, 5}, TEXT_MEMBER, "num_hidden_layers", 5},
        {MISTRAL3, TEXT, {"llama.feed_forward_length", U32, 9}, TEXT_MEMBER, "intermediate_size",
         9},
        {MISTRAL3, TEXT, {"llama.attention.head_count_kv", U32, 4}, TEXT_MEMBER,
         "num_key_value_heads", 4},
        {MISTRAL3, TEXT, {"llama.attention.head_count_kv", GONE}, TEXT_MEMBER,
         "num_key_value_heads", 8},
        {MISTRAL3, TEXT, {"llama.attention.key_length", GONE}, TEXT_MEMBER, "head_dim", 0},
        {MISTRAL3, TEXT, {"llama.attention.key_length", U32, 32}, TEXT_MEMBER, "head_dim", 32},
        {MISTRAL3, TEXT, {"llama.rope.dimension_count", GONE}, TEXT_MEMBER, "head_dim", 32},
        {MISTRAL3, TEXT, {"llama.attention.layer_norm_rms_epsilon", F32, 0.25}, TEXT_MEMBER,
         "rms_norm_eps", 0.25},
        {MISTRAL3, TEXT, {"llama.rope.scaling.type", WORD, .word = "none"}, TEXT_MEMBER,
         "rope_theta", 1e5},
        {MISTRAL3, TEXT, {"split.count", U32, 1}, TEXT_MEMBER, "rope_theta", 1e5},
        {MISTRAL3, TEXT, {"general.type", GONE}, TEXT_MEMBER, "rope_theta", 1e5},
        {MISTRAL3, TEXT, {"none", U32, 1}, "", "image_token_index", 0},
        {MISTRAL3, TEXT, {"none", U32, 1}, "", "image_token_id", 10},
        {MISTRAL3, TEXT, {"none", U32, 1}, "", "tie_word_embeddings", 0},
        {QWEN2_VL, TEXT, {"none", U32, 1}, "", "tie_word_embeddings", 1},
        {QWEN2_VL, TEXT, {"none", U32, 1}, TEXT_MEMBER, "vocab_size", 357},
        {MISTRAL3, TOWER, {"clip.vision.spatial_merge_size", GONE}, "", "spatial_merge_size", 1},
        {MISTRAL3, TOWER, {"clip.vision.spatial_merge_size", U32, 4}, "", "spatial_merge_size", 4},
        {MISTRAL3, TOWER, {"clip.vision.image_size", U32, 70}, VISION_MEMBER, "image_size", 70},
        {MISTRAL3, TOWER, {"clip.vision.patch_size", U32, 8}, VISION_MEMBER, "patch_size", 8},
        {MISTRAL3, TOWER, {"clip.vision.block_count", U32, 3}, VISION_MEMBER, "num_hidden_layers",
         3},
        {MISTRAL3, TOWER, {"clip.vision.attention.head_count", U32, 4}, VISION_MEMBER,
         "num_attention_heads", 4},
        {MISTRAL3, TOWER, {"clip.vision.embedding_length", U32, 24}, VISION_MEMBER, "hidden_size",
         24},
        {MISTRAL3, TOWER, {"clip.vision.feed_forward_length", U32, 40}, VISION_MEMBER,
         "intermediate_size", 40},
        {MISTRAL3, TOWER, {"none", U32, 1}, "", "multimodal_projector_bias", 0},
        {QWEN2_VL, TOWER, {"clip.vision.feed_forward_length", U32, 64}, VISION_MEMBER, "mlp_ratio",
         2},
        {QWEN2_VL, TOWER, {"none", U32, 1}, VISION_MEMBER, "spatial_merge_size", 2},
        {QWEN2_VL, TOWER, {"clip.vision.spatial_merge_size", U32, 3}, VISION_MEMBER,
         "spatial_merge_size", 3},
        {QWEN2_VL, TOWER, {"none", U32, 1}, VISION_MEMBER, "temporal_patch_size", 2},
        {QWEN2_VL, TOWER, {"none", U32, 1}, VISION_MEMBER, "hidden_size", 64},
        {QWEN2_VL, TOWER, {"none", U32, 1}, VISION_MEMBER, "embed_dim", 32},
        {QWEN2_VL, TOWER, {"none", U32, 1}, VISION_MEMBER, "depth", 2},
        {QWEN2_VL, TOWER, {"none", U32, 1}, VISION_MEMBER, "num_heads", 2},
        {QWEN2_VL, TOWER, {"none", U32, 1}, VISION_MEMBER, "patch_size", 7},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        struct read r;
        check_case(rows[i].edit.key);
        if (CHECK(!read_edited(&r, rows[i].base, rows[i].file, &rows[i].edit, 1)) &&
            !CHECK(fabs(number_at(r.config, rows[i].section, rows[i].member) - rows[i].want) <
                   1e-6 * (1 + rows[i].want)))
            printf("     %s: %.9g, not %.9g\n", rows[i].member,
                   number_at(r.config, rows[i].section, rows[i].member), rows[i].want);
        finish(&r);
    }
}

/* Of the MLP in the tower: neither key is the sigmoid of 1.702 x. */
static void test_activation(void)
{
    static const struct {
        double gelu, silu;
        const char *name;
    } rows[] = {{1, 0, "gelu"}, {0, 1, "silu"}, {0, 0, "quick_gelu"}};

    for (int base = 0; base < NUM_BASES; base++)
        for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
            const struct edit edits[] = {{"clip.use_gelu", BOOL, rows[i].gelu},
                                         {"clip.use_silu", BOOL, rows[i].silu}};
            struct read r;
            check_case(rows[i].name);
            if (CHECK(!read_edited(&r, base, TOWER, edits, 2)))
                CHECK_STR(json_string_value(json_object_get(
                              json_object_get(r.config, VISION_MEMBER), "hidden_act")),
                          rows[i].name);
            finish(&r);
        }
}

static void test_processor(void)
{
    const struct edit edits[] = {{"clip.vision.image_min_pixels", U32, 784},
                                 {"clip.vision.image_max_pixels", U32, 1 << 28},
                                 {"clip.vision.image_mean", F32S, .list = {0.5, 0.25, 0.125},
                                  .len = 3},
                                 {"clip.vision.image_std", F32S, .list = {1, 2, 4}, .len = 3}};
    struct read r;

    check_case("the processor of Qwen2-VL");
    if (CHECK(!read_edited(&r, QWEN2_VL, TOWER, edits, DLM_ARRAY_LEN(edits)))) {
        const struct dlm_processor *p = &r.processor;
        CHECK_INT(p->min_pixels, 784);
        CHECK_INT(p->max_pixels, 1 << 28);
        CHECK(p->mean[0] == 0.5 && p->mean[1] == 0.25 && p->mean[2] == 0.125);
        CHECK(p->std[0] == 1 && p->std[1] == 2 && p->std[2] == 4);
        CHECK_INT(p->patch, 7);
        CHECK_INT(p->merge, 2);
    }
    finish(&r);
    check_case("bounds of an image's area are nothing to Mistral 3");
    if (CHECK(!read_edited(&r, MISTRAL3, TOWER, edits, DLM_ARRAY_LEN(edits))))
        CHECK_INT(r.processor.max_pixels, 0);
    finish(&r);
    check_case("a file without bounds");
    if (CHECK(!read_edited(&r, QWEN2_VL, TOWER, edits, 0))) {
        CHECK_INT(r.processor.min_pixels, 3136);
        CHECK_INT(r.processor.max_pixels, 1003520);
    }
    finish(&r);
}

/* Answers end with the token of the file's and with <|endoftext|>, which may be the same. */
static void test_ends(void)
{
    static const struct {
        uint32_t id;
        size_t num;
    } rows[] = {{345, 2}, {343, 1}};

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        const struct edit edit = {"tokenizer.ggml.eos_token_id", U32, rows[i].id};
        struct read r;
        check_case("tokens that end an answer");
        if (CHECK(!read_edited(&r, QWEN2_VL, TEXT, &edit, 1))) {
            const json_t *ends = json_object_get(r.config, "eos_token_id");
            CHECK_INT(json_array_size(ends), rows[i].num);
            CHECK_INT(json_integer_value(json_array_get(ends, 0)), rows[i].id);
            CHECK_INT(json_integer_value(json_array_get(ends, rows[i].num - 1)), 343);
        }
        finish(&r);
    }
}

/* --- what is refused -------------------------------------------------------------------------- */

struct refusal {
    int base;
    struct edit edit;
    enum dlm_status st;
    const char *says; /* after the file's name */
};

static const struct refusal text_refusals[] = {
    {MISTRAL3, {"llama.expert_count", U32, 8}, DLM_ERR_UNSUPPORTED,
     "'llama.expert_count'"},
    {MISTRAL3, {"llama.rope.scaling.factor", F32, 4}, DLM_ERR_UNSUPPORTED,
     "'llama.rope.scaling.factor' is not supported"},
    {MISTRAL3, {"llama.rope.scaling.yarn_ext_factor", F32, 1}, DLM_ERR_UNSUPPORTED,
     "'llama.rope.scaling.yarn_ext_factor'"},
    {MISTRAL3, {"llama.rope.scaling.yarn_log_multiplier", F32, 1}, DLM_ERR_UNSUPPORTED,
     "'llama.rope.scaling.yarn_log_multiplier'"},
    {MISTRAL3, {"llama.attention.temperature_scale", F32, 1}, DLM_ERR_UNSUPPORTED,
     "'llama.attention.temperature_scale'"},
    {MISTRAL3, {"llama.attention.temperature_length", U32, 1}, DLM_ERR_UNSUPPORTED,
     "'llama.attention.temperature_length'"},
    {MISTRAL3, {"llama.attn_logit_softcapping", F32, 1}, DLM_ERR_UNSUPPORTED,
     "'llama.attn_logit_softcapping'"},
    {MISTRAL3, {"llama.final_logit_softcapping", F32, 1}, DLM_ERR_UNSUPPORTED,
     "'llama.final_logit_softcapping'"},
    {MISTRAL3, {"llama.logit_scale", F32, 2}, DLM_ERR_UNSUPPORTED, "'llama.logit_scale'"},
    {MISTRAL3, {"llama.embedding_scale", F32, 2}, DLM_ERR_UNSUPPORTED,
     "'llama.embedding_scale'"},
    {MISTRAL3, {"llama.residual_scale", F32, 2}, DLM_ERR_UNSUPPORTED,
     "'llama.residual_scale'"},
    {MISTRAL3, {"llama.rope.scaling.type", WORD, .word = "yarn"}, DLM_ERR_UNSUPPORTED,
     "'llama.rope.scaling.type' is 'yarn'"},
    {MISTRAL3, {"llama.rope.scaling.type", U32, 1}, DLM_ERR_PARSE,
     "'llama.rope.scaling.type'"},
    {MISTRAL3, {"llama.rope.dimension_count", U32, 16}, DLM_ERR_UNSUPPORTED,
     "'llama.rope.dimension_count' is 16"},
    {MISTRAL3, {"llama.rope.dimension_count", U32, 0}, DLM_ERR_PARSE,
     "'llama.rope.dimension_count'"},
    {MISTRAL3, {"llama.block_count", U32, 513}, DLM_ERR_PARSE,
     "'llama.block_count' is not between 1 and 512"},
    {MISTRAL3, {"llama.embedding_length", U32, 1 << 17}, DLM_ERR_PARSE,
     "'llama.embedding_length' is not between"},
    {MISTRAL3, {"llama.feed_forward_length", U32, 1 << 19}, DLM_ERR_PARSE,
     "'llama.feed_forward_length' is not between"},
    {MISTRAL3, {"llama.attention.head_count", U32, 513}, DLM_ERR_PARSE,
     "'llama.attention.head_count' is not between"},
    {MISTRAL3, {"llama.attention.head_count_kv", U32, 3}, DLM_ERR_PARSE,
     "'llama.attention.head_count_kv' is 3, of which 8 is no multiple"},
    {MISTRAL3, {"llama.attention.key_length", U32, 31}, DLM_ERR_PARSE,
     "'llama.attention.key_length' is 31, which 256 numbers are no heads for"},
    {MISTRAL3, {"llama.attention.key_length", U32, 258}, DLM_ERR_PARSE,
     "'llama.attention.key_length' is 258"},
    {QWEN2_VL, {"qwen2vl.attention.head_count", U32, 6}, DLM_ERR_PARSE,
     "'qwen2vl.attention.head_count' is 6, which 64 numbers are no heads for"},
    {QWEN2_VL, {"qwen2vl.attention.head_count", U32, 128}, DLM_ERR_PARSE,
     "'qwen2vl.attention.head_count' is 128"},
    {QWEN2_VL, {"qwen2vl.attention.head_count", U32, 64}, DLM_ERR_PARSE,
     "'qwen2vl.attention.head_count' is 64"},
    {MISTRAL3, {"llama.vocab_size", U32, 5}, DLM_ERR_PARSE,
     "'llama.vocab_size' is 5, and 'token_embd.weight' has"},
    {MISTRAL3, {"llama.attention.layer_norm_rms_epsilon", F32, -1}, DLM_ERR_PARSE,
     "'llama.attention.layer_norm_rms_epsilon' is out of range"},
    {MISTRAL3, {"llama.attention.layer_norm_rms_epsilon", F32, 1}, DLM_ERR_PARSE,
     "'llama.attention.layer_norm_rms_epsilon' is out of range"},
    {MISTRAL3, {"llama.rope.freq_base", F32, 0}, DLM_ERR_PARSE,
     "'llama.rope.freq_base' is out of range"},
    {MISTRAL3, {"llama.rope.freq_base", F32, 1e13}, DLM_ERR_PARSE,
     "'llama.rope.freq_base' is out of range"},
    {QWEN2_VL, {"qwen2vl.rope.dimension_sections", I32S, .list = {2, 3, 2}, .len = 3},
     DLM_ERR_PARSE, "'qwen2vl.rope.dimension_sections' is no division of half a head's 16"},
    {QWEN2_VL, {"qwen2vl.rope.dimension_sections", I32S, .list = {0, 5, 3}, .len = 3},
     DLM_ERR_PARSE, "'qwen2vl.rope.dimension_sections' is no division"},
    {QWEN2_VL, {"qwen2vl.rope.dimension_sections", I32S, .list = {5, 0, 3}, .len = 3},
     DLM_ERR_PARSE, "'qwen2vl.rope.dimension_sections' is no division"},
    {QWEN2_VL, {"qwen2vl.rope.dimension_sections", I32S, .list = {5, 3, 0}, .len = 3},
     DLM_ERR_PARSE, "'qwen2vl.rope.dimension_sections' is no division"},
    {MISTRAL3, {"llama.attention.key_length", U32, 16}, DLM_ERR_UNSUPPORTED,
     "'llama.rope.dimension_count' is 32: not supported (only a head's size is, 16)"},
    {MISTRAL3, {"llama.attention.sliding_window", U32, 0}, DLM_ERR_PARSE,
     "'llama.attention.sliding_window'"},
    {MISTRAL3, {"llama.rope.freq_base", WORD, .word = "x"}, DLM_ERR_PARSE,
     "'llama.rope.freq_base'"},
    {MISTRAL3, {"llama.embedding_length", GONE}, DLM_ERR_PARSE,
     "'llama.embedding_length'"},
    {MISTRAL3, {"llama.feed_forward_length", GONE}, DLM_ERR_PARSE,
     "'llama.feed_forward_length'"},
    {MISTRAL3, {"llama.block_count", GONE}, DLM_ERR_PARSE, "'llama.block_count'"},
    {MISTRAL3, {"llama.attention.head_count", GONE}, DLM_ERR_PARSE,
     "'llama.attention.head_count'"},
    {MISTRAL3, {"llama.attention.layer_norm_rms_epsilon", GONE}, DLM_ERR_PARSE,
     "'llama.attention.layer_norm_rms_epsilon'"},
    {MISTRAL3, {"tokenizer.ggml.eos_token_id", U32, 1 << 20}, DLM_ERR_PARSE,
     "'tokenizer.ggml.eos_token_id'"},
    {MISTRAL3, {"tokenizer.ggml.tokens", GONE}, DLM_ERR_PARSE, "'tokenizer.ggml.tokens'"},
    {MISTRAL3, {"general.type", WORD, .word = "adapter"}, DLM_ERR_INVALID,
     "it is an adapter"},
    {MISTRAL3, {"split.count", U32, 3}, DLM_ERR_UNSUPPORTED, "it is one of 3 parts"},
    {MISTRAL3, {"general.architecture", WORD, .word = "clip"}, DLM_ERR_INVALID,
     "it holds a vision tower"},
    {MISTRAL3, {"general.architecture", WORD, .word = "gemma3"}, DLM_ERR_UNSUPPORTED,
     "architecture 'gemma3' with projector 'pixtral' is not supported (paligemma with "
     "paligemma, qwen2vl with qwen2vl_merger, mistral3 with pixtral are)"},
    {QWEN2_VL, {"general.architecture", WORD, .word = "llama"}, DLM_ERR_UNSUPPORTED,
     "architecture 'llama' with projector 'qwen2vl_merger'"},
    {QWEN2_VL, {"qwen2vl.rope.dimension_sections", I32S, .list = {2, 6}, .len = 2},
     DLM_ERR_PARSE, "'qwen2vl.rope.dimension_sections' is not a list of 3 numbers (and 0)"},
    {QWEN2_VL, {"qwen2vl.rope.dimension_sections", I32S, .list = {2, 3, 2, 1}, .len = 4},
     DLM_ERR_PARSE, "'qwen2vl.rope.dimension_sections'"},
    {QWEN2_VL, {"qwen2vl.rope.dimension_sections", F32S, .list = {2, 3, 3}, .len = 3},
     DLM_ERR_PARSE, "'qwen2vl.rope.dimension_sections'"},
};

static const struct refusal tower_refusals[] = {
    {MISTRAL3, {"general.type", WORD, .word = "adapter"}, DLM_ERR_INVALID,
     "it is an adapter"},
    {MISTRAL3, {"split.count", U32, 2}, DLM_ERR_UNSUPPORTED, "it is one of 2 parts"},
    {MISTRAL3, {"general.architecture", WORD, .word = "llama"}, DLM_ERR_INVALID,
     "it holds no vision tower"},
    {MISTRAL3, {"clip.projector_type", WORD, .word = "ldp"}, DLM_ERR_UNSUPPORTED,
     "projector 'ldp'"},
    {MISTRAL3, {"clip.projector_type", GONE}, DLM_ERR_PARSE, "'clip.projector_type'"},
    {MISTRAL3, {"clip.use_gelu", BOOL, 1}, DLM_ERR_PARSE,
     "both clip.use_gelu and clip.use_silu"},
    {MISTRAL3, {"clip.use_silu", U32, 1}, DLM_ERR_PARSE, "'clip.use_silu'"},
    {MISTRAL3, {"clip.vision.feed_forward_length", U32, 0}, DLM_ERR_PARSE,
     "'clip.vision.feed_forward_length'"},
    {QWEN2_VL, {"clip.vision.feed_forward_length", GONE}, DLM_ERR_PARSE,
     "'clip.vision.feed_forward_length'"},
    {QWEN2_VL, {"clip.vision.feed_forward_length", U32, 1 << 19}, DLM_ERR_PARSE,
     "'clip.vision.feed_forward_length'"},
    {MISTRAL3, {"clip.vision.image_size", U32, 1 << 17}, DLM_ERR_PARSE,
     "'clip.vision.image_size'"},
    {MISTRAL3, {"clip.vision.patch_size", U32, 513}, DLM_ERR_PARSE,
     "'clip.vision.patch_size'"},
    {MISTRAL3, {"clip.vision.embedding_length", U32, 1 << 17}, DLM_ERR_PARSE,
     "'clip.vision.embedding_length'"},
    {MISTRAL3, {"clip.vision.embedding_length", U32, 36}, DLM_ERR_PARSE,
     "'clip.vision.attention.head_count' is 2, which 36 numbers are no heads for"},
    {MISTRAL3, {"clip.vision.attention.head_count", U32, 513}, DLM_ERR_PARSE,
     "'clip.vision.attention.head_count'"},
    {MISTRAL3, {"clip.vision.attention.head_count", U32, 3}, DLM_ERR_PARSE,
     "'clip.vision.attention.head_count' is 3"},
    {MISTRAL3, {"clip.vision.block_count", U32, 513}, DLM_ERR_PARSE,
     "'clip.vision.block_count'"},
    {MISTRAL3, {"clip.vision.spatial_merge_size", U32, 65}, DLM_ERR_PARSE,
     "'clip.vision.spatial_merge_size'"},
    {MISTRAL3, {"clip.vision.projection_dim", U32, 64}, DLM_ERR_INVALID,
     "is of another model than 'base.gguf': it gives vectors of 64 numbers, not of 256"},
    {MISTRAL3, {"clip.vision.projection_dim", GONE}, DLM_ERR_PARSE,
     "'clip.vision.projection_dim'"},
    {QWEN2_VL, {"clip.vision.image_mean", GONE}, DLM_ERR_PARSE,
     "'clip.vision.image_mean'"},
    {QWEN2_VL, {"clip.vision.image_mean", F32S, .list = {0.5, 0.5}, .len = 2},
     DLM_ERR_PARSE, "'clip.vision.image_mean' is not a list of 3 numbers"},
    {QWEN2_VL, {"clip.vision.image_std", F32S, .list = {0.5, 0.5, 0}, .len = 3},
     DLM_ERR_PARSE, "image_std"},
    {QWEN2_VL, {"clip.vision.image_max_pixels", U32, 0}, DLM_ERR_PARSE,
     "'clip.vision.image_max_pixels'"},
    {QWEN2_VL, {"clip.vision.image_max_pixels", U32, (1 << 28) + 1}, DLM_ERR_PARSE,
     "'clip.vision.image_max_pixels' is not between"},
    {QWEN2_VL, {"clip.vision.image_max_pixels", U32, 100}, DLM_ERR_PARSE,
     "'clip.vision.image_max_pixels' is 100, less than the smallest of an image, 3136"},
    {QWEN2_VL, {"clip.vision.embedding_length", U32, 40}, DLM_ERR_PARSE,
     "'v.blk.0.ffn_up.weight' is no matrix of a whole multiple of 40 rows"},
};

static void test_refusals(int file, const struct refusal *rows, size_t num)
{
    static const char *const names[] = {"base.gguf", "mmproj.gguf"};

    for (size_t i = 0; i < num; i++) {
        struct read r;
        check_case(rows[i].says);
        CHECK_INT(read_edited(&r, rows[i].base, file, &rows[i].edit, 1), rows[i].st);
        if (!CHECK(strstr(dlm_ctx_last_error(ctx), rows[i].says)) ||
            !CHECK(strstr(dlm_ctx_last_error(ctx), names[file])))
            printf("     %s\n", dlm_ctx_last_error(ctx));
        finish(&r);
    }
}

/* Three axes alone, as some files have them, are the same as with a fourth one of none. */
static void test_sections(void)
{
    const struct edit edit = {"qwen2vl.rope.dimension_sections", I32S, .list = {1, 3, 4}, .len = 3};
    const size_t nums[] = {0, 1};
    static const int64_t want[][3] = {{2, 3, 3}, {1, 3, 4}};

    for (size_t i = 0; i < DLM_ARRAY_LEN(nums); i++) {
        struct read r;
        check_case("pairs of a head on each axis");
        if (CHECK(!read_edited(&r, QWEN2_VL, TEXT, &edit, nums[i]))) {
            const json_t *list = json_object_get(
                json_object_get(json_object_get(r.config, TEXT_MEMBER), "rope_scaling"),
                "mrope_section");
            for (size_t k = 0; k < 3; k++)
                CHECK_INT(json_integer_value(json_array_get(list, k)), want[i][k]);
        }
        finish(&r);
    }
}

int main(void)
{
    static const char *const folders[] = {"qwen2_vl_gguf", "mistral3_gguf"};
    static const char *const names[] = {"base.gguf", "mmproj.gguf"};
    bool is_there = true;

    ctx = dlm_ctx_create(NULL);
    check_case("the files as they are");
    for (int b = 0; b < NUM_BASES; b++)
        for (int i = 0; i < NUM_FILES; i++) {
            struct bytes *file = &originals[b][i];
            char path[600];
            snprintf(path, sizeof(path), "%s/golden/models/%s/base/%s", check_data_dir(),
                     folders[b], names[i]);
            file->data = (uint8_t *)get_file(path, &file->len);
            is_there = CHECK(file->data) && is_there;
        }
    if (is_there) {
        test_taken();
        test_activation();
        test_processor();
        test_ends();
        test_sections();
        test_refusals(TEXT, text_refusals, DLM_ARRAY_LEN(text_refusals));
        test_refusals(TOWER, tower_refusals, DLM_ARRAY_LEN(tower_refusals));
    }
    for (int i = 0; i < NUM_BASES * NUM_FILES; i++)
        free(originals[i / NUM_FILES][i % NUM_FILES].data);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
