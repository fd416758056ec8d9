/* Text to token ids and back, as a Hugging Face tokenizer.json says, or mistral_common's
 * tekken.json.
 *
 * The ids and texts are those of the `tokenizers` library (0.23). Supported: the BPE model and the
 * normalizers, pre-tokenizers, post-processors and decoders used with it; anything else is refused
 * at load time by name. `truncation` and `padding` of the file are ignored, as transformers does.
 *
 * A loaded tokenizer is read-only except for dlm_tokenizer_add(): any number of threads may encode
 * and decode with it, each with its own context. */
#ifndef DLM_TOKENS_TOKENIZER_H
#define DLM_TOKENS_TOKENIZER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/str.h"
#include "dlm/ctx.h"

struct dlm_tokenizer;

/* A growing list of token ids. All zero is valid and empty. */
struct dlm_ids {
    int32_t *ids;
    size_t len;
    size_t cap;
};

enum dlm_status dlm_ids_append(struct dlm_ctx *ctx, struct dlm_ids *ids,
                               int32_t id) DLM_CHECK_RESULT;
void dlm_ids_finish(struct dlm_ids *ids);

/* Reads a tokenizer.json or a tekken.json. Returns *out owned, NULL on failure.
 * DLM_ERR_IO: cannot read; DLM_ERR_PARSE: damaged; DLM_ERR_UNSUPPORTED: a part of a type that is
 * not known here; each names the file and the key. */
enum dlm_status dlm_tokenizer_load(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                   const char *path) DLM_CHECK_RESULT;

/* The same from a checkpoint's folder: its tokenizer.json or, where it has none, tekken.json. */
enum dlm_status dlm_tokenizer_load_folder(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                          const char *folder) DLM_CHECK_RESULT;

/* Whether the folder has either. */
bool dlm_tokenizer_is_in(struct dlm_ctx *ctx, const char *folder);

/* The same from text[0..len), which messages call `name`. */
enum dlm_status dlm_tokenizer_parse(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                    const char *name, const char *text,
                                    size_t len) DLM_CHECK_RESULT;

/* The same from the members of a tokenizer.json. */
enum dlm_status dlm_tokenizer_from_json(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                        const char *name, const json_t *json) DLM_CHECK_RESULT;

/* Destroys *tok and sets it to NULL. Accepts NULL and a pointer to NULL. */
void dlm_tokenizer_destroy(struct dlm_tokenizer **tok);

enum dlm_encode_flags {
    /* Added tokens marked special are not looked for: their text stays text. Other added tokens
     * are found as ever. The library's `encode_special_tokens`, for text that users wrote. */
    DLM_ENCODE_SPECIAL_AS_TEXT = 1u << 0,
    /* Adds what the file's post-processor adds around a text, such as a BOS token. */
    DLM_ENCODE_ADD_SPECIAL = 1u << 1,
};

/* Appends the ids of text[0..len) to out; flags is a set of enum dlm_encode_flags.
 * DLM_ERR_INVALID: the text is not UTF-8 (names the offset), is too long, or holds a character that
 * the vocabulary cannot express. On failure out keeps the ids it had before. */
enum dlm_status dlm_tokenizer_encode(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                     const char *text, size_t len, unsigned flags,
                                     struct dlm_ids *out) DLM_CHECK_RESULT;

/* The id of an added token or vocabulary entry, -1 if there is none. */
int32_t dlm_tokenizer_id(const struct dlm_tokenizer *tok, const char *content);

/* The content of an id as the file spells it, NULL if there is none. Valid until the next
 * dlm_tokenizer_add(). */
const char *dlm_tokenizer_content(const struct dlm_tokenizer *tok, int32_t id);

/* True for an added token that is, or once was, special: decoding can skip it. */
bool dlm_tokenizer_is_special(const struct dlm_tokenizer *tok, int32_t id);

/* Highest id + 1. */
int32_t dlm_tokenizer_vocab_len(const struct dlm_tokenizer *tok);

/* Makes content an added token and sets *id (may be NULL): the id that it has in the vocabulary, or
 * the next free one. Matching is the library's for a plain string: a special token is found in the
 * raw text, any other in the normalized text; a token that was added with other properties gets
 * these. Costs O(length of content), so a thousand calls are cheap. */
enum dlm_status dlm_tokenizer_add(struct dlm_ctx *ctx, struct dlm_tokenizer *tok,
                                  const char *content, bool special, int32_t *id) DLM_CHECK_RESULT;

/* Appends the text of ids[0..len) to out. Unknown ids give nothing. skip_special leaves out special
 * tokens. The appended text is valid UTF-8. */
enum dlm_status dlm_tokenizer_decode(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                     const int32_t *ids, size_t len, bool skip_special,
                                     struct dlm_str *out) DLM_CHECK_RESULT;

/* Decodes ids as they come. What push appends is final: all pieces and what dlm_token_stream_flush
 * appends together are the text dlm_tokenizer_decode() gives for the whole sequence. Bytes that may
 * still become a character, and runs of byte tokens, are therefore held back until they close. */
struct dlm_token_stream {
    const struct dlm_tokenizer *tok;
    struct dlm_decode_stage *stages; /* one for each step of the decoder */
    bool skip_special;
};

/* Borrows tok until dlm_token_stream_finish(). No dlm_tokenizer_add() in between. */
enum dlm_status dlm_token_stream_init(struct dlm_ctx *ctx, struct dlm_token_stream *stream,
                                      const struct dlm_tokenizer *tok,
                                      bool skip_special) DLM_CHECK_RESULT;
/* Appends to out the text that id makes certain, if any. */
enum dlm_status dlm_token_stream_push(struct dlm_ctx *ctx, struct dlm_token_stream *stream,
                                      int32_t id, struct dlm_str *out) DLM_CHECK_RESULT;
/* Ends the sequence: appends what was held back. The stream is then as new. */
enum dlm_status dlm_token_stream_flush(struct dlm_ctx *ctx, struct dlm_token_stream *stream,
                                       struct dlm_str *out) DLM_CHECK_RESULT;
void dlm_token_stream_finish(struct dlm_token_stream *stream);

#endif
