/* The clock that durations are measured with. */
#ifndef DLM_BASE_CLOCK_H
#define DLM_BASE_CLOCK_H

/* Seconds since some moment in the past; never goes back. */
double dlm_now(void);

#endif
