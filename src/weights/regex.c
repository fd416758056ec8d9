/* PCRE2, anchored at both ends, with limits on size, steps and memory. */
#include "weights/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* Far above what module paths need: backtracking regexes of honest lists take some thousands. */
#define MAX_STEPS 50000
#define MAX_DEPTH 20000
#define MAX_HEAP_KIB 4096
#define MAX_NESTING 100
/* A list of every module of a large model, spelled out. */
#define MAX_PATTERN_BYTES (1 << 20)

struct dlm_regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    char *what;
};

static pcre2_code *compile(const char *pattern, int *error, PCRE2_SIZE *offset)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);

    if (!context) {
        *error = PCRE2_ERROR_NOMEMORY;
        *offset = 0;
        return NULL;
    }
    pcre2_set_parens_nest_limit(context, MAX_NESTING);
    pcre2_set_max_pattern_length(context, MAX_PATTERN_BYTES);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF |
                                         PCRE2_NEVER_BACKSLASH_C,
                                     error, offset, context);
    pcre2_compile_context_free(context);
    return code;
}

enum dlm_status dlm_regex_create(struct dlm_ctx *ctx, struct dlm_regex **out, const char *what,
                                 const char *prefix, const char *pattern, const char *suffix)
{
    PCRE2_UCHAR text[256];
    PCRE2_SIZE offset;
    int error;
    enum dlm_status st = DLM_ERR_MEMORY;

    *out = NULL;
    struct dlm_regex *r = dlm_alloc(ctx, sizeof(*r));
    char *whole = dlm_strf(ctx, "%s%s%s", prefix, pattern, suffix);
    if (!r || !whole || !(r->what = dlm_strdup(ctx, what)))
        goto done;
    r->code = compile(whole, &error, &offset);
    if (!r->code) {
        pcre2_get_error_message(error, text, sizeof(text));
        st = dlm_fail(ctx, DLM_ERR_INVALID, "%s: bad regex '%.200s': %s at offset %zu", what,
                      pattern, (const char *)text, offset - DLM_MIN(offset, strlen(prefix)));
        goto done;
    }
    r->limits = pcre2_match_context_create(NULL);
    if (!r->limits) {
        st = dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
        goto done;
    }
    pcre2_set_match_limit(r->limits, MAX_STEPS);
    pcre2_set_depth_limit(r->limits, MAX_DEPTH);
    pcre2_set_heap_limit(r->limits, MAX_HEAP_KIB);
    *out = r;
    r = NULL;
    st = DLM_OK;
done:
    dlm_regex_destroy(&r);
    dlm_free(whole);
    return st;
}

void dlm_regex_destroy(struct dlm_regex **regex)
{
    if (!regex || !*regex)
        return;
    pcre2_match_context_free((*regex)->limits);
    pcre2_code_free((*regex)->code);
    dlm_free((*regex)->what);
    dlm_free(*regex);
    *regex = NULL;
}

enum dlm_status dlm_regex_matches(struct dlm_ctx *ctx, const struct dlm_regex *regex,
                                  const char *text, bool *matches)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);

    *matches = false;
    if (!data)
        return dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    int rc = pcre2_match(regex->code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, regex->limits);
    pcre2_match_data_free(data);
    if (rc >= 0) {
        *matches = true;
        return DLM_OK;
    }
    if (rc == PCRE2_ERROR_NOMATCH)
        return DLM_OK;
    PCRE2_UCHAR reason[256];
    pcre2_get_error_message(rc, reason, sizeof(reason));
    return dlm_fail(ctx, DLM_ERR_INVALID, "%s: the regex cannot be matched with '%.200s': %s",
                    regex->what, text, (const char *)reason);
}
