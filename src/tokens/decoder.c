/* Decoders: reading, and running tokens through the steps. */
#include "tokens/decoder.h"

#include <string.h>

#include "tokens/unicode.h"

enum decode_kind {
    DECODE_JOIN, /* no decoder: spaces between tokens */
    DECODE_REPLACE,
    DECODE_BYTE_FALLBACK,
    DECODE_FUSE,
    DECODE_STRIP,
    DECODE_BYTE_LEVEL,
    DECODE_METASPACE,
};

struct dlm_decode_step {
    enum decode_kind kind;
    struct dlm_pattern pattern; /* DECODE_REPLACE */
    struct dlm_str content;     /* DECODE_REPLACE: what replaces; STRIP, METASPACE: a character */
    size_t start, stop;         /* DECODE_STRIP: at most this many at each end of a token */
    bool strips_first;          /* DECODE_METASPACE: the first token loses its spaces */
    bool fused; /* all tokens are one by now, and its text comes in parts of whole characters */
    bool waits; /* needs the whole of that one token before it can say anything */
};

static enum dlm_status read_char(struct dlm_tok_reader *r, const json_t *object, const char *key,
                                 struct dlm_str *out)
{
    const char *text = NULL;
    size_t len = 0;
    enum dlm_status st = dlm_tok_get_text(r, object, key, &text, &len);
    if (!st && (!len || dlm_unicode_lead_bytes(*text) != len))
        st = dlm_tok_fail(r, DLM_ERR_PARSE, "'%s' is not one character", key);
    return st ? st : dlm_str_append(r->ctx, out, text, len);
}

static enum dlm_status read_strip(struct dlm_tok_reader *r, struct dlm_decode_step *step,
                                  const json_t *object)
{
    json_int_t start = 0, stop = 0;
    enum dlm_status st = read_char(r, object, "content", &step->content);
    if (!st)
        st = dlm_tok_get_int(r, object, "start", 0, INT32_MAX, &start);
    if (!st)
        st = dlm_tok_get_int(r, object, "stop", 0, INT32_MAX, &stop);
    step->start = (size_t)start;
    step->stop = (size_t)stop;
    return st;
}

static enum dlm_status read_metaspace(struct dlm_tok_reader *r, struct dlm_decode_step *step,
                                      const json_t *object)
{
    const json_t *scheme = json_object_get(object, "prepend_scheme");
    bool add_prefix_space = true;
    enum dlm_status st = read_char(r, object, "replacement", &step->content);
    if (!st)
        st = dlm_tok_get_bool_or(r, object, "add_prefix_space", &add_prefix_space);
    const char *name = scheme ? json_string_value(scheme) : "always";
    if (!st && (!name || (strcmp(name, "always") != 0 && strcmp(name, "first") != 0 &&
                          strcmp(name, "never") != 0)))
        st = dlm_tok_fail(r, DLM_ERR_PARSE, "'prepend_scheme' is not always, first or never");
    step->strips_first = !st && add_prefix_space && strcmp(name, "never") != 0;
    return st;
}

static enum dlm_status read_step(struct dlm_tok_reader *r, struct dlm_decode_step *step,
                                 const json_t *object, const char *type)
{
    if (!strcmp(type, "Replace")) {
        const char *text = NULL;
        size_t len = 0;
        step->kind = DECODE_REPLACE;
        enum dlm_status st = dlm_tok_get_text(r, object, "content", &text, &len);
        if (!st)
            st = dlm_str_append(r->ctx, &step->content, text, len);
        return st ? st : dlm_pattern_read(r, &step->pattern, object);
    }
    if (!strcmp(type, "Strip")) {
        step->kind = DECODE_STRIP;
        return read_strip(r, step, object);
    }
    if (!strcmp(type, "Metaspace")) {
        step->kind = DECODE_METASPACE;
        return read_metaspace(r, step, object);
    }
    if (!strcmp(type, "ByteFallback"))
        step->kind = DECODE_BYTE_FALLBACK;
    else if (!strcmp(type, "Fuse"))
        step->kind = DECODE_FUSE;
    else if (!strcmp(type, "ByteLevel"))
        step->kind = DECODE_BYTE_LEVEL;
    else
        return dlm_tok_fail_type(r, type);
    return DLM_OK;
}

