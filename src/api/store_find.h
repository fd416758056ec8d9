/* Stores by what a command names: a document, a dlm_id, or all of a home. */
#ifndef DLM_API_STORE_FIND_H
#define DLM_API_STORE_FIND_H

#include "dlm/stores.h"
#include "store/store.h"

/* Owned; all zero is empty. */
struct dlm_store_list {
    struct dlm_store **items;
    size_t len, cap;
};

/* The store of `document` (a path, or a dlm_id where there is no such file), which need not exist;
 * NULL: all that are there, by rising dlm_id. Add to an empty list. */
enum dlm_status dlm_store_list_open(struct dlm_ctx *ctx, struct dlm_store_list *list,
                                    const char *home, const char *document) DLM_CHECK_RESULT;
void dlm_store_list_close(struct dlm_store_list *list);

/* What messages call a store: the path of its document as its manifest has it, else its dlm_id.
 * Owned by the caller, NULL when out of memory. */
char *dlm_store_label(struct dlm_ctx *ctx, const struct dlm_store *store) DLM_CHECK_RESULT;

/* The same of all of a list's stores: one's label, or "3 stores". */
char *dlm_store_list_label(struct dlm_ctx *ctx, const struct dlm_store_list *list)
    DLM_CHECK_RESULT;

/* Whether a person or `yes` allows what question says. DLM_ERR_INVALID: no. */
enum dlm_status dlm_stores_ask(struct dlm_ctx *ctx, bool yes, dlm_stores_accept_fn accept,
                               void *user, const char *question) DLM_CHECK_RESULT;

#endif
