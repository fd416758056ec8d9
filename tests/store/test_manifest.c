/* The manifest: the reference's fresh example, round trips, and everything that is refused. */
#include <sys/stat.h>

#include "store/lock_record.h"
#include "store/manifest.h"

#include "store_helpers.h"

/* The reference's fresh manifest (keys and form of section 3 of its description). */
static const char fresh[] = "{\n"
                            "  \"adapter_config_sha256\": null,\n"
                            "  \"adapter_sha256\": null,\n"
                            "  \"adapter_version\": 0,\n"
                            "  \"adapter_versions\": {},\n"
                            "  \"base_model\": \"qwen2-vl-2b-instruct\",\n"
                            "  \"base_model_revision\": \"895c\",\n"
                            "  \"base_model_sha256\": null,\n"
                            "  \"content_hashes\": {},\n"
                            "  \"created_at\": \"2026-05-01T12:00:00\",\n"
                            "  \"dlm_id\": \"" TEST_ID "\",\n"
                            "  \"exports\": [],\n"
                            "  \"license_acceptance\": null,\n"
                            "  \"pinned_versions\": {},\n"
                            "  \"schema_version\": 1,\n"
                            "  \"source_path\": null,\n"
                            "  \"training_runs\": [],\n"
                            "  \"updated_at\": \"2026-05-01T12:00:00\"\n"
                            "}\n";

static void test_fresh(struct dlm_store *store)
{
    struct dlm_manifest m;

    check_case("a fresh manifest has the reference's bytes");
    CHECK(!dlm_manifest_init(ctx, &m, TEST_ID, "qwen2-vl-2b-instruct", "895c", NULL));
    CHECK(!dlm_manifest_set_string(ctx, &m, "created_at", "2026-05-01T12:00:00"));
    CHECK(!dlm_manifest_save(ctx, &m, store));
    dlm_manifest_finish(&m);
    char *text = get_file(in_store(store, "manifest.json"), NULL);
    char *updated = text ? strstr(text, "\"updated_at\": \"") : NULL;
    if (CHECK(updated)) /* the only field of now */
        memcpy(updated + strlen("\"updated_at\": \""), "2026-05-01T12:00:00", 19);
    CHECK_STR(text, fresh);
    free(text);
    CHECK(dlm_store_is_initialized(store));
}

static void test_round_trip(struct dlm_store *store)
{
    struct dlm_manifest m;
    static const char *const names[] = {"0123456789abcdef"};
    struct dlm_training_run run = {.run_id = 1, .started_at = 1777636800, .adapter_version = 1,
                                   .base_revision = "895c", .seed = -3, .steps = 20,
                                   .final_train_loss = 0.25, .final_val_loss = NAN,
                                   .status = "running", .summary_path = "logs/x.summary.json"};

    check_case("what is set comes back");
    CHECK(!dlm_manifest_load(ctx, &m, store));
    CHECK(!dlm_manifest_has_license(&m));
    CHECK(!dlm_manifest_set_license(ctx, &m, "https://example.org", "MIT", "cli_flag"));
    CHECK(!dlm_manifest_set_map(ctx, &m, "content_hashes", names, names, 1));
    CHECK(!dlm_manifest_set_adapter_version(ctx, &m, 1));
    CHECK(!dlm_manifest_set_string(ctx, &m, "source_path", "/d/\xc3\xbc.dlm"));
    CHECK(!dlm_manifest_add_run(ctx, &m, &run));
    run.status = "completed";
    run.ended_at = 1777636860;
    CHECK(!dlm_manifest_add_run(ctx, &m, &run)); /* replaces: same id */
    run.run_id = 2;
    CHECK(!dlm_manifest_add_run(ctx, &m, &run));
    CHECK(!dlm_manifest_save(ctx, &m, store));
    dlm_manifest_finish(&m);
    CHECK(!dlm_manifest_load(ctx, &m, store));
    CHECK(dlm_manifest_has_license(&m));
    CHECK_INT(dlm_manifest_adapter_version(&m), 1);
    CHECK_STR(dlm_manifest_string(&m, "source_path"), "/d/\xc3\xbc.dlm");
    const json_t *runs = json_object_get(m.root, "training_runs");
    CHECK_INT(json_array_size(runs), 2);
    const json_t *first = json_array_get(runs, 0);
    CHECK_STR(json_string_value(json_object_get(first, "status")), "completed");
    CHECK_STR(json_string_value(json_object_get(first, "ended_at")), "2026-05-01T12:01:00");
    CHECK(json_number_value(json_object_get(first, "final_train_loss")) == 0.25);
    CHECK(json_is_null(json_object_get(first, "final_val_loss")));
    CHECK_INT(json_integer_value(json_object_get(first, "seed")), -3);
    CHECK_STR(json_string_value(json_object_get(json_object_get(m.root, "content_hashes"),
                                                names[0])),
              names[0]);
    check_case("text that is no UTF-8");
    CHECK_INT(dlm_manifest_set_string(ctx, &m, "source_path", "/d/\xff"), DLM_ERR_INVALID);
    dlm_manifest_finish(&m);

    struct dlm_store_info info;
    check_case("and show sees it");
    CHECK(!dlm_store_inspect(ctx, store, &info));
    CHECK_INT(info.num_runs, 2);
    CHECK_STR(info.last_trained_at, "2026-05-01T12:01:00");
}

