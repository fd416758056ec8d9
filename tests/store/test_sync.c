/* What a power failure may lose: the order of fsync and rename. Both are taken over here, noted and
 * passed on. A file and its folder are on disk before a name points to them, and the name is on
 * disk before the next thing relies on it; a sync that fails fails the call. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "store/run.h"
#include "store_helpers.h"

#define MAX_EVENTS 64

/* "sync <path>" or "rename <from> -> <to>", paths below the store. */
static char events[MAX_EVENTS][600];
static int num_events;
static bool is_noting;
static int fail_at; /* the sync, from 1, that fails; 0: none */
static int num_syncs;
static char root[512];

static const char *below_root(const char *path)
{
    const size_t len = strlen(root);

    if (strncmp(path, root, len))
        return path;
    return path[len] ? path + len + 1 : ".";
}

static void note(const char *what, const char *from, const char *to)
{
    if (!CHECK(num_events < MAX_EVENTS))
        return;
    snprintf(events[num_events++], sizeof(events[0]), "%s %.250s%s%.250s", what, below_root(from),
             to ? " -> " : "", to ? below_root(to) : "");
}

/* The C library's, for everything in this program. */
int fsync(int fd)
{
    char link[64], path[512];

    if (is_noting) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, path, sizeof(path) - 1);
        path[len > 0 ? len : 0] = '\0';
        if (++num_syncs == fail_at) {
            errno = EIO;
            return -1;
        }
        note("sync", path, NULL);
    }
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    if (is_noting)
        note("rename", from, to);
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static void start_noting(int failing)
{
    num_events = num_syncs = 0;
    fail_at = failing;
    is_noting = true;
}

static void stop_noting(void)
{
    is_noting = false;
}

/* Place of the first event at or after `from` that begins and ends so; -1 and a failed check if
 * there is none. */
static int find_event(int from, const char *head, const char *tail)
{
    for (int i = from < 0 ? 0 : from; i < num_events; i++) {
        const size_t len = strlen(events[i]), tail_len = strlen(tail);
        if (!strncmp(events[i], head, strlen(head)) && len >= tail_len &&
            !strcmp(events[i] + len - tail_len, tail))
            return i;
    }
    if (!CHECK(!"the event is there"))
        printf("     no \"%s...%s\" from event %d on\n", head, tail, from);
    return -1;
}

static void print_events(void)
{
    for (int i = 0; i < num_events; i++)
        printf("     %2d %s\n", i, events[i]);
}

/* --- versions --- */

/* A version of run id, written without any sync, up to its finish. */
static struct dlm_version *begin(struct dlm_store *store, int64_t id)
{
    struct dlm_version *v = NULL;
    char path[600];

    if (!CHECK(!dlm_version_begin(ctx, store, id, &v)))
        return NULL;
    snprintf(path, sizeof(path), "%s/sub", dlm_version_dir(v));
    CHECK(!dlm_dir_make(ctx, path));
    snprintf(path, sizeof(path), "%s/sub/notes.txt", dlm_version_dir(v));
    CHECK(put_file(path, "x", 1));
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", dlm_version_dir(v));
    CHECK(put_file(path, "x", 1));
    return v;
}

static int64_t current_number(const struct dlm_store *store)
{
    char *dir = NULL;
    int64_t number = -1;

    CHECK(!dlm_store_current(ctx, store, &dir, &number));
    dlm_free(dir);
    return number;
}

