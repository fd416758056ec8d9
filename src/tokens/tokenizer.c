/* The tokenizer: ids and contents, added tokens, and encoding from the whole text to ids. */
#include "tokens/tokenizer.h"

#include <string.h>

#include "base/log.h"
#include "tokens/tokenizer_impl.h"

enum { MAX_CONTENT_BYTES = 4096 }; /* of an added token: bounds the search at one place */

enum dlm_status dlm_ids_append(struct dlm_ctx *ctx, struct dlm_ids *ids, int32_t id)
{
    if (!dlm_grow(ctx, &ids->ids, &ids->cap, ids->len, sizeof(*ids->ids)))
        return DLM_ERR_MEMORY;
    ids->ids[ids->len++] = id;
    return DLM_OK;
}

void dlm_ids_finish(struct dlm_ids *ids)
{
    dlm_free(ids->ids);
    memset(ids, 0, sizeof(*ids));
}

void dlm_tokenizer_destroy(struct dlm_tokenizer **tok)
{
    if (!tok || !*tok)
        return;
    dlm_bpe_finish(&(*tok)->bpe);
    dlm_added_finish(&(*tok)->added);
    dlm_normalizer_finish(&(*tok)->normalizer);
    dlm_pretokenizer_finish(&(*tok)->pretokenizer);
    dlm_token_decoder_finish(&(*tok)->decoder);
    dlm_ids_finish(&(*tok)->frame);
    dlm_free((*tok)->added_of_id);
    dlm_free(*tok);
    *tok = NULL;
}

static int32_t find_id(const struct dlm_tokenizer *tok, const char *content, size_t len)
{
    int32_t index = dlm_added_find(&tok->added, content, len);
    return index >= 0 ? tok->added.tokens[index].id
                      : dlm_vocab_find(&tok->bpe.vocab, content, len);
}

int32_t dlm_tokenizer_id(const struct dlm_tokenizer *tok, const char *content)
{
    return find_id(tok, content, strlen(content));
}

int32_t dlm_tokenizer_vocab_len(const struct dlm_tokenizer *tok)
{
    return tok->num_ids;
}

/* Index into the added tokens, -1 if id is not one. */
static int32_t added_index(const struct dlm_tokenizer *tok, int32_t id)
{
    return id >= 0 && id < tok->num_ids ? tok->added_of_id[id] : -1;
}

bool dlm_tokenizer_is_special(const struct dlm_tokenizer *tok, int32_t id)
{
    int32_t index = added_index(tok, id);
    return index >= 0 && tok->added.tokens[index].was_special;
}

static const char *content_of(const struct dlm_tokenizer *tok, int32_t id, size_t *len)
{
    const struct dlm_vocab *vocab = &tok->added.contents;
    int32_t entry = added_index(tok, id);
    if (entry < 0) {
        vocab = &tok->bpe.vocab;
        entry = id >= 0 && id < tok->bpe.num_ids ? tok->bpe.entry_of_id[id] : -1;
    }
    if (entry < 0)
        return NULL;
    *len = vocab->entries[entry].len;
    return dlm_vocab_text(vocab, (size_t)entry);
}

const char *dlm_tokenizer_content(const struct dlm_tokenizer *tok, int32_t id)
{
    size_t len = 0;
    return content_of(tok, id, &len);
}

const char *dlm_tokenizer_form(const struct dlm_tokenizer *tok, int32_t id, size_t *len)
{
    int32_t index = added_index(tok, id);
    if (index >= 0 && tok->added.tokens[index].form.len) {
        *len = tok->added.tokens[index].form.len;
        return tok->added.tokens[index].form.data;
    }
    return content_of(tok, id, len);
}

