/* The values are those that llama.cpp's converter writes for the same files. */
#include "export/gguf_tokens.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"

/* Types of tokens in tokenizer.ggml.token_type. */
enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };

static enum dlm_status bad(struct dlm_ctx *ctx, const struct dlm_gguf_tokens *t, const char *what)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': %s", t->path, what);
}

/* --- tokens --- */

struct vocab {
    struct dlm_gguf_text *texts; /* [num]; of the JSON, or in names */
    int32_t *types;
    size_t num;
    struct dlm_arena names; /* of ids without a token */
};

static enum dlm_status set_token(struct dlm_ctx *ctx, const struct dlm_gguf_tokens *t,
                                 struct vocab *v, const json_t *id, const char *text, size_t len,
                                 int32_t type)
{
    const json_int_t i = json_integer_value(id);

    if (!json_is_integer(id) || i < 0)
        return bad(ctx, t, "a token has no id");
    if ((uint64_t)i >= v->num)
        return dlm_fail(ctx, DLM_ERR_PARSE,
                        "cannot read '%s': token '%.100s' has the id %lld, of %zu rows", t->path,
                        text, (long long)i, v->num);
    v->texts[i] = (struct dlm_gguf_text){text, len};
    v->types[i] = type;
    return DLM_OK;
}

/* Added tokens that are not said to be special, and are meant so. */
static bool looks_special(const char *text, size_t len)
{
    return len >= 4 && !strncmp(text, "<|", 2) && !strcmp(text + len - 2, "|>");
}

static enum dlm_status set_added(struct dlm_ctx *ctx, const struct dlm_gguf_tokens *t,
                                 struct vocab *v)
{
    enum dlm_status st = DLM_OK;
    const json_t *added;
    size_t i;

    json_array_foreach(json_object_get(t->tokenizer, "added_tokens"), i, added) {
        const json_t *content = json_object_get(added, "content");
        const char *text = json_string_value(content);
        if (!text)
            return bad(ctx, t, "an added token has no content");
        const size_t len = json_string_length(content);
        const bool is_special =
            json_is_true(json_object_get(added, "special")) || looks_special(text, len);
        st = set_token(ctx, t, v, json_object_get(added, "id"), text, len,
                       is_special ? CONTROL : USER_DEFINED);
        if (st)
            break;
    }
    return st;
}

static enum dlm_status fill_vocab(struct dlm_ctx *ctx, const struct dlm_gguf_tokens *t,
                                  struct vocab *v)
{
    json_t *words = json_object_get(json_object_get(t->tokenizer, "model"), "vocab");
    enum dlm_status st = DLM_OK;
    const char *word;
    json_t *id;
    char name[32];

    json_object_foreach(words, word, id) {
        st = set_token(ctx, t, v, id, word, strlen(word), NORMAL);
        if (st)
            return st;
    }
    st = set_added(ctx, t, v);
    for (size_t i = 0; !st && i < v->num; i++) {
        if (v->types[i])
            continue;
        const int len = snprintf(name, sizeof(name), "[PAD%zu]", i);
        v->types[i] = UNUSED;
        v->texts[i].len = (size_t)len; /* no encoding can fail */
        v->texts[i].data = dlm_arena_strndup(ctx, &v->names, name, (size_t)len);
        if (!v->texts[i].data)
            st = DLM_ERR_MEMORY;
    }
    return st;
}

static enum dlm_status put_vocab(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                 const struct dlm_gguf_tokens *t)
{
    struct vocab v = {.num = (size_t)t->vocab};
    enum dlm_status st = DLM_ERR_MEMORY;

    v.texts = dlm_alloc_array(ctx, v.num, sizeof(*v.texts));
    v.types = dlm_alloc_array(ctx, v.num, sizeof(*v.types));
    if (v.texts && v.types)
        st = fill_vocab(ctx, t, &v);
    if (!st)
        st = dlm_gguf_put_strings(ctx, w, "tokenizer.ggml.tokens", v.texts, v.num);
    if (!st)
        st = dlm_gguf_put_array(ctx, w, "tokenizer.ggml.token_type", DLM_GGUF_KIND_I32, v.types,
                                v.num);
    dlm_arena_finish(&v.names);
    dlm_free(v.texts);
    dlm_free(v.types);
    return st;
}

/* --- merges --- */

/* Half of a merge. The space between halves must be the only one: within, it is U+0120, as
 * byte-level tokens write it. */
static enum dlm_status append_half(struct dlm_ctx *ctx, struct dlm_str *s, const char *half)
{
    enum dlm_status st = DLM_OK;

    for (; !st && *half; half++)
        st = *half == ' ' ? dlm_str_append(ctx, s, "\xc4\xa0", 2) : dlm_str_append(ctx, s, half, 1);
    return st;
}

static enum dlm_status append_merge(struct dlm_ctx *ctx, const struct dlm_gguf_tokens *t,
                                    struct dlm_str *s, const json_t *merge)
{
    const char *first = json_string_value(json_array_get(merge, 0));
    const char *second = json_string_value(json_array_get(merge, 1));

    if (json_is_string(merge))
        return dlm_str_appendz(ctx, s, json_string_value(merge));
    if (!first || !second)
        return bad(ctx, t, "a merge is no pair of tokens");
    enum dlm_status st = append_half(ctx, s, first);
    if (!st)
        st = dlm_str_append(ctx, s, " ", 1);
    return st ? st : append_half(ctx, s, second);
}

