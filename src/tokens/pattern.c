/* Translation of Oniguruma patterns to PCRE2, and matching. */
#include "tokens/pattern.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "tokens/unicode.h"

#define SPACE_SET "\\t-\\r\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}" \
                  "\\x{205F}\\x{3000}"
/* Oniguruma counts the superscripts and fractions of Latin-1 in. */
#define WORD_SET DLM_PATTERN_WORD_SET "\\xB2\\xB3\\xB9\\xBC-\\xBE"

enum { MATCH_LIMIT = 10000000, HEAP_LIMIT_KIB = 65536, MAX_PATTERN_BYTES = 65536 };

struct translation {
    const struct dlm_tok_reader *r;
    const char *s;
    size_t len, i;
    struct dlm_str out;
};

static enum dlm_status fail_unknown(const struct translation *t, const char *what)
{
    return dlm_tok_fail(t->r, DLM_ERR_UNSUPPORTED, "pattern '%.100s': %s is not supported", t->s,
                        what);
}

static enum dlm_status put(struct translation *t, const char *text)
{
    return dlm_str_appendz(t->r->ctx, &t->out, text);
}

static enum dlm_status put_input(struct translation *t, size_t bytes)
{
    enum dlm_status st = dlm_str_append(t->r->ctx, &t->out, t->s + t->i, bytes);
    t->i += bytes;
    return st;
}

/* \x{...}, \xHH, \p{...}, \P{...}. A name of more than two letters is a script, and PCRE2 from
 * 10.40 on would take Script_Extensions if it is not told. */
static enum dlm_status put_braced(struct translation *t)
{
    static const char *const properties[] = {"Any",       "Alphabetic", "White_Space",
                                             "Lowercase", "Uppercase",  "Emoji"};
    bool is_property = t->s[t->i + 1] != 'x';
    unsigned byte = 0;
    if (!is_property && sscanf(t->s + t->i + 2, "%2x", &byte) == 1 && byte >= 0x80)
        return fail_unknown(t, "a raw byte above 7F"); /* there a byte, here a code point */
    enum dlm_status st = put_input(t, 2);
    if (st || t->i >= t->len || t->s[t->i] != '{')
        return st;
    const char *name = t->s + t->i + 1, *end = memchr(name, '}', t->len - t->i - 1);
    if (!end)
        return dlm_tok_fail(t->r, DLM_ERR_PARSE, "pattern '%.100s': '{' is not closed", t->s);
    st = put_input(t, 1);
    if (!st && is_property && *name == '^') {
        st = put_input(t, 1);
        name++;
    }
    size_t len = (size_t)(end - name);
    bool is_script = is_property && len > 2 && !memchr(name, '_', len);
    for (size_t i = 0; i < DLM_ARRAY_LEN(properties); i++)
        is_script = is_script && strncmp(name, properties[i], len) != 0;
#if PCRE2_MAJOR > 10 || PCRE2_MINOR >= 40
    if (!st && is_script)
        st = put(t, "sc:");
#endif
    return st ? st : put_input(t, len + 1);
}

static enum dlm_status put_u_escape(struct translation *t)
{
    unsigned cp = 0;
    char text[16];
    if (t->i + 6 > t->len || sscanf(t->s + t->i + 2, "%4x", &cp) != 1)
        return dlm_tok_fail(t->r, DLM_ERR_PARSE, "pattern '%.100s': bad \\u", t->s);
    t->i += 6;
    snprintf(text, sizeof(text), "\\x{%04X}", cp);
    return put(t, text);
}

