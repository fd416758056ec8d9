/* Keys of two GGUF files as the members of a config.json and of a preprocessor_config.json. What
 * asks for another computation than the graphs' is refused by its key. */
#include "models/gguf_config.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/activation.h"
#include "base/log.h"
#include "kernels/attention_params.h"
#include "models/model_impl.h"

#define MAX_INT (INT64_C(1) << 24)    /* of any size that files say; families know closer limits */
#define MAX_PIXELS (INT64_C(1) << 28) /* of an image: more than DLM_IMAGE_MAX_PIXELS, which holds */

/* --- which model ----------------------------------------------------------------------------- */

static bool is_text(const struct dlm_gguf_text *text, const char *word)
{
    return word && text->len == strlen(word) && !memcmp(text->data, word, text->len);
}

/* A file of one part, of a model as a whole. */
static enum dlm_status check_kind(struct dlm_ctx *ctx, const struct dlm_gguf *gguf)
{
    const struct dlm_gguf_value *type = dlm_gguf_find_value(gguf, "general.type");
    const struct dlm_gguf_value *split = dlm_gguf_find_value(gguf, "split.count");
    struct dlm_gguf_text text = {0};
    int64_t num = 1;
    enum dlm_status st = DLM_OK;

    if (type)
        st = dlm_gguf_get_string(ctx, gguf, "general.type", &text);
    if (!st && is_text(&text, "adapter"))
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot use '%s' as a base: it is an adapter",
                      dlm_gguf_path(gguf));
    if (!st && split)
        st = dlm_gguf_get_int(ctx, gguf, "split.count", 0, UINT16_MAX, &num);
    if (st || num < 2)
        return st;
    dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot use '%s': it is one of %lld parts",
             dlm_gguf_path(gguf), (long long)num);
    dlm_log(ctx, DLM_LOG_HINT, "llama.cpp's `llama-gguf-split --merge` makes one file of them");
    return DLM_ERR_UNSUPPORTED;
}

static enum dlm_status unknown_model(struct dlm_ctx *ctx, const struct dlm_gguf *text,
                                     const struct dlm_gguf *tower,
                                     const struct dlm_gguf_text *arch,
                                     const struct dlm_gguf_text *projector)
{
    struct dlm_str known = {0};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && dlm_families[i]; i++)
        if (dlm_families[i]->gguf)
            st = dlm_str_appendf(ctx, &known, "%s%s with %s", known.len ? ", " : "",
                                 dlm_families[i]->gguf->arch, dlm_families[i]->gguf->projector);
    if (!st)
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s' with '%s': architecture "
                      "'%.*s' with projector '%.*s' is not supported (%s are)",
                      dlm_gguf_path(text), dlm_gguf_path(tower),
                      (int)DLM_MIN(arch->len, (size_t)64), arch->data,
                      (int)DLM_MIN(projector->len, (size_t)64), projector->data,
                      dlm_str_text(&known));
    dlm_str_finish(&known);
    return st;
}

enum dlm_status dlm_gguf_find_family(struct dlm_ctx *ctx, const struct dlm_gguf *text,
                                     const struct dlm_gguf *tower,
                                     const struct dlm_family **family)
{
    struct dlm_gguf_text arch, clip, projector = {0};

    enum dlm_status st = check_kind(ctx, text);
    if (!st)
        st = check_kind(ctx, tower);
    if (!st)
        st = dlm_gguf_get_string(ctx, text, "general.architecture", &arch);
    if (!st && is_text(&arch, "clip"))
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot use '%s' as a base: it holds a vision tower, "
                      "not a language model", dlm_gguf_path(text));
    if (!st)
        st = dlm_gguf_get_string(ctx, tower, "general.architecture", &clip);
    if (!st && !is_text(&clip, "clip"))
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot use '%s' as mmproj: it holds no vision tower",
                      dlm_gguf_path(tower));
    if (!st)
        st = dlm_gguf_get_string(ctx, tower, "clip.projector_type", &projector);
    for (size_t i = 0; !st && dlm_families[i]; i++) {
        const struct dlm_gguf_family *f = dlm_families[i]->gguf;
        if (f && is_text(&projector, f->projector) &&
            (is_text(&arch, f->arch) || is_text(&arch, f->other_arch))) {
            *family = dlm_families[i];
            return DLM_OK;
        }
    }
    return st ? st : unknown_model(ctx, text, tower, &arch, &projector);
}

/* --- the language model ---------------------------------------------------------------------- */

