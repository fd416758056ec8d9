/* Every allocation on a file's way into the cache fails once: nothing leaks, nothing that is not
 * whole gets a name, and the next try, with memory, ends the work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "hub/site.h"
#include "hub/snapshot.h"
#include "tests/check.h"
#include "tests/countdown.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
/* as git hash-object and sha256sum give them of "hello" */
#define GIT "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
#define SHA "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static const char listing_text[] =
    "{\"sha\": \"" COMMIT "\", \"siblings\": ["
    "{\"rfilename\": \"config.json\", \"size\": 5, \"blobId\": \"" GIT "\"},"
    "{\"rfilename\": \"model.safetensors\", \"size\": 5, \"blobId\": \"" GIT "\","
    " \"lfs\": {\"sha256\": \"" SHA "\", \"size\": 5}}]}";

static enum dlm_status fetch(struct dlm_ctx *ctx, const struct dlm_hub_cache *cache,
                             const struct dlm_hub_file *file)
{
    struct dlm_hub_blob blob;
    bool is_busy = false;

    enum dlm_status st = dlm_hub_blob_init(ctx, &blob, cache, file);
    if (!st)
        st = dlm_hub_blob_open(ctx, &blob, &is_busy);
    CHECK(!is_busy);
    while (!st && !blob.is_placed && blob.hashed < blob.len)
        st = dlm_hub_blob_hash_some(ctx, &blob);
    if (!st && !blob.is_placed && blob.len < 5)
        st = dlm_hub_blob_append(ctx, &blob, "hello" + blob.len, 5 - (size_t)blob.len);
    if (!st && !blob.is_placed)
        st = dlm_hub_blob_place(ctx, &blob);
    dlm_hub_blob_finish(&blob);
    return st;
}

static enum dlm_status ask(struct dlm_ctx *ctx)
{
    struct dlm_hub_site site = {0};
    char *urls[2] = {NULL};

    enum dlm_status st = dlm_hub_site_init(ctx, &site);
    if (!st)
        urls[0] = dlm_hub_listing_url(ctx, &site, "me/base", "a b");
    if (urls[0])
        urls[1] = dlm_hub_file_url(ctx, &site, "me/base", COMMIT, "a/b c");
    if (!st && !urls[1])
        st = DLM_ERR_MEMORY;
    if (!st)
        CHECK_STR(urls[1], "http://hub/me/base/resolve/" COMMIT "/a%2Fb%20c");
    dlm_free(urls[0]);
    dlm_free(urls[1]);
    dlm_hub_site_finish(&site);
    return st;
}

static enum dlm_status pull(struct dlm_ctx *ctx)
{
    struct dlm_hub_listing listing = {0};
    struct dlm_hub_cache cache = {0};
    char *dir = NULL;

    enum dlm_status st = ask(ctx);
    if (!st)
        st = dlm_hub_listing_parse(ctx, &listing, "me/base", listing_text,
                                   sizeof(listing_text) - 1);
    if (!st)
        st = dlm_hub_cache_open(ctx, &cache, "me/base");
    for (size_t i = 0; !st && i < listing.len; i++)
        st = fetch(ctx, &cache, &listing.files[i]);
    if (!st)
        st = dlm_hub_snapshot_place(ctx, &cache, &listing, "main", &dir);
    dlm_free(dir);
    dlm_hub_cache_finish(&cache);
    dlm_hub_listing_finish(&listing);
    return st;
}

static bool holds_hello(const char *folder, const char *name)
{
    char path[1024], text[8] = "";

    snprintf(path, sizeof(path), "%s/models--me--base/%s", folder, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    const size_t len = fread(text, 1, sizeof(text), f);
    fclose(f);
    return len == 5 && !memcmp(text, "hello", 5);
}

int main(void)
{
    char folder[] = "/tmp/dlm-hub-XXXXXX", snapshot[256];
    struct countdown left = {0};
    const struct dlm_ctx_params params = {.alloc_hook = allow, .alloc_user = &left};
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!CHECK(mkdtemp(folder)))
        return check_summary();
    snprintf(snapshot, sizeof(snapshot), "%s/models--me--base/snapshots/" COMMIT, folder);
    setenv("HF_HUB_CACHE", folder, 1);
    setenv("HF_TOKEN", " secret ", 1);
    setenv("HF_ENDPOINT", "http://hub/", 1);
    check_case("each allocation fails once");
    for (long n = 0; n < 1000 && st; n++) {
        left = (struct countdown){.left = 1000};
        struct dlm_ctx *ctx = dlm_ctx_create(&params);
        left = (struct countdown){.left = n};
        st = pull(ctx);
        CHECK(st == DLM_OK || (st == DLM_ERR_MEMORY && left.is_over));
        if (st) /* folders appear whole, and every file in them */
            CHECK(access(snapshot, F_OK) ||
                  (holds_hello(folder, "snapshots/" COMMIT "/config.json") &&
                   holds_hello(folder, "snapshots/" COMMIT "/model.safetensors")));
        dlm_ctx_destroy(&ctx);
    }
    CHECK_INT(st, DLM_OK);
    CHECK(left.is_over || left.left >= 0);
    CHECK(holds_hello(folder, "snapshots/" COMMIT "/config.json"));
    CHECK(holds_hello(folder, "blobs/" SHA));
    CHECK(holds_hello(folder, "blobs/" GIT));
    CHECK(!dlm_path_remove(NULL, folder));
    return check_summary();
}
