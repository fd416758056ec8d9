/* Pre-tokenizers. All that the library has for BPE models come down to three steps: split by a
 * pattern, rewrite spaces (with a prefix), map bytes to characters. */
#include "tokens/pretokenizer.h"

#include <string.h>

#include "tokens/unicode.h"

enum pretok_kind { PRETOK_SPLIT, PRETOK_SPACES, PRETOK_BYTES };

enum behavior {
    BEHAVIOR_REMOVED,
    BEHAVIOR_ISOLATED,
    BEHAVIOR_MERGED_WITH_PREVIOUS,
    BEHAVIOR_MERGED_WITH_NEXT,
    BEHAVIOR_CONTIGUOUS,
    BEHAVIOR_COUNT
};

enum prefix { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS };

struct dlm_pretok_step {
    enum pretok_kind kind;
    struct dlm_pattern pattern; /* PRETOK_SPLIT */
    enum behavior behavior;
    bool invert;
    struct dlm_str space; /* PRETOK_SPACES: what ' ' becomes, and the prefix of a piece */
    enum prefix prefix;
};

/* GPT-2's pattern, which ByteLevel uses if the file says so. */
#define GPT2_PATTERN \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* \w as Rust's regex crate has it, which Whitespace uses. */
#define WORD DLM_PATTERN_WORD_SET "\\x{200C}\\x{200D}"

static enum dlm_status add_step(struct dlm_tok_reader *r, struct dlm_pretokenizer *p,
                                enum pretok_kind kind, struct dlm_pretok_step **step)
{
    if (p->len >= DLM_TOK_MAX_STEPS)
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "more than %d steps", DLM_TOK_MAX_STEPS);
    if (!dlm_grow(r->ctx, &p->steps, &p->cap, p->len, sizeof(*p->steps)))
        return DLM_ERR_MEMORY;
    *step = &p->steps[p->len++];
    **step = (struct dlm_pretok_step){.kind = kind};
    return DLM_OK;
}

static enum dlm_status add_regex_split(struct dlm_tok_reader *r, struct dlm_pretokenizer *p,
                                       const char *regex, enum behavior behavior, bool invert)
{
    struct dlm_pretok_step *step = NULL;
    enum dlm_status st = add_step(r, p, PRETOK_SPLIT, &step);
    if (st)
        return st;
    step->behavior = behavior;
    step->invert = invert;
    return dlm_pattern_init_regex(r, &step->pattern, regex, strlen(regex));
}

static enum dlm_status read_behavior(struct dlm_tok_reader *r, const json_t *object,
                                     enum behavior *behavior)
{
    static const char *const names[BEHAVIOR_COUNT] = {
        [BEHAVIOR_REMOVED] = "Removed",
        [BEHAVIOR_ISOLATED] = "Isolated",
        [BEHAVIOR_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [BEHAVIOR_MERGED_WITH_NEXT] = "MergedWithNext",
        [BEHAVIOR_CONTIGUOUS] = "Contiguous",
    };
    const char *name = NULL;
    size_t len = 0;
    enum dlm_status st = dlm_tok_get_text(r, object, "behavior", &name, &len);
    for (int i = 0; !st && i < BEHAVIOR_COUNT; i++) {
        if (!strcmp(name, names[i])) {
            *behavior = (enum behavior)i;
            return DLM_OK;
        }
    }
    return st ? st
              : dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "behavior '%.64s' is not supported", name);
}

static enum dlm_status read_split(struct dlm_tok_reader *r, struct dlm_pretokenizer *p,
                                  const json_t *object)
{
    struct dlm_pretok_step *step = NULL;
    enum dlm_status st = add_step(r, p, PRETOK_SPLIT, &step);
    if (!st)
        st = read_behavior(r, object, &step->behavior);
    if (!st)
        st = dlm_tok_get_bool(r, object, "invert", &step->invert);
    return st ? st : dlm_pattern_read(r, &step->pattern, object);
}

