/* Files: whole or not at all under every failure that can be made here; mapping, reading, folders;
 * JSON on top of them. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/weights/helpers.h"
#include "weights/outfile.h"

static struct dlm_ctx *ctx;
static long allocations_left = 1000000;

static bool may_allocate(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return allocations_left-- > 0;
}

static bool holds(const char *path, const char *text)
{
    size_t bytes = 0;
    char *data = get_file(path, &bytes);
    const bool same = data && bytes == strlen(text) && !memcmp(data, text, bytes);

    free(data);
    return same;
}

static size_t count_names(const char *folder)
{
    char **names = NULL;
    size_t num = 0;

    CHECK(!dlm_dir_list(NULL, folder, &names));
    while (names && names[num])
        num++;
    dlm_names_free(names);
    return num;
}

static bool last_error_names(const char *what)
{
    return strstr(dlm_ctx_last_error(ctx), what) != NULL;
}

static bool is_link(const char *name)
{
    struct stat sb;

    return !lstat(tmp_path(name), &sb) && S_ISLNK(sb.st_mode);
}

static void test_replace(void)
{
    char folder[512], path[600], text[5000];

    snprintf(folder, sizeof(folder), "%s", tmp_path("replace"));
    snprintf(path, sizeof(path), "%s/file", folder);
    check_case("replace");
    CHECK(!dlm_dir_make(ctx, folder));
    CHECK(!dlm_file_replace(ctx, path, "first", 5));
    CHECK(holds(path, "first"));
    CHECK(!dlm_file_replace(ctx, path, "second, longer", 14));
    CHECK(holds(path, "second, longer"));
    CHECK(!dlm_file_replace(ctx, path, "", 0));
    CHECK(holds(path, ""));
    CHECK(!dlm_file_replace(ctx, path, "kept", 4));
    CHECK_INT(count_names(folder), 1);

    check_case("replace: mode and owner stay");
    struct stat sb;
    bool is_root = !geteuid();
    CHECK(!chmod(path, 0640));
    CHECK(!is_root || !chown(path, 1234, 5678));
    CHECK(!dlm_file_replace(ctx, path, "kept", 4));
    CHECK(!stat(path, &sb));
    CHECK_INT(sb.st_mode & 07777, 0640);
    CHECK(!is_root || (sb.st_uid == 1234 && sb.st_gid == 5678));

    check_case("create: like another, over nothing");
    char copy[600];
    bool is_taken = true;
    snprintf(copy, sizeof(copy), "%s/copy", folder);
    CHECK(!dlm_file_create_like(ctx, copy, path, "new", 3, &is_taken) && !is_taken);
    CHECK(holds(copy, "new") && !stat(copy, &sb));
    CHECK_INT(sb.st_mode & 07777, 0640);
    CHECK(!is_root || (sb.st_uid == 1234 && sb.st_gid == 5678));
    CHECK(!dlm_file_create_like(ctx, copy, path, "other", 5, &is_taken) && is_taken);
    CHECK(holds(copy, "new"));
    CHECK(dlm_file_create_like(ctx, copy, tmp_path("absent"), "", 0, &is_taken) == DLM_ERR_IO);
    CHECK(!unlink(copy));

    check_case("replace: no memory");
    enum dlm_status st = DLM_ERR_MEMORY;
    for (long n = 0; st && n < 20; n++) {
        allocations_left = n;
        st = dlm_file_replace(ctx, path, "other", 5);
        CHECK(st == DLM_OK || st == DLM_ERR_MEMORY);
        CHECK(holds(path, st ? "kept" : "other"));
    }
    allocations_left = 1000000;
    CHECK_INT(count_names(folder), 1);

    check_case("replace: no room"); /* as on a full disk: a write gives fewer bytes, then fails */
    struct rlimit old, small = {.rlim_cur = 1000};
    memset(text, 'x', sizeof(text));
    CHECK(!getrlimit(RLIMIT_FSIZE, &old));
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    fflush(stdout);
    CHECK(!setrlimit(RLIMIT_FSIZE, &small));
    st = dlm_file_replace(ctx, path, text, sizeof(text));
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(st == DLM_ERR_IO && last_error_names(path) && last_error_names(strerror(EFBIG)));
    CHECK(holds(path, "other"));
    CHECK_INT(count_names(folder), 1);

    check_case("replace: a folder is there");
    CHECK(!dlm_dir_make(ctx, tmp_path("replace/folder/inner")));
    CHECK(dlm_file_replace(ctx, tmp_path("replace/folder"), "x", 1) == DLM_ERR_IO);
    CHECK(dlm_path_is_dir(tmp_path("replace/folder/inner")));
    CHECK_INT(count_names(folder), 2);

    check_case("replace: no folder");
    CHECK(dlm_file_replace(ctx, tmp_path("nowhere/file"), "x", 1) == DLM_ERR_IO);
    CHECK(last_error_names("nowhere/file"));

    check_case("replace: a link stays, its target is replaced");
    CHECK(!dlm_dir_make(ctx, tmp_path("elsewhere")));
    CHECK(put_file(tmp_path("elsewhere/target"), "target", 6));
    CHECK(!symlink("elsewhere/target", tmp_path("link")));
    CHECK(!symlink("link", tmp_path("second")));
    CHECK(!dlm_file_replace(ctx, tmp_path("second"), "new", 3));
    CHECK(holds(tmp_path("elsewhere/target"), "new") && is_link("link") && is_link("second"));
    CHECK_INT(count_names(tmp_path("elsewhere")), 1);
}

