/* Matching of added tokens: leftmost, then longest; then each match is kept or dropped on its own
 * and the search goes on behind it in both cases, as in the library. */
#include "tokens/added.h"

#include <string.h>

#include "tokens/unicode.h"

void dlm_added_finish(struct dlm_added *a)
{
    for (size_t i = 0; i < a->len; i++)
        dlm_str_finish(&a->tokens[i].form);
    dlm_free(a->tokens);
    dlm_vocab_finish(&a->contents);
    dlm_trie_finish(&a->raw);
    dlm_trie_finish(&a->normalized);
    memset(a, 0, sizeof(*a));
}

int32_t dlm_added_find(const struct dlm_added *a, const char *content, size_t len)
{
    return dlm_vocab_find(&a->contents, content, len);
}

/* Enters (value >= 0) or removes (-1) what token `index` is matched by. */
static enum dlm_status set_pattern(struct dlm_ctx *ctx, struct dlm_added *a, size_t index,
                                   int32_t value)
{
    const struct dlm_added_token *token = &a->tokens[index];
    const char *pattern = dlm_vocab_text(&a->contents, index);
    size_t len = a->contents.entries[index].len;
    if (token->normalized && token->form.len) {
        pattern = token->form.data;
        len = token->form.len;
    }
    return dlm_trie_set(ctx, token->normalized ? &a->normalized : &a->raw, pattern, len, value);
}

enum dlm_status dlm_added_set(struct dlm_ctx *ctx, struct dlm_added *a, const char *content,
                              size_t len, struct dlm_added_token *token)
{
    enum dlm_status st = DLM_OK;
    int32_t index = dlm_added_find(a, content, len);
    if (index >= 0) {
        struct dlm_added_token *old = &a->tokens[index];
        st = set_pattern(ctx, a, (size_t)index, -1);
        if (st)
            goto done;
        token->was_special = token->special || old->was_special;
        dlm_str_finish(&old->form);
    } else {
        if (!dlm_grow(ctx, &a->tokens, &a->cap, a->len, sizeof(*a->tokens))) {
            st = DLM_ERR_MEMORY;
            goto done;
        }
        index = (int32_t)a->len; /* the caller keeps ids, hence tokens, below 2^31 */
        st = dlm_vocab_set(ctx, &a->contents, content, len, index);
        if (st)
            goto done;
        a->len++;
        token->was_special = token->special;
    }
    a->tokens[index] = *token;
    token->form = (struct dlm_str){0};
    return set_pattern(ctx, a, (size_t)index, index);
done:
    dlm_str_finish(&token->form);
    return st;
}

void dlm_added_iter_init(struct dlm_added_iter *it, const struct dlm_added *added, bool normalized,
                         const char *text, size_t len, bool special_as_text)
{
    *it = (struct dlm_added_iter){
        .added = added,
        .trie = normalized ? &added->normalized : &added->raw,
        .text = text,
        .len = len,
        .special_as_text = special_as_text,
        .waiting = -1,
    };
}

static bool is_alone(const struct dlm_added_iter *it, size_t start, size_t end)
{
    size_t bytes = 0;
    return (!start || !dlm_unicode_is_word(dlm_unicode_decode_before(it->text + start, &bytes))) &&
           (end == it->len || !dlm_unicode_is_word(dlm_unicode_decode(it->text + end, &bytes)));
}

/* Finds the next match that counts. */
static const struct dlm_added_token *next_match(struct dlm_added_iter *it, size_t *start,
                                                size_t *end)
{
    for (;;) {
        *start = it->search;
        int32_t index = dlm_trie_find(it->trie, it->text, it->len, start, end);
        if (index < 0)
            return NULL;
        it->search = *end;
        const struct dlm_added_token *token = &it->added->tokens[index];
        if (it->special_as_text && token->was_special)
            continue;
        if (token->single_word && !is_alone(it, *start, *end))
            continue;
        return token;
    }
}

bool dlm_added_next(struct dlm_added_iter *it, int32_t *id, size_t *start, size_t *end)
{
    if (it->waiting >= 0) {
        *id = it->waiting;
        it->waiting = -1;
        return true;
    }
    size_t text_start = it->done, bytes = 0, s = 0, e = 0;
    const struct dlm_added_token *token = next_match(it, &s, &e);
    *start = text_start;
    *id = -1;
    if (!token) {
        *end = it->done = it->len;
        return text_start < it->len;
    }
    while (token->lstrip && s > text_start &&
           dlm_unicode_is_space(dlm_unicode_decode_before(it->text + s, &bytes)))
        s -= bytes;
    while (token->rstrip && e < it->len &&
           dlm_unicode_is_space(dlm_unicode_decode(it->text + e, &bytes)))
        e += bytes;
    it->done = e;
    if (text_start >= s) {
        *id = token->id;
        return true;
    }
    *end = s;
    it->waiting = token->id;
    return true;
}