static enum dlm_status read_byte_level(struct dlm_tok_reader *r, struct dlm_pretokenizer *p,
                                       const json_t *object)
{
    struct dlm_pretok_step *step = NULL;
    bool add_prefix = false, use_regex = true;
    enum dlm_status st = dlm_tok_get_bool(r, object, "add_prefix_space", &add_prefix);
    if (!st)
        st = dlm_tok_get_bool_or(r, object, "use_regex", &use_regex);
    if (!st && add_prefix) {
        st = add_step(r, p, PRETOK_SPACES, &step);
        if (!st) {
            step->prefix = PREFIX_ALWAYS;
            st = dlm_str_appendz(r->ctx, &step->space, " ");
        }
    }
    if (!st && use_regex)
        st = add_regex_split(r, p, GPT2_PATTERN, BEHAVIOR_ISOLATED, false);
    return st ? st : add_step(r, p, PRETOK_BYTES, &step);
}

static enum dlm_status read_prefix_scheme(struct dlm_tok_reader *r, const json_t *object,
                                          enum prefix *prefix)
{
    const json_t *scheme = json_object_get(object, "prepend_scheme");
    bool add_prefix_space = true; /* the older spelling; false goes with "never" only */
    enum dlm_status st = dlm_tok_get_bool_or(r, object, "add_prefix_space", &add_prefix_space);
    const char *name = scheme ? json_string_value(scheme) : "always";
    if (st)
        return st;
    if (!name)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "'prepend_scheme' is not a string");
    if (!strcmp(name, "always"))
        *prefix = PREFIX_ALWAYS;
    else if (!strcmp(name, "first"))
        *prefix = PREFIX_FIRST;
    else if (!strcmp(name, "never"))
        *prefix = PREFIX_NEVER;
    else
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "prepend_scheme '%.64s' is not supported",
                            name);
    if (!add_prefix_space && *prefix != PREFIX_NEVER)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "'add_prefix_space' contradicts 'prepend_scheme'");
    return DLM_OK;
}

static enum dlm_status read_metaspace(struct dlm_tok_reader *r, struct dlm_pretokenizer *p,
                                      const json_t *object)
{
    struct dlm_pretok_step *step = NULL;
    const char *replacement = NULL;
    size_t len = 0;
    bool split = true;
    enum dlm_status st = dlm_tok_get_text(r, object, "replacement", &replacement, &len);
    if (!st)
        st = dlm_tok_get_bool_or(r, object, "split", &split);
    if (!st && (!len || dlm_unicode_lead_bytes(*replacement) != len))
        st = dlm_tok_fail(r, DLM_ERR_PARSE, "'replacement' is not one character");
    if (!st)
        st = add_step(r, p, PRETOK_SPACES, &step);
    if (!st)
        st = read_prefix_scheme(r, object, &step->prefix);
    if (!st)
        st = dlm_str_append(r->ctx, &step->space, replacement, len);
    if (st || !split)
        return st;
    st = add_step(r, p, PRETOK_SPLIT, &step);
    if (st)
        return st;
    step->behavior = BEHAVIOR_MERGED_WITH_NEXT;
    return dlm_pattern_init_literal(r, &step->pattern, replacement, len);
}

static enum dlm_status read_part(struct dlm_tok_reader *r, void *user, const json_t *object)
{
    struct dlm_pretokenizer *p = user;
    const char *type = NULL;
    enum behavior behavior = BEHAVIOR_ISOLATED;
    enum dlm_status st = dlm_tok_get_type(r, object, &type);
    if (st)
        return st;
    if (!strcmp(type, "Sequence"))
        return dlm_tok_read_sequence(r, object, "pretokenizers", read_part, p);
    if (!strcmp(type, "Split"))
        return read_split(r, p, object);
    if (!strcmp(type, "ByteLevel"))
        return read_byte_level(r, p, object);
    if (!strcmp(type, "Metaspace"))
        return read_metaspace(r, p, object);
    if (!strcmp(type, "Whitespace"))
        return add_regex_split(r, p, "[" WORD "]+|[^" WORD "\\s]+", BEHAVIOR_REMOVED, true);
    if (!strcmp(type, "WhitespaceSplit"))
        return add_regex_split(r, p, "\\s", BEHAVIOR_REMOVED, false);
    if (!strcmp(type, "Digits")) {
        bool individual = false;
        st = dlm_tok_get_bool(r, object, "individual_digits", &individual);
        return st ? st
                  : add_regex_split(r, p, "\\p{N}",
                                    individual ? BEHAVIOR_ISOLATED : BEHAVIOR_CONTIGUOUS, false);
    }
    if (!strcmp(type, "Punctuation")) {
        if (json_object_get(object, "behavior"))
            st = read_behavior(r, object, &behavior);
        return st ? st : add_regex_split(r, p, "[\\x21-/:-@\\x5B-`{-~\\p{P}]", behavior, false);
    }
    return dlm_tok_fail_type(r, type);
}