enum dlm_status dlm_tokenizer_init_ids(struct dlm_ctx *ctx, struct dlm_tokenizer *tok,
                                       int32_t num_ids)
{
    const size_t num = (size_t)num_ids;

    tok->max_added_id = -1;
    tok->num_ids = num_ids;
    tok->added_of_id_cap = num;
    tok->added_of_id = dlm_alloc_array(ctx, num, sizeof(*tok->added_of_id));
    if (!tok->added_of_id)
        return DLM_ERR_MEMORY;
    memset(tok->added_of_id, 0xFF, num * sizeof(*tok->added_of_id));
    return DLM_OK;
}

/* Makes the tables by id reach id. */
static enum dlm_status reach_id(struct dlm_ctx *ctx, struct dlm_tokenizer *tok, int32_t id)
{
    while (tok->num_ids <= id) {
        if (!dlm_grow(ctx, &tok->added_of_id, &tok->added_of_id_cap, (size_t)tok->num_ids,
                      sizeof(*tok->added_of_id)))
            return DLM_ERR_MEMORY;
        tok->added_of_id[tok->num_ids++] = -1;
    }
    return DLM_OK;
}

static enum dlm_status normalized_form(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                       const char *content, size_t len, struct dlm_str *form)
{
    struct dlm_norm_scratch scratch = {0};
    const char *text = content;
    size_t text_len = len;
    bool front_removed = false;
    enum dlm_status st = dlm_normalizer_run(ctx, &tok->normalizer, &scratch, &text, &text_len,
                                            &front_removed);
    if (!st && (text_len != len || memcmp(text, content, len) != 0))
        st = dlm_str_append(ctx, form, text, text_len);
    dlm_norm_scratch_finish(&scratch);
    return st;
}

static bool has_same_flags(const struct dlm_added_token *a, const struct dlm_added_token *b)
{
    return a->single_word == b->single_word && a->lstrip == b->lstrip && a->rstrip == b->rstrip &&
           a->normalized == b->normalized && a->special == b->special;
}

enum dlm_status dlm_tokenizer_add_token(struct dlm_ctx *ctx, struct dlm_tokenizer *tok,
                                        const char *content, size_t len,
                                        struct dlm_added_token token, int32_t *id)
{
    int32_t index = dlm_added_find(&tok->added, content, len);
    enum dlm_status st = DLM_OK;
    if (len > MAX_CONTENT_BYTES)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "an added token of %zu bytes is not supported",
                        len);
    *id = find_id(tok, content, len);
    if (index >= 0 && has_same_flags(&tok->added.tokens[index], &token))
        return DLM_OK;
    bool is_new = *id < 0;
    token.id = is_new ? tok->next_added_id : *id;
    if (token.id >= DLM_BPE_MAX_IDS)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "more than %d tokens", DLM_BPE_MAX_IDS);
    st = reach_id(ctx, tok, token.id);
    if (!st && token.normalized)
        st = normalized_form(ctx, tok, content, len, &token.form);
    if (st)
        dlm_str_finish(&token.form);
    else
        st = dlm_added_set(ctx, &tok->added, content, len, &token);
    if (st)
        return st;
    tok->added_of_id[token.id] = dlm_added_find(&tok->added, content, len);
    tok->max_added_id = DLM_MAX(tok->max_added_id, token.id);
    if (is_new)
        tok->next_added_id++;
    *id = token.id;
    return DLM_OK;
}

enum dlm_status dlm_tokenizer_add(struct dlm_ctx *ctx, struct dlm_tokenizer *tok,
                                  const char *content, bool special, int32_t *id)
{
    struct dlm_added_token token = {.special = special, .normalized = !special};
    int32_t ignored = -1;
    size_t bad = 0, len = strlen(content);
    enum dlm_status st = DLM_OK;

    DLM_REQUIRE(ctx, len > 0);
    if (!dlm_utf8_is_valid(content, len, &bad))
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot add a token: not UTF-8 at byte %zu", bad);
    tok->next_added_id = DLM_MAX(tok->next_added_id, tok->max_added_id + 1);
    st = dlm_tokenizer_add_token(ctx, tok, content, len, token, id ? id : &ignored);
done:
    return st;
}

