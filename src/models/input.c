/* Inputs as they grow: ids and, beside them, what is learned. */
#include "models/input.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

void dlm_input_clear(struct dlm_input *in)
{
    in->ids.len = 0;
    in->bidirectional_len = 0;
}

void dlm_input_finish(struct dlm_input *in)
{
    dlm_ids_finish(&in->ids);
    dlm_free(in->is_label);
    *in = (struct dlm_input){0};
}

/* Marks the ids from first on. */
static enum dlm_status mark(struct dlm_ctx *ctx, struct dlm_input *in, size_t first, bool is_label)
{
    while (in->cap_labels < in->ids.len)
        if (!dlm_grow(ctx, &in->is_label, &in->cap_labels, in->cap_labels, sizeof(*in->is_label)))
            return DLM_ERR_MEMORY;
    if (first < in->ids.len)
        memset(in->is_label + first, is_label, in->ids.len - first);
    return DLM_OK;
}

enum dlm_status dlm_input_add_text(struct dlm_ctx *ctx, struct dlm_input *in,
                                   const struct dlm_tokenizer *tok, const char *text, size_t len,
                                   bool is_label)
{
    const size_t first = in->ids.len;

    enum dlm_status st =
        dlm_tokenizer_encode(ctx, tok, text, len, DLM_ENCODE_SPECIAL_AS_TEXT, &in->ids);
    return st ? st : mark(ctx, in, first, is_label);
}

enum dlm_status dlm_input_add_token(struct dlm_ctx *ctx, struct dlm_input *in,
                                    const struct dlm_tokenizer *tok, const char *content,
                                    int64_t times, bool is_label)
{
    const size_t first = in->ids.len;
    const int32_t id = dlm_tokenizer_id(tok, content);
    enum dlm_status st = DLM_OK;

    if (id < 0 && times)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                        "the tokenizer has no token '%s', which the model's input needs", content);
    for (int64_t i = 0; !st && i < times; i++)
        st = dlm_ids_append(ctx, &in->ids, id);
    return st ? st : mark(ctx, in, first, is_label);
}

struct dlm_example dlm_input_example(const struct dlm_input *in)
{
    return (struct dlm_example){.ids = in->ids.ids,
                                .is_label = in->is_label,
                                .len = (int64_t)in->ids.len,
                                .bidirectional_len = in->bidirectional_len};
}

int64_t dlm_count_labels(const uint8_t *is_label, int64_t len)
{
    int64_t num = 0;

    for (int64_t t = 0; is_label && t < len; t++)
        num += is_label[t];
    return num;
}
