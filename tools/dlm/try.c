/* A driver on trial: `dlm doctor --try` runs in another process, which names each kernel before its
 * turn; here it is watched. One that crashes or hangs is started again behind that kernel. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "child.h"

struct trial {
    struct dlm_child child;
    char line[128];   /* the one that is being read */
    size_t len;
    char kernel[128]; /* the last one that it named; "" none */
    bool is_done;     /* all had their turn */
};

enum outcome {
    OUTCOME_DONE,
    OUTCOME_CRASHED, /* on trial.kernel */
    OUTCOME_HUNG,    /* likewise */
    OUTCOME_CANCELLED,
    OUTCOME_UNKNOWN,
};

static bool start(struct trial *t, const struct dlm_cli *cli, const char *backend, int index,
                  const char *after, bool has_matrix_units)
{
    char device[16];
    const char *argv[12] = {"dlm", "doctor", "--try", "--backend", backend, "--device", device};
    int num = 7;

    if (!has_matrix_units)
        argv[num++] = "--no-matrix-units";
    if (*after) {
        argv[num++] = "--after";
        argv[num++] = after;
    }
    snprintf(device, sizeof(device), "%d", index);
    return dlm_child_start(&t->child, cli, argv, NULL);
}

static void take_line(struct trial *t)
{
    t->line[t->len] = '\0';
    t->len = 0;
    if (!strcmp(t->line, "done"))
        t->is_done = true;
    else
        strcpy(t->kernel, t->line);
}

/* Takes what there is to read. False: that was the end. */
static bool take(struct trial *t)
{
    char text[512];

    const ssize_t bytes = read(t->child.fd, text, sizeof(text));
    for (ssize_t i = 0; i < bytes; i++) {
        if (text[i] == '\n')
            take_line(t);
        else if (t->len + 1 < sizeof(t->line))
            t->line[t->len++] = text[i];
    }
    return bytes > 0 || (bytes < 0 && errno == EINTR);
}

static enum outcome end(struct trial *t, bool kill_it)
{
    int status;

    (void)dlm_child_end(&t->child, kill_it, &status); /* one that stays has hung, as is known */
    if (t->is_done)
        return OUTCOME_DONE;
    return dlm_child_has_crashed(status) ? OUTCOME_CRASHED : OUTCOME_UNKNOWN;
}

static enum outcome watch(struct trial *t, const struct dlm_cli *cli)
{
    for (;;) {
        struct pollfd fd = {.fd = t->child.fd, .events = POLLIN};
        const int ready = poll(&fd, 1, cli->try_seconds * 1000);
        if (dlm_ctx_is_cancelled(cli->ctx)) {
            (void)end(t, true);
            return OUTCOME_CANCELLED;
        }
        if (ready == 0) {
            (void)end(t, true);
            return t->is_done ? OUTCOME_DONE : OUTCOME_HUNG;
        }
        if (ready > 0 && !take(t))
            return end(t, false);
    }
}

enum dlm_status dlm_cli_try_device(void *user, struct dlm_trial *trial, const char *backend,
                                   int index)
{
    struct dlm_cli *cli = user;
    char after[128] = "";

    for (;;) {
        struct trial t = {.len = 0};
        if (!start(&t, cli, backend, index, after, dlm_trial_has_matrix_units(trial)))
            return DLM_ERR_UNSUPPORTED;
        const enum outcome outcome = watch(&t, cli);
        if (outcome == OUTCOME_DONE)
            return DLM_OK;
        if (outcome == OUTCOME_CANCELLED)
            return DLM_ERR_CANCELLED;
        /* without a kernel: it is the driver's start that fails, which is not tried here */
        if (outcome == OUTCOME_UNKNOWN || !*t.kernel)
            return DLM_ERR_UNSUPPORTED;
        enum dlm_status st = dlm_trial_add(trial, t.kernel, outcome == OUTCOME_HUNG);
        if (st)
            return st;
        memcpy(after, t.kernel, sizeof(after));
    }
}
