/* The listing of a repository, and the choice among its files. */
#include "hub/listing.h"

#include <fnmatch.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

/* No file of the hub is as large; sums of sizes stay far from overflow. */
#define MAX_FILE_BYTES ((int64_t)1 << 44)

/* What a base is made of besides its weights. */
static const char *const wanted[] = {
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "tekken.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "LICEN[CS]E*",
    "NOTICE*",
    "USE_POLICY*",
};

/* The names under which weights are looked for. Another form of them beside these (Mistral's
 * consolidated.safetensors, a variant in another type) is left where it is. */
static const char *const weights[] = {
    "model.safetensors",
    "model-[0-9]*-of-[0-9]*.safetensors",
};

static bool matches(const char *const *patterns, size_t num, const char *name)
{
    if (strchr(name, '/'))
        return false;
    for (size_t i = 0; i < num; i++)
        if (!fnmatch(patterns[i], name, 0))
            return true;
    return false;
}

static bool is_weights(const char *name)
{
    return matches(weights, DLM_ARRAY_LEN(weights), name);
}

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
        if (name && (is_weights(name) || matches(wanted, DLM_ARRAY_LEN(wanted), name)))
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
        has_weights = has_weights || is_weights(listing->files[i].name);
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