/* Writes `fresh` with `old` replaced by `new`, and expects it to be refused with `text`. */
static void expect_corrupt(struct dlm_store *store, const char *old, const char *new_text,
                           const char *text)
{
    char file[4096];
    const char *at = strstr(fresh, old);
    struct dlm_manifest m;

    if (!CHECK(at))
        return;
    int len = snprintf(file, sizeof(file), "%.*s%s%s", (int)(at - fresh), fresh, new_text,
                       at + strlen(old));
    CHECK(put_file(in_store(store, "manifest.json"), file, (size_t)len));
    CHECK_INT(dlm_manifest_load(ctx, &m, store), text ? DLM_ERR_PARSE : DLM_OK);
    if (text && !CHECK(strstr(dlm_ctx_last_error(ctx), text)))
        printf("     got \"%s\", want \"%s\"\n", dlm_ctx_last_error(ctx), text);
    dlm_manifest_finish(&m);
}

static void test_corrupt(struct dlm_store *store)
{
    static const char license[] = "\"license_acceptance\": null";
    static const char runs[] = "\"training_runs\": []";

    check_case("manifests that are refused");
    expect_corrupt(store, "\"exports\"", "\"export\"", "manifest is corrupt: export: unknown key");
    expect_corrupt(store, "\"schema_version\": 1", "\"schema_version\": 2",
                   "manifest is corrupt: schema_version: not 1");
    expect_corrupt(store, "\"adapter_version\": 0", "\"adapter_version\": -1",
                   "adapter_version: value of another type");
    expect_corrupt(store, "\"adapter_version\": 0", "\"adapter_version\": \"0\"",
                   "adapter_version: value of another type");
    expect_corrupt(store, "\"content_hashes\": {}", "\"content_hashes\": {\"a\": 1}",
                   "content_hashes: value of another type");
    expect_corrupt(store, "  \"base_model\": \"qwen2-vl-2b-instruct\",\n", "",
                   "base_model: missing");
    expect_corrupt(store, TEST_ID, "01JZ1111111111111111111111", "dlm_id: of another document");
    expect_corrupt(store, license, "\"license_acceptance\": {\"via\": \"x\"}",
                   "license_acceptance.accepted_at: missing");
    expect_corrupt(store, runs, "\"training_runs\": [3]", "training_runs.(whole): not an object");
    expect_corrupt(store, runs, "\"training_runs\": [{\"x\": 3}]", "training_runs.x: unknown key");
    expect_corrupt(store, "{\n", "[", "line ");
    check_case("keys that an older writer left out");
    expect_corrupt(store, "  \"source_path\": null,\n", "", NULL);
    expect_corrupt(store, runs,
                   "\"training_runs\": [{\"run_id\": 1, \"adapter_version\": 1, \"started_at\": "
                   "\"2026-05-01T12:00:00\", \"seed\": 42, \"final_train_loss\": 1}]",
                   NULL);
}

static void test_lock_record(struct dlm_store *store)
{
    const struct dlm_lock_record record = {.dlm_sha256 = "ab", .base_revision = "895c",
                                           .hardware_tier = "cpu", .seed = 42, .last_run_id = 1,
                                           .determinism_class = "strong"};
    json_t *json = NULL;

    check_case("dlm.lock");
    CHECK(!dlm_lock_record_write(ctx, store, &record));
    if (!CHECK(!dlm_json_load(ctx, in_store(store, "dlm.lock"), 1 << 20, &json)))
        return;
    CHECK_INT(json_object_size(json), 16);
    CHECK_INT(json_integer_value(json_object_get(json, "lock_version")), 1);
    CHECK_STR(json_string_value(json_object_get(json, "dlm_id")), TEST_ID);
    CHECK_STR(json_string_value(json_object_get(json, "hardware_tier")), "cpu");
    CHECK(json_is_null(json_object_get(json, "license_acceptance")));
    json_decref(json);
}