/* Keys of one file below a prefix, made members of an object until one fails. */
struct keys {
    struct dlm_ctx *ctx;
    const struct dlm_gguf *gguf;
    char prefix[72];
    json_t *out;
    enum dlm_status st;
};

static const char *full_key(const struct keys *k, const char *key, char out[128])
{
    snprintf(out, 128, "%s%s", k->prefix, key);
    return out;
}

static bool has_key(const struct keys *k, const char *key)
{
    char full[128];

    return dlm_gguf_find_value(k->gguf, full_key(k, key, full));
}

static void put(struct keys *k, const char *member, json_t *value)
{
    if (!k->st && json_object_set_new(k->out, member, value))
        k->st = dlm_fail(k->ctx, DLM_ERR_MEMORY, "out of memory");
    else if (k->st)
        json_decref(value);
}

static int64_t get_int_from(struct keys *k, const char *key, int64_t min, int64_t max)
{
    int64_t value = 0;
    char full[128];

    if (!k->st)
        k->st = dlm_gguf_get_int(k->ctx, k->gguf, full_key(k, key, full), min, max, &value);
    return value;
}

static int64_t get_int(struct keys *k, const char *key, int64_t max)
{
    return get_int_from(k, key, 1, max);
}

static void take_int_to(struct keys *k, const char *key, int64_t max, const char *member)
{
    const int64_t value = get_int(k, key, max);

    put(k, member, json_integer(value));
}

static void take_int(struct keys *k, const char *key, const char *member)
{
    take_int_to(k, key, MAX_INT, member);
}

/* What JSON has no number for. */
static enum dlm_status not_finite(const struct keys *k, const char *full)
{
    return dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is not finite",
                    dlm_gguf_path(k->gguf), full);
}

static void take_number(struct keys *k, const char *key, double min, double below,
                        const char *member)
{
    double value = 0;
    char full[128];

    if (!k->st)
        k->st = dlm_gguf_get_number(k->ctx, k->gguf, full_key(k, key, full), &value);
    if (!k->st && !isfinite(value))
        k->st = not_finite(k, full);
    if (!k->st && !(value >= min && value < below))
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is out of range",
                         dlm_gguf_path(k->gguf), full);
    put(k, member, json_real(k->st ? 0 : value));
}

static int64_t member_int(const struct keys *k, const char *member)
{
    return json_integer_value(json_object_get(k->out, member));
}

static int64_t head_size(const struct keys *k)
{
    return json_object_get(k->out, "head_dim")
               ? member_int(k, "head_dim")
               : member_int(k, "hidden_size") / member_int(k, "num_attention_heads");
}

/* Pairs of a head on each axis; a fourth axis has none. */
static void take_sections(struct keys *k)
{
    const struct dlm_gguf_value *v = NULL;
    int64_t pairs[4] = {0};
    char full[128];

    full_key(k, "rope.dimension_sections", full);
    if (!k->st)
        k->st = dlm_gguf_get_array(k->ctx, k->gguf, full, DLM_GGUF_KIND_I32, &v);
    bool is_good = !k->st && (v->len == 3 || v->len == 4);
    for (size_t i = 0; is_good && i < v->len; i++)
        is_good = dlm_gguf_value_int(v, i, &pairs[i]);
    if (!k->st && (!is_good || pairs[3]))
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is not a list of 3 numbers "
                         "(and 0)", dlm_gguf_path(k->gguf), full);
    if (!k->st && (pairs[0] < 1 || pairs[1] < 1 || pairs[2] < 1 ||
                   pairs[0] + pairs[1] + pairs[2] != head_size(k) / 2))
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is no division of half a "
                         "head's %lld", dlm_gguf_path(k->gguf), full, (long long)head_size(k));
    put(k, "rope_scaling", json_pack("{s:s, s:[I, I, I]}", "type", "mrope", "mrope_section",
                                     (json_int_t)pairs[0], (json_int_t)pairs[1],
                                     (json_int_t)pairs[2]));
}

