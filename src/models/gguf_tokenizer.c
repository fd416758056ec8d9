/* Byte-level BPE, as tokenizer.ggml.* have it, in the words of the tokenizer.json that it was made
 * of: src/tokens reads one thing. How text is cut before BPE, files say by a name alone. */
#include "models/gguf_tokenizer.h"

#include <string.h>

#include "base/log.h"

/* tokenizer.ggml.token_type */
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };

#define MAX_TOKENS (1 << 22) /* as src/tokens has it */

struct reading {
    struct dlm_ctx *ctx;
    const struct dlm_gguf *gguf;
    const struct dlm_gguf_family *family;
    const struct dlm_gguf_value *types;
    struct dlm_gguf_text *tokens;
    size_t num;
    size_t num_model; /* tokens of the model itself; what follows are added ones alone */
};

static enum dlm_status bad(const struct reading *r, const char *what, size_t i)
{
    return dlm_fail(r->ctx, DLM_ERR_PARSE, "cannot read '%s': token %zu %s",
                    dlm_gguf_path(r->gguf), i, what);
}

static enum dlm_status no_memory(const struct reading *r)
{
    return dlm_fail(r->ctx, DLM_ERR_MEMORY, "out of memory");
}

/* Of a token that read_tokens() has looked at. */
static int64_t type_of(const struct reading *r, size_t i)
{
    int64_t type = UNUSED;

    return dlm_gguf_value_int(r->types, i, &type) ? type : UNUSED;
}

static bool is_added(const struct reading *r, size_t i)
{
    const int64_t type = type_of(r, i);

    return type == CONTROL || type == USER_DEFINED || type == UNKNOWN;
}

static enum dlm_status read_tokens(struct reading *r)
{
    const struct dlm_gguf_value *tokens = NULL;

    enum dlm_status st = dlm_gguf_get_array(r->ctx, r->gguf, "tokenizer.ggml.tokens",
                                            DLM_GGUF_KIND_STRING, &tokens);
    if (!st)
        st = dlm_gguf_get_array(r->ctx, r->gguf, "tokenizer.ggml.token_type", DLM_GGUF_KIND_I32,
                                &r->types);
    if (!st && (tokens->len != r->types->len || !tokens->len || tokens->len > MAX_TOKENS))
        st = dlm_fail(r->ctx, DLM_ERR_PARSE, "cannot read '%s': it has %zu tokens and types of "
                      "%zu", dlm_gguf_path(r->gguf), tokens->len, r->types->len);
    if (!st)
        st = dlm_gguf_value_strings(r->ctx, tokens, &r->tokens);
    if (st)
        return st;
    r->num = tokens->len;
    size_t num_unused = 0, num_all = 0; /* up to the last of them that an added token follows */
    for (size_t i = 0; i < r->num; i++) {
        const int64_t type = type_of(r, i);
        if (type != NORMAL && type != UNUSED && !is_added(r, i))
            return bad(r, "is of a type that byte-level BPE has not", i);
        if (!r->tokens[i].len || memchr(r->tokens[i].data, '\0', r->tokens[i].len))
            return bad(r, "is no text", i);
        if (type == UNUSED)
            num_unused = i + 1;
        else
            num_all = DLM_MAX(num_all, type == NORMAL ? i + 1 : num_unused);
    }
    r->num_model = num_all;
    return DLM_OK;
}

/* --- in JSON --------------------------------------------------------------------------------- */

/* NULL for what is no UTF-8. */
static json_t *json_text(const struct dlm_gguf_text *text)
{
    return json_stringn(text->data, text->len);
}

/* The model's own tokens: all ids up to the last, so that added ones behind them are counted on. */
static enum dlm_status make_vocab(const struct reading *r, json_t *vocab)
{
    struct dlm_str word = {0};
    enum dlm_status st = vocab ? DLM_OK : no_memory(r);

    for (size_t i = 0; !st && i < r->num_model; i++) {
        word.len = 0;
        st = dlm_str_append(r->ctx, &word, r->tokens[i].data, r->tokens[i].len);
        if (!st && json_object_get(vocab, word.data))
            st = bad(r, "is there twice", i);
        if (!st && json_object_set_new(vocab, word.data, json_integer((json_int_t)i)))
            st = bad(r, "is not UTF-8", i);
    }
    dlm_str_finish(&word);
    return st;
}

static enum dlm_status make_merges(const struct reading *r, json_t *merges)
{
    const struct dlm_gguf_value *v = NULL;
    struct dlm_gguf_text *texts = NULL;

    enum dlm_status st = dlm_gguf_get_array(r->ctx, r->gguf, "tokenizer.ggml.merges",
                                            DLM_GGUF_KIND_STRING, &v);
    if (!st)
        st = dlm_gguf_value_strings(r->ctx, v, &texts);
    for (size_t i = 0; !st && i < v->len; i++)
        if (json_array_append_new(merges, json_text(&texts[i])))
            st = dlm_fail(r->ctx, DLM_ERR_PARSE, "cannot read '%s': merge %zu is not UTF-8",
                          dlm_gguf_path(r->gguf), i);
    dlm_free(texts);
    return st;
}