enum dlm_status dlm_pretokenizer_read(struct dlm_tok_reader *r, struct dlm_pretokenizer *p,
                                      const json_t *object)
{
    return !object || json_is_null(object) ? DLM_OK : read_part(r, p, object);
}

void dlm_pretokenizer_finish(struct dlm_pretokenizer *p)
{
    for (size_t i = 0; i < p->len; i++) {
        dlm_pattern_finish(&p->steps[i].pattern);
        dlm_str_finish(&p->steps[i].space);
    }
    dlm_free(p->steps);
    memset(p, 0, sizeof(*p));
}

void dlm_pretok_scratch_finish(struct dlm_pretok_scratch *scratch)
{
    dlm_match_scratch_finish(&scratch->match);
    for (int i = 0; i < 2; i++) {
        dlm_str_finish(&scratch->text[i]);
        dlm_free(scratch->pieces[i]);
    }
    dlm_free(scratch->spans);
    memset(scratch, 0, sizeof(*scratch));
}

static enum dlm_status add_piece(struct dlm_ctx *ctx, struct dlm_pretok_scratch *s, int to,
                                 struct dlm_piece piece)
{
    if (piece.start == piece.end)
        return DLM_OK;
    if (!dlm_grow(ctx, &s->pieces[to], &s->cap[to], s->len[to], sizeof(piece)))
        return DLM_ERR_MEMORY;
    s->pieces[to][s->len[to]++] = piece;
    return DLM_OK;
}

static enum dlm_status add_span(struct dlm_ctx *ctx, struct dlm_pretok_scratch *s, size_t start,
                                size_t end, bool is_match)
{
    if (!dlm_grow(ctx, &s->spans, &s->spans_cap, s->spans_len, sizeof(*s->spans)))
        return DLM_ERR_MEMORY;
    s->spans[s->spans_len++] = (struct dlm_span){start, end, is_match};
    return DLM_OK;
}

/* Cuts text[0..len) into spans that match and spans between them. */
static enum dlm_status find_spans(struct dlm_ctx *ctx, const struct dlm_pretok_step *step,
                                  struct dlm_pretok_scratch *s, const char *text, size_t len)
{
    struct dlm_match_iter it = {
        .pattern = &step->pattern, .scratch = &s->match, .text = text, .len = len};
    size_t last = 0;
    s->spans_len = 0;
    for (;;) {
        bool found = false;
        enum dlm_status st = dlm_match_next(ctx, &it, &found);
        if (!st && found && last < it.start)
            st = add_span(ctx, s, last, it.start, step->invert);
        if (!st && found)
            st = add_span(ctx, s, it.start, it.end, !step->invert);
        if (st)
            return st;
        if (!found)
            return last < len ? add_span(ctx, s, last, len, step->invert) : DLM_OK;
        last = it.end;
    }
}

/* Joins spans as the behavior says; what is left with is_match set is to be removed. */
static void join_spans(struct dlm_pretok_scratch *s, enum behavior behavior)
{
    struct dlm_span *spans = s->spans;
    size_t n = 0;
    bool previous = false;
    if (behavior == BEHAVIOR_REMOVED)
        return;
    if (behavior == BEHAVIOR_MERGED_WITH_NEXT) { /* from the back: a match joins what follows it */
        for (size_t i = s->spans_len; i-- > 0;) {
            struct dlm_span span = spans[i];
            struct dlm_span *next = n ? &spans[s->spans_len - n] : NULL;
            if (next && span.is_match && !previous)
                next->start = span.start;
            else
                spans[s->spans_len - ++n] = (struct dlm_span){span.start, span.end, false};
            previous = span.is_match;
        }
        memmove(spans, spans + s->spans_len - n, n * sizeof(*spans));
        s->spans_len = n;
        return;
    }
    for (size_t i = 0; i < s->spans_len; i++) {
        struct dlm_span span = spans[i];
        bool join = behavior == BEHAVIOR_CONTIGUOUS             ? span.is_match == previous
                    : behavior == BEHAVIOR_MERGED_WITH_PREVIOUS ? span.is_match && !previous
                                                                : false;
        if (n && join)
            spans[n - 1].end = span.end;
        else
            spans[n++] = (struct dlm_span){span.start, span.end, false};
        previous = span.is_match;
    }
    s->spans_len = n;
}

