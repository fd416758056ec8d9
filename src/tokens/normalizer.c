/* Normalizers: reading, and running them one after the other over two buffers. */
#include "tokens/normalizer.h"

#include <string.h>

#include "tokens/unicode.h"

enum norm_kind { NORM_FORM, NORM_REPLACE, NORM_PREPEND, NORM_STRIP, NORM_LOWERCASE };

struct dlm_norm_step {
    enum norm_kind kind;
    enum dlm_unicode_form form;
    struct dlm_pattern pattern; /* NORM_REPLACE */
    struct dlm_str content;     /* what replaces, what is prepended */
    bool left, right;           /* NORM_STRIP */
};

static enum dlm_status read_text(struct dlm_tok_reader *r, const json_t *object, const char *key,
                                 struct dlm_str *out)
{
    const char *text = NULL;
    size_t len = 0;
    enum dlm_status st = dlm_tok_get_text(r, object, key, &text, &len);
    return st ? st : dlm_str_append(r->ctx, out, text, len);
}

static bool read_form(const char *type, enum dlm_unicode_form *form)
{
    static const char *const names[] = {[DLM_UNICODE_NFC] = "NFC",
                                        [DLM_UNICODE_NFD] = "NFD",
                                        [DLM_UNICODE_NFKC] = "NFKC",
                                        [DLM_UNICODE_NFKD] = "NFKD"};
    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++) {
        if (!strcmp(type, names[i])) {
            *form = (enum dlm_unicode_form)i;
            return true;
        }
    }
    return false;
}

static enum dlm_status read_part(struct dlm_tok_reader *r, void *user, const json_t *object)
{
    struct dlm_normalizer *n = user;
    const char *type = NULL;
    enum dlm_status st = dlm_tok_get_type(r, object, &type);
    if (st)
        return st;
    if (!strcmp(type, "Sequence"))
        return dlm_tok_read_sequence(r, object, "normalizers", read_part, n);
    if (n->len >= DLM_TOK_MAX_STEPS)
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "more than %d steps", DLM_TOK_MAX_STEPS);
    if (!dlm_grow(r->ctx, &n->steps, &n->cap, n->len, sizeof(*n->steps)))
        return DLM_ERR_MEMORY;
    struct dlm_norm_step *step = &n->steps[n->len++];
    memset(step, 0, sizeof(*step));
    if (read_form(type, &step->form)) {
        step->kind = NORM_FORM;
        return DLM_OK;
    }
    if (!strcmp(type, "Lowercase")) {
        step->kind = NORM_LOWERCASE;
        return DLM_OK;
    }
    if (!strcmp(type, "Prepend")) {
        step->kind = NORM_PREPEND;
        return read_text(r, object, "prepend", &step->content);
    }
    if (!strcmp(type, "Replace")) {
        step->kind = NORM_REPLACE;
        st = read_text(r, object, "content", &step->content);
        return st ? st : dlm_pattern_read(r, &step->pattern, object);
    }
    if (!strcmp(type, "Strip")) {
        step->kind = NORM_STRIP;
        st = dlm_tok_get_bool(r, object, "strip_left", &step->left);
        return st ? st : dlm_tok_get_bool(r, object, "strip_right", &step->right);
    }
    return dlm_tok_fail_type(r, type);
}

enum dlm_status dlm_normalizer_read(struct dlm_tok_reader *r, struct dlm_normalizer *n,
                                    const json_t *object)
{
    return !object || json_is_null(object) ? DLM_OK : read_part(r, n, object);
}

void dlm_normalizer_finish(struct dlm_normalizer *n)
{
    for (size_t i = 0; i < n->len; i++) {
        dlm_pattern_finish(&n->steps[i].pattern);
        dlm_str_finish(&n->steps[i].content);
    }
    dlm_free(n->steps);
    memset(n, 0, sizeof(*n));
}

void dlm_norm_scratch_finish(struct dlm_norm_scratch *scratch)
{
    dlm_match_scratch_finish(&scratch->match);
    dlm_str_finish(&scratch->text[0]);
    dlm_str_finish(&scratch->text[1]);
}

/* Narrows text to what is left of it: stripping copies nothing. */
static void strip(const struct dlm_norm_step *step, const char **text, size_t *len,
                  bool *front_removed)
{
    size_t bytes = 0;
    while (step->left && *len && dlm_unicode_is_space(dlm_unicode_decode(*text, &bytes))) {
        *text += bytes;
        *len -= bytes;
        *front_removed = true;
    }
    while (step->right && *len &&
           dlm_unicode_is_space(dlm_unicode_decode_before(*text + *len, &bytes)))
        *len -= bytes;
}

enum dlm_status dlm_normalizer_run(struct dlm_ctx *ctx, const struct dlm_normalizer *n,
                                   struct dlm_norm_scratch *scratch, const char **text, size_t *len,
                                   bool *front_removed)
{
    const size_t max_len = dlm_tok_max_growth(*len);
    enum dlm_status st = DLM_OK;
    int turn = 0;
    for (size_t i = 0; !st && i < n->len; i++) {
        const struct dlm_norm_step *step = &n->steps[i];
        if (step->kind == NORM_STRIP) {
            strip(step, text, len, front_removed);
            continue;
        }
        struct dlm_str *out = &scratch->text[turn];
        out->len = 0;
        switch (step->kind) {
        case NORM_FORM:
            st = dlm_unicode_normalize(ctx, step->form, *text, *len, out);
            break;
        case NORM_LOWERCASE:
            st = dlm_unicode_lowercase(ctx, *text, *len, out);
            break;
        case NORM_REPLACE:
            st = dlm_pattern_replace(ctx, &step->pattern, &scratch->match, *text, *len,
                                     &step->content, max_len, front_removed, out);
            break;
        default: /* NORM_PREPEND; nothing is prepended to nothing */
            if (*len)
                st = dlm_str_append(ctx, out, dlm_str_text(&step->content), step->content.len);
            if (!st)
                st = dlm_str_append(ctx, out, *text, *len);
        }
        if (!st && out->len > max_len)
            st = dlm_tok_fail_growth(ctx);
        *text = dlm_str_text(out);
        *len = out->len;
        turn = !turn;
    }
    return st;
}
