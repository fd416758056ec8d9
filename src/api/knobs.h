/* What would help a call that does not fit: settings of the document or the command, each with the
 * memory that its own plan takes. They are logged as hints, behind the error. Private to src/api.
 */
#ifndef DLM_API_KNOBS_H
#define DLM_API_KNOBS_H

#include "api/train_impl.h"

/* Of a run whose trainer is made. */
void dlm_knobs_say_train(const struct dlm_train_call *t);

/* Of an answer; patches: of the longest slice it sees, 0 is none. */
void dlm_knobs_say_answer(struct dlm_session *s, const struct dlm_generator_params *params,
                          int64_t patches);

#endif
