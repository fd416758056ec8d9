/* Training gives the same bytes again, on every backend: from the same seed, with a cold and a warm
 * cache of vision features, with other numbers of threads, and when it is killed at random moments
 * and resumed. The argument is the name of a case. The runs that are killed are this program's own,
 * started anew with other arguments. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "models_test.h"

#define NUM_ROUNDS 3       /* interrupted trainings a backend, or DLM_TEST_KILL_ROUNDS */
#define MAX_KILLS 4        /* in each; the last run of a round is left alone */
#define KILL_STEPS 12      /* a run is killed after fewer steps than that */
#define DROPOUT "0.1"      /* instead of the document's 0.0: its random numbers must repeat too */
#define SAVE_EVERY 3       /* steps between two saved states */

static char document[700]; /* the case's, with dropout */
static uint64_t rng = 20260501;

static uint32_t next_random(uint32_t below)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) % below;
}

/* --- the document --- */

/* text with the first `from` replaced; NULL when it is not there. Owned by the caller. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = text ? strstr(text, from) : NULL;
    char *out = at ? malloc(strlen(text) + strlen(to) + 1) : NULL;

    if (out)
        sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

/* Copies document and images of the case, with dropout and the path of the base. */
static bool make_document(void)
{
    const char *const images[] = {"images/one.png", "images/two.png"};
    char dir[600], path[700], base[1200];

    snprintf(dir, sizeof(dir), "%s", tmp_path(case_name));
    snprintf(path, sizeof(path), "%s/images", dir);
    if (!CHECK(!dlm_dir_make(NULL, path)))
        return false;
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, images[i]);
        copy_file(case_path(images[i]), path);
    }
    char *real = realpath(case_path("base"), NULL);
    snprintf(base, sizeof(base), "\"dir:%s\"", real ? real : "");
    char *text = get_file(case_path("doc.dlm"), NULL);
    char *with_base = replaced(text, "\"dir:base\"", base);
    char *whole = replaced(with_base, "lora_dropout: 0.0", "lora_dropout: " DROPOUT);
    snprintf(document, sizeof(document), "%s/doc.dlm", dir);
    bool ok = CHECK(whole && put_file(document, whole, strlen(whole)));
    free(real);
    free(text);
    free(with_base);
    free(whole);
    return ok;
}

/* --- training in this process --- */

/* Folder of the adapter, owned (dlm_text_free); NULL after a failed check. */
static char *train(const char *home, int num_threads)
{
    struct dlm_ctx *ctx =
        dlm_ctx_create(&(struct dlm_ctx_params){.log = print_log, .num_threads = num_threads});
    const struct dlm_train_params params = {.document = document, .home = home, .compute = compute};
    struct dlm_train_result result = {0};
    char *adapter = NULL;

    if (CHECK(ctx) && CHECK(!dlm_train(ctx, &params, &result))) {
        adapter = result.adapter;
        result.adapter = NULL;
    }
    dlm_train_result_finish(&result);
    dlm_ctx_destroy(&ctx);
    return adapter;
}

static bool is_same_adapter(const char *a, const char *b)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    bool same = a && b;

    for (size_t i = 0; same && i < sizeof(names) / sizeof(names[0]); i++) {
        char x[1024], y[1024];
        snprintf(x, sizeof(x), "%s/%s", a, names[i]);
        snprintf(y, sizeof(y), "%s/%s", b, names[i]);
        same = same_files(x, y);
        if (!same)
            printf("     %s differs\n", names[i]);
    }
    return same;
}

static void check_repeats(const char *unbroken)
{
    check_model_case("twice the same bytes");
    char *again = train(tmp_path("again"), 0);
    CHECK(is_same_adapter(again, unbroken));
    dlm_text_free(again);

    check_model_case("the same bytes from a warm cache");
    char *warm = train(tmp_path("again"), 0);
    CHECK(is_same_adapter(warm, unbroken));
    dlm_text_free(warm);

    if (compute.backend != DLM_BACKEND_CPU)
        return;
    check_model_case("the same bytes with one thread and with three");
    for (int threads = 1; threads <= 3; threads += 2) {
        char *other = train(tmp_path(threads == 1 ? "threads-1" : "threads-3"), threads);
        CHECK(is_same_adapter(other, unbroken));
        dlm_text_free(other);
    }
}

/* --- training in a process that is killed --- */

/* Standard output is for the steps. */
static void print_error(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level <= DLM_LOG_HINT)
        fprintf(stderr, "  child: %s\n", text);
}

/* Tells the parent of every step, on standard output. */
static void write_step(void *user, const struct dlm_train_progress *progress)
{
    (void)user;
    (void)progress;
    if (write(STDOUT_FILENO, ".", 1) != 1)
        _exit(126);
}

/* argv: itself, "--child", backend, document, home, "resume" or "fresh". */
static int child(char **argv)
{
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = print_error});
    struct dlm_train_params params = {
        .document = argv[3],
        .home = argv[4],
        .resume = !strcmp(argv[5], "resume"),
        .save_every = SAVE_EVERY,
        .compute = {.has_device = true, .precision = DLM_PRECISION_FP32},
        .progress = write_step,
    };
    struct dlm_train_result result = {0};

    enum dlm_status st = ctx ? dlm_backend_from_name(ctx, argv[2], &params.compute.backend)
                             : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_train(ctx, &params, &result);
    dlm_train_result_finish(&result);
    dlm_ctx_destroy(&ctx);
    return st != DLM_OK;
}

