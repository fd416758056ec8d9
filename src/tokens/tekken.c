/* Reading a tekken.json. The ids are those of mistral_common's Tekkenizer (1.13), which has
 * tiktoken encode the text between special tokens.
 *
 * The file lists the bytes of tokens by rank. Special tokens have the first ids, the token of rank
 * n the id n + their number. tiktoken takes a piece that is a token whole, and else merges bytes:
 * always the two neighbours that together are the token of lowest rank, leftmost among equals. So
 * every way to cut a token into two others is a merge of its rank. */
#include "tokens/tekken.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "tokens/unicode.h"

enum {
    NUM_BYTES = 256,
    MAX_SPECIAL = 1 << 16,
    MAX_SPECIAL_LEN = 256,
    MAX_TOKEN_BYTES = 1024,
    LAST_VERSION_WITH_DEFAULTS = 7, /* younger files name their special tokens */
};

/* The special tokens of files that name none. */
static const char *const default_special[] = {
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
};

bool dlm_tekken_is(const json_t *root)
{
    return !json_object_get(root, "model") && json_is_array(json_object_get(root, "vocab")) &&
           json_is_object(json_object_get(root, "config"));
}

/* --- special tokens --- */

static enum dlm_status add_special(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                   const char *content, size_t len)
{
    const int32_t wanted = tok->next_added_id;
    int32_t id = -1;

    if (!len || len > MAX_SPECIAL_LEN)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "token %d has %zu bytes", (int)wanted, len);
    for (size_t i = 0; i < len; i++)
        if (content[i] < ' ' || content[i] > '~') /* decoding would take it for bytes */
            return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "token %d is not of printable ASCII",
                                (int)wanted);
    enum dlm_status st = dlm_tokenizer_add_token(r->ctx, tok, content, len,
                                                 (struct dlm_added_token){.special = true}, &id);
    return st || id == wanted
               ? st
               : dlm_tok_fail(r, DLM_ERR_PARSE, "'%.64s' is there twice", content);
}

/* Token number i: the list's, without a list the default one, or a filler. */
static enum dlm_status read_special(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                    const json_t *list, size_t i)
{
    const json_t *item = json_array_get(list, i);
    char filler[32];
    const char *content = filler;
    json_int_t rank = 0;
    size_t len = (size_t)snprintf(filler, sizeof(filler), "<SPECIAL_%zu>", i);
    enum dlm_status st = DLM_OK;

    if (!json_is_array(list) && i < DLM_ARRAY_LEN(default_special)) {
        content = default_special[i];
        len = strlen(content);
    } else if (item) {
        st = dlm_tok_get_text(r, item, "token_str", &content, &len);
        if (!st)
            st = dlm_tok_get_int(r, item, "rank", (json_int_t)i, (json_int_t)i, &rank);
    }
    return st ? st : add_special(r, tok, content, len);
}

static enum dlm_status read_specials(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                     const json_t *root, size_t num)
{
    const json_t *list = json_object_get(root, "special_tokens");
    const char *version = json_string_value(json_object_get(json_object_get(root, "config"),
                                                            "version"));
    int number = 0;
    enum dlm_status st = DLM_OK;

    r->part = "special_tokens";
    if (list && !json_is_null(list) && !json_is_array(list))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "not a list");
    const size_t named =
        json_is_array(list) ? json_array_size(list) : DLM_ARRAY_LEN(default_special);
    if (named > num)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "%zu tokens, there is room for %zu", named, num);
    if (!json_is_array(list) && (!version || sscanf(version, "v%d", &number) != 1 || number < 1 ||
                                 number > LAST_VERSION_WITH_DEFAULTS))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "is missing, and version '%.16s' does not imply them",
                            version ? version : "");
    for (size_t i = 0; !st && i < num; i++)
        st = read_special(r, tok, list, i);
    return st;
}

/* --- tokens by rank --- */

/* Base64 as byte-level vocabularies write its bytes, a character each: *num, at least one. */
static enum dlm_status spell(struct dlm_tok_reader *r, const char *text, size_t len,
                             struct dlm_str *out, size_t *num)
{
    uint8_t bytes[MAX_TOKEN_BYTES];
    enum dlm_status st = DLM_OK;

    out->len = 0;
    if (!len || dlm_base64_room(len) > sizeof(bytes) ||
        !dlm_base64_decode(text, len, bytes, num) || !*num)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "'%.64s' is not base64 of at most %d bytes", text,
                            MAX_TOKEN_BYTES);
    for (size_t i = 0; !st && i < *num; i++) {
        char utf8[4];
        const size_t utf8_len = dlm_unicode_encode(dlm_unicode_byte_to_char(bytes[i]), utf8);
        st = dlm_str_append(r->ctx, out, utf8, utf8_len);
    }
    return st;
}

/* Takes the token of rank i in under `id`. */
static enum dlm_status read_token(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                  const json_t *item, size_t i, int32_t id, struct dlm_str *work)
{
    struct dlm_bpe *bpe = &tok->bpe;
    const char *text = NULL;
    size_t len = 0, num = 0;
    json_int_t rank = 0;

