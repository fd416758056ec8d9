/* From base_model's text to a folder: the hub's cache, bundled data, dir:, and what is missing. */
#include "registry/registry.h"

#include <unistd.h>

#include "../weights/helpers.h"

#define PALI "google/paligemma-3b-mix-224"
#define PALI_REV "d1d8734c9c3ad0ccfeea4afc270faa356c2ba515"
#define OTHER_REV "0123456789012345678901234567890123456789"

static struct dlm_ctx *ctx;
static char hint[1024];

static void keep_hint(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level == DLM_LOG_HINT || level == DLM_LOG_WARNING)
        snprintf(hint, sizeof(hint), "%s", text);
}

static void put(const char *name, const char *text)
{
    char *folder = dlm_path_dirname(ctx, tmp_path(name));

    CHECK(folder && !dlm_dir_make(ctx, folder));
    CHECK(put_file(tmp_path(name), text, strlen(text)));
    dlm_free(folder);
}

static void expect_dir(const char *text, const char *doc_dir, const char *want_dir,
                       const char *want_revision)
{
    struct dlm_base base;

    hint[0] = '\0';
    if (!CHECK(!dlm_base_resolve(ctx, &base, text, doc_dir))) {
        printf("     %s\n", dlm_ctx_last_error(ctx));
        return;
    }
    char *want = realpath(tmp_path(want_dir), NULL);
    CHECK_STR(base.dir, want);
    if (want_revision)
        CHECK_STR(base.revision, want_revision);
    else
        CHECK(!base.revision);
    CHECK_STR(base.key, text);
    free(want);
    dlm_base_finish(&base);
}

static void expect_error(const char *text, enum dlm_status want, const char *message)
{
    struct dlm_base base;

    hint[0] = '\0';
    CHECK_INT(dlm_base_resolve(ctx, &base, text, tmp_root), want);
    CHECK(!base.key && !base.dir);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), message)))
        printf("     got \"%s\", want \"%s\"\n", dlm_ctx_last_error(ctx), message);
}

/* The last error lists the bases that can be trained, some others too, and counts the rest. */
static void expect_listed(void)
{
    const char *text = dlm_ctx_last_error(ctx);
    size_t num = 0;
    char part[96];

    for (const char *comma = strchr(text, ','); comma; comma = strchr(comma + 1, ','))
        num++;
    for (size_t i = 0; i < dlm_registry_num_rows(); i++) {
        const struct dlm_base_row *row = dlm_registry_row(i);
        snprintf(part, sizeof(part), " %s,", row->key);
        CHECK(!row->family || strstr(text, part));
    }
    snprintf(part, sizeof(part), "(%zu more)", dlm_registry_num_rows() - num);
    CHECK(strstr(text, part));
}

static void expect_hint(const char *text, const char *want)
{
    expect_error(text, DLM_ERR_INVALID, "unknown base model");
    CHECK_STR(hint, want);
}

static void test_hub(void)
{
    check_case("not in the cache: what was looked for, and how to get it");
    expect_error("paligemma-3b-mix-224", DLM_ERR_IO,
                 "cannot find base 'paligemma-3b-mix-224': " PALI " is not in '");
    CHECK(strstr(hint, "`dlm pull paligemma-3b-mix-224` fetches it"));
    CHECK(strstr(hint, "accept its licence"));
    check_case("no complete snapshot");
    put("hub/models--google--paligemma-3b-mix-224/refs/main", OTHER_REV);
    expect_error("paligemma-3b-mix-224", DLM_ERR_IO, "no snapshot in '");
    check_case("refs/main, with a warning");
    put("hub/models--google--paligemma-3b-mix-224/snapshots/" OTHER_REV "/config.json", "{}");
    expect_dir("paligemma-3b-mix-224", NULL,
               "hub/models--google--paligemma-3b-mix-224/snapshots/" OTHER_REV, OTHER_REV);
    CHECK(strstr(hint, "pinned revision d1d8734c9c3a is not in the cache"));
    check_case("the pinned revision goes first");
    put("hub/models--google--paligemma-3b-mix-224/snapshots/" PALI_REV "/config.json", "{}");
    expect_dir("paligemma-3b-mix-224", NULL,
               "hub/models--google--paligemma-3b-mix-224/snapshots/" PALI_REV, PALI_REV);
    expect_dir("hf:" PALI, NULL, "hub/models--google--paligemma-3b-mix-224/snapshots/" PALI_REV,
               PALI_REV);
    CHECK(!*hint);
    check_case("hf: outside the registry");
    put("hub/models--org--tiny/refs/main", OTHER_REV "\n");
    put("hub/models--org--tiny/snapshots/" OTHER_REV "/config.json", "{}");
    expect_dir("hf:org/tiny", NULL, "hub/models--org--tiny/snapshots/" OTHER_REV, OTHER_REV);
    expect_error("hf:org/gone", DLM_ERR_IO, "org/gone is not in");
    check_case("a snapshot of any name that refs/main says");
    put("hub/models--org--branch/refs/main", "abc123\n");
    expect_error("hf:org/branch", DLM_ERR_IO, "no snapshot in");
    put("hub/models--org--branch/snapshots/abc123/config.json", "{}");
    put("hub/models--org--branch/snapshots/other/config.json", "{}");
    expect_dir("hf:org/branch", NULL, "hub/models--org--branch/snapshots/abc123", "abc123");
    check_case("no refs/main: the only snapshot");
    put("hub/models--org--only/snapshots/main/config.json", "{}");
    expect_dir("hf:org/only", NULL, "hub/models--org--only/snapshots/main", "main");
    put("hub/models--org--only/snapshots/second/config.json", "{}");
    expect_error("hf:org/only", DLM_ERR_IO, "no snapshot in");
    check_case("a hostile ref");
    put("hub/models--org--tiny/refs/main", "..");
    expect_error("hf:org/tiny", DLM_ERR_IO, "no snapshot in");
    put("hub/models--org--tiny/refs/main", "");
    expect_error("hf:org/tiny", DLM_ERR_IO, "no snapshot in");
    put("hub/models--org--tiny/refs/main", "../../../../../../../../../../../../../../etc/passwd");
    expect_error("hf:org/tiny", DLM_ERR_IO, "no snapshot in");
}

