/* Reading the "model" of a tokenizer.json. */
#include <stdio.h>
#include <string.h>

#include "tokens/bpe.h"

static enum dlm_status read_vocab(struct dlm_tok_reader *r, struct dlm_bpe *bpe,
                                  const json_t *object)
{
    json_t *vocab = json_object_get(object, "vocab"), *value = NULL;
    const char *key = NULL;
    int32_t max_id = -1;

    if (!json_is_object(vocab))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "'vocab' is not an object");
    enum dlm_status st = dlm_vocab_reserve(r->ctx, &bpe->vocab, json_object_size(vocab));
    if (st)
        return st;
    json_object_foreach(vocab, key, value)
    {
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= DLM_BPE_MAX_IDS)
            return dlm_tok_fail(r, DLM_ERR_PARSE, "the id of '%.64s' is not between 0 and %d", key,
                                DLM_BPE_MAX_IDS - 1);
        st = dlm_vocab_set(r->ctx, &bpe->vocab, key, strlen(key), (int32_t)id);
        if (st)
            return st;
        max_id = DLM_MAX(max_id, (int32_t)id);
    }
    bpe->num_ids = max_id + 1;
    bpe->entry_of_id = dlm_alloc_array(r->ctx, (size_t)bpe->num_ids, sizeof(*bpe->entry_of_id));
    if (!bpe->entry_of_id)
        return DLM_ERR_MEMORY;
    memset(bpe->entry_of_id, 0xFF, (size_t)bpe->num_ids * sizeof(*bpe->entry_of_id));
    for (size_t i = 0; i < bpe->vocab.len; i++) {
        int32_t *entry = &bpe->entry_of_id[bpe->vocab.entries[i].id];
        if (*entry >= 0)
            return dlm_tok_fail(r, DLM_ERR_PARSE, "'%.64s' and '%.64s' have the same id",
                                dlm_vocab_text(&bpe->vocab, (size_t)*entry),
                                dlm_vocab_text(&bpe->vocab, i));
        *entry = (int32_t)i; /* no more entries than ids */
    }
    return DLM_OK;
}

/* One merge in either spelling, "a b" or ["a", "b"]. Borrows from item. */
static bool split_merge(const json_t *item, const char **left, size_t *left_len,
                        const char **right, size_t *right_len)
{
    if (json_is_string(item)) {
        const char *text = json_string_value(item);
        const char *space = strchr(text, ' ');
        if (!space || strchr(space + 1, ' '))
            return false;
        *left = text;
        *left_len = (size_t)(space - text);
        *right = space + 1;
        *right_len = json_string_length(item) - *left_len - 1;
        return true;
    }
    const json_t *a = json_array_get(item, 0), *b = json_array_get(item, 1);
    if (json_array_size(item) != 2 || !json_is_string(a) || !json_is_string(b))
        return false;
    *left = json_string_value(a);
    *left_len = json_string_length(a);
    *right = json_string_value(b);
    *right_len = json_string_length(b);
    return true;
}

static enum dlm_status read_merge(struct dlm_tok_reader *r, struct dlm_bpe *bpe, size_t rank,
                                  const json_t *item, struct dlm_str *merged)
{
    const char *left = NULL, *right = NULL;
    size_t left_len = 0, right_len = 0, skip = bpe->prefix.len;
    if (!split_merge(item, &left, &left_len, &right, &right_len))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "merges[%zu] is not a pair of tokens", rank);
    int32_t left_id = dlm_vocab_find(&bpe->vocab, left, left_len);
    int32_t right_id = dlm_vocab_find(&bpe->vocab, right, right_len);
    if (left_id < 0 || right_id < 0)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "merges[%zu]: '%.64s' is not in the vocabulary",
                            rank, left_id < 0 ? left : right);
    if (right_len < skip)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "merges[%zu]: '%.64s' is shorter than the prefix",
                            rank, right);
    merged->len = 0;
    enum dlm_status st = dlm_str_append(r->ctx, merged, left, left_len);
    if (!st)
        st = dlm_str_append(r->ctx, merged, right + skip, right_len - skip);
    if (st)
        return st;
    int32_t merged_id = dlm_vocab_find(&bpe->vocab, dlm_str_text(merged), merged->len);
    if (merged_id < 0)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "merges[%zu] makes '%.64s', not in the vocabulary",
                            rank, dlm_str_text(merged));
    return dlm_merges_add(r->ctx, &bpe->merges, left_id, right_id, merged_id, rank);
}