static enum dlm_status put_merges(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                  const struct dlm_gguf_tokens *t)
{
    const json_t *merges = json_object_get(json_object_get(t->tokenizer, "model"), "merges");
    const size_t num = json_array_size(merges);
    struct dlm_gguf_text *texts = dlm_alloc_array(ctx, num, sizeof(*texts));
    struct dlm_str s = {0};
    enum dlm_status st = texts ? DLM_OK : DLM_ERR_MEMORY;
    size_t at = 0;

    for (size_t i = 0; !st && i < num; i++) {
        const size_t begin = s.len;
        st = append_merge(ctx, t, &s, json_array_get(merges, i));
        texts[i].len = s.len - begin;
    }
    for (size_t i = 0; !st && i < num; at += texts[i++].len)
        texts[i].data = s.data + at; /* now that s does not move any more */
    if (!st)
        st = dlm_gguf_put_strings(ctx, w, "tokenizer.ggml.merges", texts, num);
    dlm_str_finish(&s);
    dlm_free(texts);
    return st;
}

/* --- special tokens --- */

/* The content of tokenizer_config.json's "bos_token": a string, or an object with one. */
static const char *special_content(const struct dlm_gguf_tokens *t, const char *type)
{
    char key[32];

    snprintf(key, sizeof(key), "%s_token", type);
    const json_t *entry = json_object_get(t->tokenizer_config, key);
    return json_string_value(json_is_object(entry) ? json_object_get(entry, "content") : entry);
}

/* The id of a special token, as the tokenizer's files say it, else config.json or its text_config;
 * NULL: none. */
static const json_t *special_id(const struct dlm_gguf_tokens *t, const char *type)
{
    const char *content = special_content(t, type);
    const json_t *added;
    char key[32];
    size_t i;

    json_array_foreach(json_object_get(t->tokenizer, "added_tokens"), i, added) {
        const char *text = json_string_value(json_object_get(added, "content"));
        if (content && text && !strcmp(text, content))
            return json_object_get(added, "id");
    }
    snprintf(key, sizeof(key), "%s_token_id", type);
    const json_t *id = json_object_get(t->config, key);
    if (!id || json_is_null(id))
        id = json_object_get(json_object_get(t->config, "text_config"), key);
    return json_is_integer(id) ? id : NULL;
}

/* Whether a template of the post-processor has a special token at one end. */
static bool has_special_end(const json_t *processor, bool is_last)
{
    const json_t *single = json_object_get(processor, "single");
    const size_t num = json_array_size(single);
    const json_t *piece = json_array_get(single, is_last && num ? num - 1 : 0);

    return num > 1 && json_object_get(piece, "SpecialToken");
}

/* Whether texts are encoded with the token that begins or ends them: 1 or 0, -1 where nothing says
 * so. The post-processor counts more than tokenizer_config.json. */
static int adds_special(const struct dlm_gguf_tokens *t, const char *type, bool is_last)
{
    const json_t *post = json_object_get(t->tokenizer, "post_processor");
    const json_t *list = json_object_get(post, "processors");
    char key[32];
    int adds = -1;

    for (size_t i = 0; i < (list ? json_array_size(list) : 1); i++) {
        const json_t *processor = list ? json_array_get(list, i) : post;
        const char *name = json_string_value(json_object_get(processor, "type"));
        if (name && !strcmp(name, "ByteLevel") && adds < 0)
            adds = 0;
        if (name && !strcmp(name, "TemplateProcessing") && has_special_end(processor, is_last))
            adds = 1;
    }
    snprintf(key, sizeof(key), "add_%s_token", type);
    const json_t *entry = json_object_get(t->tokenizer_config, key);
    return adds < 0 && json_is_boolean(entry) ? json_is_true(entry) : adds;
}

static enum dlm_status put_special(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                   const struct dlm_gguf_tokens *t)
{
    static const struct {
        const char *type, *key;
    } ids[] = {
        {"bos", "tokenizer.ggml.bos_token_id"},
        {"eos", "tokenizer.ggml.eos_token_id"},
        {"unk", "tokenizer.ggml.unknown_token_id"},
        {"pad", "tokenizer.ggml.padding_token_id"},
    };
    const int adds_bos = adds_special(t, "bos", false), adds_eos = adds_special(t, "eos", true);
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(ids); i++) {
        const json_t *id = special_id(t, ids[i].type);
        if (id)
            st = dlm_gguf_put_int(ctx, w, ids[i].key, DLM_GGUF_KIND_U32, json_integer_value(id));
    }
    if (!st && adds_bos >= 0)
        st = dlm_gguf_put_bool(ctx, w, "tokenizer.ggml.add_bos_token", adds_bos);
    if (!st && adds_eos >= 0)
        st = dlm_gguf_put_bool(ctx, w, "tokenizer.ggml.add_eos_token", adds_eos);
    return st;
}

enum dlm_status dlm_gguf_put_tokens(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                    const struct dlm_gguf_tokens *t)
{
    const json_t *model = json_object_get(t->tokenizer, "model");
    const char *type = json_string_value(json_object_get(model, "type"));

    if (!type || strcmp(type, "BPE") || json_is_true(json_object_get(model, "byte_fallback")))
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                        "cannot write '%s' as GGUF: its tokenizer is not byte-level BPE", t->path);
    enum dlm_status st = dlm_gguf_put_string(ctx, w, "tokenizer.ggml.model", "gpt2");
    if (!st)
        st = dlm_gguf_put_string(ctx, w, "tokenizer.ggml.pre", t->pretokenizer);
    if (!st)
        st = put_vocab(ctx, w, t);
    if (!st)
        st = put_merges(ctx, w, t);
    if (!st)
        st = put_special(ctx, w, t);
    if (!st && t->chat_template)
        st = dlm_gguf_put_string(ctx, w, "tokenizer.chat_template", t->chat_template);
    return st;
}
