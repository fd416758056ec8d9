/* Drivers run in this process, and may end it where no success should be seen. */
#ifndef DLM_TOOL_DRIVERS_H
#define DLM_TOOL_DRIVERS_H

#include <stdbool.h>

/* From now on an exit() of whoever is not main() is a failure that says so. False: no memory. */
bool dlm_drivers_watch_exit(void);

/* And from now on it is not: main() is at its end, or another process watches for how this one
 * ends. */
void dlm_drivers_may_exit(void);

#endif
