/* SIGKILL at any moment. A child saves a state, commits a version and writes the manifest; the
 * parent kills it before its first system call, its second, and so on, and looks each time at what
 * is left, and whether the next start mends it. Then the same at random moments. */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/json.h"
#include "store/manifest.h"
#include "store/run.h"
#include "store_helpers.h"

#define NUM_RANDOM_KILLS 20
#define RUN 1000000 /* the run whose states are saved; its id plays no part */

static int64_t run_id_of(const char *dir)
{
    json_t *json = NULL;
    char path[600];
    int64_t id = 0;

    snprintf(path, sizeof(path), "%s/training_run.json", dir);
    if (!dlm_json_load(ctx, path, 4096, &json))
        id = (int64_t)json_integer_value(json_object_get(json, "run_id"));
    json_decref(json);
    return id;
}

/* --- the work that is killed --- */

static enum dlm_status save_state(struct dlm_store *store, int64_t step)
{
    struct dlm_run *run = NULL;
    float x[64];

    for (int i = 0; i < 64; i++)
        x[i] = (float)step;
    const struct dlm_tensor_out t = {"x", DLM_DTYPE_F32, 1, {64}, x, sizeof(x)};
    json_t *state = json_pack("{s:I}", "step", (json_int_t)step);
    enum dlm_status st = dlm_run_open(ctx, store, RUN, &run);
    if (!st)
        st = dlm_run_save(ctx, run, state, &t, 1);
    dlm_run_close(&run);
    json_decref(state);
    return st;
}

/* A version of two files that both state the run. */
static enum dlm_status commit_version(struct dlm_store *store, int64_t id)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    struct dlm_version *v = NULL;
    char path[600], text[64];

    enum dlm_status st = dlm_version_begin(ctx, store, id, &v);
    if (st)
        return st;
    for (size_t i = 0; i < DLM_ARRAY_LEN(names) && !dlm_version_exists(v); i++) {
        snprintf(path, sizeof(path), "%s/%s", dlm_version_dir(v), names[i]);
        int len = snprintf(text, sizeof(text), "%lld", (long long)id);
        if (!put_file(path, text, (size_t)len)) {
            dlm_version_abort(&v);
            return DLM_ERR_IO;
        }
    }
    return dlm_version_finish(ctx, &v, NULL, NULL);
}

static enum dlm_status save_manifest(struct dlm_store *store, int64_t version)
{
    struct dlm_manifest m;

    enum dlm_status st = dlm_manifest_init(ctx, &m, TEST_ID, "tiny-shapes", NULL, NULL);
    if (!st)
        st = dlm_manifest_set_adapter_version(ctx, &m, version);
    if (!st)
        st = dlm_manifest_save(ctx, &m, store);
    dlm_manifest_finish(&m);
    return st;
}

static enum dlm_status do_step(struct dlm_store *store, int64_t id)
{
    enum dlm_status st = save_state(store, id);

    if (!st)
        st = commit_version(store, id);
    return st ? st : save_manifest(store, id);
}

static struct dlm_store *open_locked(void)
{
    struct dlm_store *store = NULL;

    if (dlm_store_open(ctx, &store, tmp_path("home"), TEST_ID) || dlm_store_lock(ctx, store) ||
        dlm_store_sweep(ctx, store))
        dlm_store_close(&store);
    return store;
}

/* --- what must be true afterwards --- */

/* The version in dir is whole: its files state its run. */
static void check_version(const char *dir, int64_t number)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    char path[600], want[32];

    snprintf(want, sizeof(want), "%lld", (long long)number);
    CHECK_INT(run_id_of(dir), number);
    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        char *text = get_file(path, NULL);
        CHECK_STR(text, want);
        free(text);
    }
}

/* Step of the saved state; its tensors are its own. */
static int64_t check_state(struct dlm_store *store)
{
    struct dlm_run *run = NULL;
    json_t *state = NULL;
    struct dlm_checkpoint *c = NULL;
    int64_t step = -1;
    float x = -1;

    CHECK(!dlm_run_open(ctx, store, RUN, &run));
    if (CHECK(!dlm_run_load(ctx, run, &state, &c))) {
        step = (int64_t)json_integer_value(json_object_get(state, "step"));
        memcpy(&x, dlm_checkpoint_find(c, "x")->data, 4);
        CHECK(x == (float)step);
    } else {
        printf("     %s\n", dlm_ctx_last_error(ctx));
    }
    dlm_checkpoint_destroy(&c);
    json_decref(state);
    dlm_run_close(&run);
    return step;
}