static enum dlm_status read_merges(struct dlm_tok_reader *r, struct dlm_bpe *bpe,
                                   const json_t *object)
{
    const json_t *merges = json_object_get(object, "merges"), *item = NULL;
    struct dlm_str merged = {0};
    size_t i = 0;

    if (!json_is_array(merges))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "'merges' is not a list");
    enum dlm_status st = dlm_merges_reserve(r->ctx, &bpe->merges, json_array_size(merges));
    json_array_foreach(merges, i, item)
    {
        if (st)
            break;
        st = read_merge(r, bpe, i, item, &merged);
    }
    dlm_str_finish(&merged);
    return st;
}

static enum dlm_status read_optional_text(struct dlm_tok_reader *r, const json_t *object,
                                          const char *key, struct dlm_str *out)
{
    const char *text = NULL;
    size_t len = 0;
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return DLM_OK;
    enum dlm_status st = dlm_tok_get_text(r, object, key, &text, &len);
    return st ? st : dlm_str_append(r->ctx, out, text, len);
}

static enum dlm_status read_unk(struct dlm_tok_reader *r, struct dlm_bpe *bpe,
                                const json_t *object)
{
    struct dlm_str unk = {0};
    const json_t *value = json_object_get(object, "unk_token");
    enum dlm_status st = read_optional_text(r, object, "unk_token", &unk);
    bpe->unk_id = -1;
    if (!st && value && !json_is_null(value)) {
        bpe->unk_id = dlm_vocab_find(&bpe->vocab, dlm_str_text(&unk), unk.len);
        bpe->unk_is_missing = bpe->unk_id < 0;
    }
    dlm_str_finish(&unk);
    return st;
}

enum dlm_status dlm_bpe_read(struct dlm_tok_reader *r, struct dlm_bpe *bpe, const json_t *object)
{
    const char *type = "BPE"; /* old files leave it out */
    enum dlm_status st = DLM_OK;

    if (!json_is_object(object))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "is missing or not an object");
    if (json_object_get(object, "type"))
        st = dlm_tok_get_type(r, object, &type);
    if (st)
        return st;
    if (strcmp(type, "BPE") != 0)
        return dlm_tok_fail_type(r, type);
    const json_t *dropout = json_object_get(object, "dropout");
    if (dropout && !json_is_null(dropout) &&
        !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "dropout is not supported");
    st = dlm_tok_get_bool_or(r, object, "fuse_unk", &bpe->fuse_unk);
    if (!st)
        st = dlm_tok_get_bool_or(r, object, "byte_fallback", &bpe->byte_fallback);
    if (!st)
        st = dlm_tok_get_bool_or(r, object, "ignore_merges", &bpe->ignore_merges);
    if (!st)
        st = read_optional_text(r, object, "continuing_subword_prefix", &bpe->prefix);
    if (!st)
        st = read_optional_text(r, object, "end_of_word_suffix", &bpe->suffix);
    if (!st)
        st = read_vocab(r, bpe, object);
    if (!st)
        st = read_merges(r, bpe, object);
    if (!st)
        st = read_unk(r, bpe, object);
    for (int i = 0; i < 256; i++) {
        char name[8];
        int len = snprintf(name, sizeof(name), "<0x%02X>", i);
        bpe->byte_ids[i] = dlm_vocab_find(&bpe->vocab, name, (size_t)len);
    }
    return st;
}

void dlm_bpe_finish(struct dlm_bpe *bpe)
{
    dlm_vocab_finish(&bpe->vocab);
    dlm_merges_finish(&bpe->merges);
    dlm_free(bpe->entry_of_id);
    dlm_str_finish(&bpe->prefix);
    dlm_str_finish(&bpe->suffix);
    memset(bpe, 0, sizeof(*bpe));
}
