/* Patterns of Split and Replace: a plain string, or a regular expression run by PCRE2.
 *
 * The files are written for Oniguruma with Ruby's syntax. Where the two engines read the same
 * spelling differently, the pattern is translated (\s \w \d \b \v \u, (?m)); where that is not
 * possible (nested classes, &&, POSIX brackets, possessive {n,m}+) it is refused at load time.
 * Known differences: under (?i) one character never equals several (no ß = ss), and characters
 * newer than the tables of PCRE2 are of no class. */
#ifndef DLM_TOKENS_PATTERN_H
#define DLM_TOKENS_PATTERN_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/str.h"
#include "tokens/reader.h"

/* \w of Unicode (UTS 18) without Join_Control, for use within a class. */
#define DLM_PATTERN_WORD_SET                                                                       \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}"                                         \
    "\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"

struct dlm_pattern {
    struct dlm_str literal; /* when there is no code */
    pcre2_code *code;
};

/* The member "pattern" of object: {"String": ...} or {"Regex": ...}. */
enum dlm_status dlm_pattern_read(const struct dlm_tok_reader *r, struct dlm_pattern *p,
                                 const json_t *object) DLM_CHECK_RESULT;
/* From Oniguruma's spelling. */
enum dlm_status dlm_pattern_init_regex(const struct dlm_tok_reader *r, struct dlm_pattern *p,
                                       const char *regex, size_t len) DLM_CHECK_RESULT;
enum dlm_status dlm_pattern_init_literal(const struct dlm_tok_reader *r, struct dlm_pattern *p,
                                         const char *text, size_t len) DLM_CHECK_RESULT;
void dlm_pattern_finish(struct dlm_pattern *p);

/* What matching needs beside the pattern: one for each thread of use. All zero is valid. */
struct dlm_match_scratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
};
void dlm_match_scratch_finish(struct dlm_match_scratch *scratch);

/* A walk over the matches in valid UTF-8, left to right, not overlapping. */
struct dlm_match_iter {
    const struct dlm_pattern *pattern;
    struct dlm_match_scratch *scratch;
    const char *text;
    size_t len;
    size_t pos;       /* the search goes on here */
    size_t start;     /* the match found */
    size_t end;
    bool has_matched; /* so that an empty match does not follow a match directly */
};

/* Finds the next match: *found and iter->start, end. DLM_ERR_INVALID: the pattern needs more
 * steps or memory on this text than is allowed. */
enum dlm_status dlm_match_next(struct dlm_ctx *ctx, struct dlm_match_iter *iter,
                               bool *found) DLM_CHECK_RESULT;

/* Appends text[0..len) to out with every match replaced. *front_removed (may be NULL) is set when a
 * match at the start was replaced by nothing. DLM_ERR_INVALID: out would exceed max_len. */
enum dlm_status dlm_pattern_replace(struct dlm_ctx *ctx, const struct dlm_pattern *p,
                                    struct dlm_match_scratch *scratch, const char *text, size_t len,
                                    const struct dlm_str *by, size_t max_len, bool *front_removed,
                                    struct dlm_str *out) DLM_CHECK_RESULT;

/* What a text of len bytes may at most become in all steps together: hostile files chain doublings.
 * The largest honest factor is 11 (NFKD of U+FDFA). */
size_t dlm_tok_max_growth(size_t len);
/* Logs that it became more: DLM_ERR_INVALID. */
enum dlm_status dlm_tok_fail_growth(struct dlm_ctx *ctx);

#endif