/* What changes the computation in a way that no graph here knows. */
static void refuse_others(struct keys *k)
{
    static const char *const keys[] = {
        "expert_count", "rope.scaling.factor", "rope.scaling.yarn_ext_factor",
        "rope.scaling.yarn_log_multiplier", "attention.temperature_scale",
        "attention.temperature_length", "attn_logit_softcapping", "final_logit_softcapping",
        "logit_scale", "embedding_scale", "residual_scale"};
    char full[128];

    for (size_t i = 0; !k->st && i < DLM_ARRAY_LEN(keys); i++)
        if (has_key(k, keys[i]))
            k->st = dlm_fail(k->ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': '%s' is not supported",
                             dlm_gguf_path(k->gguf), full_key(k, keys[i], full));
    if (!k->st && dlm_gguf_find_tensor(k->gguf, "rope_freqs.weight"))
        k->st = dlm_fail(k->ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': tensor "
                         "'rope_freqs.weight' is not supported", dlm_gguf_path(k->gguf));
    if (k->st || !has_key(k, "rope.scaling.type"))
        return;
    struct dlm_gguf_text type = {0};
    k->st = dlm_gguf_get_string(k->ctx, k->gguf, full_key(k, "rope.scaling.type", full), &type);
    if (!k->st && !is_text(&type, "none"))
        k->st = dlm_fail(k->ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': '%s' is '%.*s': not "
                         "supported (only none is)", dlm_gguf_path(k->gguf), full,
                         (int)DLM_MIN(type.len, (size_t)64), type.data);
}

/* Rows of the embedding, which are what there are tokens of. */
static void take_vocab(struct keys *k)
{
    const struct dlm_gguf_tensor *embed = dlm_gguf_find_tensor(k->gguf, "token_embd.weight");
    const struct dlm_gguf_value *tokens = NULL;

    if (!k->st && (!embed || embed->ndim != 2))
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': it has no 'token_embd.weight'",
                         dlm_gguf_path(k->gguf));
    if (!k->st)
        k->st = dlm_gguf_get_array(k->ctx, k->gguf, "tokenizer.ggml.tokens", DLM_GGUF_KIND_STRING,
                                   &tokens);
    if (!k->st && (int64_t)tokens->len != embed->ne[1])
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': it has %zu tokens, and rows of "
                         "%lld in 'token_embd.weight'", dlm_gguf_path(k->gguf), tokens->len,
                         (long long)embed->ne[1]);
    if (!k->st && has_key(k, "vocab_size")) {
        const int64_t told = get_int(k, "vocab_size", MAX_INT);
        if (!k->st && told != embed->ne[1])
            k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': '%svocab_size' is %lld, and "
                             "'token_embd.weight' has %lld rows", dlm_gguf_path(k->gguf),
                             k->prefix, (long long)told, (long long)embed->ne[1]);
    }
    put(k, "vocab_size", json_integer(k->st ? 0 : embed->ne[1]));
}

/* The width is whole heads, of which each key's is of as many queries'. */
static void check_heads(struct keys *k)
{
    const bool is_told = has_key(k, "attention.key_length");
    const int64_t hidden = member_int(k, "hidden_size");
    const int64_t heads = member_int(k, "num_attention_heads");
    const int64_t kv_heads = member_int(k, "num_key_value_heads");

    if (k->st)
        return;
    const int64_t size = head_size(k);
    if ((!is_told && hidden % heads) || size < 2 || size % 2 || size > DLM_ATTENTION_MAX_DIM)
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': '%sattention.%s' is %lld, which "
                         "%lld numbers are no heads for", dlm_gguf_path(k->gguf), k->prefix,
                         is_told ? "key_length" : "head_count",
                         (long long)(is_told ? size : heads), (long long)hidden);
    else if (heads % kv_heads)
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': '%sattention.head_count_kv' is "
                         "%lld, of which %lld is no multiple", dlm_gguf_path(k->gguf), k->prefix,
                         (long long)kv_heads, (long long)heads);
}

/* All of a head is turned. */
static void check_rope(struct keys *k)
{
    if (k->st || !has_key(k, "rope.dimension_count"))
        return;
    const int64_t want = head_size(k);
    const int64_t count = get_int(k, "rope.dimension_count", MAX_INT);
    if (!k->st && count != want)
        k->st = dlm_fail(k->ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': '%srope.dimension_count' "
                         "is %lld: not supported (only a head's size is, %lld)",
                         dlm_gguf_path(k->gguf), k->prefix, (long long)count, (long long)want);
}

