/* Bases fetched from the Hugging Face hub. */
#ifndef DLM_PULL_H
#define DLM_PULL_H

#include <stddef.h>
#include <stdint.h>

#include "dlm/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dlm_pull_progress {
    size_t num_files, files_done;
    uint64_t bytes, bytes_done; /* of all files; what lies in the cache counts as done */
    double bytes_per_sec;       /* from the network, of late */
};

/* A params struct that is all zero but for base means the defaults. Borrows everything until
 * return. */
struct dlm_pull_params {
    const char *base;     /* a key of the registry, or hf:org/name */
    const char *revision; /* branch, tag or commit; NULL: what the registry pins, else main */
    int jobs;             /* files at once; 0: 4 */
    int retries;          /* of a file, in a row, before it is given up; -1: none; 0: 5 */
    int stall_seconds;    /* of less than 1 kB/s, after which a connection is given up; 0: 30 */
    /* Called some 10 times a second from the thread of the call. NULL: no one. */
    void (*progress)(void *user, const struct dlm_pull_progress *now);
    void *user;
};

/* Strings are owned: dlm_pull_result_finish(). */
struct dlm_pull_result {
    char *dir;    /* the base's folder: a snapshot in the hub's cache */
    char *commit; /* 40 hex digits */
    size_t num_files;
    uint64_t bytes;   /* of the files */
    uint64_t missing; /* of them, what was not in the cache before */
};

/* Fetches the files that a base needs (weights as safetensors, configurations, tokenizer, licence)
 * into the cache of the hub (HF_HUB_CACHE, else HF_HOME/hub) as huggingface_hub does, from
 * HF_ENDPOINT with the token of HF_TOKEN or of its login. Each file is checked against its hash,
 * and the snapshot appears when all are there. What is interrupted, or killed, goes on where it
 * was. With HF_HUB_OFFLINE the hub is not asked: the revision's snapshot is in the cache, or
 * DLM_ERR_IO. DLM_ERR_IO: the hub refuses or cannot be reached, or the disk is full; DLM_ERR_PARSE:
 * a file has the wrong hash; DLM_ERR_UNSUPPORTED: the build has no libcurl, or there is no base. */
DLM_API enum dlm_status dlm_pull(struct dlm_ctx *ctx, const struct dlm_pull_params *params,
                                 struct dlm_pull_result *result) DLM_CHECK_RESULT;
DLM_API void dlm_pull_result_finish(struct dlm_pull_result *result);

#ifdef __cplusplus
}
#endif

#endif
