/* Saved states: what is saved is loaded, ids are never used twice, failures keep the old state. */
#include "store/run.h"

#include <signal.h>
#include <sys/resource.h>

#include "store/manifest.h"
#include "store_helpers.h"

static enum dlm_status save(struct dlm_run *run, int64_t step, size_t len)
{
    float *x = malloc((len ? len : 1) * sizeof(*x));
    for (size_t i = 0; i < len; i++)
        x[i] = (float)step;
    const struct dlm_tensor_out t = {"x", DLM_DTYPE_F32, 1, {(int64_t)len}, x, len * sizeof(*x)};
    json_t *state = json_pack("{s:I, s:f}", "step", (json_int_t)step, "loss", 0.1);
    enum dlm_status st = dlm_run_save(ctx, run, state, &t, 1);

    json_decref(state);
    free(x);
    return st;
}

/* Loads the run and expects the state of `step`. */
static void expect_state(const struct dlm_run *run, int64_t step)
{
    json_t *state = NULL;
    struct dlm_checkpoint *c = NULL;
    float x = -1;

    if (!CHECK(!dlm_run_load(ctx, run, &state, &c))) {
        printf("     %s\n", dlm_ctx_last_error(ctx));
        return;
    }
    CHECK_INT(json_integer_value(json_object_get(state, "step")), step);
    CHECK(json_real_value(json_object_get(state, "loss")) == 0.1);
    const struct dlm_tensor_info *t = dlm_checkpoint_find(c, "x");
    if (CHECK(t && t->bytes >= 4))
        memcpy(&x, t->data, 4);
    CHECK(x == (float)step);
    dlm_checkpoint_destroy(&c);
    json_decref(state);
}

static size_t count_files(const char *path)
{
    char **names = NULL;
    size_t num = 0;

    CHECK(!dlm_dir_list(ctx, path, &names));
    while (names && names[num])
        num++;
    dlm_names_free(names);
    return num;
}

static void test_states(struct dlm_store *store)
{
    struct dlm_run *run = NULL, *again = NULL;
    int64_t *ids = NULL;
    size_t num = 0;

    check_case("begun, but not saved: not unfinished");
    CHECK(!dlm_run_begin(ctx, store, "new", &run));
    CHECK_INT(dlm_run_id(run), 1);
    CHECK(!dlm_store_unfinished_runs(ctx, store, &ids, &num) && !num && !ids);
    json_t *state = NULL;
    struct dlm_checkpoint *c = NULL;
    CHECK_INT(dlm_run_load(ctx, run, &state, &c), DLM_ERR_IO);
    char from[16];
    CHECK(!dlm_store_killed_start(ctx, store, from));
    CHECK_STR(from, "new");
    check_case("the newest state is loaded, the older is gone");
    for (int64_t step = 1; step <= 3; step++)
        CHECK(!save(run, step, 10));
    expect_state(run, 3);
    CHECK(!dlm_store_killed_start(ctx, store, from));
    CHECK_STR(from, "");
    CHECK_INT(count_files(dlm_run_dir(run)), 2);
    check_case("opened again, it goes on");
    CHECK(!dlm_run_open(ctx, store, 1, &again));
    CHECK(!save(again, 4, 10));
    expect_state(again, 4);
    CHECK_INT(count_files(dlm_run_dir(run)), 2);
    dlm_run_close(&again);
    CHECK(!dlm_store_unfinished_runs(ctx, store, &ids, &num));
    CHECK(num == 1 && ids && ids[0] == 1);
    dlm_free(ids);
    CHECK_INT(dlm_run_open(ctx, store, 5, &again), DLM_ERR_IO);
    CHECK(!again);

    check_case("another run has another id");
    CHECK(!dlm_run_begin(ctx, store, "new", &again));
    CHECK_INT(dlm_run_id(again), 2);
    CHECK(!dlm_run_finish(ctx, &again) && !again);

    check_case("a state that was changed is refused");
    char path[600];
    snprintf(path, sizeof(path), "%s/state-000004.safetensors", dlm_run_dir(run));
    size_t bytes = 0;
    char *data = get_file(path, &bytes);
    if (CHECK(data)) {
        data[bytes - 1] ^= 1;
        CHECK(put_file(path, data, bytes));
        CHECK_INT(dlm_run_load(ctx, run, &state, &c), DLM_ERR_PARSE);
        CHECK(!state && !c && strstr(dlm_ctx_last_error(ctx), "damaged"));
        data[bytes - 1] ^= 1;
        CHECK(put_file(path, data, bytes));
        expect_state(run, 4);
    }
    free(data);
    check_case("a finished run is gone");
    CHECK(!dlm_run_finish(ctx, &run));
    CHECK(!dlm_store_unfinished_runs(ctx, store, &ids, &num) && !num);
    CHECK(!dlm_store_killed_start(ctx, store, from));
    CHECK_STR(from, "");
}

