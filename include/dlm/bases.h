/* The bases that dlm knows by name. */
#ifndef DLM_BASES_H
#define DLM_BASES_H

#include <stdbool.h>

#include "dlm/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

enum dlm_bases_form {
    DLM_BASES_TABLE, /* aligned columns for people */
    DLM_BASES_JSON,  /* an array of objects, keys in docs/json.md */
    DLM_BASES_KEYS,  /* one key a line */
};

struct dlm_bases_params {
    enum dlm_bases_form form;
    bool all; /* the registry's text and audio rows, too, which dlm does not train */
};

/* Lists the registry's rows and the user's (<home>/bases.d, home of the context): what each is,
 * what is on this machine, whether it can be trained today. *text (ends with a newline) is owned by
 * the caller, NULL on failure; free with dlm_text_free(). */
DLM_API enum dlm_status dlm_bases_list(struct dlm_ctx *ctx, const struct dlm_bases_params *params,
                                       char **text) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
