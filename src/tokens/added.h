/* Added tokens: strings that are cut out of a text before the model sees the rest. */
#ifndef DLM_TOKENS_ADDED_H
#define DLM_TOKENS_ADDED_H

#include "tokens/trie.h"
#include "tokens/vocab.h"

struct dlm_added_token {
    int32_t id;
    bool single_word; /* found only between characters that are not of a word */
    bool lstrip, rstrip; /* takes the spaces to the left, right of it along */
    bool normalized;  /* found in the normalized text instead of the raw one */
    bool special;
    bool was_special; /* stays so when the token is added again as not special */
    struct dlm_str form; /* the normalized content, if it differs: what is matched and decoded */
};

/* All zero is a valid empty set. */
struct dlm_added {
    struct dlm_vocab contents; /* content -> index into tokens */
    struct dlm_added_token *tokens;
    size_t len, cap;
    struct dlm_trie raw, normalized; /* values are indices into tokens */
};

void dlm_added_finish(struct dlm_added *a);

/* The index of a content, -1 if it is not an added token. */
int32_t dlm_added_find(const struct dlm_added *a, const char *content, size_t len);

/* Adds a token, or gives the one of the same content these properties; takes token->form (also on
 * failure). The content is not empty. */
enum dlm_status dlm_added_set(struct dlm_ctx *ctx, struct dlm_added *a, const char *content,
                              size_t len, struct dlm_added_token *token) DLM_CHECK_RESULT;

/* A walk over a text: pieces of plain text and added tokens, in order. */
struct dlm_added_iter {
    const struct dlm_added *added;
    const struct dlm_trie *trie;
    const char *text;
    size_t len;
    bool special_as_text;
    size_t search; /* where the next match may begin */
    size_t done;   /* text before this has been handed out */
    int32_t waiting; /* id of a token whose preceding text was handed out first, or -1 */
};

void dlm_added_iter_init(struct dlm_added_iter *it, const struct dlm_added *added, bool normalized,
                         const char *text, size_t len, bool special_as_text);
/* The next part: an added token (*id >= 0) or plain text[*start, *end), not empty (*id -1).
 * False at the end. */
bool dlm_added_next(struct dlm_added_iter *it, int32_t *id, size_t *start, size_t *end);

#endif
