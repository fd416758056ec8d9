/* fork() and exec() of /proc/self/exe, and the end of it. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long the end takes that has come: that of a killed process is the kernel's alone, another may
 * write a core file. */
#define KILLED_MS 1000
#define ENDED_MS 10000

extern char **environ;

/* After fork(): only what may be called there in a process with threads, as drivers make them. It
 * leads a group, with which a driver's own children end, and ends with this process: it is out of
 * the terminal's reach. */
static void become(const struct dlm_cli *cli, int to, char *const *argv, char *const *env)
{
    const int null = open("/dev/null", O_RDWR);

    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, 0);
    dup2(to, 1);
    if (!cli->is_verbose)
        dup2(null, 2);
    execve("/proc/self/exe", argv, env);
    _exit(DLM_EXIT_FAILED);
}

/* True when the variable is one of those in env. */
static bool is_replaced(const char *variable, char *const *env)
{
    for (size_t i = 0; env && env[i]; i++) {
        const size_t len = strcspn(env[i], "=") + 1;
        if (!strncmp(variable, env[i], len))
            return true;
    }
    return false;
}

/* The array alone is owned by the caller; NULL: no memory. */
static char **make_environment(char *const *env)
{
    size_t num = 1, at = 0;

    for (size_t i = 0; environ && environ[i]; i++)
        num++;
    for (size_t i = 0; env && env[i]; i++)
        num++;
    char **all = calloc(num, sizeof(*all));
    if (!all)
        return NULL;
    for (size_t i = 0; environ && environ[i]; i++)
        if (!is_replaced(environ[i], env))
            all[at++] = environ[i];
    for (size_t i = 0; env && env[i]; i++)
        all[at++] = env[i];
    return all;
}

bool dlm_child_start(struct dlm_child *child, const struct dlm_cli *cli, const char *const *argv,
                     char *const *env)
{
    char **all = make_environment(env);
    int ends[2];

    *child = (struct dlm_child){.fd = -1};
    if (!all || pipe2(ends, O_CLOEXEC)) {
        free(all);
        return false;
    }
    child->pid = fork();
    if (child->pid == 0)
        become(cli, ends[1], (char *const *)argv, all);
    close(ends[1]);
    free(all);
    if (child->pid > 0) {
        child->fd = ends[0];
        return true;
    }
    close(ends[0]);
    child->pid = 0;
    return false;
}

/* Waits without taking the status, so that the number stays the group's. False: it has not ended
 * after so many milliseconds. */
static bool wait_for(pid_t pid, int milliseconds)
{
    const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};

    for (int i = 0; i <= milliseconds; i += 2) {
        siginfo_t info = {0};
        const int rc = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
        if (rc ? errno != EINTR : info.si_pid == pid)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

bool dlm_child_end(struct dlm_child *child, bool kill_it, int *status)
{
    *status = 0;
    close(child->fd);
    if (kill_it)
        kill(child->pid, SIGKILL);
    const bool has_ended = wait_for(child->pid, kill_it ? KILLED_MS : ENDED_MS);
    kill(-child->pid, SIGKILL); /* what it left behind */
    if (has_ended)
        waitpid(child->pid, status, WNOHANG);
    *child = (struct dlm_child){.fd = -1};
    return has_ended;
}

bool dlm_child_has_crashed(int status)
{
    if (!WIFSIGNALED(status))
        return false;
    switch (WTERMSIG(status)) { /* what a program brings on itself */
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP:
        return true;
    default:
        return false;
    }
}
