/* A driver on trial: `dlm doctor --try` runs in another process, which names each kernel before its
 * turn; here it is watched. One that crashes or hangs is started again behind that kernel. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

struct child {
    pid_t pid;
    int fd;             /* its standard output */
    char line[128];   /* the one that is being read */
    size_t len;
    char kernel[128];   /* the last one that it named; "" none */
    bool is_done;     /* all had their turn */
};

enum outcome {
    OUTCOME_DONE,
    OUTCOME_CRASHED, /* on child.kernel */
    OUTCOME_HUNG,    /* likewise */
    OUTCOME_CANCELLED,
    OUTCOME_UNKNOWN,
};

/* After fork(): only what may be called there in a process with threads, as drivers make them. */
static void become(const struct dlm_cli *cli, int to, char *const *argv)
{
    const int null = open("/dev/null", O_RDWR);

    dup2(null, 0);
    dup2(to, 1);
    if (!cli->is_verbose)
        dup2(null, 2);
    execv("/proc/self/exe", argv);
    _exit(DLM_EXIT_FAILED);
}

static bool start(struct child *child, const struct dlm_cli *cli, const char *backend, int index,
                  const char *after, bool has_matrix_units)
{
    char device[16];
    const char *argv[12] = {"dlm", "doctor", "--try", "--backend", backend, "--device", device};
    int num = 7;
    int ends[2];

    if (!has_matrix_units)
        argv[num++] = "--no-matrix-units";
    if (*after) {
        argv[num++] = "--after";
        argv[num++] = after;
    }
    snprintf(device, sizeof(device), "%d", index);
    if (pipe2(ends, O_CLOEXEC))
        return false;
    child->fd = ends[0];
    child->pid = fork();
    if (child->pid == 0)
        become(cli, ends[1], (char *const *)argv);
    close(ends[1]);
    if (child->pid < 0)
        close(ends[0]);
    return child->pid > 0;
}

static void take_line(struct child *child)
{
    child->line[child->len] = '\0';
    child->len = 0;
    if (!strcmp(child->line, "done"))
        child->is_done = true;
    else
        strcpy(child->kernel, child->line);
}

/* Takes what there is to read. False: that was the end. */
static bool take(struct child *child)
{
    char text[512];

    const ssize_t bytes = read(child->fd, text, sizeof(text));
    for (ssize_t i = 0; i < bytes; i++) {
        if (text[i] == '\n')
            take_line(child);
        else if (child->len + 1 < sizeof(child->line))
            child->line[child->len++] = text[i];
    }
    return bytes > 0 || (bytes < 0 && errno == EINTR);
}

/* Waits for the child's end, which comes now or is brought about. */
static enum outcome end(struct child *child, bool kill_it)
{
    int status = 0;

    if (kill_it)
        kill(child->pid, SIGKILL);
    close(child->fd);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child->is_done)
        return OUTCOME_DONE;
    if (!WIFSIGNALED(status))
        return OUTCOME_UNKNOWN;
    switch (WTERMSIG(status)) { /* what a program brings on itself */
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP:
        return OUTCOME_CRASHED;
    default:
        return OUTCOME_UNKNOWN;
    }
}

static enum outcome watch(struct child *child, const struct dlm_cli *cli)
{
    for (;;) {
        struct pollfd fd = {.fd = child->fd, .events = POLLIN};
        const int ready = poll(&fd, 1, cli->try_seconds * 1000);
        if (dlm_ctx_is_cancelled(cli->ctx)) {
            (void)end(child, true);
            return OUTCOME_CANCELLED;
        }
        if (ready == 0) {
            (void)end(child, true);
            return child->is_done ? OUTCOME_DONE : OUTCOME_HUNG;
        }
        if (ready > 0 && !take(child))
            return end(child, false);
    }
}

enum dlm_status dlm_cli_try_device(void *user, struct dlm_trial *trial, const char *backend,
                                   int index)
{
    struct dlm_cli *cli = user;
    char after[128] = "";

    for (;;) {
        struct child child = {.pid = -1};
        if (!start(&child, cli, backend, index, after, dlm_trial_has_matrix_units(trial)))
            return DLM_ERR_UNSUPPORTED;
        const enum outcome outcome = watch(&child, cli);
        if (outcome == OUTCOME_DONE)
            return DLM_OK;
        if (outcome == OUTCOME_CANCELLED)
            return DLM_ERR_CANCELLED;
        /* without a kernel: it is the driver's start that fails, which is not tried here */
        if (outcome == OUTCOME_UNKNOWN || !*child.kernel)
            return DLM_ERR_UNSUPPORTED;
        enum dlm_status st = dlm_trial_add(trial, child.kernel, outcome == OUTCOME_HUNG);
        if (st)
            return st;
        memcpy(after, child.kernel, sizeof(after));
    }
}