static enum dlm_status split_piece(struct dlm_ctx *ctx, const struct dlm_pretok_step *step,
                                   struct dlm_pretok_scratch *s, const char *text,
                                   struct dlm_piece piece, int to)
{
    enum dlm_status st = find_spans(ctx, step, s, text + piece.start, piece.end - piece.start);
    if (st)
        return st;
    join_spans(s, step->behavior);
    for (size_t i = 0; !st && i < s->spans_len; i++) {
        const struct dlm_span *span = &s->spans[i];
        if (!span->is_match)
            st = add_piece(ctx, s, to,
                           (struct dlm_piece){piece.start + span->start, piece.start + span->end,
                                              piece.is_first && !span->start});
    }
    return st;
}

/* Appends a piece rewritten to out. */
static enum dlm_status rewrite_piece(struct dlm_ctx *ctx, const struct dlm_pretok_step *step,
                                     const char *text, struct dlm_piece piece, struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;
    const struct dlm_str *space = &step->space;
    if (step->kind == PRETOK_SPACES) {
        const char *s = text + piece.start;
        size_t len = piece.end - piece.start;
        bool has_prefix = *s == ' ' || (len >= space->len && !memcmp(s, space->data, space->len));
        if (!has_prefix && (step->prefix == PREFIX_ALWAYS ||
                            (step->prefix == PREFIX_FIRST && piece.is_first)))
            st = dlm_str_append(ctx, out, space->data, space->len);
    }
    for (size_t i = piece.start; !st && i < piece.end; i++) {
        char utf8[4];
        if (step->kind == PRETOK_SPACES)
            st = text[i] == ' ' ? dlm_str_append(ctx, out, space->data, space->len)
                                : dlm_str_append(ctx, out, text + i, 1);
        else
            st = dlm_str_append(
                ctx, out, utf8,
                dlm_unicode_encode(dlm_unicode_byte_to_char((uint8_t)text[i]), utf8));
    }
    return st;
}

static enum dlm_status rewrite_pieces(struct dlm_ctx *ctx, const struct dlm_pretok_step *step,
                                      struct dlm_pretok_scratch *s, int from, const char *text,
                                      struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;
    out->len = 0;
    for (size_t i = 0; !st && i < s->len[from]; i++) {
        struct dlm_piece *piece = &s->pieces[from][i];
        size_t start = out->len;
        st = rewrite_piece(ctx, step, text, *piece, out);
        piece->start = start;
        piece->end = out->len;
    }
    return st;
}

enum dlm_status dlm_pretokenizer_run(struct dlm_ctx *ctx, const struct dlm_pretokenizer *p,
                                     struct dlm_pretok_scratch *s, const char *text, size_t len,
                                     bool is_first, struct dlm_pieces *out)
{
    int from = 0, buffer = 0;
    const size_t max_len = dlm_tok_max_growth(len);
    s->len[0] = 0;
    enum dlm_status st = add_piece(ctx, s, 0, (struct dlm_piece){0, len, is_first});
    for (size_t i = 0; !st && i < p->len; i++) {
        const struct dlm_pretok_step *step = &p->steps[i];
        if (step->kind == PRETOK_SPLIT) {
            s->len[!from] = 0;
            for (size_t k = 0; !st && k < s->len[from]; k++)
                st = split_piece(ctx, step, s, text, s->pieces[from][k], !from);
            from = !from;
            continue;
        }
        st = rewrite_pieces(ctx, step, s, from, text, &s->text[buffer]);
        text = dlm_str_text(&s->text[buffer]);
        if (!st && s->text[buffer].len > max_len)
            st = dlm_tok_fail_growth(ctx);
        buffer = !buffer;
    }
    *out = (struct dlm_pieces){text, s->pieces[from], s->len[from]};
    return st;
}
