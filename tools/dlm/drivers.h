/* Drivers that run in this process, and may end it, or hang. */
#ifndef DLM_TOOL_DRIVERS_H
#define DLM_TOOL_DRIVERS_H

#include "cli.h"

/* From now on an exit() of whoever is not main() is a failure that says so. False: no memory. */
bool dlm_drivers_watch_exit(void);

/* And from now on it is not: main() is at its end, or another process watches for how this one
 * ends. */
void dlm_drivers_may_exit(void);

/* The context's dlm_load_fn: user is the struct dlm_cli. Drivers that take more than its
 * load_seconds end the process, with an error. */
void dlm_drivers_load(void *user, const struct dlm_load *load);

#endif
