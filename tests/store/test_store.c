/* Where the store is, its lock, blobs, logs, and what `dlm show` asks. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "store/manifest.h"
#include "store_helpers.h"

static void expect_home(const char *home, const char *want)
{
    struct dlm_store *store = NULL;

    CHECK(!dlm_store_open(ctx, &store, home, TEST_ID));
    CHECK_STR(dlm_store_path(store), want);
    CHECK(!dlm_store_is_initialized(store));
    dlm_store_close(&store);
}

static void test_home(void)
{
    static const char *const bad[] = {"", "01jz0000000000000000000000", "../../../../../../etc/x",
                                      "01JZ000000000000000000000O", "01JZ00000000000000000000000"};
    struct dlm_store *store = NULL;

    check_case("--home, DLM_HOME, ~/.dlm");
    unsetenv("DLM_HOME");
    setenv("HOME", "/h", 1);
    expect_home(NULL, "/h/.dlm/store/" TEST_ID);
    setenv("DLM_HOME", "~/d", 1);
    expect_home(NULL, "/h/d/store/" TEST_ID);
    expect_home("/x", "/x/store/" TEST_ID);
    check_case("ids that are no ULID");
    for (size_t i = 0; i < DLM_ARRAY_LEN(bad); i++) {
        CHECK_INT(dlm_store_open(ctx, &store, "/x", bad[i]), DLM_ERR_INVALID);
        CHECK(!store);
    }
    check_case("a home that cannot be written");
    CHECK(put_file(tmp_path("file"), "", 0));
    CHECK(!dlm_store_open(ctx, &store, tmp_path("file"), TEST_ID));
    CHECK_INT(dlm_store_prepare(ctx, store), DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "cannot make folder '"));
    dlm_store_close(&store);
}

/* Holds the lock in a child until killed. */
static pid_t start_holder(const char *home)
{
    int pipes[2];
    char byte = 0;

    CHECK(!pipe(pipes));
    pid_t pid = fork();
    if (!pid) {
        struct dlm_store *store = NULL;
        bool ok = !dlm_store_open(ctx, &store, tmp_path(home), TEST_ID) &&
                  !dlm_store_lock(ctx, store);
        ssize_t n = write(pipes[1], ok ? "y" : "n", 1);
        for (;;)
            pause();
        _exit(n == 1);
    }
    close(pipes[1]);
    CHECK(read(pipes[0], &byte, 1) == 1 && byte == 'y');
    close(pipes[0]);
    return pid;
}

static void test_lock(void)
{
    struct dlm_store *store = make_store("lock"), *other = NULL;
    char want[64];
    long pid_line = 0;

    check_case("the lock's file is the reference's");
    CHECK(!dlm_store_lock(ctx, store));
    char *text = get_file(in_store(store, ".lock"), NULL);
    CHECK(text && sscanf(text, "%ld", &pid_line) == 1 && pid_line == getpid());
    int lines = 0;
    for (const char *p = text; p && *p; p++)
        lines += *p == '\n';
    CHECK_INT(lines, 3);
    free(text);
    check_case("held twice");
    CHECK_INT(dlm_store_lock(ctx, store), DLM_ERR_INVALID);
    CHECK(!dlm_store_open(ctx, &other, tmp_path("lock"), TEST_ID));
    CHECK_INT(dlm_store_lock(ctx, other), DLM_ERR_INVALID);
    snprintf(want, sizeof(want), "already locked by PID %ld", (long)getpid());
    CHECK(strstr(dlm_ctx_last_error(ctx), want));
    dlm_store_unlock(store);
    CHECK(!dlm_path_is_file(in_store(store, ".lock")));
    CHECK(!dlm_store_lock(ctx, other));
    dlm_store_close(&other); /* gives it back */
    CHECK(!*warning);

    check_case("another process holds it; killed, it is taken over with a line");
    pid_t pid = start_holder("lock");
    CHECK_INT(dlm_store_lock(ctx, store), DLM_ERR_INVALID);
    snprintf(want, sizeof(want), "already locked by PID %ld", (long)pid);
    CHECK(strstr(dlm_ctx_last_error(ctx), want));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK(!dlm_store_lock(ctx, store));
    snprintf(want, sizeof(want), "left by PID %ld", (long)pid);
    CHECK(strstr(warning, want));
    dlm_store_unlock(store);

    check_case("a malformed file is no lock");
    CHECK(put_file(in_store(store, ".lock"), "rubbish", 7));
    CHECK(!dlm_store_lock(ctx, store));
    dlm_store_close(&store);
}

/* sha256sum of "hello\n". */
#define HELLO_SHA "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