/* When a child is killed: so many steps and then microseconds after its start. */
struct kill_point {
    int steps;
    uint32_t microseconds;
};

/* Waits for the moment and kills. False when the child's output ended before. */
static bool kill_at(pid_t pid, int steps_fd, const struct kill_point *point)
{
    char step;
    ssize_t n = 1;

    for (int i = 0; i < point->steps && n == 1; i++) {
        do
            n = read(steps_fd, &step, 1);
        while (n < 0 && errno == EINTR);
    }
    nanosleep(&(struct timespec){.tv_nsec = (long)point->microseconds * 1000}, NULL);
    return n == 1 && !kill(pid, SIGKILL);
}

/* Starts a child and kills it at a moment (NULL: lets it end). True when it ended by itself, well;
 * anything but that or the kill fails a check. */
static bool run_child(const char *home, bool resume, const struct kill_point *point)
{
    char *const argv[] = {
        (char[]){"test"}, (char[]){"--child"}, (char *)(uintptr_t)dlm_backend_name(compute.backend),
        document, (char *)(uintptr_t)home, resume ? (char[]){"resume"} : (char[]){"fresh"}, NULL};
    int status = 0, fds[2];

    fflush(stdout);
    if (!CHECK(!pipe(fds)))
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    close(fds[1]);
    bool killed = CHECK(pid > 0) && point && kill_at(pid, fds[0], point);
    while (!point && read(fds[0], &(char){0}, 1) > 0)
        continue;
    close(fds[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    bool ended = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    CHECK(ended || (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    return ended;
}

/* <home>/store/<id>/<name>: a store of one document. */
static bool store_path(const char *home, const char *name, char *path, size_t bytes)
{
    char **list = NULL, dir[700];
    bool found = false;

    snprintf(dir, sizeof(dir), "%s/store", home);
    if (dlm_path_is_dir(dir) && !dlm_dir_list(NULL, dir, &list) && list && list[0]) {
        snprintf(path, bytes, "%s/%s/%s", dir, list[0], name);
        found = true;
    }
    dlm_names_free(list);
    return found;
}

static bool is_committed(const char *home)
{
    char path[1100];
    return store_path(home, "adapter/current.txt", path, sizeof(path)) && dlm_path_is_file(path);
}

static bool has_saved_run(const char *home)
{
    char runs[1100], path[1400], **list = NULL;
    bool found = false;

    if (!store_path(home, "runs", runs, sizeof(runs)) || !dlm_path_is_dir(runs) ||
        dlm_dir_list(NULL, runs, &list))
        return false;
    for (char **p = list; p && *p; p++) {
        snprintf(path, sizeof(path), "%s/%s/state.json", runs, *p);
        found = found || dlm_path_is_file(path);
    }
    dlm_names_free(list);
    return found;
}

/* Trains with kills at random moments. A run that is over but for its clean-up is resumed too: that
 * must not change the version. */
static void check_kills(const char *home, const char *unbroken)
{
    char adapter[1100];
    int killed = 0, resumed = 0;

    for (int i = 0; i <= MAX_KILLS && (!is_committed(home) || has_saved_run(home)); i++) {
        /* before the first step there is more to be interrupted than after one */
        struct kill_point point = {.steps = (int)next_random(KILL_STEPS)};
        point.microseconds = next_random(point.steps ? 5000 : 100000);
        bool resume = has_saved_run(home);
        resumed += resume;
        killed += !run_child(home, resume, i < MAX_KILLS ? &point : NULL);
    }
    CHECK(is_committed(home));
    if (CHECK(store_path(home, "adapter/versions/v0001", adapter, sizeof(adapter))))
        CHECK(is_same_adapter(adapter, unbroken));
    printf("  %s: killed %d times, resumed %d times\n", dlm_backend_name(compute.backend), killed,
           resumed);
}

static void run_kills(const char *unbroken)
{
    const char *wanted = getenv("DLM_TEST_KILL_ROUNDS");
    const int rounds = wanted ? atoi(wanted) : NUM_ROUNDS;
    char home[600], what[64];

    for (int i = 0; i < rounds; i++) {
        snprintf(what, sizeof(what), "killed and resumed, round %d", i);
        check_model_case(what);
        snprintf(what, sizeof(what), "killed-%d", i);
        snprintf(home, sizeof(home), "%s", tmp_path(what));
        check_kills(home, unbroken);
    }
}

static void run_backend(void)
{
    check_model_case("training with dropout");
    tmp_make();
    if (make_document()) {
        char *unbroken = train(tmp_path("unbroken"), 0);
        if (unbroken) {
            check_repeats(unbroken);
            run_kills(unbroken);
        }
        dlm_text_free(unbroken);
    }
    tmp_remove();
}

int main(int argc, char **argv)
{
    share_kernels();
    if (argc == 6 && !strcmp(argv[1], "--child"))
        _exit(child(argv)); /* a driver is gone by now, and what it left behind has no name */
    check_case("a case is named");
    if (CHECK(argc == 2)) {
        case_name = argv[1];
        for_each_backend(run_backend);
    }
    return check_summary();
}