/* In the limits that families know, so that errors have the keys' names. */
static void take_text(struct keys *k)
{
    take_int_to(k, "embedding_length", 1 << 16, "hidden_size");
    take_int_to(k, "feed_forward_length", 1 << 18, "intermediate_size");
    take_int_to(k, "block_count", 512, "num_hidden_layers");
    take_int_to(k, "attention.head_count", 512, "num_attention_heads");
    take_int_to(k, has_key(k, "attention.head_count_kv") ? "attention.head_count_kv"
                                                         : "attention.head_count",
                512, "num_key_value_heads");
    if (has_key(k, "context_length"))
        take_int(k, "context_length", "max_position_embeddings");
    if (has_key(k, "attention.key_length"))
        take_int(k, "attention.key_length", "head_dim");
    check_heads(k);
    check_rope(k);
    if (has_key(k, "rope.dimension_sections"))
        take_sections(k);
    take_number(k, "attention.layer_norm_rms_epsilon", 0, 1, "rms_norm_eps");
    if (has_key(k, "rope.freq_base"))
        take_number(k, "rope.freq_base", FLT_MIN, 1e12, "rope_theta");
    else
        put(k, "rope_theta", json_real(1e4)); /* llama.cpp's default */
    if (has_key(k, "attention.sliding_window"))
        take_int(k, "attention.sliding_window", "sliding_window");
    else
        put(k, "sliding_window", json_null());
    take_vocab(k);
    refuse_others(k);
}

/* --- tokens ---------------------------------------------------------------------------------- */

/* The id of a token, -1 if there is none. */
static int64_t find_token(const struct dlm_gguf_text *tokens, size_t num, const char *word)
{
    for (size_t i = 0; i < num; i++)
        if (is_text(&tokens[i], word))
            return (int64_t)i;
    return -1;
}

/* The ids of the image token and of those that end an answer. */
static void take_tokens(struct keys *k, const struct dlm_gguf_family *f)
{
    const struct dlm_gguf_value *v = dlm_gguf_find_value(k->gguf, "tokenizer.ggml.tokens");
    struct dlm_gguf_text *tokens = NULL;
    json_t *ends = json_array();
    int64_t id = 0;
    int rc = ends ? 0 : -1;

    if (!k->st)
        k->st = dlm_gguf_value_strings(k->ctx, v, &tokens);
    if (!k->st)
        k->st = dlm_gguf_get_int(k->ctx, k->gguf, "tokenizer.ggml.eos_token_id", 0,
                                 (int64_t)v->len - 1, &id);
    if (!k->st)
        rc |= json_array_append_new(ends, json_integer(id));
    for (const char *const *end = f->ends; !k->st && end && *end; end++) {
        const int64_t other = find_token(tokens, v->len, *end);
        if (other >= 0 && other != id)
            rc |= json_array_append_new(ends, json_integer(other));
    }
    const int64_t image = k->st ? 0 : find_token(tokens, v->len, f->image_token);
    if (!k->st && image < 0)
        k->st = dlm_fail(k->ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': it has no token '%s'",
                         dlm_gguf_path(k->gguf), f->image_token);
    if (!k->st && rc)
        k->st = dlm_fail(k->ctx, DLM_ERR_MEMORY, "out of memory");
    put(k, "image_token_id", json_integer(image));
    put(k, "eos_token_id", ends);
    dlm_free(tokens);
}

/* --- the tower ------------------------------------------------------------------------------- */

static bool is_true(struct keys *k, const char *key)
{
    bool value = false;
    char full[128];

    if (!k->st && has_key(k, key))
        k->st = dlm_gguf_get_bool(k->ctx, k->gguf, full_key(k, key, full), &value);
    return value;
}

/* In the limits that families know, so that the tower's file is the one that is named. */
static void read_vision(struct keys *k, const struct dlm_gguf_family *f,
                        struct dlm_gguf_vision *v)
{
    const bool has_gelu = is_true(k, "use_gelu"), has_silu = is_true(k, "use_silu");

    if (!k->st && has_gelu && has_silu)
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': both clip.use_gelu and "
                         "clip.use_silu", dlm_gguf_path(k->gguf));
    v->act = has_gelu ? DLM_ACT_GELU_ERF : has_silu ? DLM_ACT_SILU : DLM_ACT_QUICK_GELU;
    snprintf(k->prefix, sizeof(k->prefix), "clip.vision.");
    v->image = get_int(k, "image_size", 1 << 16);
    v->patch = get_int(k, "patch_size", 512);
    v->width = get_int(k, "embedding_length", 1 << 16);
    v->intermediate = get_int_from(k, "feed_forward_length", !f->has_untold_mlp, 1 << 18);
    v->layers = get_int(k, "block_count", 512);
    v->heads = get_int(k, "attention.head_count", 512);
    v->merge = has_key(k, "spatial_merge_size") ? get_int(k, "spatial_merge_size", 64) : 0;
    if (!k->st && (v->width % v->heads || v->width / v->heads % 4))
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': 'clip.vision.attention."
                         "head_count' is %lld, which %lld numbers are no heads for",
                         dlm_gguf_path(k->gguf), (long long)v->heads, (long long)v->width);
}

