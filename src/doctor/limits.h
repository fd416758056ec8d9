/* What a device can do at most, measured by loops that do nothing else: what kernels are held
 * against. */
#ifndef DLM_DOCTOR_LIMITS_H
#define DLM_DOCTOR_LIMITS_H

#include "backend/backend.h"
#include "dlm/bench.h"
#include "graph/cost.h"

enum dlm_limit {
    DLM_LIMIT_COPY,
    DLM_LIMIT_READ,
    DLM_LIMIT_F32,
    DLM_LIMIT_F16,
    DLM_LIMIT_BF16,
    DLM_LIMIT_INT8,
    DLM_LIMIT_MATRIX_F16,
    DLM_LIMIT_MATRIX_BF16,
    DLM_LIMIT_COUNT
};

/* A loop made ready, for whoever keeps the time himself. */
struct dlm_limit_loop {
    struct dlm_device *device;
    struct dlm_recording *recording;
    struct dlm_buffer *x, *y;
    double amount; /* of a run: bytes, or operations */
};

/* True if the device has a loop for it. */
bool dlm_limit_exists(const struct dlm_device *device, enum dlm_limit limit);

/* Makes a loop ready, so long that the clock sees a run of it, in at most a quarter of the memory
 * that is free. Borrows device until dlm_limit_loop_finish(), which is due after a failure, too. */
enum dlm_status dlm_limit_loop_init(struct dlm_limit_loop *loop, struct dlm_device *device,
                                    enum dlm_limit limit) DLM_CHECK_RESULT;
void dlm_limit_loop_finish(struct dlm_limit_loop *loop);

/* Runs it once, and waits. *seconds (may be NULL): how long that took. */
enum dlm_status dlm_limit_loop_run(struct dlm_limit_loop *loop, double *seconds) DLM_CHECK_RESULT;

/* Measures all that there are; of several runs the best counts. */
enum dlm_status dlm_limits_measure(struct dlm_device *device,
                                   struct dlm_limits *limits) DLM_CHECK_RESULT;

/* Operations a second that a product may reach whose operands are rounded to a type: those of the
 * fastest units that take it. 0: not measured. */
double dlm_limits_product(const struct dlm_limits *limits, enum dlm_dtype operands);

/* Seconds of a node at the limits: of its memory or its arithmetic, whichever takes longer. */
double dlm_limits_seconds(const struct dlm_limits *limits, const struct dlm_cost *cost);

#endif