static enum dlm_status translate_escape(struct translation *t, bool in_class)
{
    if (t->i + 1 >= t->len)
        return dlm_tok_fail(t->r, DLM_ERR_PARSE, "pattern '%.100s' ends in a backslash", t->s);
    char c = t->s[t->i + 1];
    const char *by = NULL;
    switch (c) {
    case 's':
        by = in_class ? SPACE_SET : "[" SPACE_SET "]";
        break;
    case 'S':
        by = in_class ? "\\P{White_Space}" : "[^" SPACE_SET "]";
        break;
    case 'w':
        by = in_class ? WORD_SET : "[" WORD_SET "]";
        break;
    case 'W':
        if (in_class)
            return fail_unknown(t, "\\W in a class");
        by = "[^" WORD_SET "]";
        break;
    case 'd':
        by = "\\p{Nd}";
        break;
    case 'D':
        by = "\\P{Nd}";
        break;
    case 'v':
        by = "\\x0B";
        break;
    case 'b':
        by = in_class ? "\\x08"
                      : "(?:(?<=[" WORD_SET "])(?![" WORD_SET "])|(?<![" WORD_SET "])(?=[" WORD_SET
                        "]))";
        break;
    case 'B':
        by = "(?:(?<=[" WORD_SET "])(?=[" WORD_SET "])|(?<![" WORD_SET "])(?![" WORD_SET "]))";
        break;
    case 'p':
    case 'P':
    case 'x':
        return put_braced(t);
    case 'u':
        return put_u_escape(t);
    default:
        break;
    }
    if (by) {
        t->i += 2;
        return put(t, by);
    }
    /* The same in both: a class of its own letter, an anchor, a control character, a quoted sign.
     * Other letters and all digits mean something else in one of the two. */
    bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_alnum && !strchr(in_class ? "tnrfae" : "tnrfaeAzZ", c))
        return fail_unknown(t, "an escape of this kind");
    return put_input(t, 1 + dlm_unicode_lead_bytes(c));
}

static enum dlm_status translate_class(struct translation *t)
{
    enum dlm_status st = put_input(t, 1);
    if (!st && t->i < t->len && t->s[t->i] == '^')
        st = put_input(t, 1);
    if (!st && t->i < t->len && t->s[t->i] == ']')
        return fail_unknown(t, "']' as first of a class");
    while (!st && t->i < t->len) {
        char c = t->s[t->i];
        if (c == ']')
            return put_input(t, 1);
        if (c == '[')
            return fail_unknown(t, "a class within a class");
        if (c == '&' && t->i + 1 < t->len && t->s[t->i + 1] == '&')
            return fail_unknown(t, "'&&'");
        st = c == '\\' ? translate_escape(t, true) : put_input(t, 1);
    }
    return st ? st : dlm_tok_fail(t->r, DLM_ERR_PARSE, "pattern '%.100s': '[' is not closed", t->s);
}

/* "(" and what may follow it. */
static enum dlm_status translate_group(struct translation *t)
{
    const char *rest = t->s + t->i + 1;
    size_t left = t->len - t->i - 1;
    if (left && *rest == '*')
        return dlm_tok_fail(t->r, DLM_ERR_PARSE, "pattern '%.100s': nothing to repeat", t->s);
    if (!left || *rest != '?')
        return put_input(t, 1);
    enum dlm_status st = put_input(t, 2);
    if (st)
        return st;
    rest++;
    left--;
    if (left && strchr(":=!>", *rest))
        return put_input(t, 1);
    if (left > 1 && *rest == '<' && (rest[1] == '=' || rest[1] == '!'))
        return put_input(t, 2);
    size_t n = 0;
    for (; n < left && strchr("im-", rest[n]); n++)
        ;
    /* In Ruby a(?i)b|c is a(?i:b|c), in Perl it is not; at the very start both mean the same. */
    bool is_first = t->i == 2;
    if (!n || n >= left || (rest[n] != ':' && !(rest[n] == ')' && is_first)))
        return fail_unknown(t, "a group of this kind");
    for (size_t k = 0; !st && k < n; k++) { /* Ruby's m: the dot matches a newline */
        st = rest[k] == 'm' ? put(t, "s") : dlm_str_append(t->r->ctx, &t->out, rest + k, 1);
    }
    t->i += n;
    return st ? st : put_input(t, 1);
}

