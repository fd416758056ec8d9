/* What drivers do to the process that they run in. */
#include "drivers.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"

static bool may_exit;

static void check_exit(void)
{
    if (may_exit)
        return;
    fputs("dlm: a driver ended the program; `dlm doctor` says which\n", stderr);
    _exit(DLM_EXIT_FAILED);
}

bool dlm_drivers_watch_exit(void)
{
    return !atexit(check_exit);
}

void dlm_drivers_may_exit(void)
{
    may_exit = true;
}
