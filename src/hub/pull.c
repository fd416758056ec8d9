/* A base fetched: listing, room on the disk, blobs, snapshot. */
#include "hub/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "hub/fetch.h"
#include "hub/snapshot.h"
#include "registry/base_files.h"

#define MAX_LISTING_BYTES ((size_t)16 << 20)
#define USUAL_JOBS 4
#define USUAL_RETRIES 5
#define USUAL_STALL_SECONDS 30

struct pull {
    struct dlm_ctx *ctx;
    const struct dlm_pull_params *params;
    const char *id, *revision;
    struct dlm_hub_site site;
    struct dlm_hub_listing listing;
    struct dlm_hub_cache cache;
    struct dlm_hub_blob *blobs; /* no two with one hash */
    struct dlm_hub_item *items; /* one a blob; its url is owned */
    size_t num_blobs;
    uint64_t missing; /* bytes to fetch, files of one hash once */
    uint64_t twice;   /* bytes of files whose hash another has */
    struct dlm_hub_fetch_params fetch;
};

static void on_progress(void *user, const struct dlm_hub_state *state)
{
    const struct pull *p = user;
    const struct dlm_pull_progress now = {
        .num_files = p->listing.len,
        .files_done = state->num_placed + p->listing.len - p->num_blobs,
        .bytes = p->listing.bytes,
        .bytes_done = state->bytes + p->twice,
        .bytes_per_sec = state->bytes_per_sec,
    };

    p->params->progress(p->params->user, &now);
}

static enum dlm_status fetch_listing(struct pull *p)
{
    struct dlm_str text = {0};
    char *url = dlm_hub_listing_url(p->ctx, &p->site, p->id, p->revision);
    const struct dlm_hub_item item = {
        .name = p->id, .url = url, .text = &text, .max_text = MAX_LISTING_BYTES};

    enum dlm_status st = url ? dlm_hub_fetch(p->ctx, &p->fetch, &item, 1) : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_hub_listing_parse(p->ctx, &p->listing, p->id, dlm_str_text(&text), text.len);
    if (!st && dlm_hub_is_hex(p->revision, 40) && strcmp(p->revision, p->listing.commit))
        st = dlm_fail(p->ctx, DLM_ERR_PARSE,
                      "cannot fetch '%s': the hub answers for commit %s, not %s", p->id,
                      p->listing.commit, p->revision);
    dlm_str_finish(&text);
    dlm_free(url);
    return st;
}

/* Files of the same bytes (two names of one licence) have one blob. */
static bool has_blob(const struct pull *p, const struct dlm_hub_file *file)
{
    for (size_t i = 0; i < p->num_blobs; i++)
        if (!strcmp(p->blobs[i].file->hash, file->hash))
            return true;
    return false;
}

static enum dlm_status list_blobs(struct pull *p)
{
    enum dlm_status st = DLM_OK;

    p->blobs = dlm_alloc_array(p->ctx, p->listing.len, sizeof(*p->blobs));
    p->items = dlm_alloc_array(p->ctx, p->listing.len, sizeof(*p->items));
    if (!p->blobs || !p->items)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < p->listing.len; i++) {
        const struct dlm_hub_file *file = &p->listing.files[i];
        if (has_blob(p, file)) {
            p->twice += file->bytes;
            continue;
        }
        struct dlm_hub_blob *blob = &p->blobs[p->num_blobs];
        struct dlm_hub_item *item = &p->items[p->num_blobs++];
        item->name = file->name;
        item->blob = blob;
        item->url = dlm_hub_file_url(p->ctx, &p->site, p->id, p->listing.commit, file->name);
        st = dlm_hub_blob_init(p->ctx, blob, &p->cache, file);
        if (!item->url)
            st = DLM_ERR_MEMORY;
        if (!st)
            p->missing += dlm_hub_blob_missing(blob);
    }
    return st;
}

static enum dlm_status check_room(struct pull *p)
{
    char need[32], have[32];
    uint64_t room;

    enum dlm_status st = dlm_path_free_bytes(p->ctx, p->cache.repo, &room);
    if (st || p->missing < room)
        return st;
    dlm_size_text(p->missing, need, sizeof(need));
    dlm_size_text(room, have, sizeof(have));
    (void)dlm_fail(p->ctx, DLM_ERR_IO, "cannot fetch '%s': %s are missing, %s are free in '%s'",
                   p->id, need, have, p->cache.repo);
    dlm_log(p->ctx, DLM_LOG_HINT, "HF_HUB_CACHE names another folder for the cache");
    return DLM_ERR_IO;
}

static enum dlm_status place(struct pull *p, struct dlm_pull_result *result)
{
    const bool is_commit = dlm_hub_is_hex(p->revision, 40);

    result->commit = dlm_strdup(p->ctx, p->listing.commit);
    if (!result->commit)
        return DLM_ERR_MEMORY;
    result->num_files = p->listing.len;
    result->bytes = p->listing.bytes;
    result->missing = p->missing;
    return dlm_hub_snapshot_place(p->ctx, &p->cache, &p->listing, is_commit ? NULL : p->revision,
                                  &result->dir);
}