static void test_blobs(void)
{
    struct dlm_store *store = make_store("blobs");
    char sha[65], *path = NULL, *again = NULL;

    check_case("put, put again, get, verify");
    CHECK(put_file(tmp_path("a.PNG"), "hello\n", 6));
    CHECK(!dlm_blob_put(ctx, store, tmp_path("a.PNG"), sha, &path));
    CHECK_STR(sha, HELLO_SHA);
    CHECK_STR(path, in_store(store, "blobs/58/" HELLO_SHA ".png"));
    CHECK(same_files(path, tmp_path("a.PNG")));
    CHECK(!dlm_blob_put(ctx, store, tmp_path("a.PNG"), sha, NULL));
    CHECK(!dlm_blob_get(ctx, store, sha, &again));
    CHECK_STR(again, path);
    CHECK(!dlm_blob_verify(ctx, store, sha));
    dlm_free(again);
    check_case("a damaged blob is found, and mended when it was cut");
    CHECK(put_file(path, "jello\n", 6));
    CHECK_INT(dlm_blob_verify(ctx, store, sha), DLM_ERR_PARSE);
    CHECK(put_file(path, "he", 2));
    CHECK(!dlm_blob_put(ctx, store, tmp_path("a.PNG"), sha, NULL));
    CHECK(!dlm_blob_verify(ctx, store, sha));
    dlm_free(path);
    check_case("other extensions are .bin");
    CHECK(put_file(tmp_path("b.exe"), "x", 1));
    CHECK(!dlm_blob_put(ctx, store, tmp_path("b.exe"), sha, &path));
    CHECK(strstr(path, ".bin"));
    dlm_free(path);
    check_case("what is not there");
    CHECK_INT(dlm_blob_get(ctx, store, "../../../../../etc/passwd", &path), DLM_ERR_INVALID);
    sha[0] = sha[0] == '0' ? '1' : '0';
    CHECK_INT(dlm_blob_get(ctx, store, sha, &path), DLM_ERR_IO);
    CHECK_INT(dlm_blob_put(ctx, store, tmp_path("gone.png"), sha, &path), DLM_ERR_IO);
    CHECK_INT(dlm_blob_put(ctx, store, tmp_root, sha, &path), DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "not a regular file"));
    dlm_store_close(&store);
}

static void test_logs(void)
{
    struct dlm_store *store = make_store("logs");
    char *path = NULL, *summary = NULL, text[20];
    const time_t when = 1777636800; /* 2026-05-01T12:00:00Z */

    check_case("names of logs");
    dlm_time_iso(when, text);
    CHECK_STR(text, "2026-05-01T12:00:00");
    CHECK(!dlm_store_log_path(ctx, store, 1, when, &path));
    CHECK_STR(path, in_store(store, "logs/train-000001-20260501T120000.jsonl"));
    CHECK(!dlm_store_summary_path(ctx, path, &summary));
    CHECK_STR(summary, in_store(store, "logs/train-000001-20260501T120000.summary.json"));
    check_case("cutting a log back");
    CHECK(!dlm_log_cut(ctx, path, 0));
    CHECK(put_file(path, "one\ntwo\n", 8));
    CHECK(!dlm_log_cut(ctx, path, 4));
    char *left = get_file(path, NULL);
    CHECK_STR(left, "one\n");
    free(left);
    CHECK_INT(dlm_log_cut(ctx, path, 5), DLM_ERR_PARSE);
    CHECK_INT(dlm_log_cut(ctx, tmp_path("gone.jsonl"), 5), DLM_ERR_IO);
    dlm_free(path);
    dlm_free(summary);
    dlm_store_close(&store);
}

static void test_inspect(void)
{
    struct dlm_store *store = NULL;
    struct dlm_store_info info;
    struct dlm_manifest m;

    check_case("a store that is not there");
    CHECK(!dlm_store_open(ctx, &store, tmp_path("none"), TEST_ID));
    CHECK(!dlm_store_inspect(ctx, store, &info) && !info.initialized);
    dlm_store_close(&store);
    check_case("a fresh store");
    store = make_store("fresh");
    CHECK(!dlm_manifest_init(ctx, &m, TEST_ID, "tiny-shapes", NULL, "/gone/doc.dlm"));
    CHECK(!dlm_manifest_save(ctx, &m, store));
    CHECK(!dlm_store_inspect(ctx, store, &info));
    CHECK(info.initialized && !info.has_current && info.orphaned);
    CHECK_INT(info.adapter_version, 0);
    CHECK_INT(info.num_runs, 0);
    CHECK(info.total_bytes > 300 && info.total_bytes < 2000);
    CHECK_STR(info.last_trained_at, "");
    dlm_manifest_finish(&m);
    dlm_store_close(&store);
}

int main(void)
{
    ctx = make_ctx();
    tmp_make();
    test_home();
    test_lock();
    test_blobs();
    test_logs();
    test_inspect();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