static enum dlm_status add_step(struct dlm_tok_reader *r, struct dlm_token_decoder *d,
                                struct dlm_decode_step **step)
{
    if (d->len >= DLM_TOK_MAX_STEPS)
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "more than %d steps", DLM_TOK_MAX_STEPS);
    if (!dlm_grow(r->ctx, &d->steps, &d->cap, d->len, sizeof(*d->steps)))
        return DLM_ERR_MEMORY;
    *step = &d->steps[d->len++];
    **step = (struct dlm_decode_step){0};
    return DLM_OK;
}

static enum dlm_status read_part(struct dlm_tok_reader *r, void *user, const json_t *object)
{
    struct dlm_token_decoder *d = user;
    struct dlm_decode_step *step = NULL;
    const char *type = NULL;
    enum dlm_status st = dlm_tok_get_type(r, object, &type);
    if (st)
        return st;
    if (!strcmp(type, "Sequence"))
        return dlm_tok_read_sequence(r, object, "decoders", read_part, d);
    st = add_step(r, d, &step);
    return st ? st : read_step(r, step, object, type);
}

enum dlm_status dlm_token_decoder_read(struct dlm_tok_reader *r, struct dlm_token_decoder *d,
                                 const json_t *object)
{
    struct dlm_decode_step *step = NULL;
    bool fused = false;
    if (!object || json_is_null(object)) {
        enum dlm_status st = add_step(r, d, &step);
        if (!st)
            step->kind = DECODE_JOIN;
        return st;
    }
    enum dlm_status st = read_part(r, d, object);
    for (size_t i = 0; !st && i < d->len; i++) {
        step = &d->steps[i];
        step->fused = fused;
        step->waits = fused && (step->kind == DECODE_REPLACE || step->kind == DECODE_BYTE_LEVEL ||
                                step->kind == DECODE_BYTE_FALLBACK ||
                                (step->kind == DECODE_STRIP && step->stop));
        fused = fused || step->kind == DECODE_FUSE || step->kind == DECODE_BYTE_LEVEL;
    }
    return st;
}

void dlm_token_decoder_finish(struct dlm_token_decoder *d)
{
    for (size_t i = 0; i < d->len; i++) {
        dlm_pattern_finish(&d->steps[i].pattern);
        dlm_str_finish(&d->steps[i].content);
    }
    dlm_free(d->steps);
    memset(d, 0, sizeof(*d));
}

enum dlm_status dlm_token_decoder_stages_create(struct dlm_ctx *ctx,
                                                const struct dlm_token_decoder *d,
                                          struct dlm_decode_stage **stages)
{
    *stages = dlm_alloc_array(ctx, d->len + 1, sizeof(**stages));
    return *stages ? DLM_OK : DLM_ERR_MEMORY;
}

void dlm_token_decoder_stages_free(const struct dlm_token_decoder *d,
                                   struct dlm_decode_stage **stages)
{
    for (size_t i = 0; *stages && i <= d->len; i++) {
        dlm_str_finish(&(*stages)[i].held);
        dlm_str_finish(&(*stages)[i].work);
        dlm_match_scratch_finish(&(*stages)[i].match);
    }
    dlm_free(*stages);
    *stages = NULL;
}

/* A token on its way: what each step needs to hand on its own output. */
struct flow {
    struct dlm_ctx *ctx;
    const struct dlm_token_decoder *decoder;
    struct dlm_decode_stage *stages;
    struct dlm_str *out;
};

static enum dlm_status flow_token(const struct flow *f, size_t at, const char *text, size_t len);

/* The byte of a token <0xHH>, else -1. The library's parser of HH also takes "+H". */
static int byte_of_token(const char *text, size_t len)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    const char *low = memchr(digits, text[4], sizeof(digits) - 1);
    const char *high = text[3] == '+' ? digits : memchr(digits, text[3], sizeof(digits) - 1);
    return low && high ? (int)((high - digits) % 16 * 16 + (low - digits) % 16) : -1;
}

