/* Training gives the same bytes again, on every backend: from the same seed, with a cold and a warm
 * cache of vision features, with other numbers of threads, and when it is killed at random moments
 * and resumed. The runs that are killed are this program's own, started anew with arguments. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "models_test.h"

#define NUM_ROUNDS 3       /* interrupted trainings a backend */
#define MAX_KILLS 4        /* in each; the last run of a round is left alone */
#define DROPOUT "0.1"      /* instead of the document's 0.0: its random numbers must repeat too */
#define SAVE_EVERY 3       /* steps between two saved states */

static char document[600]; /* the case's, with dropout */
static uint64_t rng = 20260501;

static uint32_t next_random(uint32_t below)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) % below;
}

static double now_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- the document --- */

static void copy_file(const char *from, const char *to)
{
    size_t bytes = 0;
    char *data = get_file(from, &bytes);

    CHECK(data && put_file(to, data, bytes));
    free(data);
}

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

    check_model_case("the same bytes with one thread and with three");
    for (int threads = 1; threads <= 3; threads += 2) {
        char *other = train(tmp_path(threads == 1 ? "threads-1" : "threads-3"), threads);
        CHECK(is_same_adapter(other, unbroken));
        dlm_text_free(other);
    }
}

/* --- training in a process that is killed --- */

/* argv: itself, "--child", backend, document, home, "resume" or "fresh". */
static int child(char **argv)
{
    struct dlm_ctx *ctx = make_ctx();
    struct dlm_train_params params = {
        .document = argv[3],
        .home = argv[4],
        .resume = !strcmp(argv[5], "resume"),
        .save_every = SAVE_EVERY,
        .compute = {.has_device = true, .precision = DLM_PRECISION_FP32},
    };
    struct dlm_train_result result = {0};

    case_name = "child";
    enum dlm_status st = ctx ? dlm_backend_from_name(ctx, argv[2], &params.compute.backend)
                             : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_train(ctx, &params, &result);
    dlm_train_result_finish(&result);
    dlm_ctx_destroy(&ctx);
    return st != DLM_OK;
}

/* Starts a child and kills it after `seconds` (0: lets it end). True when it ended by itself, well;
 * anything but that or the kill fails a check. */
static bool run_child(const char *home, bool resume, double seconds)
{
    char *const argv[] = {
        (char[]){"test"}, (char[]){"--child"}, (char *)(uintptr_t)dlm_backend_name(compute.backend),
        document, (char *)(uintptr_t)home, resume ? (char[]){"resume"} : (char[]){"fresh"}, NULL};
    int status = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    if (!CHECK(pid > 0))
        return false;
    if (seconds > 0) {
        struct timespec t = {.tv_sec = (time_t)seconds,
                             .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
        nanosleep(&t, NULL);
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && seconds > 0;
    bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    CHECK(killed || ended);
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

/* Trains with kills at random moments within `seconds`, the length of an unbroken run. A run that
 * is over but for its clean-up is resumed too: that must not change the version. */
static void check_kills(const char *home, double seconds, const char *unbroken)
{
    char adapter[1100];
    int killed = 0, resumed = 0;

    for (int i = 0; i <= MAX_KILLS && (!is_committed(home) || has_saved_run(home)); i++) {
        double delay = i < MAX_KILLS ? seconds * (1 + next_random(1000)) / 1000 : 0;
        bool resume = has_saved_run(home);
        resumed += resume;
        killed += !run_child(home, resume, delay);
    }
    CHECK(is_committed(home));
    if (CHECK(store_path(home, "adapter/versions/v0001", adapter, sizeof(adapter))))
        CHECK(is_same_adapter(adapter, unbroken));
    printf("  %s: killed %d times, resumed %d times\n", dlm_backend_name(compute.backend), killed,
           resumed);
}

static void run_kills(const char *unbroken)
{
    char home[600];

    check_model_case("the same bytes from another process");
    snprintf(home, sizeof(home), "%s", tmp_path("whole"));
    run_child(home, false, 0); /* fills the caches of kernels */
    snprintf(home, sizeof(home), "%s", tmp_path("timed"));
    double began = now_seconds();
    CHECK(run_child(home, false, 0));
    double seconds = now_seconds() - began;
    for (int i = 0; i < NUM_ROUNDS; i++) {
        char what[64], name[32];
        snprintf(what, sizeof(what), "killed and resumed, round %d", i);
        snprintf(name, sizeof(name), "killed-%d", i);
        snprintf(home, sizeof(home), "%s", tmp_path(name));
        check_model_case(what);
        check_kills(home, seconds, unbroken);
    }
}

static void run_backend(void)
{
    case_name = "bf16_new";
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
        return child(argv);
    for_each_backend(run_backend);
    return check_summary();
}
