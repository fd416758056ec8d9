/* A file of the hub on its way into the cache: <repo>/blobs/<hash>.incomplete under the lock
 * .locks/<repo>/<hash>.lock, both as huggingface_hub names them, until its bytes have the hash and
 * it becomes blobs/<hash>. A process that dies leaves a beginning of the file, from which the next
 * one goes on. */
#ifndef DLM_HUB_BLOB_H
#define DLM_HUB_BLOB_H

#include "base/sha1.h"
#include "base/sha256.h"
#include "hub/listing.h"

/* The folders of a repository in the cache; strings are owned. All zero is empty. */
struct dlm_hub_cache {
    char *repo;  /* <cache>/models--org--name, with blobs, refs, snapshots */
    char *locks; /* <cache>/.locks/models--org--name */
};

/* Names the folders and makes those that are not there. */
enum dlm_status dlm_hub_cache_open(struct dlm_ctx *ctx, struct dlm_hub_cache *cache,
                                   const char *id) DLM_CHECK_RESULT;
void dlm_hub_cache_finish(struct dlm_hub_cache *cache);

/* Takes the lock <locks>/<name>.lock. *fd is -1 if another process holds it, or if the file system
 * has no locks, which is warned of and no failure (*is_busy tells). Release with close(). */
enum dlm_status dlm_hub_lock(struct dlm_ctx *ctx, const struct dlm_hub_cache *cache,
                             const char *name, int *fd, bool *is_busy) DLM_CHECK_RESULT;

struct dlm_hub_blob {
    const struct dlm_hub_file *file;   /* borrowed */
    const struct dlm_hub_cache *cache; /* borrowed */
    char *path, *partial;              /* owned */
    int lock_fd, fd;                   /* -1: not open */
    uint64_t len;    /* bytes in the partial file */
    uint64_t hashed; /* of them, in the state below; append needs all */
    struct dlm_sha1 sha1;
    struct dlm_sha256 sha256;
    bool is_joined; /* the beginning is of an earlier attempt */
    bool is_placed;
};

enum dlm_status dlm_hub_blob_init(struct dlm_ctx *ctx, struct dlm_hub_blob *blob,
                                  const struct dlm_hub_cache *cache,
                                  const struct dlm_hub_file *file) DLM_CHECK_RESULT;

/* Closes and unlocks; a beginning stays. */
void dlm_hub_blob_finish(struct dlm_hub_blob *blob);

/* Bytes of the file that are not in the cache yet. */
uint64_t dlm_hub_blob_missing(const struct dlm_hub_blob *blob);

/* Locks and opens it; is_placed where it is in the cache already. *is_busy: another process fetches
 * it. */
enum dlm_status dlm_hub_blob_open(struct dlm_ctx *ctx, struct dlm_hub_blob *blob,
                                  bool *is_busy) DLM_CHECK_RESULT;

/* Hashes a slice of what the partial file held when it was opened, until hashed is len. */
enum dlm_status dlm_hub_blob_hash_some(struct dlm_ctx *ctx,
                                       struct dlm_hub_blob *blob) DLM_CHECK_RESULT;

/* At most file->bytes - len bytes more. */
enum dlm_status dlm_hub_blob_append(struct dlm_ctx *ctx, struct dlm_hub_blob *blob,
                                    const void *data, size_t bytes) DLM_CHECK_RESULT;

/* Throws away what is there. */
enum dlm_status dlm_hub_blob_restart(struct dlm_ctx *ctx,
                                     struct dlm_hub_blob *blob) DLM_CHECK_RESULT;

/* All bytes are there: checks the hash, syncs, and gives the blob its name. With a wrong hash
 * nothing is placed, the bytes are thrown away, and is_placed stays false: if an earlier attempt's
 * bytes were among them it is worth another one, else DLM_ERR_PARSE names both hashes. */
enum dlm_status dlm_hub_blob_place(struct dlm_ctx *ctx, struct dlm_hub_blob *blob) DLM_CHECK_RESULT;

#endif
