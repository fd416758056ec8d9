/* Every allocation of a whole run's life in the store fails once: nothing leaks, nothing breaks,
 * and the next try, with memory, succeeds. */
#include "store/run.h"

#include "store/check.h"
#include "store/manifest.h"
#include "store_helpers.h"

static long calls_left;

static bool may_allocate(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return calls_left-- > 0;
}

static enum dlm_status save_state(struct dlm_run *run)
{
    static const float x[4] = {0};
    const struct dlm_tensor_out t = {"x", DLM_DTYPE_F32, 1, {4}, x, sizeof(x)};
    json_t *state = json_pack("{s:i}", "step", 1);
    json_t *loaded = NULL;
    struct dlm_checkpoint *c = NULL;

    enum dlm_status st = dlm_run_save(ctx, run, state, &t, 1);
    if (!st)
        st = dlm_run_load(ctx, run, &loaded, &c);
    dlm_checkpoint_destroy(&c);
    json_decref(loaded);
    json_decref(state);
    return st;
}

static enum dlm_status commit(struct dlm_store *store, int64_t id)
{
    struct dlm_version *v = NULL;
    char *path = NULL;

    enum dlm_status st = dlm_version_begin(ctx, store, id, &v);
    if (!st)
        st = dlm_version_finish(ctx, &v, NULL, &path);
    dlm_free(path);
    return st;
}

/* Which versions there are, and the first made current. */
static enum dlm_status go_back(struct dlm_store *store)
{
    int64_t *numbers = NULL;
    size_t num = 0;

    enum dlm_status st = dlm_store_versions(ctx, store, &numbers, &num);
    if (!st)
        st = dlm_store_use(ctx, store, "a.dlm", 1);
    dlm_free(numbers);
    return st;
}

/* The store is looked at, and mended; the version's adapter is missing. */
static enum dlm_status check(struct dlm_store *store)
{
    const struct dlm_store_check_params params = {.repair = true, .base_model = "tiny-shapes"};
    struct dlm_findings findings = {0};
    struct dlm_removal removal;

    enum dlm_status st = dlm_store_check(ctx, store, &params, &findings);
    CHECK(st || (findings.num_versions == 1 && findings.num_blobs == 1 && findings.len >= 2));
    if (!st)
        st = dlm_store_plan_removal(ctx, store, 1, &removal);
    dlm_findings_finish(&findings);
    return st;
}

/* A run from its start to its end; the id of the first try is kept. */
static enum dlm_status live(int64_t *id)
{
    struct dlm_store *store = NULL;
    struct dlm_run *run = NULL;
    struct dlm_store_info info;
    struct dlm_manifest m = {0};
    char sha[65], *blob = NULL;

    enum dlm_status st = dlm_store_open(ctx, &store, tmp_path("home"), TEST_ID);
    if (!st)
        st = dlm_store_prepare(ctx, store);
    if (!st)
        st = dlm_store_lock(ctx, store);
    if (!st)
        st = dlm_store_sweep(ctx, store);
    if (!st)
        st = dlm_blob_put(ctx, store, golden_path("plain.json"), sha, &blob);
    if (!st)
        st = dlm_run_begin(ctx, store, "new", &run);
    if (!st)
        st = save_state(run);
    if (!st && !*id)
        *id = dlm_run_id(run);
    if (!st)
        st = commit(store, *id);
    if (!st)
        st = dlm_manifest_init(ctx, &m, TEST_ID, "tiny-shapes", NULL, NULL);
    if (!st)
        st = dlm_manifest_save(ctx, &m, store);
    if (!st)
        st = go_back(store);
    if (!st)
        st = dlm_store_inspect(ctx, store, &info);
    if (!st)
        st = check(store);
    if (!st)
        st = dlm_run_finish(ctx, &run);
    dlm_manifest_finish(&m);
    dlm_run_close(&run);
    dlm_free(blob);
    dlm_store_close(&store);
    return st;
}

int main(void)
{
    const struct dlm_ctx_params params = {.alloc_hook = may_allocate};
    enum dlm_status st = DLM_ERR_MEMORY;
    int64_t id = 0;
    long n = 0;

    ctx = dlm_ctx_create(&params);
    calls_left = 1000000;
    if (!access("/dev/shm", W_OK)) /* hundreds of runs: memory is quicker than fsync */
        setenv("TMPDIR", "/dev/shm", 1);
    tmp_make();
    check_case("every allocation fails once");
    for (; st && n < 10000; n++) {
        calls_left = 1000000; /* runs of the tries before would add allocations of their own */
        CHECK(!dlm_path_remove(ctx, tmp_path("home/store/" TEST_ID "/runs")));
        calls_left = n;
        st = live(&id);
        CHECK(st == DLM_OK || st == DLM_ERR_MEMORY || st == DLM_ERR_IO);
    }
    CHECK_INT(st, DLM_OK);
    printf("# %ld allocations\n", n - 1);
    calls_left = 1000000;
    check_case("one version came of it");
    struct dlm_store *store = make_store("home");
    char *dir = NULL;
    int64_t number = 0;
    CHECK(!dlm_store_current(ctx, store, &dir, &number));
    CHECK_INT(number, 1);
    dlm_free(dir);
    dlm_store_close(&store);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
