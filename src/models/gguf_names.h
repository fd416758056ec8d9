/* Names of weights and of GGUF tensors, by the rules of a family: the same table read in both
 * directions. */
#ifndef DLM_MODELS_GGUF_NAMES_H
#define DLM_MODELS_GGUF_NAMES_H

#include "models/gguf_family.h"

#define DLM_GGUF_NAME_BYTES 192 /* of a name that a pattern becomes, with its NUL */

/* What '*' and '?' of a rule stand for in a name. */
struct dlm_gguf_match {
    long long layer;  /* -1: none */
    const char *kind; /* "weight" or "bias", at the end of the name; NULL: none */
};

/* What '@' and '^' are. */
struct dlm_gguf_roots {
    const char *language, *head;
};

/* Whether a name is of a pattern: a rule's `from` or `to`. *m borrows name. */
bool dlm_gguf_name_matches(const struct dlm_gguf_roots *roots, const char *pattern,
                           const char *name, struct dlm_gguf_match *m);

/* The tensor that part `part` of a weight is, by its canonical name; *is_tower: of the tower's
 * file. False: no rule knows it. */
bool dlm_gguf_name_of(const struct dlm_gguf_family *family, const char *language,
                      const char *canonical, int part, bool *is_tower,
                      char out[DLM_GGUF_NAME_BYTES]);

/* The name that a pattern is with what another one matched. */
void dlm_gguf_name_expand(const struct dlm_gguf_roots *roots, const char *pattern,
                          const struct dlm_gguf_match *m, char out[DLM_GGUF_NAME_BYTES]);

#endif