/* Adapter, state and manifest are whole, and no older than `before`; the adapter's number. */
static int64_t check_store(int64_t before)
{
    struct dlm_store *store = NULL;
    struct dlm_manifest m;
    char *dir = NULL;
    int64_t number = 0;

    CHECK(!dlm_store_open(ctx, &store, tmp_path("home"), TEST_ID));
    CHECK(!dlm_store_current(ctx, store, &dir, &number));
    CHECK(dir && number >= before);
    if (dir)
        check_version(dir, number);
    const int64_t step = check_state(store);
    CHECK(step == number || step == number + 1);
    if (CHECK(!dlm_manifest_load(ctx, &m, store))) {
        const int64_t of_manifest = dlm_manifest_adapter_version(&m);
        CHECK(of_manifest == number || of_manifest == number - 1);
    }
    dlm_manifest_finish(&m);
    dlm_free(dir);
    dlm_store_close(&store);
    return number;
}

/* A store with version 1, state 1 and its manifest. */
static void make_first(void)
{
    CHECK(!dlm_path_remove(ctx, tmp_path("home")));
    struct dlm_store *store = make_store("home");
    CHECK(!dlm_store_lock(ctx, store));
    CHECK(!dlm_dir_make(ctx, in_store(store, "runs/1000000")));
    CHECK(!do_step(store, 1));
    dlm_store_close(&store);
}

/* No temporary file of an atomic write is left in a folder of the store. */
static void check_swept(struct dlm_store *store, const char *folder)
{
    char **names = NULL;

    CHECK(!dlm_dir_list(ctx, in_store(store, folder), &names));
    for (size_t i = 0; names && names[i]; i++)
        CHECK(!strstr(names[i], ".tmp."));
    dlm_names_free(names);
}

/* The next start does the step again: one version comes of it, and nothing is left over. */
static void check_next_start(void)
{
    char **names = NULL;
    struct dlm_store *store = open_locked();

    if (!CHECK(store))
        return;
    CHECK(!do_step(store, 2));
    CHECK(!dlm_dir_list(ctx, in_store(store, "adapter/versions"), &names));
    CHECK_STR(names[0], "v0001");
    CHECK(names[0] && names[1] && !names[2]);
    dlm_names_free(names);
    CHECK(!dlm_dir_list(ctx, in_store(store, "runs/1000000"), &names));
    CHECK(names[0] && names[1] && !names[2]);
    dlm_names_free(names);
    check_swept(store, ".");
    check_swept(store, "adapter");
    dlm_store_close(&store);
    CHECK_INT(check_store(2), 2);
}

/* --- killing --- */

/* Runs one step in a child and kills it at its nth stop at a system call. True when it ended by
 * itself before that; *ok is false when nothing can be traced here. */
static bool kill_at(int n, bool *ok)
{
    int status = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(77);
        raise(SIGSTOP);
        struct dlm_store *store = open_locked();
        _exit(!store || do_step(store, 2));
    }
    waitpid(pid, &status, 0);
    *ok = WIFSTOPPED(status);
    for (int i = 0; WIFSTOPPED(status); i++) {
        if (i >= 2 * n || ptrace(PTRACE_SYSCALL, pid, NULL, NULL)) /* entry and return */
            kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    CHECK(WIFSIGNALED(status) || !*ok || !WEXITSTATUS(status));
    return WIFEXITED(status);
}

static void test_every_call(void)
{
    bool ok = true, ended = false;
    int n = 0;

    check_case("killed at every system call, the last adapter is whole");
    for (; ok && !ended && n < 5000; n++) {
        make_first();
        ended = kill_at(n, &ok);
        if (!ok)
            break;
        check_store(1);
        check_next_start();
    }
    if (!ok)
        check_skip("killed at every system call", "no ptrace here");
    else
        CHECK(ended);
    printf("# killed at %d system calls\n", n - 1);
}

static void work_for_ever(void)
{
    char *dir = NULL;
    struct dlm_store *store = open_locked();

    if (!store || dlm_store_current(ctx, store, &dir, NULL))
        _exit(1);
    for (int64_t id = run_id_of(dir);; id++)
        if (do_step(store, id))
            _exit(1);
}

static void test_random(void)
{
    int64_t version = 1;
    unsigned rng = 20260501;
    int status = 0;

    check_case("killed at random moments");
    make_first();
    for (int i = 0; i < NUM_RANDOM_KILLS; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (!pid)
            work_for_ever();
        rng = rng * 1664525u + 1013904223u;
        usleep(1000 + (rng >> 8) % 30000);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        CHECK(WIFSIGNALED(status)); /* it did not end with an error of its own */
        version = check_store(version);
    }
    printf("# %d kills, %lld versions\n", NUM_RANDOM_KILLS, (long long)version);
    check_case("one version for each run, without gaps");
    for (int64_t i = 1; i <= version; i++) {
        char dir[600];
        snprintf(dir, sizeof(dir), "%s/store/" TEST_ID "/adapter/versions/v%04lld",
                 tmp_path("home"), (long long)i);
        check_version(dir, i);
    }
}

int main(void)
{
    ctx = make_ctx();
    if (!access("/dev/shm", W_OK)) /* memory: hundreds of commits need not wait for a disk */
        setenv("TMPDIR", "/dev/shm", 1);
    tmp_make();
    test_every_call();
    test_random();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
