/* The listing of a repository, and the choice among its files. */
#include "hub/listing.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry/base_files.h"

/* No file of the hub is as large; sums of sizes stay far from overflow. */
#define MAX_FILE_BYTES ((int64_t)1 << 44)

bool dlm_hub_is_hex(const char *text, size_t len)
{
    return text && strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

/* Sets the hash: SHA-256 of a file that lies outside of git, else git's own. */
static enum dlm_status read_hash(struct dlm_ctx *ctx, struct dlm_hub_file *file, const char *where,
                                 const json_t *entry)
{
    const json_t *lfs = json_object_get(entry, "lfs");
    const char *hash = NULL;

    file->is_sha256 = json_is_object(lfs);
    enum dlm_status st = file->is_sha256
                             ? dlm_json_string(ctx, lfs, where, "sha256", &hash)
                             : dlm_json_string(ctx, entry, where, "blobId", &hash);
    if (st)
        return st;
    if (!dlm_hub_is_hex(hash, file->is_sha256 ? 64 : 40))
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' has no hash", where,
                        file->name);
    memcpy(file->hash, hash, strlen(hash) + 1);
    return DLM_OK;
}

static enum dlm_status add(struct dlm_ctx *ctx, struct dlm_hub_listing *listing, const char *where,
                           const json_t *entry, const char *name)
{
    int64_t bytes = -1;

    if (!dlm_grow(ctx, &listing->files, &listing->cap, listing->len, sizeof(*listing->files)))
        return DLM_ERR_MEMORY;
    struct dlm_hub_file *file = &listing->files[listing->len];
    *file = (struct dlm_hub_file){.name = dlm_strdup(ctx, name)};
    if (!file->name)
        return DLM_ERR_MEMORY;
    listing->len++;
    enum dlm_status st = dlm_json_int(ctx, entry, where, "size", 0, MAX_FILE_BYTES, &bytes);
    if (!st && bytes < 0)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' has no size", where, name);
    if (!st)
        st = read_hash(ctx, file, where, entry);
    if (!st) {
        file->bytes = (uint64_t)bytes;
        listing->bytes += file->bytes;
    }
    return st;
}

static enum dlm_status read_files(struct dlm_ctx *ctx, struct dlm_hub_listing *listing,
                                  const char *where, const json_t *siblings)
{
    enum dlm_status st = DLM_OK;
    const json_t *entry;
    size_t i;

    json_array_foreach(siblings, i, entry) {
        const char *name = json_string_value(json_object_get(entry, "rfilename"));
        if (name && dlm_base_file_of(name))
            st = add(ctx, listing, where, entry, name);
        if (st)
            return st;
    }
    return DLM_OK;
}

static enum dlm_status read_listing(struct dlm_ctx *ctx, struct dlm_hub_listing *listing,
                                    const char *where, const json_t *root)
{
    const char *commit = json_string_value(json_object_get(root, "sha"));
    const json_t *siblings = json_object_get(root, "siblings");

    if (!dlm_hub_is_hex(commit, 40) || !json_is_array(siblings))
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': no commit or no files are in it",
                        where);
    memcpy(listing->commit, commit, sizeof(listing->commit));
    return read_files(ctx, listing, where, siblings);
}

/* Is a base in it? Moves config.json to the end. */
static enum dlm_status check(struct dlm_ctx *ctx, struct dlm_hub_listing *listing, const char *id)
{
    bool has_weights = false;
    size_t config = listing->len;

    for (size_t i = 0; i < listing->len; i++) {
        if (dlm_base_file_of(listing->files[i].name) == DLM_BASE_FILE_WEIGHTS)
            has_weights = true;
        if (!strcmp(listing->files[i].name, "config.json"))
            config = i;
    }
    if (config == listing->len || !has_weights)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot fetch '%s': it holds no %s", id,
                        has_weights ? "config.json" : "weights as model*.safetensors");
    const struct dlm_hub_file last = listing->files[config];
    memmove(&listing->files[config], &listing->files[config + 1],
            (listing->len - config - 1) * sizeof(last));
    listing->files[listing->len - 1] = last;
    return DLM_OK;
}

enum dlm_status dlm_hub_listing_parse(struct dlm_ctx *ctx, struct dlm_hub_listing *listing,
                                      const char *id, const char *text, size_t len)
{
    json_t *root = NULL;

    *listing = (struct dlm_hub_listing){0};
    char *where = dlm_strf(ctx, "listing of %s", id);
    enum dlm_status st = where ? dlm_json_parse(ctx, where, text, len, &root) : DLM_ERR_MEMORY;
    if (!st)
        st = read_listing(ctx, listing, where, root);
    if (!st)
        st = check(ctx, listing, id);
    if (st)
        dlm_hub_listing_finish(listing);
    json_decref(root);
    dlm_free(where);
    return st;
}

void dlm_hub_listing_finish(struct dlm_hub_listing *listing)
{
    for (size_t i = 0; i < listing->len; i++)
        dlm_free(listing->files[i].name);
    dlm_free(listing->files);
    *listing = (struct dlm_hub_listing){0};
}
