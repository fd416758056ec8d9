/* Reading a tokenizer.json: the parts in order, then the added tokens over them. And which file of
 * a folder is read. */
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "base/log.h"
#include "tokens/tekken.h"

enum {
    MAX_FILE_BYTES = 64 << 20, /* the largest of today has 34 MB */
    MAX_FRAME_LEN = 1024,
};

static enum dlm_status read_version(struct dlm_tok_reader *r, const json_t *version)
{
    r->part = "version";
    if (!version || (json_is_string(version) && !strcmp(json_string_value(version), "1.0")))
        return DLM_OK;
    return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "not \"1.0\"");
}

static enum dlm_status add_frame_id(struct dlm_tok_reader *r, struct dlm_tokenizer *tok, int32_t id)
{
    if (tok->frame.len >= MAX_FRAME_LEN)
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "more than %d tokens", MAX_FRAME_LEN);
    return dlm_ids_append(r->ctx, &tok->frame, id);
}

/* {"SpecialToken": {"id": name}}: adds the ids that special_tokens has for the name. */
static enum dlm_status read_template_token(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                           const json_t *object, const json_t *token)
{
    const char *name = NULL;
    size_t len = 0, i = 0;
    enum dlm_status st = dlm_tok_get_text(r, token, "id", &name, &len);
    if (st)
        return st;
    const json_t *known = json_object_get(json_object_get(object, "special_tokens"), name);
    const json_t *ids = json_object_get(known, "ids"), *item = NULL;
    if (!json_is_array(ids))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "special_tokens has no ids for '%.64s'", name);
    json_array_foreach(ids, i, item)
    {
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item) || id < 0 || id >= DLM_BPE_MAX_IDS)
            return dlm_tok_fail(r, DLM_ERR_PARSE, "bad id of '%.64s'", name);
        st = add_frame_id(r, tok, (int32_t)id);
        if (st)
            return st;
    }
    return DLM_OK;
}

/* Only "single" counts: a pair of texts is two calls here. */
static enum dlm_status read_template(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                     const json_t *object)
{
    const json_t *single = json_object_get(object, "single"), *piece = NULL;
    size_t i = 0;
    if (tok->has_frame)
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "more than one TemplateProcessing");
    if (!json_is_array(single))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "'single' is not a list");
    tok->has_frame = true;
    json_array_foreach(single, i, piece)
    {
        const json_t *token = json_object_get(piece, "SpecialToken");
        const json_t *text = json_object_get(json_object_get(piece, "Sequence"), "id");
        enum dlm_status st = DLM_OK;
        if (token)
            st = read_template_token(r, tok, object, token);
        else if (json_is_string(text) && !strcmp(json_string_value(text), "A"))
            st = add_frame_id(r, tok, -1);
        else
            st = dlm_tok_fail(r, DLM_ERR_PARSE, "'single' has a bad element at %zu", i);
        if (st)
            return st;
    }
    return DLM_OK;
}

static enum dlm_status read_post_processor(struct dlm_tok_reader *r, void *user,
                                           const json_t *object)
{
    struct dlm_tokenizer *tok = user;
    const char *type = NULL;
    if (!object || json_is_null(object))
        return DLM_OK;
    enum dlm_status st = dlm_tok_get_type(r, object, &type);
    if (st)
        return st;
    if (!strcmp(type, "Sequence"))
        return dlm_tok_read_sequence(r, object, "processors", read_post_processor, tok);
    if (!strcmp(type, "ByteLevel")) /* moves offsets, which are not kept here */
        return DLM_OK;
    if (!strcmp(type, "TemplateProcessing"))
        return read_template(r, tok, object);
    return dlm_tok_fail_type(r, type);
}

static enum dlm_status read_added_token(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                        const json_t *object)
{
    struct dlm_added_token token = {0};
    const char *content = NULL;
    size_t len = 0;
    json_int_t wanted = 0;
    int32_t id = -1;
    enum dlm_status st = dlm_tok_get_text(r, object, "content", &content, &len);
    if (!st)
        st = dlm_tok_get_int(r, object, "id", 0, DLM_BPE_MAX_IDS - 1, &wanted);
    if (!st)
        st = dlm_tok_get_bool(r, object, "single_word", &token.single_word);
    if (!st)
        st = dlm_tok_get_bool(r, object, "lstrip", &token.lstrip);
    if (!st)
        st = dlm_tok_get_bool(r, object, "rstrip", &token.rstrip);
    if (!st)
        st = dlm_tok_get_bool(r, object, "normalized", &token.normalized);
    if (!st)
        st = dlm_tok_get_bool(r, object, "special", &token.special);
    if (st || !len)
        return st;
    st = dlm_tokenizer_add_token(r->ctx, tok, content, len, token, &id);
    /* The library, and so every model trained with it, takes the vocabulary's id or the next free
     * one whatever the file says. */
    if (!st && id != wanted)
        dlm_log(r->ctx, DLM_LOG_WARNING, "'%s': added token '%.64s' says id %d but gets %d",
                r->path, content, (int)wanted, (int)id);
    return st;
}

