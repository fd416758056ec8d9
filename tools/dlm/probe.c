/* Devices looked for in other processes: `dlm doctor --probe` runs in each; here they are watched,
 * all at once, for as long as a driver may take. Each writes a space before it asks a driver: one
 * that ends without was never this program, as below an emulator that has /proc/self/exe itself. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

struct watched {
    struct dlm_child child; /* pid 0: it has ended */
    struct dlm_probe_job *job;
    size_t len, cap; /* of job->text */
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Notes how it ended; an answer is a whole line. One that is killed may have ended before, where a
 * process that it started holds its output open. */
static void end(struct watched *w, bool kill_it, int seconds)
{
    struct dlm_probe_job *job = w->job;
    const bool has_answer = w->len && job->text[w->len - 1] == '\n';
    int status;

    const bool has_ended = dlm_child_end(&w->child, kill_it || has_answer, &status);
    if (has_answer) {
        job->end = DLM_PROBE_ANSWERED;
    } else if (!has_ended || (kill_it && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
        job->end = DLM_PROBE_HUNG;
        job->code = seconds;
    } else if (WIFSIGNALED(status)) {
        job->end = DLM_PROBE_CRASHED;
        job->code = WTERMSIG(status);
    } else {
        job->end = DLM_PROBE_EXITED;
        job->code = WEXITSTATUS(status);
    }
}

/* Takes what there is to read. False: that was the end, or a whole line. */
static bool take(struct watched *w)
{
    char **text = &w->job->text;

    if (w->len + 4096 > w->cap) {
        const size_t cap = 2 * w->cap + 8192;
        char *more = realloc(*text, cap);
        if (!more)
            return false;
        *text = more;
        w->cap = cap;
    }
    const ssize_t bytes = read(w->child.fd, *text + w->len, w->cap - w->len - 1);
    if (bytes < 0)
        return errno == EINTR;
    w->len += (size_t)bytes;
    (*text)[w->len] = '\0';
    return bytes && (*text)[w->len - 1] != '\n';
}

static void end_all(struct watched *list, size_t num, int seconds)
{
    for (size_t i = 0; i < num; i++)
        if (list[i].child.pid)
            end(&list[i], true, seconds);
}

static bool start_all(struct dlm_cli *cli, struct watched *list, struct dlm_probe_job *jobs,
                      size_t num)
{
    for (size_t i = 0; i < num; i++) {
        const char *const argv[] = {"dlm", "doctor", "--probe", "--backend", jobs[i].backend, NULL};
        list[i].job = &jobs[i];
        if (!dlm_child_start(&list[i].child, cli, argv, jobs[i].env))
            return false;
    }
    return true;
}

/* Until all have ended, or the time is over. */
static enum dlm_status watch(struct dlm_cli *cli, struct watched *list, size_t num,
                             struct pollfd *fds)
{
    const double stop = now() + cli->probe_seconds;
    size_t num_open = num;

    while (num_open) {
        const double left = stop - now();
        if (left <= 0)
            break;
        for (size_t i = 0; i < num; i++) /* negative ones are passed over */
            fds[i] = (struct pollfd){.fd = list[i].child.pid ? list[i].child.fd : -1,
                                     .events = POLLIN};
        const int ready = poll(fds, num, (int)(left * 1000) + 1);
        if (dlm_ctx_is_cancelled(cli->ctx)) {
            end_all(list, num, 0);
            return DLM_ERR_CANCELLED;
        }
        for (size_t i = 0; ready > 0 && i < num; i++)
            if (fds[i].revents && !take(&list[i])) {
                end(&list[i], false, 0);
                num_open--;
            }
    }
    end_all(list, num, cli->probe_seconds);
    for (size_t i = 0; i < num; i++)
        if (list[i].job->end == DLM_PROBE_EXITED && !list[i].len)
            return DLM_ERR_UNSUPPORTED; /* it did not come as far as to a driver */
    return DLM_OK;
}

enum dlm_status dlm_cli_probe_devices(void *user, struct dlm_probe_job *jobs, size_t num)
{
    struct dlm_cli *cli = user;
    struct watched *list = calloc(num, sizeof(*list));
    struct pollfd *fds = calloc(num, sizeof(*fds));
    enum dlm_status st = DLM_ERR_UNSUPPORTED;

    if (list && fds && start_all(cli, list, jobs, num))
        st = watch(cli, list, num, fds);
    else if (list)
        end_all(list, num, 0);
    free(list);
    free(fds);
    return st;
}