static void test_names(void)
{
    static const char *const bad[] = {"hf:", "hf:x", "hf:a/b/c", "hf:../x", "hf:a/..", "hf:/x",
                                      "hf:a/",  "hf:a/b c"};

    check_case("unknown keys");
    expect_error("x", DLM_ERR_INVALID, "unknown base model 'x'. Known keys: ");
    expect_error("x", DLM_ERR_INVALID, " more). Use `hf:org/name` for models outside the "
                                      "registry.");
    expect_listed();
    CHECK_STR(hint, "");
    check_case("names without their prefix");
    put("base/config.json", "{}");
    expect_hint("google/paligemma", "a model of the hub is `hf:google/paligemma`, a folder "
                                    "`dir:google/paligemma`");
    expect_hint("./x", "a folder is `dir:./x`");
    expect_hint("/models/x", "a folder is `dir:/models/x`");
    expect_hint("~/x", "a folder is `dir:~/x`");
    expect_hint("a/b/c", "a folder is `dir:a/b/c`");
    char there[512], want[600];
    snprintf(there, sizeof(there), "%s", tmp_path("base"));
    snprintf(want, sizeof(want), "a folder is `dir:%s`", there);
    expect_hint(there, want);
    check_case("bad names");
    for (size_t i = 0; i < DLM_ARRAY_LEN(bad); i++)
        expect_error(bad[i], DLM_ERR_INVALID, "not hf:org/name");
    expect_error("dir:", DLM_ERR_INVALID, "no path");

    check_case("identify needs no files");
    struct dlm_base base;
    CHECK(!dlm_base_identify(ctx, &base, "paligemma-3b-mix-224"));
    CHECK(base.gated && base.row && base.modality == DLM_MODALITY_VISION_LANGUAGE && !base.dir);
    CHECK_STR(dlm_base_name(&base), PALI);
    dlm_base_finish(&base);
    CHECK(!dlm_base_identify(ctx, &base, "qwen2.5-1.5b"));
    CHECK(!base.gated && base.modality == DLM_MODALITY_TEXT);
    dlm_base_finish(&base);
    CHECK(!dlm_base_identify(ctx, &base, "tiny-shapes"));
    CHECK_STR(dlm_base_name(&base), "tiny-shapes");
    CHECK(!base.hf_id && !base.revision);
    dlm_base_finish(&base);
}

static void test_folders(void)
{
    check_case("dir: is relative to the document");
    put("docs/base/config.json", "{}");
    char *doc_dir = dlm_path_join(ctx, tmp_root, "docs");
    char text[512];
    expect_dir("dir:base", doc_dir, "docs/base", NULL);
    snprintf(text, sizeof(text), "dir:%s/docs/base", tmp_root);
    expect_dir(text, NULL, "docs/base", NULL);
    setenv("HOME", doc_dir, 1);
    expect_dir("dir:~/base", "/", "docs/base", NULL);
    dlm_free(doc_dir);
    expect_error("dir:gone", DLM_ERR_IO, "gone': No such file");
    put("empty/x", "");
    expect_error("dir:empty", DLM_ERR_IO, "config.json' is missing");
    expect_error("dir:empty/x", DLM_ERR_IO, "not a folder");

    check_case("bundled");
    put("share/tiny-shapes/config.json", "{}");
    setenv("DLM_SHARE_DIR", tmp_path("share"), 1);
    expect_dir("tiny-shapes", NULL, "share/tiny-shapes", NULL);
}

static void expect_cache(const char *want)
{
    char *got = dlm_hub_cache_dir(ctx);
    CHECK_STR(got, want);
    dlm_free(got);
}

static void test_cache_dir(void)
{
    check_case("where the hub's cache is");
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/h", 1);
    expect_cache("/h/.cache/huggingface/hub");
    setenv("XDG_CACHE_HOME", "/x", 1);
    expect_cache("/x/huggingface/hub");
    setenv("HF_HOME", "~/y", 1);
    expect_cache("/h/y/hub");
    setenv("XDG_CACHE_HOME", "~/x", 1);
    unsetenv("HF_HOME");
    expect_cache("/h/x/huggingface/hub");
    /* as os.path.expandvars(os.path.expanduser(...)) of Python 3.11 gives them */
    setenv("SOME_DIR", "/some", 1);
    unsetenv("NO_DIR");
    setenv("HF_HOME", "$SOME_DIR/${SOME_DIR}x/$NO_DIR/${NO_DIR}$", 1);
    expect_cache("/some//somex/$NO_DIR/${NO_DIR}$/hub");
    setenv("HF_HOME", "~/$SOME_DIRx/${SOME_DIR", 1);
    expect_cache("/h/$SOME_DIRx/${SOME_DIR/hub");
    setenv("HF_HUB_CACHE", "/z", 1);
    expect_cache("/z");
}

int main(void)
{
    const struct dlm_ctx_params params = {.log = keep_hint};

    ctx = dlm_ctx_create(&params);
    tmp_make();
    setenv("HF_HUB_CACHE", tmp_path("hub"), 1);
    test_hub();
    test_names();
    test_folders();
    test_cache_dir();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
