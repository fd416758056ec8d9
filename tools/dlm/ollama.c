/* fork() and exec() of ollama, and the end of it. */
#include "ollama.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "ollama"
#define ASKED_MS 3000 /* how long it may take to end when it is asked to */

/* Where execvp() would find it; false: nowhere. */
static bool find_program(char path[PATH_MAX])
{
    const char *at = getenv("PATH");
    struct stat st;

    while (at && *at) {
        const int len = (int)strcspn(at, ":");
        const int num = len ? snprintf(path, PATH_MAX, "%.*s/" PROGRAM, len, at)
                            : snprintf(path, PATH_MAX, PROGRAM);
        if (num < PATH_MAX && !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK))
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

bool dlm_ollama_is_here(void)
{
    char path[PATH_MAX];

    return find_program(path);
}

bool dlm_ollama_is_name(const char *name)
{
    static const char known[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789._-:/";

    return *name && *name != '-' && !name[strspn(name, known)];
}

/* The folder as a shell reads it: between single quotes, each of its own as '\''. */
static void quote(const char *folder, char *out, size_t bytes)
{
    size_t len = 0;

    for (; *folder && len + 6 < bytes; folder++) {
        if (*folder == '\'') {
            memcpy(out + len, "'\\''", 4);
            len += 4;
        } else {
            out[len++] = *folder;
        }
    }
    out[len] = '\0';
}

void dlm_ollama_say(struct dlm_cli *cli, const char *name, const char *folder)
{
    char quoted[PATH_MAX + 64];

    quote(folder, quoted, sizeof(quoted));
    dlm_cli_say(cli, "  ollama:   `" PROGRAM " create %s -f '%s/Modelfile'` makes a model of it",
                name, quoted);
}

/* After fork(): its words are not this program's result. */
static void become(const char *path, char *const *argv)
{
    const int null = open("/dev/null", O_RDONLY);

    dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a second signal ends this program at once */
    signal(SIGXFSZ, SIG_DFL);
    execv(path, argv);
    _exit(127);
}

/* Waits; false: it has not ended in so many milliseconds, -1 for as long as nobody cancels. */
static bool wait_for(struct dlm_cli *cli, pid_t pid, int milliseconds, int *status)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

    for (int i = 0; milliseconds < 0 ? !dlm_ctx_is_cancelled(cli->ctx) : i <= milliseconds;
         i += 10) {
        const pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* It is asked to end, then made to. */
static void stop(struct dlm_cli *cli, pid_t pid)
{
    int status;

    kill(pid, SIGTERM);
    if (wait_for(cli, pid, ASKED_MS, &status))
        return;
    kill(pid, SIGKILL);
    (void)wait_for(cli, pid, ASKED_MS, &status);
}

static int fail(struct dlm_cli *cli, const char *name, const char *folder, const char *what)
{
    dlm_cli_wrong(cli, "`" PROGRAM " create %s` %s; the files are in '%s'", name, what, folder);
    dlm_ollama_say(cli, name, folder);
    return DLM_EXIT_FAILED;
}

int dlm_ollama_create(struct dlm_cli *cli, const char *name, const char *folder)
{
    char path[PATH_MAX], file[PATH_MAX], what[64];
    int status = 0;

    if (!find_program(path) || snprintf(file, sizeof(file), "%s/Modelfile", folder) >= PATH_MAX)
        return fail(cli, name, folder, "cannot be run");
    char *argv[] = {(char[]){PROGRAM}, (char[]){"create"}, (char *)name, (char[]){"-f"}, file,
                    NULL};
    dlm_cli_say(cli, "  ollama:   %s", name);
    const pid_t pid = fork();
    if (pid == 0)
        become(path, argv);
    if (pid < 0)
        return fail(cli, name, folder, strerror(errno));
    if (!wait_for(cli, pid, -1, &status)) {
        stop(cli, pid);
        (void)fail(cli, name, folder, "was interrupted");
        return dlm_exit_of(DLM_ERR_CANCELLED);
    }
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return DLM_EXIT_DONE;
    if (WIFEXITED(status))
        snprintf(what, sizeof(what), "failed with exit status %d", WEXITSTATUS(status));
    else
        snprintf(what, sizeof(what), "was ended by signal %d", WTERMSIG(status));
    return fail(cli, name, folder, what);
}