static void test_ids(struct dlm_store *store)
{
    struct dlm_run *run = NULL;
    struct dlm_manifest m;
    const struct dlm_training_run entry = {.run_id = 21, .adapter_version = 1,
                                           .final_val_loss = NAN};

    check_case("ids of logs and of the manifest are not used again");
    CHECK(put_file(in_store(store, "logs/train-000007-20260501T120000.jsonl"), "", 0));
    CHECK(!dlm_run_begin(ctx, store, "new", &run));
    CHECK_INT(dlm_run_id(run), 8);
    dlm_run_close(&run);
    CHECK(!dlm_manifest_init(ctx, &m, TEST_ID, "tiny-shapes", NULL, NULL));
    CHECK(!dlm_manifest_add_run(ctx, &m, &entry));
    CHECK(!dlm_manifest_save(ctx, &m, store));
    dlm_manifest_finish(&m);
    CHECK(!dlm_run_begin(ctx, store, "new", &run));
    CHECK_INT(dlm_run_id(run), 22);
    CHECK(!dlm_run_finish(ctx, &run));
}

static void test_failures(struct dlm_store *store)
{
    struct dlm_run *run = NULL;
    struct rlimit old, small;

    check_case("a save that fails keeps the state before it");
    CHECK(!dlm_run_begin(ctx, store, "new", &run));
    CHECK(!save(run, 1, 10));
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    signal(SIGXFSZ, SIG_IGN);
    small.rlim_cur = 10000;
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_INT(save(run, 2, 10000), DLM_ERR_IO);
    small.rlim_cur = 140; /* the tensors fit, state.json does not */
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_INT(save(run, 2, 4), DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "state.json"));
    setrlimit(RLIMIT_FSIZE, &old);
    expect_state(run, 1);
    CHECK_INT(count_files(dlm_run_dir(run)), 2);
    CHECK(!save(run, 3, 10000));
    expect_state(run, 3);
    CHECK(!dlm_run_finish(ctx, &run));
}

static void expect_bad_state(struct dlm_run *run, const char *text)
{
    char path[600];
    json_t *state = NULL;
    struct dlm_checkpoint *c = NULL;

    snprintf(path, sizeof(path), "%s/state.json", dlm_run_dir(run));
    CHECK(put_file(path, text, strlen(text)));
    CHECK(dlm_run_load(ctx, run, &state, &c));
    CHECK(!state && !c);
}

static void test_bad_states(struct dlm_store *store)
{
    struct dlm_run *run = NULL;
    char text[256];

    check_case("a state.json that lies");
    CHECK(!dlm_run_begin(ctx, store, "new", &run));
    CHECK(!save(run, 1, 1));
    expect_bad_state(run, "");
    expect_bad_state(run, "[]");
    expect_bad_state(run, "{}");
    expect_bad_state(run, "{\"run_id\": 99, \"tensors_file\": \"state-000001.safetensors\"}");
    snprintf(text, sizeof(text),
             "{\"run_id\": %d, \"tensors_file\": \"state-/../../x\", \"tensors_sha256\": \"x\"}",
             (int)dlm_run_id(run));
    expect_bad_state(run, text);
    CHECK(!dlm_run_finish(ctx, &run));
}

int main(void)
{
    ctx = make_ctx();
    tmp_make();
    struct dlm_store *store = make_store("home");
    CHECK(!dlm_store_lock(ctx, store));
    test_states(store);
    test_ids(store);
    test_failures(store);
    test_bad_states(store);
    dlm_store_close(&store);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
