/* fork() and exec() of ollama, and the end of it. */
#include "ollama.h"

#include <ctype.h>
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
#define VERSION_MS 5000 /* and to say its version, for which it asks its server */

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

void dlm_ollama_say(struct dlm_cli *cli, const char *name, const char *folder)
{
    char quoted[PATH_MAX + 64];

    dlm_quote(folder, quoted, sizeof(quoted));
    dlm_cli_say(cli, "  ollama:   `" PROGRAM " create %s -f '%s/Modelfile'` makes a model of it",
                name, quoted);
}

/* After fork(): what it says goes to `to`, for it is not this program's result. */
static void become(const char *path, char *const *argv, int to)
{
    const int null = open("/dev/null", O_RDONLY);

    dup2(null, STDIN_FILENO);
    dup2(to, STDOUT_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a second signal ends this program at once */
    signal(SIGXFSZ, SIG_DFL);
    execv(path, argv);
    _exit(127);
}

/* Waits; false: it has not ended in so many milliseconds (INT_MAX: any), or somebody cancels, which
 * with cli NULL nobody can. */
static bool wait_for(struct dlm_cli *cli, pid_t pid, int milliseconds, int *status)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

    for (int i = 0; i <= milliseconds && !(cli && dlm_ctx_is_cancelled(cli->ctx));
         i += milliseconds == INT_MAX ? 0 : 10) {
        const pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* It is asked to end, then made to. */
static void stop(pid_t pid)
{
    int status;

    kill(pid, SIGTERM);
    if (wait_for(NULL, pid, ASKED_MS, &status))
        return;
    kill(pid, SIGKILL);
    (void)wait_for(NULL, pid, ASKED_MS, &status);
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
        become(path, argv, STDERR_FILENO);
    if (pid < 0)
        return fail(cli, name, folder, strerror(errno));
    if (!wait_for(cli, pid, INT_MAX, &status)) {
        stop(pid);
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

/* The word behind "version is ", which starts with a digit. */
static bool find_version(const char *text, char version[DLM_OLLAMA_VERSION_BYTES])
{
    static const char before[] = "version is ";
    const char *at = strstr(text, before);

    if (!at || !isdigit((unsigned char)at[sizeof(before) - 1]))
        return false;
    at += sizeof(before) - 1;
    const size_t len = strcspn(at, " \t\r\n");
    if (len >= DLM_OLLAMA_VERSION_BYTES)
        return false;
    memcpy(version, at, len);
    version[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (!isgraph((unsigned char)version[i]))
            return false;
    return true;
}

bool dlm_ollama_version(struct dlm_cli *cli, char version[DLM_OLLAMA_VERSION_BYTES])
{
    char *argv[] = {(char[]){PROGRAM}, (char[]){"--version"}, NULL};
    char path[PATH_MAX], text[1024];
    int ends[2], status = 0;

    if (!find_program(path) || pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return false;
    const pid_t pid = fork();
    if (pid == 0)
        become(path, argv, ends[1]);
    close(ends[1]);
    const bool is_known = pid > 0 && wait_for(cli, pid, VERSION_MS, &status);
    if (pid > 0 && !is_known)
        stop(pid);
    /* What it has written lies in the pipe, whoever else still holds the other end. */
    const ssize_t len = is_known ? read(ends[0], text, sizeof(text) - 1) : -1;
    close(ends[0]);
    if (len < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
        return false;
    text[len] = '\0';
    return find_version(text, version);
}