/* A run of byte tokens has ended: it is text if it is valid, else all of it is lost. */
static enum dlm_status flush_bytes(const struct flow *f, size_t at)
{
    struct dlm_str *held = &f->stages[at].held;
    enum dlm_status st = DLM_OK;
    size_t len = held->len;
    if (!len)
        return DLM_OK;
    held->len = 0; /* what is handed on does not come back to this stage */
    if (dlm_utf8_is_valid(held->data, len, NULL))
        return flow_token(f, at + 1, held->data, len);
    for (size_t i = 0; !st && i < len; i++)
        st = flow_token(f, at + 1, DLM_UNICODE_REPLACEMENT, 3);
    return st;
}

static enum dlm_status run_byte_fallback(const struct flow *f, size_t at, const char *text,
                                         size_t len)
{
    int byte = byte_of_token(text, len);
    if (byte >= 0) {
        char c = (char)byte;
        return dlm_str_append(f->ctx, &f->stages[at].held, &c, 1);
    }
    enum dlm_status st = flush_bytes(f, at);
    return st ? st : flow_token(f, at + 1, text, len);
}

static bool is_char(const char *text, size_t bytes, const struct dlm_str *c)
{
    return bytes == c->len && !memcmp(text, c->data, bytes);
}

/* Cuts up to start characters at the front of a token, up to stop at its back. Of a fused text that
 * comes in parts only the front is cut; `count` then carries on from part to part. */
static enum dlm_status run_strip(const struct flow *f, size_t at, const char *text, size_t len)
{
    const struct dlm_decode_step *step = &f->decoder->steps[at];
    size_t cut = step->fused ? f->stages[at].count : 0;
    while (len && cut < step->start) {
        size_t bytes = dlm_unicode_lead_bytes(*text);
        if (!is_char(text, bytes, &step->content)) {
            cut = step->start;
            break;
        }
        text += bytes;
        len -= bytes;
        cut++;
    }
    f->stages[at].count = cut;
    for (size_t i = 0; len && i < step->stop; i++) {
        size_t bytes = 0;
        (void)dlm_unicode_decode_before(text + len, &bytes); /* only its length is wanted */
        if (!is_char(text + len - bytes, bytes, &step->content))
            break;
        len -= bytes;
    }
    return flow_token(f, at + 1, text, len);
}

static enum dlm_status run_byte_level(const struct flow *f, size_t at, const char *text, size_t len)
{
    struct dlm_decode_stage *stage = &f->stages[at];
    enum dlm_status st = DLM_OK;
    size_t before = stage->held.len, used = 0;
    for (size_t i = 0, bytes; !st && i < len; i += bytes) {
        int byte = dlm_unicode_char_to_byte(dlm_unicode_decode(text + i, &bytes));
        char c = (char)byte;
        if (byte < 0) { /* not a byte-level token, but an added one: it is taken as it is */
            stage->held.len = before;
            st = dlm_str_append(f->ctx, &stage->held, text, len);
            break;
        }
        st = dlm_str_append(f->ctx, &stage->held, &c, 1);
    }
    stage->work.len = 0;
    if (!st)
        st = dlm_unicode_append_lossy(f->ctx, dlm_str_text(&stage->held), stage->held.len, false,
                                      &used, &stage->work);
    if (st)
        return st;
    if (used)
        memmove(stage->held.data, stage->held.data + used, stage->held.len - used);
    stage->held.len -= used;
    return flow_token(f, at + 1, dlm_str_text(&stage->work), stage->work.len);
}

static enum dlm_status run_metaspace(const struct flow *f, size_t at, const char *text, size_t len)
{
    const struct dlm_decode_step *step = &f->decoder->steps[at];
    struct dlm_decode_stage *stage = &f->stages[at];
    bool is_first = step->fused || !stage->count++;
    enum dlm_status st = DLM_OK;
    stage->work.len = 0;
    for (size_t i = 0, bytes; !st && i < len; i += bytes) {
        bytes = dlm_unicode_lead_bytes(text[i]);
        if (!is_char(text + i, bytes, &step->content))
            st = dlm_str_append(f->ctx, &stage->work, text + i, bytes);
        else if (!is_first || !step->strips_first)
            st = dlm_str_append(f->ctx, &stage->work, " ", 1);
    }
    return st ? st : flow_token(f, at + 1, dlm_str_text(&stage->work), stage->work.len);
}