static enum dlm_status make_added(const struct reading *r, json_t *added)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < r->num; i++) {
        json_t *content = is_added(r, i) ? json_text(&r->tokens[i]) : NULL;
        if (!is_added(r, i))
            continue;
        if (!content)
            return bad(r, "is not UTF-8", i);
        json_t *token = json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i,
                                  "content", content, "special", type_of(r, i) != USER_DEFINED,
                                  "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0);
        if (json_array_append_new(added, token))
            st = no_memory(r);
    }
    return st;
}

/* What stands around a text that is encoded with it: the token that begins one, if it does. */
static enum dlm_status make_post(const struct reading *r, json_t **post)
{
    int64_t id = 0;
    bool adds = false;
    enum dlm_status st = DLM_OK;

    if (dlm_gguf_find_value(r->gguf, "tokenizer.ggml.add_bos_token"))
        st = dlm_gguf_get_bool(r->ctx, r->gguf, "tokenizer.ggml.add_bos_token", &adds);
    if (!st && adds)
        st = dlm_gguf_get_int(r->ctx, r->gguf, "tokenizer.ggml.bos_token_id", 0,
                              (int64_t)r->num - 1, &id);
    if (!st && adds)
        *post = json_pack("{s:s, s:[{s:{s:s}}, {s:{s:s}}], s:{s:{s:[I]}}}", "type",
                          "TemplateProcessing", "single", "SpecialToken", "id", "bos", "Sequence",
                          "id", "A", "special_tokens", "bos", "ids", (json_int_t)id);
    else if (!st)
        *post = json_pack("{s:s}", "type", "ByteLevel");
    return st || *post ? st : no_memory(r);
}

static json_t *byte_level(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 0, "use_regex", 0);
}

/* The object of a tokenizer.json without vocabulary, merges and added tokens, which are lists that
 * the caller fills. */
static enum dlm_status make_frame(const struct reading *r, json_t **root)
{
    const struct dlm_gguf_family *f = r->family;
    struct dlm_gguf_text model, pre;
    json_t *post = NULL;

    enum dlm_status st = dlm_gguf_get_string(r->ctx, r->gguf, "tokenizer.ggml.model", &model);
    if (!st && (model.len != 4 || memcmp(model.data, "gpt2", 4)))
        st = dlm_fail(r->ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': tokenizer.ggml.model is "
                      "'%.*s': not supported (only gpt2 is, byte-level BPE)",
                      dlm_gguf_path(r->gguf), (int)DLM_MIN(model.len, (size_t)64), model.data);
    if (!st)
        st = dlm_gguf_get_string(r->ctx, r->gguf, "tokenizer.ggml.pre", &pre);
    if (!st && (pre.len != strlen(f->pretokenizer) || memcmp(pre.data, f->pretokenizer, pre.len)))
        st = dlm_fail(r->ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': tokenizer.ggml.pre is "
                      "'%.*s': how it cuts text is not known here (%s is, of models of "
                      "architecture %s)", dlm_gguf_path(r->gguf),
                      (int)DLM_MIN(pre.len, (size_t)64), pre.data, f->pretokenizer, f->arch);
    if (!st)
        st = make_post(r, &post);
    if (st)
        return st;
    *root = json_pack(
        "{s:s, s:o, s:{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}, s:o, s:o, s:{s:s, s:{}, s:[], s:b,"
        " s:b, s:b}, s:[]}", "version", "1.0", "normalizer",
        f->normalizer ? json_pack("{s:s}", "type", f->normalizer) : json_null(), "pre_tokenizer",
        "type", "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex", f->pieces,
        "behavior", "Isolated", "invert", 0, byte_level(), "post_processor", post, "decoder",
        byte_level(), "model", "type", "BPE", "vocab", "merges", "fuse_unk", 0, "byte_fallback", 0,
        "ignore_merges", (int)f->ignores_merges, "added_tokens");
    return *root ? DLM_OK : no_memory(r);
}

enum dlm_status dlm_gguf_read_tokenizer(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                        const struct dlm_gguf *gguf,
                                        const struct dlm_gguf_family *family)
{
    struct reading r = {.ctx = ctx, .gguf = gguf, .family = family};
    json_t *root = NULL;

    *out = NULL;
    enum dlm_status st = read_tokens(&r);
    if (!st)
        st = make_frame(&r, &root);
    json_t *model = json_object_get(root, "model");
    if (!st)
        st = make_vocab(&r, json_object_get(model, "vocab"));
    if (!st)
        st = make_merges(&r, json_object_get(model, "merges"));
    if (!st)
        st = make_added(&r, json_object_get(root, "added_tokens"));
    if (!st)
        st = dlm_tokenizer_from_json(ctx, out, dlm_gguf_path(gguf), root);
    dlm_free(r.tokens);
    json_decref(root);
    return st;
}