/* As a pipe, so a device: no test touches one. */
static void test_special(void)
{
    struct dlm_outfile out = {0};

    check_case("replace: a pipe is not replaced, nor what a link to it names");
    CHECK(!mkfifo(tmp_path("pipe"), 0600));
    CHECK(!symlink("pipe", tmp_path("to-pipe")));
    CHECK(!symlink("nowhere-at-all", tmp_path("dangling")));
    const size_t num = count_names(tmp_root);
    static const char *const names[] = {"pipe", "to-pipe"};
    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++) {
        CHECK_INT(dlm_file_replace(ctx, tmp_path(names[i]), "x", 1), DLM_ERR_IO);
        CHECK(last_error_names(names[i]) && last_error_names("not a regular file"));
        CHECK_INT(dlm_outfile_open(ctx, &out, tmp_path(names[i])), DLM_ERR_IO);
        CHECK(last_error_names(names[i]) && last_error_names("not a regular file"));
        dlm_outfile_finish(&out);
    }
    CHECK_INT(dlm_file_replace(ctx, tmp_path("dangling"), "x", 1), DLM_ERR_IO);
    CHECK(last_error_names("dangling") && last_error_names(strerror(ENOENT)));
    struct stat sb;
    CHECK(!lstat(tmp_path("pipe"), &sb) && S_ISFIFO(sb.st_mode));
    CHECK(is_link("to-pipe") && is_link("dangling"));
    CHECK_INT(count_names(tmp_root), num);

    check_case("outfile: a link stays, its target is replaced");
    CHECK(!dlm_outfile_open(ctx, &out, tmp_path("second")));
    CHECK(!dlm_outfile_write(ctx, &out, "streamed", 8));
    CHECK(!dlm_outfile_commit(ctx, &out));
    dlm_outfile_finish(&out);
    CHECK(holds(tmp_path("elsewhere/target"), "streamed") && is_link("second"));
}

