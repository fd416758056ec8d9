/* The stores of a home: what each holds, whether it is whole, and what of it can go. A store is
 * named by its document, or, where no file has such a name, by its dlm_id. */
#ifndef DLM_STORES_H
#define DLM_STORES_H

#include <stdbool.h>
#include <stdint.h>

#include "dlm/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Asked before something is removed: shows question to a person and returns the answer. Without
 * (NULL), and without `yes`, nothing is removed: DLM_ERR_INVALID. */
typedef bool (*dlm_stores_accept_fn)(void *user, const char *question);

/* Borrows everything until return. */
struct dlm_stores_list_params {
    const char *home; /* NULL: $DLM_HOME, else ~/.dlm */
    bool json;
};

/* Lists the stores of a home: adapter, base, document of each, as lines or as JSON; one that is
 * damaged is said to be, and is no failure. *text (ends with a newline) is owned by the caller,
 * NULL on failure; free with dlm_text_free(). */
DLM_API enum dlm_status dlm_stores_list(struct dlm_ctx *ctx,
                                        const struct dlm_stores_list_params *params,
                                        char **text) DLM_CHECK_RESULT;

enum dlm_stores_cache_action {
    DLM_STORES_CACHE_SHOW,
    DLM_STORES_CACHE_PRUNE, /* what was not used for long */
    DLM_STORES_CACHE_CLEAR, /* all of it */
};

/* Borrows everything until return. */
struct dlm_stores_cache_params {
    const char *document; /* NULL: every store of the home */
    const char *home;     /* NULL: $DLM_HOME, else ~/.dlm */
    enum dlm_stores_cache_action action;
    /* To prune: seconds since a file was used last; 0: by the document's training.cache, which a
     * store whose document is gone has not */
    int64_t older_than;
    bool json;
    bool yes; /* to clear: nobody is asked */
    dlm_stores_accept_fn accept;
    void *user;
};

/* The caches of images and features: shows or empties them, as lines or as JSON. A training makes
 * again what it needs. *text (ends with a newline) is owned by the caller, NULL on failure; free
 * with dlm_text_free(). DLM_ERR_INVALID: a training runs, the answer was no, or there is no limit
 * to prune by; with several stores the others are done. */
DLM_API enum dlm_status dlm_stores_cache(struct dlm_ctx *ctx,
                                         const struct dlm_stores_cache_params *params,
                                         char **text) DLM_CHECK_RESULT;

/* Borrows everything until return. */
struct dlm_stores_remove_params {
    const char *document;
    const char *home;  /* NULL: $DLM_HOME, else ~/.dlm */
    int64_t version;   /* this version of the adapter; 0: the whole store */
    bool yes;          /* nobody is asked */
    dlm_stores_accept_fn accept;
    void *user;
};

/* Removes a version of a document's adapter, or its store; the document stays. Where the current
 * version goes, the newest that is left and whole becomes current. *text (ends with a newline) says
 * what went and is owned by the caller, NULL on failure. DLM_ERR_INVALID: there is none, a training
 * runs, the store is another document's, or the answer was no. */
DLM_API enum dlm_status dlm_stores_remove(struct dlm_ctx *ctx,
                                          const struct dlm_stores_remove_params *params,
                                          char **text) DLM_CHECK_RESULT;

/* Borrows everything until return. */
struct dlm_stores_verify_params {
    const char *document; /* NULL: every store of the home */
    const char *home;     /* NULL: $DLM_HOME, else ~/.dlm */
    bool repair; /* what can be: nothing is removed but what a killed process left half written */
    bool json;
};

/* Reads all of a store but its caches: versions, the pointer to the current one, manifest, blobs
 * and their hashes, logs, saved states, the lock record. *text (ends with a newline) says what was
 * found and is owned by the caller, NULL on failure; *is_whole: nothing is wrong, or no longer.
 * DLM_ERR_INVALID: a training runs. Of all stores, one that cannot be checked is not whole, and the
 * text says why. */
DLM_API enum dlm_status dlm_stores_verify(struct dlm_ctx *ctx,
                                          const struct dlm_stores_verify_params *params,
                                          char **text, bool *is_whole) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