static void test_lock_check(struct dlm_store *store)
{
    const struct dlm_lock_record was = {.dlm_sha256 = "ab", .base_revision = "895c",
                                        .base_sha256 = "77", .hardware_tier = "cpu", .seed = 42,
                                        .determinism_class = "strong"};
    struct dlm_lock_record now = was;

    check_case("dlm.lock: the same, another document, an unknown hash");
    CHECK(!dlm_lock_record_write(ctx, store, &was));
    now.dlm_sha256 = "cd";
    now.base_sha256 = NULL;
    CHECK(!dlm_lock_record_check(ctx, store, &now, true));

    check_case("dlm.lock: another seed or device");
    now.seed = 7;
    CHECK(!dlm_lock_record_check(ctx, store, &now, false));
    CHECK_INT(dlm_lock_record_check(ctx, store, &now, true), DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx),
                 "dlm.lock: lock validation failed (seed was 42 and is 7)"));
    now.hardware_tier = "vulkan";
    CHECK_INT(dlm_lock_record_check(ctx, store, &now, true), DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx),
                 "(hardware_tier was \"cpu\" and is \"vulkan\"; seed was 42 and is 7)"));

    check_case("dlm.lock: another base");
    now = was;
    now.base_revision = "896d";
    CHECK_INT(dlm_lock_record_check(ctx, store, &now, false), DLM_ERR_INVALID);
    now = was;
    now.base_sha256 = "78";
    CHECK_INT(dlm_lock_record_check(ctx, store, &now, false), DLM_ERR_INVALID);

    check_case("dlm.lock: none, and one that is no object");
    CHECK(!unlink(in_store(store, "dlm.lock")));
    CHECK(!dlm_lock_record_check(ctx, store, &now, true));
    CHECK(put_file(in_store(store, "dlm.lock"), "[1]\n", 4));
    CHECK_INT(dlm_lock_record_check(ctx, store, &was, false), DLM_ERR_PARSE);

    check_case("dlm.lock: an empty object, another version, a folder");
    CHECK(put_file(in_store(store, "dlm.lock"), "{}\n", 3));
    CHECK_INT(dlm_lock_record_check(ctx, store, &was, false), DLM_ERR_PARSE);
    CHECK(strstr(dlm_ctx_last_error(ctx), "dlm.lock': lock record is corrupt: lock_version"));
    CHECK(put_file(in_store(store, "dlm.lock"), "{\"lock_version\": 2}\n", 20));
    CHECK_INT(dlm_lock_record_check(ctx, store, &was, false), DLM_ERR_PARSE);
    CHECK(!dlm_lock_record_check_place(ctx, store));
    CHECK(!unlink(in_store(store, "dlm.lock")) && !mkdir(in_store(store, "dlm.lock"), 0700));
    CHECK_INT(dlm_lock_record_check(ctx, store, &was, false), DLM_ERR_IO);
    CHECK_INT(dlm_lock_record_check_place(ctx, store), DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "dlm.lock'"));
}

/* A copied document has the original's id; so has a hard link, which is the original. */
static void test_other_source(void)
{
    static const char text[] = "---\ndlm_id: " TEST_ID "\n---\n", other[] = "dlm_id: 01JZ1\n";
    const char *original = tmp_path("a.dlm"), *copy = tmp_path("b.dlm"), *link_ = tmp_path("c.dlm");
    struct dlm_manifest m;

    CHECK(put_file(original, text, strlen(text)) && put_file(copy, text, strlen(text)));
    CHECK(!link(original, link_));
    CHECK(!dlm_manifest_init(ctx, &m, TEST_ID, "base", NULL, NULL));
    check_case("a store of no known document");
    CHECK(!dlm_manifest_other_source(&m, original));
    CHECK(!dlm_manifest_set_string(ctx, &m, "source_path", original));
    check_case("a store's own document, and a link to it");
    CHECK(!dlm_manifest_other_source(&m, original));
    CHECK(!dlm_manifest_other_source(&m, link_));
    CHECK(!unlink(link_) && !symlink(original, link_));
    CHECK(!dlm_manifest_other_source(&m, link_));
    check_case("a copy of it");
    CHECK_STR(dlm_manifest_other_source(&m, copy), original);
    warning[0] = '\0';
    dlm_manifest_warn_other_source(ctx, &m, copy);
    CHECK(strstr(warning, original) && strstr(warning, copy));
    check_case("the original has an id of its own now, or is gone");
    CHECK(put_file(original, other, strlen(other)));
    CHECK(!dlm_manifest_other_source(&m, copy));
    CHECK(!unlink(original));
    CHECK(!dlm_manifest_other_source(&m, copy));
    CHECK(!mkdir(original, 0700));
    CHECK(!dlm_manifest_other_source(&m, copy));
    dlm_manifest_finish(&m);
}

int main(void)
{
    ctx = make_ctx();
    tmp_make();
    struct dlm_store *store = make_store("home");
    test_fresh(store);
    test_round_trip(store);
    test_corrupt(store);
    test_lock_record(store);
    test_lock_check(store);
    test_other_source();
    dlm_store_close(&store);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
