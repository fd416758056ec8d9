/* Whether a base may be trained on a device: facts for doctor/refusal.h. Private to src/api. */
#ifndef DLM_API_MAY_TRAIN_H
#define DLM_API_MAY_TRAIN_H

#include "api/session_impl.h"
#include "doc/doc.h"
#include "doctor/refusal.h"

/* Of a device and a base as they are known by name; machine_bytes: all of the machine's memory. */
struct dlm_refusal_facts dlm_may_train_facts_of(const struct dlm_device_info *info,
                                                uint64_t machine_bytes,
                                                const struct dlm_base *base);

/* Of the base and the device that a session has open. planned_bytes: 0 is no plan. */
struct dlm_refusal_facts dlm_may_train_facts(const struct dlm_session *s, uint64_t planned_bytes,
                                             bool force);

/* Before a base is even looked for: what its registry row says about the device that params mean.
 * A refusal says whether a plan fits all the same: the document's run on one image a row, as long
 * as its rows may be. Bases without a row or a number there are let through.
 * DLM_ERR_UNSUPPORTED: a rule refuses. */
enum dlm_status dlm_may_train_check_row(struct dlm_ctx *ctx, const struct dlm_session_base *params,
                                        const struct dlm_doc *doc, bool force) DLM_CHECK_RESULT;

#endif
