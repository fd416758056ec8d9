/* How long steps and answers take, foretold from their plans by what was measured of the device.
 * Private to src/api. */
#ifndef DLM_API_ESTIMATE_H
#define DLM_API_ESTIMATE_H

#include "api/session_impl.h"
#include "doctor/speed.h"
#include "train/footprint.h"
#include "train/trainer.h"

/* Of the session's device, in the type of its base: measured, which compiles kernels (a GPU's
 * driver is tried first), and kept; or as it was kept, *is_known false where it was not. */
enum dlm_status dlm_estimate_measure(struct dlm_session *s,
                                     struct dlm_speed *speed) DLM_CHECK_RESULT;
enum dlm_status dlm_estimate_find(struct dlm_session *s, struct dlm_speed *speed,
                                  bool *is_known) DLM_CHECK_RESULT;

/* Seconds of a step of rows like this one, whose images have been through a frozen tower. */
enum dlm_status dlm_estimate_training(const struct dlm_speed *speed, const struct dlm_model *model,
                                      const struct dlm_lora *lora,
                                      const struct dlm_footprint_row *row,
                                      const struct dlm_footprint_params *params,
                                      double *seconds) DLM_CHECK_RESULT;

/* The same of a trainer's steps, its rows of their usual length. */
double dlm_estimate_trainer(const struct dlm_speed *speed, const struct dlm_trainer *trainer,
                            const struct dlm_train_data *data);

/* Seconds until an answer's first token, with an image of so many slices, and of each other one. */
void dlm_estimate_answer(const struct dlm_speed *speed, const struct dlm_generator *generator,
                         const struct dlm_vision *vision, int64_t slices, double *first,
                         double *token);

#endif
