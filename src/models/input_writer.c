/* Text and special tokens in turn. */
#include "models/input_writer.h"

#include <string.h>

#define CAPTION_REQUEST "Describe this image."

/* Marks what the first `given` bytes of the text became, from id `first` on, as not learned. An id
 * that stands for given bytes and others too is learned: it is what has to be said there. */
static enum dlm_status mark_given(struct dlm_input_writer *w, size_t first, size_t given)
{
    struct dlm_input alone = {0};
    const struct dlm_ids *ids = &w->in->ids;

    enum dlm_status st = dlm_input_add_text(w->ctx, &alone, w->tok, dlm_str_text(&w->text), given,
                                            false);
    for (size_t i = 0; !st && i < alone.ids.len && first + i < ids->len; i++) {
        if (ids->ids[first + i] != alone.ids.ids[i])
            break;
        w->in->is_label[first + i] = 0;
    }
    dlm_input_finish(&alone);
    return st;
}

enum dlm_status dlm_input_writer_flush(struct dlm_input_writer *w, bool is_label)
{
    const size_t first = w->in->ids.len, given = w->num_given;

    enum dlm_status st = dlm_input_add_text(w->ctx, w->in, w->tok, dlm_str_text(&w->text),
                                            w->text.len, is_label);
    if (!st && is_label && given)
        st = mark_given(w, first, given);
    w->text.len = 0;
    w->num_given = 0;
    return st;
}

enum dlm_status dlm_input_writer_add_token(struct dlm_input_writer *w, const char *content,
                                           bool is_label)
{
    enum dlm_status st = dlm_input_writer_flush(w, is_label);
    return st ? st : dlm_input_add_token(w->ctx, w->in, w->tok, content, 1, is_label);
}

enum dlm_status dlm_input_writer_add_words(struct dlm_input_writer *w, const struct dlm_part *part)
{
    return part->kind == DLM_PART_CAPTION_REQUEST
               ? dlm_str_appendz(w->ctx, &w->text, CAPTION_REQUEST)
               : dlm_str_append(w->ctx, &w->text, part->text, part->len);
}
