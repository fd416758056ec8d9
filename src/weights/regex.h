/* Regexes from files and documents: PCRE2 with limits, so that a hostile one fails cleanly. Inside
 * src/weights only. */
#ifndef DLM_WEIGHTS_REGEX_H
#define DLM_WEIGHTS_REGEX_H

#include <stdbool.h>

#include "base/attr.h"
#include "dlm/ctx.h"

struct dlm_regex;

/* Compiles `prefix` + pattern + `suffix` for full matches; `what` stands before the pattern in
 * messages ("target_modules"). Returns *out owned. DLM_ERR_INVALID: it does not compile. */
enum dlm_status dlm_regex_create(struct dlm_ctx *ctx, struct dlm_regex **out, const char *what,
                                 const char *prefix, const char *pattern,
                                 const char *suffix) DLM_CHECK_RESULT;
void dlm_regex_destroy(struct dlm_regex **regex);

/* Whether all of text matches. DLM_ERR_INVALID: too many steps. */
enum dlm_status dlm_regex_matches(struct dlm_ctx *ctx, const struct dlm_regex *regex,
                                  const char *text, bool *matches) DLM_CHECK_RESULT;

#endif
