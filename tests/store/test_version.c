/* Commits of adapter versions: numbers, the pointer, idempotence, failures that lose nothing. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/json.h"
#include "store/manifest.h"
#include "store_helpers.h"

/* Writes a version of run id whose adapter holds `bytes` bytes; the status of the first failure. */
static enum dlm_status commit(struct dlm_store *store, int64_t id, size_t bytes, int64_t *number)
{
    struct dlm_version *v = NULL;
    char path[600];

    enum dlm_status st = dlm_version_begin(ctx, store, id, &v);
    if (st)
        return st;
    if (!dlm_version_exists(v)) {
        char *data = calloc(1, bytes + 1);
        snprintf(path, sizeof(path), "%s/adapter_model.safetensors", dlm_version_dir(v));
        st = dlm_file_replace(ctx, path, data, bytes);
        free(data);
    }
    if (st) {
        dlm_version_abort(&v);
        return st;
    }
    return dlm_version_finish(ctx, &v, number, NULL);
}

static void expect_current(struct dlm_store *store, int64_t want)
{
    char *dir = NULL, name[64];
    int64_t number = -1;

    CHECK(!dlm_store_current(ctx, store, &dir, &number));
    CHECK_INT(number, want);
    snprintf(name, sizeof(name), "adapter/versions/v%04d", (int)want);
    if (want)
        CHECK_STR(dir, in_store(store, name));
    else
        CHECK(!dir);
    dlm_free(dir);
}

static size_t count_versions(struct dlm_store *store)
{
    char **names = NULL;
    size_t num = 0;

    CHECK(!dlm_dir_list(ctx, in_store(store, "adapter/versions"), &names));
    while (names && names[num])
        num++;
    dlm_names_free(names);
    return num;
}

static void test_commit(void)
{
    struct dlm_store *store = make_store("commit");
    struct dlm_version *v = NULL;
    int64_t number = 0;
    json_t *record = NULL;

    check_case("nothing yet");
    expect_current(store, 0);
    check_case("without the lock");
    CHECK_INT(dlm_version_begin(ctx, store, 1, &v), DLM_ERR_INVALID);
    CHECK(!dlm_store_lock(ctx, store));
    check_case("the first version");
    CHECK(!commit(store, 7, 100, &number));
    CHECK_INT(number, 1);
    expect_current(store, 1);
    char *text = get_file(in_store(store, "adapter/current.txt"), NULL);
    CHECK_STR(text, "adapter/versions/v0001\n");
    free(text);
    CHECK(!dlm_json_load(ctx, in_store(store, "adapter/versions/v0001/training_run.json"), 4096,
                         &record));
    CHECK_INT(json_integer_value(json_object_get(record, "run_id")), 7);
    CHECK(json_is_false(json_object_get(record, "use_qlora")));
    json_decref(record);
    check_case("once more for the same run: the same version");
    CHECK(!commit(store, 7, 100, &number));
    CHECK_INT(number, 1);
    CHECK_INT(count_versions(store), 1);
    check_case("killed between rename and pointer: commit mends it");
    CHECK(!dlm_path_remove(ctx, in_store(store, "adapter/current.txt")));
    CHECK(!commit(store, 7, 100, &number));
    expect_current(store, 1);
    check_case("rejected versions keep their number");
    CHECK(!dlm_dir_make(ctx, in_store(store, "adapter/versions/v0002-rejected")));
    CHECK(!commit(store, 8, 100, &number));
    CHECK_INT(number, 3);
    expect_current(store, 3);
    check_case("of a base in 4 bits");
    CHECK(!dlm_version_begin(ctx, store, 10, &v));
    dlm_version_set_qlora(v);
    CHECK(!dlm_version_finish(ctx, &v, &number, NULL));
    CHECK_INT(number, 4);
    CHECK(!dlm_json_load(ctx, in_store(store, "adapter/versions/v0004/training_run.json"), 4096,
                         &record));
    CHECK(json_is_true(json_object_get(record, "use_qlora")));
    json_decref(record);
    check_case("an old run does not move the pointer back");
    CHECK(!commit(store, 7, 100, &number));
    CHECK_INT(number, 1);
    expect_current(store, 4);
    check_case("given up");
    CHECK(!dlm_version_begin(ctx, store, 9, &v));
    CHECK(dlm_path_is_dir(dlm_version_dir(v)));
    dlm_version_abort(&v);
    CHECK(!v);
    CHECK_INT(count_versions(store), 4);
    dlm_version_abort(&v);
    check_case("swept after a kill");
    CHECK(!dlm_dir_make(ctx, in_store(store, "adapter/versions/.tmp-run-000011/x")));
    CHECK(!dlm_dir_make(ctx, in_store(store, "runs/000012")));
    CHECK(!dlm_dir_make(ctx, in_store(store, "blobs/ab")));
    CHECK(put_file(in_store(store, "blobs/ab/incoming.tmp.1.00000000"), "", 0));
    CHECK(put_file(in_store(store, "manifest.json.tmp.1.00000000"), "", 0));
    CHECK(!dlm_store_sweep(ctx, store));
    CHECK_INT(count_versions(store), 4);
    CHECK(!dlm_path_is_dir(in_store(store, "runs/000012")));
    CHECK(!dlm_path_is_file(in_store(store, "blobs/ab/incoming.tmp.1.00000000")));
    CHECK(!dlm_path_is_file(in_store(store, "manifest.json.tmp.1.00000000")));
    dlm_store_close(&store);
}