    enum dlm_status st = dlm_tok_get_int(r, item, "rank", (json_int_t)i, (json_int_t)i, &rank);
    if (!st)
        st = dlm_tok_get_text(r, item, "token_bytes", &text, &len);
    if (!st)
        st = spell(r, text, len, work, &num);
    if (st)
        return st;
    if (i < NUM_BYTES && (num != 1 || dlm_unicode_char_to_byte(dlm_unicode_decode(
                                          work->data, &len)) != (int)i))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "rank %zu is not the byte %zu", i, i);
    if (dlm_vocab_find(&bpe->vocab, work->data, work->len) >= 0 ||
        dlm_added_find(&tok->added, work->data, work->len) >= 0)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "rank %zu repeats the token of another", i);
    bpe->entry_of_id[id] = (int32_t)bpe->vocab.len; /* no more entries than ids */
    return dlm_vocab_set(r->ctx, &bpe->vocab, work->data, work->len, id);
}

static enum dlm_status read_tokens(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                   const json_t *vocab, size_t first_id, size_t num)
{
    struct dlm_bpe *bpe = &tok->bpe;
    struct dlm_str work = {0};

    r->part = "vocab";
    bpe->unk_id = -1; /* every byte is a token */
    bpe->ignore_merges = true;
    bpe->num_ids = (int32_t)(first_id + num); /* checked by read_sizes() */
    bpe->entry_of_id = dlm_alloc_array(r->ctx, first_id + num, sizeof(*bpe->entry_of_id));
    if (!bpe->entry_of_id)
        return DLM_ERR_MEMORY;
    memset(bpe->entry_of_id, 0xFF, (first_id + num) * sizeof(*bpe->entry_of_id));
    enum dlm_status st = dlm_vocab_reserve(r->ctx, &bpe->vocab, num);
    for (size_t i = 0; !st && i < num; i++)
        st = read_token(r, tok, json_array_get(vocab, i), i, (int32_t)(first_id + i), &work);
    dlm_str_finish(&work);
    return st;
}

static enum dlm_status add_merges(struct dlm_tok_reader *r, struct dlm_bpe *bpe)
{
    const struct dlm_vocab *vocab = &bpe->vocab;
    enum dlm_status st = DLM_OK;

    for (size_t i = NUM_BYTES; !st && i < vocab->len; i++) { /* entries are in the order of ranks */
        const char *text = dlm_vocab_text(vocab, i);
        const size_t len = vocab->entries[i].len;
        for (size_t at = dlm_unicode_lead_bytes(*text); !st && at < len;
             at += dlm_unicode_lead_bytes(text[at])) {
            const int32_t left = dlm_vocab_find(vocab, text, at);
            const int32_t right = left < 0 ? -1 : dlm_vocab_find(vocab, text + at, len - at);
            if (right >= 0)
                st = dlm_merges_add(r->ctx, &bpe->merges, left, right, vocab->entries[i].id, i);
        }
    }
    return st;
}

/* --- the whole --- */

/* How many special tokens and tokens by rank count; the list may hold more of these. */
static enum dlm_status read_sizes(struct dlm_tok_reader *r, const json_t *root, size_t *special,
                                  size_t *tokens)
{
    const json_t *config = json_object_get(root, "config");
    const size_t listed = json_array_size(json_object_get(root, "vocab"));
    json_int_t all = 0, first = 0;

    r->part = "config";
    enum dlm_status st =
        dlm_tok_get_int(r, config, "default_num_special_tokens", 0, MAX_SPECIAL, &first);
    if (!st)
        st = dlm_tok_get_int(r, config, "default_vocab_size", first + NUM_BYTES,
                             DLM_BPE_MAX_IDS, &all);
    *special = (size_t)first;
    *tokens = (size_t)(all - first);
    return !st && *tokens > listed
               ? dlm_tok_fail(r, DLM_ERR_PARSE, "%zu tokens by rank, the file lists %zu", *tokens,
                              listed)
               : st;
}

/* The pattern cuts texts, and bytes are spelled as characters: in the words of a tokenizer.json. */
static enum dlm_status read_pattern(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                    const json_t *config)
{
    const char *pattern = NULL;
    size_t len = 0;

    r->part = "config";
    enum dlm_status st = dlm_tok_get_text(r, config, "pattern", &pattern, &len);
    if (st)
        return st;
    json_t *cut = json_pack("{s:s, s:[{s:s, s:{s:s%}, s:s, s:b}, {s:s, s:b, s:b}]}", "type",
                            "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex",
                            pattern, len, "behavior", "Isolated", "invert", 0, "type", "ByteLevel",
                            "add_prefix_space", 0, "use_regex", 0);
    json_t *join = json_pack("{s:s}", "type", "ByteLevel");
    st = cut && join ? dlm_pretokenizer_read(r, &tok->pretokenizer, cut) : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_token_decoder_read(r, &tok->decoder, join);
    json_decref(cut);
    json_decref(join);
    return st;
}

enum dlm_status dlm_tekken_read(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                const json_t *root)
{
    size_t special = 0, tokens = 0;

    enum dlm_status st = read_sizes(r, root, &special, &tokens);
    if (!st)
        st = read_pattern(r, tok, json_object_get(root, "config"));
    if (!st)
        st = dlm_tokenizer_init_ids(r->ctx, tok, (int32_t)(special + tokens));
    tok->next_added_id = 0;
    if (!st) /* while there is no other token: a special one is never an ordinary one */
        st = read_specials(r, tok, root, special);
    tok->next_added_id = (int32_t)(special + tokens); /* at most DLM_BPE_MAX_IDS */
    if (!st)
        st = read_tokens(r, tok, json_object_get(root, "vocab"), special, tokens);
    return st ? st : add_merges(r, &tok->bpe);
}