static void test_version(struct dlm_store *store)
{
    static const char *const files[] = {"/adapter_model.safetensors", "/training_run.json",
                                        "/sub/notes.txt", "/sub", "/.tmp-run-000007"};
    const int failed = check_state_.failed_cases;
    struct dlm_version *v = begin(store, 7);

    if (!v)
        return;
    start_noting(0);
    CHECK(!dlm_version_finish(ctx, &v, NULL, NULL));
    stop_noting();
    check_case("a version's files and folders are on disk before it has its name");
    const int named = find_event(0, "rename adapter/versions/.tmp-run-000007 -> ",
                                 "adapter/versions/v0001");
    for (size_t i = 0; i < DLM_ARRAY_LEN(files); i++) {
        const int at = find_event(0, "sync adapter/versions/.tmp-run-000007", files[i]);
        CHECK(at >= 0 && at < named);
    }
    check_case("the name is on disk before current.txt moves");
    const int named_for_good = find_event(named, "sync ", "adapter/versions");
    const int pointed = find_event(named, "rename adapter/current.txt.tmp.",
                                   "-> adapter/current.txt");
    CHECK(named < named_for_good && named_for_good < pointed);
    check_case("so is what current.txt says, and at last its name");
    const int text = find_event(named_for_good, "sync adapter/current.txt.tmp.", "");
    CHECK(text >= 0 && text < pointed);
    CHECK(find_event(pointed, "sync adapter", "sync adapter") > pointed);
    CHECK_INT(current_number(store), 1);
    if (check_state_.failed_cases > failed || check_state_.failed)
        print_events();
}

/* Each sync of a commit fails once: the commit fails, and the pointer is whole, old or new. */
static void test_failing_version(struct dlm_store *store)
{
    int n = 1;

    check_case("a commit whose nth sync fails");
    for (bool is_over = false; !is_over && n < MAX_EVENTS; n++) {
        const int64_t before = current_number(store);
        struct dlm_version *v = begin(store, 100 + n);
        if (!v)
            return;
        start_noting(n);
        enum dlm_status st = dlm_version_finish(ctx, &v, NULL, NULL);
        stop_noting();
        is_over = num_syncs < n;
        CHECK_INT(st, is_over ? DLM_OK : DLM_ERR_IO);
        const int64_t now = current_number(store);
        CHECK(is_over ? now > before : now >= before);
        if (!is_over && !CHECK(strstr(dlm_ctx_last_error(ctx), "Input/output error")))
            printf("     sync %d: \"%s\"\n", n, dlm_ctx_last_error(ctx));
    }
    CHECK(n > 8); /* there were that many syncs */
}

/* --- states of a run --- */

static enum dlm_status save(struct dlm_run *run, int step)
{
    const float x[4] = {(float)step};
    const struct dlm_tensor_out t = {"x", DLM_DTYPE_F32, 1, {4}, x, sizeof(x)};
    json_t *state = json_pack("{s:i}", "step", step);

    enum dlm_status st = dlm_run_save(ctx, run, state, &t, 1);
    json_decref(state);
    return st;
}

static void test_state(struct dlm_store *store)
{
    struct dlm_run *run = NULL;
    const int failed = check_state_.failed_cases;

    check_case("a state's tensors are on disk before state.json names them");
    CHECK(!dlm_run_begin(ctx, store, "fresh", &run));
    if (!run)
        return;
    CHECK(!save(run, 1));
    start_noting(0);
    CHECK(!save(run, 2));
    stop_noting();
    const int named = find_event(0, "rename runs/", "/state-000002.safetensors");
    const int pointed = find_event(0, "rename runs/", "/state.json");
    CHECK(find_event(0, "sync runs/", "") < named);
    const int named_for_good = find_event(named, "sync runs/", "");
    CHECK(named < named_for_good && named_for_good < pointed);
    CHECK(!strstr(events[named_for_good < 0 ? 0 : named_for_good], ".tmp."));
    CHECK(strstr(events[pointed < 1 ? 0 : pointed - 1], "/state.json.tmp."));
    CHECK(find_event(pointed, "sync runs/", "") > pointed);
    if (check_state_.failed_cases > failed || check_state_.failed)
        print_events();
    dlm_run_close(&run);
}

int main(void)
{
    ctx = make_ctx();
    tmp_make();
    check_case("a store");
    char *real = realpath(tmp_root, NULL); /* as /proc names it */
    if (CHECK(real))
        snprintf(tmp_root, sizeof(tmp_root), "%s", real);
    free(real);
    struct dlm_store *store = make_store("home");
    CHECK(!dlm_store_lock(ctx, store));
    snprintf(root, sizeof(root), "%s", dlm_store_path(store));
    test_version(store);
    test_failing_version(store);
    test_state(store);
    dlm_store_close(&store);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