static void expect_bad_pointer(struct dlm_store *store, const char *pointer, const char *text)
{
    char *dir = NULL;

    CHECK(put_file(in_store(store, "adapter/current.txt"), pointer, strlen(pointer)));
    CHECK_INT(dlm_store_current(ctx, store, &dir, NULL), DLM_ERR_PARSE);
    CHECK(!dir);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), text)))
        printf("     got \"%s\"\n", dlm_ctx_last_error(ctx));
}

static void test_pointer(void)
{
    struct dlm_store *store = make_store("pointer");

    check_case("a pointer that leaves the store");
    expect_bad_pointer(store, "../../x\n", "adapter pointer '../../x' escapes store root: ");
    expect_bad_pointer(store, "/tmp\n", "escapes store root");
    expect_bad_pointer(store, "adapter/../../..\n", "escapes store root");
    CHECK(!symlink("/tmp", in_store(store, "adapter/out")));
    expect_bad_pointer(store, "adapter/out\n", "escapes store root");
    check_case("a pointer to nothing");
    expect_bad_pointer(store, "adapter/versions/v0009\n", "names no folder");
    expect_bad_pointer(store, "", "names no folder");
    dlm_store_close(&store);
}

static void test_use(void)
{
    struct dlm_store *store = make_store("use");
    const char *document = tmp_path("use.dlm");
    struct dlm_manifest m;
    int64_t *numbers = NULL, number = 0;
    char *dir = NULL;
    size_t num = 1;

    check_case("a store without versions");
    CHECK(!dlm_store_versions(ctx, store, &numbers, &num) && !num && !numbers);
    CHECK_INT(dlm_store_version(ctx, store, 1, &dir), DLM_ERR_INVALID);
    CHECK(!dir && strstr(dlm_ctx_last_error(ctx), "no version v0001"));
    check_case("which versions there are");
    CHECK(!dlm_store_lock(ctx, store));
    CHECK(!dlm_manifest_init(ctx, &m, TEST_ID, "base", NULL, NULL));
    CHECK(!dlm_manifest_save(ctx, &m, store));
    dlm_manifest_finish(&m);
    for (int64_t id = 1; id <= 3; id++)
        CHECK(!commit(store, id, 10, NULL));
    CHECK(!dlm_dir_make(ctx, in_store(store, "adapter/versions/v0007-rejected")));
    CHECK(!dlm_store_versions(ctx, store, &numbers, &num));
    CHECK(num == 3 && numbers[0] == 1 && numbers[1] == 2 && numbers[2] == 3);
    dlm_free(numbers);
    CHECK(!dlm_store_version(ctx, store, 2, &dir));
    CHECK_STR(dir, in_store(store, "adapter/versions/v0002"));
    dlm_free(dir);
    check_case("back to one");
    CHECK(!dlm_store_use(ctx, store, document, 1));
    expect_current(store, 1);
    CHECK(!dlm_manifest_load(ctx, &m, store));
    CHECK_INT(dlm_manifest_adapter_version(&m), 1);
    dlm_manifest_finish(&m);
    check_case("not to one that is not there");
    for (int64_t i = 4; i < 8; i++)
        CHECK_INT(dlm_store_use(ctx, store, document, i), DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx), "no version v0007"));
    CHECK(strstr(dlm_ctx_last_error(ctx), "has 3: v0001, v0002, v0003"));
    expect_current(store, 1);
    check_case("the next commit is current, and has a number of its own");
    CHECK(!commit(store, 4, 10, &number));
    CHECK_INT(number, 8);
    expect_current(store, 8);
    check_case("without the lock");
    dlm_store_unlock(store);
    CHECK_INT(dlm_store_use(ctx, store, document, 1), DLM_ERR_INVALID);
    expect_current(store, 8);
    dlm_store_close(&store);
}