static enum dlm_status translate(struct translation *t)
{
    enum dlm_status st = DLM_OK;
    while (!st && t->i < t->len) {
        switch (t->s[t->i]) {
        case '\\':
            st = translate_escape(t, false);
            break;
        case '[':
            st = translate_class(t);
            break;
        case '(':
            st = translate_group(t);
            break;
        case '{':
            if (t->i + 1 < t->len && t->s[t->i + 1] == ',')
                return fail_unknown(t, "'{,n}'");
            st = put_input(t, 1);
            break;
        case '}':
            if (t->i + 1 < t->len && t->s[t->i + 1] == '+')
                return fail_unknown(t, "'}+'");
            st = put_input(t, 1);
            break;
        default:
            st = put_input(t, 1);
        }
    }
    return st;
}

enum dlm_status dlm_pattern_init_regex(const struct dlm_tok_reader *r, struct dlm_pattern *p,
                                       const char *regex, size_t len)
{
    struct translation t = {.r = r, .s = regex, .len = len};
    pcre2_compile_context *context = NULL;
    enum dlm_status st = DLM_OK;

    if (!len || len > MAX_PATTERN_BYTES)
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "a pattern of %zu bytes is not supported", len);
    if (memchr(regex, 0, len))
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "a pattern with NUL is not supported");
    st = translate(&t);
    if (st)
        goto done;
    context = pcre2_compile_context_create(NULL);
    if (!context) {
        st = dlm_fail(r->ctx, DLM_ERR_MEMORY, "out of memory");
        goto done;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 64);
    int error = 0;
    PCRE2_SIZE offset = 0;
    p->code = pcre2_compile((PCRE2_SPTR)t.out.data, t.out.len,
                            PCRE2_UTF | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                            context);
    if (!p->code) {
        PCRE2_UCHAR message[128] = {0};
        pcre2_get_error_message(error, message, sizeof(message));
        st = dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "pattern '%.100s': %s", regex,
                          (const char *)message);
        goto done;
    }
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without JIT it is only slower */
done:
    pcre2_compile_context_free(context);
    dlm_str_finish(&t.out);
    return st;
}

enum dlm_status dlm_pattern_init_literal(const struct dlm_tok_reader *r, struct dlm_pattern *p,
                                         const char *text, size_t len)
{
    if (!len)
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "an empty pattern is not supported");
    return dlm_str_append(r->ctx, &p->literal, text, len);
}

enum dlm_status dlm_pattern_read(const struct dlm_tok_reader *r, struct dlm_pattern *p,
                                 const json_t *object)
{
    const json_t *pattern = json_object_get(object, "pattern");
    const json_t *text = json_object_get(pattern, "String");
    const json_t *regex = json_object_get(pattern, "Regex");
    if (json_is_string(text))
        return dlm_pattern_init_literal(r, p, json_string_value(text), json_string_length(text));
    if (json_is_string(regex))
        return dlm_pattern_init_regex(r, p, json_string_value(regex), json_string_length(regex));
    return dlm_tok_fail(r, DLM_ERR_PARSE, "'pattern' has neither a 'String' nor a 'Regex'");
}

void dlm_pattern_finish(struct dlm_pattern *p)
{
    pcre2_code_free(p->code);
    p->code = NULL;
    dlm_str_finish(&p->literal);
}

void dlm_match_scratch_finish(struct dlm_match_scratch *scratch)
{
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->context);
    memset(scratch, 0, sizeof(*scratch));
}

static enum dlm_status prepare_scratch(struct dlm_ctx *ctx, struct dlm_match_scratch *scratch)
{
    if (scratch->data)
        return DLM_OK;
    if (!scratch->context)
        scratch->context = pcre2_match_context_create(NULL);
    /* One pair of offsets: only the whole match is wanted. */
    scratch->data = scratch->context ? pcre2_match_data_create(1, NULL) : NULL;
    if (!scratch->data)
        return dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    pcre2_set_match_limit(scratch->context, MATCH_LIMIT);
    pcre2_set_heap_limit(scratch->context, HEAP_LIMIT_KIB);
    return DLM_OK;
}