static void test_reading(void)
{
    struct dlm_str text = {0};
    struct dlm_map map;

    check_case("read");
    CHECK(put_file(tmp_path("ten"), "0123456789", 10));
    CHECK(!dlm_file_read(ctx, tmp_path("ten"), 10, &text));
    CHECK(text.len == 10 && !strcmp(dlm_str_text(&text), "0123456789"));
    dlm_str_finish(&text);
    CHECK(dlm_file_read(ctx, tmp_path("ten"), 9, &text) == DLM_ERR_INVALID);
    CHECK(last_error_names("ten") && last_error_names("9 bytes"));
    dlm_str_finish(&text);
    CHECK(dlm_file_read(ctx, tmp_path("missing"), 9, &text) == DLM_ERR_IO);
    CHECK(dlm_file_read(ctx, tmp_root, 9, &text) == DLM_ERR_IO);
    CHECK(last_error_names("not a regular file"));
    CHECK(!mkfifo(tmp_path("fifo"), 0600)); /* must not wait for a writer */
    CHECK(dlm_file_read(ctx, tmp_path("fifo"), 9, &text) == DLM_ERR_IO);
    dlm_str_finish(&text);

    check_case("map");
    CHECK(!dlm_map_open(ctx, &map, tmp_path("ten")));
    CHECK(map.bytes == 10 && !memcmp(map.data, "0123456789", 10));
    dlm_map_drop(&map, 0, 10);
    dlm_map_drop(&map, 5, SIZE_MAX - 4);
    dlm_map_drop(&map, 11, 1);
    CHECK(map.data[9] == '9');
    dlm_map_close(&map);
    dlm_map_close(&map);
    CHECK(put_file(tmp_path("empty"), "", 0));
    CHECK(!dlm_map_open(ctx, &map, tmp_path("empty")));
    CHECK(!map.data && !map.bytes);
    dlm_map_close(&map);
    CHECK(dlm_map_open(ctx, &map, tmp_path("missing")) == DLM_ERR_IO);
    CHECK(dlm_map_open(ctx, &map, tmp_root) == DLM_ERR_IO);
    CHECK(!map.data);
}

