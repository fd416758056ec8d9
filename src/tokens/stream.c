/* Decoding: token by token through the decoder's stages; a whole sequence is a stream that ends. */
#include <string.h>

#include "tokens/tokenizer_impl.h"

/* The library compares what is decoded, not the id, with its special tokens. */
static bool is_skipped(const struct dlm_tokenizer *tok, const char *form, size_t len)
{
    int32_t index = dlm_added_find(&tok->added, form, len);
    return index >= 0 && tok->added.tokens[index].was_special;
}

enum dlm_status dlm_token_stream_init(struct dlm_ctx *ctx, struct dlm_token_stream *stream,
                                      const struct dlm_tokenizer *tok, bool skip_special)
{
    *stream = (struct dlm_token_stream){.tok = tok, .skip_special = skip_special};
    return dlm_token_decoder_stages_create(ctx, &tok->decoder, &stream->stages);
}

enum dlm_status dlm_token_stream_push(struct dlm_ctx *ctx, struct dlm_token_stream *stream,
                                      int32_t id, struct dlm_str *out)
{
    size_t len = 0;
    const char *form = dlm_tokenizer_form(stream->tok, id, &len);
    if (!form || (stream->skip_special && is_skipped(stream->tok, form, len)))
        return DLM_OK;
    return dlm_token_decoder_push(ctx, &stream->tok->decoder, stream->stages, form, len, out);
}

enum dlm_status dlm_token_stream_flush(struct dlm_ctx *ctx, struct dlm_token_stream *stream,
                                       struct dlm_str *out)
{
    return dlm_token_decoder_flush(ctx, &stream->tok->decoder, stream->stages, out);
}

void dlm_token_stream_finish(struct dlm_token_stream *stream)
{
    if (stream->tok)
        dlm_token_decoder_stages_free(&stream->tok->decoder, &stream->stages);
    memset(stream, 0, sizeof(*stream));
}

enum dlm_status dlm_tokenizer_decode(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                     const int32_t *ids, size_t len, bool skip_special,
                                     struct dlm_str *out)
{
    struct dlm_token_stream stream = {0};
    enum dlm_status st = dlm_token_stream_init(ctx, &stream, tok, skip_special);
    for (size_t i = 0; !st && i < len; i++)
        st = dlm_token_stream_push(ctx, &stream, ids[i], out);
    if (!st)
        st = dlm_token_stream_flush(ctx, &stream, out);
    dlm_token_stream_finish(&stream);
    return st;
}