static enum dlm_status search(struct dlm_ctx *ctx, struct dlm_match_iter *it, bool *found)
{
    const struct dlm_pattern *p = it->pattern;
    *found = false;
    if (!p->code) {
        const char *hit = it->pos < it->len ? memmem(it->text + it->pos, it->len - it->pos,
                                                     p->literal.data, p->literal.len)
                                            : NULL;
        if (!hit)
            return DLM_OK;
        *found = true;
        it->start = (size_t)(hit - it->text);
        it->end = it->start + p->literal.len;
        return DLM_OK;
    }
    enum dlm_status st = prepare_scratch(ctx, it->scratch);
    if (st)
        return st;
    int rc = pcre2_match(p->code, (PCRE2_SPTR)it->text, it->len, it->pos, PCRE2_NO_UTF_CHECK,
                         it->scratch->data, it->scratch->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->code, (PCRE2_SPTR)it->text, it->len, it->pos,
                         PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, it->scratch->data,
                         it->scratch->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return DLM_OK;
    const PCRE2_SIZE *ovector = pcre2_get_ovector_pointer(it->scratch->data);
    if (rc < 0 || ovector[1] < ovector[0] || ovector[0] < it->pos)
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "cannot split a text of %zu bytes: the tokenizer's pattern gives up (%d)",
                        it->len, rc);
    *found = true;
    it->start = ovector[0];
    it->end = ovector[1];
    return DLM_OK;
}

enum dlm_status dlm_match_next(struct dlm_ctx *ctx, struct dlm_match_iter *it, bool *found)
{
    size_t last_end = it->end;
    for (;;) {
        *found = false;
        if (it->pos > it->len)
            return DLM_OK;
        enum dlm_status st = search(ctx, it, found);
        if (st || !*found)
            return st;
        it->pos = it->end;
        if (it->start < it->end || !it->has_matched || it->end != last_end)
            break;
        /* An empty match right behind a match: go on one character later. */
        it->pos += it->pos < it->len ? dlm_unicode_lead_bytes(it->text[it->pos]) : 1;
    }
    it->has_matched = true;
    return DLM_OK;
}

enum dlm_status dlm_pattern_replace(struct dlm_ctx *ctx, const struct dlm_pattern *p,
                                    struct dlm_match_scratch *scratch, const char *text, size_t len,
                                    const struct dlm_str *by, size_t max_len, bool *front_removed,
                                    struct dlm_str *out)
{
    struct dlm_match_iter it = {.pattern = p, .scratch = scratch, .text = text, .len = len};
    size_t copied = 0;
    bool found = len > 0; /* no pattern matches in an empty text, not even an empty one */
    while (found) {
        enum dlm_status st = dlm_match_next(ctx, &it, &found);
        if (st)
            return st;
        st = dlm_str_append(ctx, out, text + copied, (found ? it.start : len) - copied);
        if (!st && found)
            st = dlm_str_append(ctx, out, dlm_str_text(by), by->len);
        if (!st && out->len > max_len)
            st = dlm_tok_fail_growth(ctx);
        if (st)
            return st;
        if (found && front_removed && !it.start && it.end && !by->len)
            *front_removed = true;
        copied = it.end;
    }
    return DLM_OK;
}

size_t dlm_tok_max_growth(size_t len)
{
    return len < SIZE_MAX / 128 ? len * 64 + 4096 : SIZE_MAX;
}

enum dlm_status dlm_tok_fail_growth(struct dlm_ctx *ctx)
{
    return dlm_fail(ctx, DLM_ERR_INVALID, "the steps of the tokenizer grow the text too much");
}