static void finish(struct pull *p)
{
    for (size_t i = 0; i < p->num_blobs; i++) {
        dlm_hub_blob_finish(&p->blobs[i]);
        dlm_free((char *)(uintptr_t)p->items[i].url);
    }
    dlm_free(p->blobs);
    dlm_free(p->items);
    dlm_hub_cache_finish(&p->cache);
    dlm_hub_listing_finish(&p->listing);
    dlm_hub_site_finish(&p->site);
}

static void set_up_fetch(struct pull *p, const struct dlm_base *base)
{
    const struct dlm_pull_params *params = p->params;

    p->fetch = (struct dlm_hub_fetch_params){
        .site = &p->site,
        .who = {.id = p->id,
                .revision = p->revision,
                .is_gated = base->gated,
                .license_url = base->row ? base->row->license_url : NULL},
        .jobs = params->jobs ? params->jobs : USUAL_JOBS,
        .retries = params->retries < 0 ? 0 : params->retries ? params->retries : USUAL_RETRIES,
        .stall_seconds = params->stall_seconds ? params->stall_seconds : USUAL_STALL_SECONDS,
    };
}

/* The commit that a revision names in the cache, owned; NULL: none there, or no memory. */
static char *find_commit(struct pull *p, const char *repo)
{
    struct dlm_str text = {0};
    char *path = NULL, *commit = NULL;

    if (dlm_hub_is_hex(p->revision, 40))
        return dlm_strdup(p->ctx, p->revision);
    path = dlm_strf(p->ctx, "%s/refs/%s", repo, p->revision);
    if (path && dlm_path_is_file(path) && !dlm_file_read(p->ctx, path, 64, &text) &&
        dlm_hub_is_hex(dlm_str_text(&text), 40))
        commit = dlm_strdup(p->ctx, text.data);
    dlm_str_finish(&text);
    dlm_free(path);
    return commit;
}

/* What is in the cache, without a word to the hub: the snapshot of the revision, if it is there. */
static enum dlm_status find_offline(struct pull *p, struct dlm_pull_result *result)
{
    char *root = dlm_hub_cache_dir(p->ctx);
    char *repo = root ? dlm_hub_repo_dir(p->ctx, root, p->id) : NULL;
    enum dlm_status st = DLM_OK;
    struct dlm_base_content content = {0};

    result->commit = repo ? find_commit(p, repo) : NULL;
    if (result->commit)
        result->dir = dlm_strf(p->ctx, "%s/snapshots/%s", repo, result->commit);
    if (result->dir)
        st = dlm_base_look(p->ctx, result->dir, &content);
    result->num_files = content.num_files;
    if (!st && !dlm_base_is_whole(&content)) {
        st = dlm_fail(p->ctx, DLM_ERR_IO, "cannot fetch '%s': HF_HUB_OFFLINE is set, and revision "
                      "'%.40s' is not in the cache%s", p->id, p->revision,
                      result->num_files ? " with all its files" : "");
        dlm_log(p->ctx, DLM_LOG_HINT, "HF_HUB_OFFLINE=0 lets it be fetched");
    }
    if (!st)
        st = dlm_path_bytes(p->ctx, result->dir, true, &result->bytes);
    if (!st)
        dlm_log(p->ctx, DLM_LOG_INFO, "HF_HUB_OFFLINE is set: the hub was not asked");
    dlm_free(repo);
    dlm_free(root);
    return st;
}

enum dlm_status dlm_hub_pull(struct dlm_ctx *ctx, const struct dlm_base *base,
                             const struct dlm_pull_params *params, struct dlm_pull_result *result)
{
    struct pull p = {.ctx = ctx, .params = params, .id = base->hf_id};

    p.revision = params->revision ? params->revision : base->revision ? base->revision : "main";
    if (!dlm_hub_is_revision(p.revision))
        return dlm_fail(ctx, DLM_ERR_INVALID, "'%s' is not a revision", p.revision);
    if (dlm_hub_is_offline())
        return find_offline(&p, result);
    set_up_fetch(&p, base);
    enum dlm_status st = dlm_hub_site_init(ctx, &p.site);
    if (!st)
        st = fetch_listing(&p);
    if (!st)
        st = dlm_hub_cache_open(ctx, &p.cache, p.id);
    if (!st)
        st = list_blobs(&p);
    if (!st)
        st = check_room(&p);
    if (params->progress) {
        p.fetch.progress = on_progress;
        p.fetch.user = &p;
    }
    if (!st)
        st = dlm_hub_fetch(ctx, &p.fetch, p.items, p.num_blobs);
    if (!st)
        st = place(&p, result);
    if (st == DLM_ERR_CANCELLED && p.num_blobs)
        (void)dlm_fail(ctx, st, "interrupted; what has come is kept, and the same command goes on");
    else if (st == DLM_ERR_CANCELLED)
        (void)dlm_fail(ctx, st, "interrupted");
    finish(&p);
    return st;
}
