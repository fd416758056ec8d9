/* Pruning the caches: what is too old, then least recently used first, and nothing else. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "store_helpers.h"

#define DAY 86400
#define NOW (1000 * (time_t)DAY)

/* A file of 100 bytes below the store, last used so many days before NOW. */
static void put(const struct dlm_store *store, const char *name, int days)
{
    char text[100];
    const char *path = in_store(store, name);
    char *folder = dlm_path_dirname(ctx, path);
    const struct timespec then = {.tv_sec = NOW - days * (time_t)DAY};
    const struct timespec times[2] = {then, then};

    memset(text, 'x', sizeof(text));
    CHECK(folder && !dlm_dir_make(ctx, folder) && put_file(path, text, sizeof(text)));
    CHECK(!utimensat(AT_FDCWD, path, times, 0));
    dlm_free(folder);
}

static void prune(const struct dlm_store *store, uint64_t max_bytes, int64_t max_days)
{
    const struct dlm_cache_limits limits = {
        .max_bytes = max_bytes, .max_age = max_days * DAY, .now = NOW};
    CHECK(!dlm_store_prune_caches(ctx, store, &limits));
}

/* Exactly these of the files that a test has put there are left. */
static void expect(const struct dlm_store *store, const char *const *all, const char *left)
{
    for (; *all; all++) {
        bool is_left = strstr(left, strrchr(*all, '/')) != NULL;
        if (!CHECK_INT(dlm_path_is_file(in_store(store, *all)), is_left))
            printf("     %s\n", *all);
    }
}

int main(void)
{
    static const char *const all[] = {"vl-cache/00/a.npz", "vision-cache/00/b.safetensors",
                                      "vl-cache/11/c.npz", "vision-cache/22/d.safetensors", NULL};
    ctx = make_ctx();
    tmp_make();
    struct dlm_store *store = make_store("home");

    check_case("no cache yet");
    prune(store, 0, 1);

    check_case("all of it may stay");
    put(store, all[0], 40);
    put(store, all[1], 30);
    put(store, all[2], 20);
    put(store, all[3], 10);
    put(store, "blobs/00/e.png", 500);
    prune(store, 400, 40);
    expect(store, all, "/a.npz /b.safetensors /c.npz /d.safetensors");

    check_case("too old");
    prune(store, 400, 39);
    expect(store, all, "/b.safetensors /c.npz /d.safetensors");

    check_case("too large: the least recently used goes, of both caches");
    put(store, all[0], 15);
    prune(store, 399, 1000);
    expect(store, all, "/a.npz /c.npz /d.safetensors");
    prune(store, 200, 1000);
    expect(store, all, "/a.npz /d.safetensors");

    check_case("used is young");
    dlm_cache_touch(in_store(store, all[0]));
    prune(store, 100, 1000);
    expect(store, all, "/a.npz");
    dlm_cache_touch(in_store(store, "vl-cache/none"));

    check_case("by name where times are the same");
    put(store, all[1], 5);
    put(store, all[2], 5);
    put(store, all[0], 5);
    prune(store, 100, 1000);
    expect(store, all, "/c.npz"); /* vision-cache/ comes before vl-cache/ */

    check_case("a link is no cache file");
    CHECK(!symlink(in_store(store, "blobs"), in_store(store, "vl-cache/link")));
    prune(store, 0, 1000);
    expect(store, all, "");
    CHECK(dlm_path_is_file(in_store(store, "blobs/00/e.png")));

    dlm_store_close(&store);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
