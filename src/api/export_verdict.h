/* What llama.cpp makes of a base: the verdicts of `dlm export --matrix`. */
#ifndef DLM_API_EXPORT_VERDICT_H
#define DLM_API_EXPORT_VERDICT_H

#include "export/snapshot.h"

/* Of a base, NULL: none of the registry; family: its own, NULL: dlm has none. reason is filled. */
struct dlm_export_verdict dlm_verdict_of(const struct dlm_base_row *row,
                                         const struct dlm_family *family);

/* Of a model's, by the bases of the registry. */
struct dlm_export_verdict dlm_verdict_of_family(const struct dlm_family *family);

#endif
