/* Runs a program on a terminal of its own and prints what is on its screen at the end:
 *
 *     pty COLUMNS [colours | N:COLUMNS | N:stop | N:interrupt]... -- PROGRAM ARGUMENT...
 *
 * At the N-th carriage return of the program the terminal gets another width, Ctrl-Z is typed and
 * the stopped job is continued as `fg` does, or Ctrl-C is typed. The screen breaks lines that are
 * longer than it is wide, anew with each width. With colours they stand on it as `<31>`, `<0>`,
 * and standard output is on the terminal, too. Besides the screen come facts: `# widest W of C`
 * (for each width, the longest line written), `# stopped with '...'` (the cursor's line then).
 * Exits with the program's status. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_LINES 4096
#define MAX_LEN 1024

struct event {
    int at;      /* carriage returns */
    int columns; /* 0: key is typed */
    char key;
};

/* A line may fill several rows; the cursor is a place in a line. */
struct screen {
    char lines[MAX_LINES][MAX_LEN + 1];
    int num_lines, line, pos, columns;
    int widest, returns;
    char escape[32]; /* the sequence being read, "" outside one */
    bool shows_colours;
};

static struct screen screen;

static void die(const char *what)
{
    fprintf(stderr, "pty: %s: %s\n", what, strerror(errno));
    exit(99);
}

static int row_start(const struct screen *s)
{
    const int last = s->pos > 0 && s->pos % s->columns == 0 ? s->pos - 1 : s->pos;

    return last / s->columns * s->columns;
}

static void go_up(struct screen *s, int rows)
{
    for (int i = 0; i < rows; i++) {
        if (s->pos >= s->columns)
            s->pos -= s->columns;
        else if (s->line > 0)
            s->line--;
    }
}

static void obey(struct screen *s)
{
    char *line = s->lines[s->line];
    const char kind = s->escape[strlen(s->escape) - 1];

    if (kind == 'K' || kind == 'J')
        memset(line + s->pos, 0, (size_t)(MAX_LEN - s->pos));
    if (kind == 'J')
        for (; s->num_lines > s->line + 1; s->num_lines--)
            memset(s->lines[s->num_lines - 1], 0, MAX_LEN);
    if (kind == 'A')
        go_up(s, atoi(s->escape + 2));
    if (kind == 'm' && s->shows_colours && s->pos + 8 < MAX_LEN)
        s->pos += sprintf(line + s->pos, "<%d>", atoi(s->escape + 2));
    s->escape[0] = '\0';
}

static void put(struct screen *s, char c)
{
    char *line = s->lines[s->line];
    const size_t len = strlen(s->escape);

    if (len) {
        if (len + 1 < sizeof(s->escape)) {
            s->escape[len] = c;
            s->escape[len + 1] = '\0';
        }
        if (len > 1 && c >= '@')
            obey(s);
    } else if (c == '\033') {
        strcpy(s->escape, "\033");
    } else if (c == '\r') {
        s->pos = row_start(s);
        s->returns++;
    } else if (c == '\n') {
        s->pos = 0;
        if (++s->line >= MAX_LINES)
            die("too many lines");
        if (s->line >= s->num_lines)
            s->num_lines = s->line + 1;
    } else if (s->pos < MAX_LEN) {
        for (int at = (int)strlen(line); at < s->pos; at++)
            line[at] = ' ';
        line[s->pos++] = c;
        if (s->pos > s->widest)
            s->widest = s->pos;
    }
}

static void print_widest(struct screen *s)
{
    printf("# widest %d of %d\n", s->widest, s->columns);
    s->widest = 0;
}

static void set_columns(struct screen *s, int terminal, int columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns}; /* below 2^16 */

    s->columns = columns;
    if (ioctl(terminal, TIOCSWINSZ, &size))
        die("TIOCSWINSZ");
}

