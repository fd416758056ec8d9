/* This program once more, in another process: for drivers that may not be trusted in this one. */
#ifndef DLM_TOOL_CHILD_H
#define DLM_TOOL_CHILD_H

#include <sys/types.h>

#include "cli.h"

struct dlm_child {
    pid_t pid; /* 0: there is none */
    int fd;    /* its standard output */
};

/* Starts it with arguments (argv[0] included), and an environment with the NAME=VALUE strings of
 * env in place of what is there; both end with NULL, env may be NULL. It hears nothing, and its
 * messages are dropped unless --verbose. False: it cannot be started. */
bool dlm_child_start(struct dlm_child *child, const struct dlm_cli *cli, const char *const *argv,
                     char *const *env);

/* Waits for the child's end, which comes now or, with kill_it, is brought about, and ends the
 * processes that it started. *status is waitpid()'s; false: a driver holds it in the kernel, and it
 * is left to itself. */
bool dlm_child_end(struct dlm_child *child, bool kill_it, int *status);

/* True when that status says that a program did itself what no program should. */
bool dlm_child_has_crashed(int status);

#endif