/* The tower gives rows of the width that the language model has. */
static void check_pair(struct keys *k, const struct dlm_gguf_told *told)
{
    const int64_t width = get_int(k, "projection_dim", MAX_INT);

    if (k->st || width == told->hidden)
        return;
    k->st = dlm_fail(k->ctx, DLM_ERR_INVALID, "'%s' is of another model than '%s': it gives "
                     "vectors of %lld numbers, not of %lld", dlm_gguf_path(told->tower),
                     dlm_gguf_path(told->text), (long long)width, (long long)told->hidden);
}

enum dlm_status dlm_gguf_read_config(struct dlm_ctx *ctx, const struct dlm_family *family,
                                     const struct dlm_gguf *text, const struct dlm_gguf *tower,
                                     struct dlm_gguf_told *told, json_t **config)
{
    const bool is_tied = !dlm_gguf_find_tensor(text, "output.weight");
    const struct dlm_gguf_family *f = family->gguf;
    struct keys k = {.ctx = ctx, .gguf = text, .out = json_object()};
    json_t *root = json_object();
    struct dlm_gguf_text arch;

    *config = NULL;
    *told = (struct dlm_gguf_told){.text = text, .tower = tower};
    k.st = root && k.out ? dlm_gguf_get_string(ctx, text, "general.architecture", &arch)
                         : dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    told->arch = !k.st && is_text(&arch, f->other_arch) ? f->other_arch : f->arch;
    snprintf(k.prefix, sizeof(k.prefix), "%s.", told->arch); /* of a family, so short */
    take_text(&k);
    told->hidden = json_integer_value(json_object_get(k.out, "hidden_size"));
    json_t *section = k.out;
    k.out = root;
    put(&k, "text_config", section);
    put(&k, "model_type", json_string(family->model_type));
    put(&k, "tie_word_embeddings", json_boolean(is_tied));
    take_tokens(&k, f);
    k.gguf = tower;
    snprintf(k.prefix, sizeof(k.prefix), "clip.");
    read_vision(&k, f, &told->vision);
    check_pair(&k, told);
    if (!k.st)
        k.st = f->write_config(ctx, told, root);
    if (k.st)
        json_decref(root);
    else
        *config = root;
    return k.st;
}

/* --- images ---------------------------------------------------------------------------------- */

static void take_channels(struct keys *k, const char *key, const char *member)
{
    const struct dlm_gguf_value *v = NULL;
    json_t *list = json_array();
    char full[128];
    double value;

    if (!k->st)
        k->st = dlm_gguf_get_array(k->ctx, k->gguf, full_key(k, key, full), DLM_GGUF_KIND_F32, &v);
    if (!k->st && v->len != 3)
        k->st = dlm_fail(k->ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is not a list of 3 numbers",
                         dlm_gguf_path(k->gguf), full);
    for (size_t i = 0; !k->st && i < v->len; i++)
        if (!dlm_gguf_value_number(v, i, &value) || !isfinite(value))
            k->st = not_finite(k, full);
        else if (json_array_append_new(list, json_real(value)))
            k->st = dlm_fail(k->ctx, DLM_ERR_MEMORY, "out of memory");
    put(k, member, list);
}

enum dlm_status dlm_gguf_read_processor(struct dlm_ctx *ctx, const struct dlm_gguf *tower,
                                        struct dlm_processor *p)
{
    struct keys k = {.ctx = ctx, .gguf = tower, .prefix = "clip.vision.", .out = json_object()};

    if (!k.out)
        return dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    take_channels(&k, "image_mean", "image_mean");
    take_channels(&k, "image_std", "image_std");
    take_int(&k, "patch_size", "patch_size");
    if (has_key(&k, "spatial_merge_size"))
        take_int(&k, "spatial_merge_size", "merge_size");
    if (p->size_rule == DLM_SIZE_AREA && has_key(&k, "image_min_pixels"))
        take_int_to(&k, "image_min_pixels", MAX_PIXELS, "min_pixels");
    if (p->size_rule == DLM_SIZE_AREA && has_key(&k, "image_max_pixels"))
        take_int_to(&k, "image_max_pixels", MAX_PIXELS, "max_pixels");
    if (!k.st)
        k.st = dlm_processor_parse(ctx, p, k.out, dlm_gguf_path(tower));
    if (!k.st && p->size_rule == DLM_SIZE_AREA && p->min_pixels > p->max_pixels)
        k.st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'clip.vision.image_max_pixels' is "
                        "%lld, less than the smallest of an image, %lld", dlm_gguf_path(tower),
                        (long long)p->max_pixels, (long long)p->min_pixels);
    json_decref(k.out);
    return k.st;
}