/* The session's leader, as a shell is one: runs the program as a job in the foreground, says by a
 * byte that it has stopped, and continues it on a byte. */
static int lead(const char *terminal, int stopped, int go_on, char **argv)
{
    int status = 0;

    setsid();
    const int tty = open(terminal, O_RDWR);
    if (tty < 0 || ioctl(tty, TIOCSCTTY, 0))
        die("terminal");
    signal(SIGTTOU, SIG_IGN);
    const pid_t job = fork();
    if (!job) {
        setpgid(0, 0);
        tcsetpgrp(tty, getpid());
        signal(SIGTTOU, SIG_DFL);
        if (screen.shows_colours)
            dup2(tty, STDOUT_FILENO);
        dup2(tty, STDERR_FILENO);
        dup2(tty, STDIN_FILENO);
        execvp(argv[0], argv);
        die(argv[0]);
    }
    while (waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status)) {
        char byte = 's';
        if (write(stopped, &byte, 1) != 1 || read(go_on, &byte, 1) != 1)
            die("pipe");
        kill(-job, SIGCONT);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void drain(int terminal)
{
    char text[4096];
    ssize_t len;

    while ((len = read(terminal, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < len; i++)
            put(&screen, text[i]);
}

static void run_events(int terminal, const struct event *events, int num, int *next)
{
    while (*next < num && screen.returns >= events[*next].at) {
        const struct event *e = &events[(*next)++];
        if (!e->columns) {
            if (write(terminal, &e->key, 1) != 1)
                die("write");
        } else {
            print_widest(&screen);
            set_columns(&screen, terminal, e->columns);
        }
    }
}

/* Feeds the screen until the job has ended. */
static void watch(int terminal, int stopped, int go_on, const struct event *events, int num)
{
    struct pollfd fds[] = {{.fd = terminal, .events = POLLIN}, {.fd = stopped, .events = POLLIN}};
    int next = 0;
    char byte;

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            die("poll");
        drain(terminal);
        if (fds[1].revents) {
            if (read(stopped, &byte, 1) != 1)
                return; /* the leader has ended */
            drain(terminal);
            printf("# stopped with '%s'\n", screen.lines[screen.line]);
            if (write(go_on, &byte, 1) != 1)
                die("pipe");
        }
        run_events(terminal, events, num, &next);
        if (fds[0].revents & POLLHUP)
            fds[0].fd = -1; /* no writer at the moment, or ever again */
    }
}

int main(int argc, char **argv)
{
    struct event events[16];
    int num = 0, at = 2, stopped[2], go_on[2], status = 0;

    for (; at < argc && strcmp(argv[at], "--") && num < 16; at++) {
        const char *colon = strchr(argv[at], ':');
        if (!strcmp(argv[at], "colours")) {
            screen.shows_colours = true;
            continue;
        }
        if (!colon)
            die(argv[at]);
        events[num++] = (struct event){.at = atoi(argv[at]), .columns = atoi(colon + 1),
                                       .key = strcmp(colon + 1, "stop") ? '\003' : '\032'};
    }
    if (at + 1 >= argc)
        die("usage");
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) || unlockpt(terminal) || pipe(stopped) || pipe(go_on))
        die("posix_openpt");
    screen.num_lines = 1;
    set_columns(&screen, terminal, atoi(argv[1]));
    const pid_t leader = fork();
    if (!leader) {
        close(stopped[0]);
        close(go_on[1]);
        exit(lead(ptsname(terminal), stopped[1], go_on[0], argv + at + 1));
    }
    close(stopped[1]);
    close(go_on[0]);
    fcntl(terminal, F_SETFL, O_NONBLOCK);
    watch(terminal, stopped[0], go_on[1], events, num);
    waitpid(leader, &status, 0);
    drain(terminal);
    print_widest(&screen);
    for (int i = 0; i < screen.num_lines; i++)
        if (screen.lines[i][0])
            puts(screen.lines[i]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}
