/* What a repository of the hub holds at a revision, and which of its files a base needs. Knows no
 * network: the text comes from elsewhere. */
#ifndef DLM_HUB_LISTING_H
#define DLM_HUB_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* A file, and the name of its blob in the cache, which is its hash: of its bytes (SHA-256, what
 * git-lfs and Xet keep) or git's of a blob (SHA-1). */
struct dlm_hub_file {
    char *name; /* owned; has no folder */
    uint64_t bytes;
    bool is_sha256;
    char hash[65]; /* lower-case hex */
};

/* All zero is empty. */
struct dlm_hub_listing {
    char commit[41]; /* lower-case hex */
    struct dlm_hub_file *files; /* config.json is the last: with it a snapshot is whole */
    size_t len, cap;
    uint64_t bytes; /* of all files */
};

/* Reads the hub's answer to dlm_hub_listing_url() and keeps the files that a base is made of:
 * configurations, tokenizer, chat template, licence, and the weights as safetensors. id is for
 * messages. DLM_ERR_PARSE: not such an answer; DLM_ERR_UNSUPPORTED: the repository lacks
 * config.json or the weights. */
enum dlm_status dlm_hub_listing_parse(struct dlm_ctx *ctx, struct dlm_hub_listing *listing,
                                      const char *id, const char *text,
                                      size_t len) DLM_CHECK_RESULT;
void dlm_hub_listing_finish(struct dlm_hub_listing *listing);

/* True for `len` lower-case hex digits and no more. */
bool dlm_hub_is_hex(const char *text, size_t len);

#endif