static void test_folders(void)
{
    char **names = NULL;

    check_case("folders");
    CHECK(!dlm_dir_make(ctx, tmp_path("a//b/c/")));
    CHECK(!dlm_dir_make(ctx, tmp_path("a/b/c")));
    CHECK(dlm_path_is_dir(tmp_path("a/b/c")) && !dlm_path_is_file(tmp_path("a/b/c")));
    CHECK(put_file(tmp_path("a/f"), "x", 1));
    CHECK(dlm_dir_make(ctx, tmp_path("a/f")) == DLM_ERR_IO);
    CHECK(dlm_dir_make(ctx, tmp_path("a/f/g")) == DLM_ERR_IO);
    CHECK(dlm_dir_make(ctx, "") == DLM_ERR_IO);
    CHECK(put_file(tmp_path("a/Z"), "x", 1) && put_file(tmp_path("a/\xc3\xa4"), "x", 1));
    CHECK(!dlm_dir_list(ctx, tmp_path("a"), &names));
    if (CHECK(names && names[0] && names[1] && names[2] && names[3] && !names[4])) {
        CHECK_STR(names[0], "Z"); /* by bytes */
        CHECK_STR(names[1], "b");
        CHECK_STR(names[2], "f");
        CHECK_STR(names[3], "\xc3\xa4");
    }
    dlm_names_free(names);
    CHECK(!dlm_dir_list(ctx, tmp_path("a/b/c"), &names) && names && !names[0]);
    dlm_names_free(names);
    CHECK(dlm_dir_list(ctx, tmp_path("a/f"), &names) == DLM_ERR_IO && !names);
    CHECK(!dlm_dir_sync(ctx, tmp_path("a")));
    CHECK(dlm_dir_sync(ctx, tmp_path("a/f")) == DLM_ERR_IO);

    check_case("removal does not follow links");
    CHECK(!dlm_dir_make(ctx, tmp_path("outside")) && put_file(tmp_path("outside/kept"), "x", 1));
    CHECK(!symlink(tmp_path("outside"), tmp_path("a/b/link")));
    CHECK(!dlm_path_remove(ctx, tmp_path("a")));
    CHECK(!dlm_path_is_dir(tmp_path("a")) && dlm_path_is_file(tmp_path("outside/kept")));
    CHECK(!dlm_path_remove(ctx, tmp_path("a")));

    check_case("paths");
    static const char *const rows[][3] = {{"a/b", "a", "b"}, {"/b", "/", "b"}, {"b", ".", "b"},
                                          {"/a/b/", "/a/b", ""}, {"a//b", "a/", "b"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *dir = dlm_path_dirname(ctx, rows[i][0]);
        CHECK_STR(dir, rows[i][1]);
        CHECK_STR(dlm_path_basename(rows[i][0]), rows[i][2]);
        dlm_free(dir);
    }
    char *a = dlm_path_join(ctx, "a", "b"), *b = dlm_path_join(ctx, "a/", "b");
    CHECK_STR(a, "a/b");
    CHECK_STR(b, "a/b");
    dlm_free(a);
    dlm_free(b);
}

static void put_json(const char *text)
{
    CHECK(put_file(tmp_path("x.json"), text, strlen(text)));
}

static void test_json(void)
{
    json_t *json = NULL;
    int64_t n = 7;
    double x = 0.5;
    bool b = true;
    const char *s = "default";

    check_case("JSON members");
    put_json("{\"i\": 3, \"whole\": 4.0, \"x\": 1.5, \"huge\": 1e300, \"b\": false, \"s\": \"t\", "
             "\"null\": null, \"list\": []}");
    CHECK(!dlm_json_load(ctx, tmp_path("x.json"), 1000, &json));
    CHECK(!dlm_json_int(ctx, json, "w", "missing", 0, 9, &n) && n == 7);
    CHECK(!dlm_json_int(ctx, json, "w", "null", 0, 9, &n) && n == 7);
    CHECK(!dlm_json_int(ctx, json, "w", "i", 0, 9, &n) && n == 3);
    CHECK(!dlm_json_int(ctx, json, "w", "whole", 0, 9, &n) && n == 4);
    CHECK(dlm_json_int(ctx, json, "w", "i", 4, 9, &n) == DLM_ERR_PARSE && n == 4);
    CHECK(last_error_names("'w'") && last_error_names("'i'") && last_error_names("4..9"));
    CHECK(dlm_json_int(ctx, json, "w", "i", 0, 2, &n) == DLM_ERR_PARSE);
    CHECK(dlm_json_int(ctx, json, "w", "x", 0, 9, &n) == DLM_ERR_PARSE);
    CHECK(dlm_json_int(ctx, json, "w", "huge", 0, INT64_MAX, &n) == DLM_ERR_PARSE);
    CHECK(dlm_json_int(ctx, json, "w", "s", 0, 9, &n) == DLM_ERR_PARSE);
    CHECK(!dlm_json_number(ctx, json, "w", "null", &x) && x == 0.5);
    CHECK(!dlm_json_number(ctx, json, "w", "i", &x) && x == 3);
    CHECK(!dlm_json_number(ctx, json, "w", "x", &x) && x == 1.5);
    CHECK(dlm_json_number(ctx, json, "w", "b", &x) == DLM_ERR_PARSE);
    CHECK(!dlm_json_bool(ctx, json, "w", "missing", &b) && b);
    CHECK(!dlm_json_bool(ctx, json, "w", "b", &b) && !b);
    CHECK(dlm_json_bool(ctx, json, "w", "i", &b) == DLM_ERR_PARSE);
    CHECK(!dlm_json_string(ctx, json, "w", "null", &s) && !strcmp(s, "default"));
    CHECK(!dlm_json_string(ctx, json, "w", "s", &s) && !strcmp(s, "t"));
    CHECK(dlm_json_string(ctx, json, "w", "list", &s) == DLM_ERR_PARSE);
    json_decref(json);

    check_case("JSON files");
    put_json("{\"a\": 1,\n \"a\": 2}");
    CHECK(dlm_json_load(ctx, tmp_path("x.json"), 1000, &json) == DLM_ERR_PARSE && !json);
    CHECK(last_error_names("x.json") && last_error_names("line 2"));
    put_json("{\"a\": ");
    CHECK(dlm_json_load(ctx, tmp_path("x.json"), 1000, &json) == DLM_ERR_PARSE && !json);
    put_json("");
    CHECK(dlm_json_load(ctx, tmp_path("x.json"), 1000, &json) == DLM_ERR_PARSE && !json);
    CHECK(dlm_json_load(ctx, tmp_path("missing"), 1000, &json) == DLM_ERR_IO && !json);
    json = json_pack("{s:s,s:[i,f],s:{}}", "z", "\xc3\xa4\"", "a", 1, 0.5, "m");
    CHECK(!dlm_json_replace(ctx, tmp_path("x.json"), json));
    json_decref(json);
    CHECK(holds(tmp_path("x.json"), "{\n  \"a\": [\n    1,\n    0.5\n  ],\n  \"m\": {},\n"
                                    "  \"z\": \"\xc3\xa4\\\"\"\n}\n"));
}

int main(void)
{
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.alloc_hook = may_allocate});
    tmp_make();
    test_replace();
    test_special();
    test_reading();
    test_folders();
    test_json();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