static void test_write_failure(void)
{
    struct dlm_store *store = make_store("limit");
    struct rlimit old, small;

    check_case("a write that fails leaves the last version, and no folder");
    CHECK(!dlm_store_lock(ctx, store));
    CHECK(!commit(store, 1, 1000, NULL));
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 10000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_INT(commit(store, 2, 100000, NULL), DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "cannot write '"));
    small.rlim_cur = 10; /* even the record fails now */
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_INT(commit(store, 2, 5, NULL), DLM_ERR_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_INT(count_versions(store), 1);
    expect_current(store, 1);
    CHECK(!commit(store, 2, 100000, NULL));
    expect_current(store, 2);
    dlm_store_close(&store);
}

/* Enters a mount namespace of its own, so that nothing mounted here is seen outside. */
static bool enter_namespace(void)
{
    char map[64];
    const unsigned uid = (unsigned)getuid();

    if (unshare(CLONE_NEWNS)) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
            return false;
        int len = snprintf(map, sizeof(map), "0 %u 1", uid);
        if (!put_file("/proc/self/uid_map", map, (size_t)len))
            return false;
    }
    return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* Commits to a disk of 256 KiB until it is full; 77 where no such disk can be made. */
static int fill_disk(void)
{
    const char *home = tmp_path("disk");

    if (dlm_dir_make(ctx, home) || !enter_namespace() ||
        mount("tmpfs", home, "tmpfs", 0, "size=256k"))
        return 77;
    struct dlm_store *store = make_store("disk");
    CHECK(!dlm_store_lock(ctx, store));
    CHECK(!commit(store, 1, 20000, NULL));
    int64_t id = 2;
    enum dlm_status st = DLM_OK;
    while (!st && id < 100)
        st = commit(store, id++, 20000, NULL);
    CHECK_INT(st, DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "No space left on device"));
    const int64_t last = id - 2;
    CHECK(last >= 2);
    expect_current(store, last);
    CHECK_INT(count_versions(store), last);
    dlm_store_close(&store);
    return check_state_.failed;
}

static void test_full_disk(void)
{
    int status = 0;

    check_case("a full disk");
    fflush(stdout);
    pid_t pid = fork();
    if (!pid)
        _exit(fill_disk());
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        check_skip("a full disk", "no mount namespace here");
    else
        CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
}

int main(void)
{
    ctx = make_ctx();
    tmp_make();
    test_commit();
    test_pointer();
    test_use();
    test_write_failure();
    test_full_disk();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