static enum dlm_status run_step(const struct flow *f, size_t at, const char *text, size_t len)
{
    const struct dlm_decode_step *step = &f->decoder->steps[at];
    struct dlm_decode_stage *stage = &f->stages[at];
    enum dlm_status st = DLM_OK;
    switch (step->kind) {
    case DECODE_JOIN:
        if (stage->count++)
            st = flow_token(f, at + 1, " ", 1);
        return st ? st : flow_token(f, at + 1, text, len);
    case DECODE_REPLACE:
        stage->work.len = 0;
        st = dlm_pattern_replace(f->ctx, &step->pattern, &stage->match, text, len, &step->content,
                                 dlm_tok_max_growth(f->stages[f->decoder->len].count), NULL,
                                 &stage->work);
        return st ? st : flow_token(f, at + 1, dlm_str_text(&stage->work), stage->work.len);
    case DECODE_BYTE_FALLBACK:
        return run_byte_fallback(f, at, text, len);
    case DECODE_STRIP:
        return run_strip(f, at, text, len);
    case DECODE_BYTE_LEVEL:
        return run_byte_level(f, at, text, len);
    case DECODE_METASPACE:
        return run_metaspace(f, at, text, len);
    default: /* DECODE_FUSE: the steps behind it know that parts come */
        return flow_token(f, at + 1, text, len);
    }
}

static enum dlm_status flow_token(const struct flow *f, size_t at, const char *text, size_t len)
{
    if (at == f->decoder->len)
        return dlm_str_append(f->ctx, f->out, text, len);
    if (f->decoder->steps[at].waits)
        return dlm_str_append(f->ctx, &f->stages[at].held, text, len);
    return run_step(f, at, text, len);
}

enum dlm_status dlm_token_decoder_push(struct dlm_ctx *ctx, const struct dlm_token_decoder *d,
                                 struct dlm_decode_stage *stages, const char *text, size_t len,
                                 struct dlm_str *out)
{
    struct flow f = {ctx, d, stages, out};
    stages[d->len].count += len;
    return flow_token(&f, 0, text, len);
}

/* Hands on what a stage has held back. */
static enum dlm_status flush_stage(const struct flow *f, size_t at)
{
    const struct dlm_decode_step *step = &f->decoder->steps[at];
    struct dlm_decode_stage *stage = &f->stages[at];
    enum dlm_status st = DLM_OK;
    size_t used = 0;
    if (step->waits) {
        struct dlm_str whole = stage->held;
        stage->held = (struct dlm_str){0}; /* the step may hold something itself */
        st = run_step(f, at, dlm_str_text(&whole), whole.len);
        dlm_str_finish(&whole);
    }
    if (!st && step->kind == DECODE_BYTE_FALLBACK)
        st = flush_bytes(f, at);
    if (!st && step->kind == DECODE_BYTE_LEVEL && stage->held.len) {
        stage->work.len = 0;
        st = dlm_unicode_append_lossy(f->ctx, stage->held.data, stage->held.len, true, &used,
                                      &stage->work);
        if (!st)
            st = flow_token(f, at + 1, dlm_str_text(&stage->work), stage->work.len);
    }
    return st;
}

enum dlm_status dlm_token_decoder_flush(struct dlm_ctx *ctx, const struct dlm_token_decoder *d,
                                  struct dlm_decode_stage *stages, struct dlm_str *out)
{
    struct flow f = {ctx, d, stages, out};
    enum dlm_status st = DLM_OK;
    for (size_t i = 0; !st && i < d->len; i++)
        st = flush_stage(&f, i);
    for (size_t i = 0; i <= d->len; i++) {
        stages[i].held.len = 0;
        stages[i].count = 0;
    }
    return st;
}