/* All that encoding one text needs. */
struct encoder {
    struct dlm_ctx *ctx;
    const struct dlm_tokenizer *tok;
    bool special_as_text;
    struct dlm_norm_scratch norm;
    struct dlm_pretok_scratch pretok;
    struct dlm_bpe_scratch bpe;
    struct dlm_ids *out;
};

/* Normalized text between added tokens. */
static enum dlm_status encode_plain(struct encoder *e, const char *text, size_t len, bool is_first)
{
    struct dlm_pieces pieces = {0};
    enum dlm_status st = dlm_pretokenizer_run(e->ctx, &e->tok->pretokenizer, &e->pretok, text, len,
                                              is_first, &pieces);
    for (size_t i = 0; !st && i < pieces.len; i++) {
        const struct dlm_piece *piece = &pieces.pieces[i];
        st = dlm_bpe_encode(e->ctx, &e->tok->bpe, &e->bpe, pieces.text + piece->start,
                            piece->end - piece->start, e->out);
    }
    return st;
}

/* Raw text between added tokens: normalizes it and cuts out those that match then. */
static enum dlm_status encode_raw(struct encoder *e, const char *text, size_t len, bool is_first)
{
    struct dlm_added_iter it;
    size_t start = 0, end = 0;
    int32_t id = -1;
    bool front_removed = false;
    enum dlm_status st = dlm_normalizer_run(e->ctx, &e->tok->normalizer, &e->norm, &text, &len,
                                            &front_removed);
    is_first = is_first && !front_removed;
    dlm_added_iter_init(&it, &e->tok->added, true, text, len, e->special_as_text);
    while (!st && dlm_added_next(&it, &id, &start, &end)) {
        st = id >= 0 ? dlm_ids_append(e->ctx, e->out, id)
                     : encode_plain(e, text + start, end - start, is_first && !start);
    }
    return st;
}

static enum dlm_status encode_text(struct encoder *e, const char *text, size_t len)
{
    struct dlm_added_iter it;
    size_t start = 0, end = 0;
    int32_t id = -1;
    enum dlm_status st = DLM_OK;
    dlm_added_iter_init(&it, &e->tok->added, false, text, len, e->special_as_text);
    while (!st && dlm_added_next(&it, &id, &start, &end)) {
        if (dlm_ctx_is_cancelled(e->ctx))
            return DLM_ERR_CANCELLED;
        st = id >= 0 ? dlm_ids_append(e->ctx, e->out, id)
                     : encode_raw(e, text + start, end - start, !start);
    }
    return st;
}

enum dlm_status dlm_tokenizer_encode(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                     const char *text, size_t len, unsigned flags,
                                     struct dlm_ids *out)
{
    static const int32_t bare = -1;
    struct encoder e = {.ctx = ctx,
                        .tok = tok,
                        .special_as_text = flags & DLM_ENCODE_SPECIAL_AS_TEXT,
                        .out = out};
    size_t before = out->len, bad = 0;
    enum dlm_status st = DLM_OK;

    if (!dlm_utf8_is_valid(text, len, &bad))
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot tokenize: the text is not UTF-8 at byte %zu",
                        bad);
    const int32_t *frame = tok->has_frame ? tok->frame.ids : &bare;
    size_t frame_len = tok->has_frame ? tok->frame.len : 1;
    for (size_t i = 0; !st && i < frame_len; i++) {
        if (frame[i] < 0)
            st = encode_text(&e, text, len);
        else if (flags & DLM_ENCODE_ADD_SPECIAL)
            st = dlm_ids_append(ctx, out, frame[i]);
    }
    if (st)
        out->len = before;
    dlm_norm_scratch_finish(&e.norm);
    dlm_pretok_scratch_finish(&e.pretok);
    dlm_bpe_scratch_finish(&e.bpe);
    return st;
}