static enum dlm_status read_added_tokens(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                         const json_t *list)
{
    const json_t *item = NULL;
    size_t i = 0;

    r->part = "added_tokens";
    /* The library counts entries, not the highest id, and while it reads a file it does not look
     * at the ids that added tokens have from the vocabulary. */
    tok->next_added_id = (int32_t)tok->bpe.vocab.len; /* below DLM_BPE_MAX_IDS */
    enum dlm_status st = dlm_tokenizer_init_ids(r->ctx, tok, tok->bpe.num_ids);
    if (st || !list || json_is_null(list))
        return st;
    if (!json_is_array(list))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "not a list");
    json_array_foreach(list, i, item)
    {
        st = read_added_token(r, tok, item);
        if (st)
            break;
    }
    return st;
}

static enum dlm_status read_parts(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                  const json_t *root)
{
    enum dlm_status st = read_version(r, json_object_get(root, "version"));
    r->part = "model";
    if (!st)
        st = dlm_bpe_read(r, &tok->bpe, json_object_get(root, r->part));
    r->part = "normalizer";
    if (!st)
        st = dlm_normalizer_read(r, &tok->normalizer, json_object_get(root, r->part));
    r->part = "pre_tokenizer";
    if (!st)
        st = dlm_pretokenizer_read(r, &tok->pretokenizer, json_object_get(root, r->part));
    r->part = "post_processor";
    if (!st)
        st = read_post_processor(r, tok, json_object_get(root, r->part));
    r->part = "decoder";
    if (!st)
        st = dlm_token_decoder_read(r, &tok->decoder, json_object_get(root, r->part));
    return st ? st : read_added_tokens(r, tok, json_object_get(root, "added_tokens"));
}

/* The file's object; NULL is an error. Only a tekken.json holds NULs: it spells every byte. */
static json_t *parse_json(const char *text, size_t len, json_error_t *error)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, error);
    json_error_t ignored;

    if (root || json_error_code(error) != json_error_null_character)
        return root;
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &ignored);
    if (root && dlm_tekken_is(root))
        return root;
    json_decref(root);
    return NULL;
}

enum dlm_status dlm_tokenizer_from_json(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                        const char *name, const json_t *json)
{
    struct dlm_tok_reader r = {.ctx = ctx, .path = name, .part = "file"};

    *out = NULL;
    if (!json_is_object(json))
        return dlm_tok_fail(&r, DLM_ERR_PARSE, "not an object");
    struct dlm_tokenizer *tok = dlm_alloc(ctx, sizeof(*tok));
    if (!tok)
        return DLM_ERR_MEMORY;
    enum dlm_status st =
        dlm_tekken_is(json) ? dlm_tekken_read(&r, tok, json) : read_parts(&r, tok, json);
    if (st)
        dlm_tokenizer_destroy(&tok);
    *out = tok;
    return st;
}

enum dlm_status dlm_tokenizer_parse(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                    const char *name, const char *text, size_t len)
{
    json_error_t error;
    json_t *root = parse_json(text, len, &error);

    *out = NULL;
    enum dlm_status st =
        root ? dlm_tokenizer_from_json(ctx, out, name, root)
             : dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': line %d, column %d: %s", name,
                        error.line, error.column, error.text);
    json_decref(root);
    return st;
}

enum dlm_status dlm_tokenizer_load(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                   const char *path)
{
    struct dlm_str text = {0};
    *out = NULL;
    enum dlm_status st = dlm_file_read(ctx, path, MAX_FILE_BYTES, &text);
    if (!st)
        st = dlm_tokenizer_parse(ctx, out, path, dlm_str_text(&text), text.len);
    dlm_str_finish(&text);
    return st;
}

bool dlm_tokenizer_is_in(struct dlm_ctx *ctx, const char *folder)
{
    char *json = dlm_path_join(ctx, folder, "tokenizer.json");
    char *tekken = dlm_path_join(ctx, folder, "tekken.json");
    /* without memory to look, loading says so */
    const bool is = !json || !tekken || dlm_path_is_file(json) || dlm_path_is_file(tekken);

    dlm_free(json);
    dlm_free(tekken);
    return is;
}

enum dlm_status dlm_tokenizer_load_folder(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                          const char *folder)
{
    char *json = dlm_path_join(ctx, folder, "tokenizer.json");
    char *tekken = dlm_path_join(ctx, folder, "tekken.json");
    enum dlm_status st = DLM_ERR_MEMORY;

    *out = NULL;
    if (json && tekken) {
        const bool is_json = dlm_path_is_file(json);
        const bool is_tekken = !is_json && dlm_path_is_file(tekken);
        st = dlm_tokenizer_load(ctx, out, is_tekken ? tekken : json);
        if (st && !is_json && !is_tekken)
            dlm_log(ctx, DLM_LOG_HINT, "a base's vocabulary lies beside its weights, as "
                    "tokenizer.json or tekken.json");
    }
    dlm_free(json);
    dlm_free(tekken);
    return st;
}
