/* What llama.cpp makes of a base: the verdicts of `dlm export --matrix`. */
#ifndef DLM_API_EXPORT_VERDICT_H
#define DLM_API_EXPORT_VERDICT_H

#include "export/snapshot.h"

/* Of an architecture, as config.json spells it; family: its own, NULL: dlm has none. reason is
 * filled. */
struct dlm_export_verdict dlm_verdict_of(const char *architecture,
                                         const struct dlm_family *family);

/* Of a model's, by the bases of the registry. */
struct dlm_export_verdict dlm_verdict_of_family(const struct dlm_family *family);

#endif
