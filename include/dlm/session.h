/* Sessions: a base that is opened on a device once, for any number of questions, scores and
 * trainings, with adapters by name. What is asked of one is in prompt.h, score.h and train.h.
 *
 * A call that fails - a bad image, too little memory, a cancel (see dlm_ctx_clear_cancel()) -
 * leaves the session as it was, to be used again; only a lost device (DLM_ERR_DEVICE_LOST) stays
 * lost. A session is for one thread at a time, the one that uses its context. */
#ifndef DLM_SESSION_H
#define DLM_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "dlm/compute.h"
#include "dlm/image_size.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dlm_session;

/* What the adapter is called that a session is opened with. */
#define DLM_SESSION_ADAPTER "default"

/* Where base and adapter come from: a document with a version of its adapter, or a base with a
 * folder. Exactly one of document and base is given. Borrows everything until return. */
struct dlm_session_params {
    const char *document; /* path of a .dlm: its base with its current adapter */
    const char *base;     /* registry key, "hf:org/name", "dir:PATH" or "gguf:PATH" */
    const char *mmproj; /* of gguf: the vision tower; NULL: the *mmproj*.gguf beside it */
    const char *dir;      /* what the PATH of base is relative to; NULL: the working folder */
    const char *home;     /* NULL: $DLM_HOME, else ~/.dlm */
    int64_t version;      /* of the document's adapter; 0: the current one */
    const char *adapter;  /* folder of a PEFT adapter, instead of the document's */
    bool no_adapter;      /* the base alone; works before any training */
    bool is_adapter_optional; /* a document without an adapter is its base, not an error */
    int64_t image_size;   /* 0: that of the adapter's training, else the document's, the base's */
    struct dlm_compute compute;
};

/* Opens the device and reads what describes the base. No weight is loaded yet: a call loads those
 * that are missing - the vision tower's with the first image - and they stay. An adapter that comes
 * with params is read and used as DLM_SESSION_ADAPTER. Borrows ctx until the session is closed.
 * *out is owned: dlm_session_close(). DLM_ERR_INVALID: no adapter yet, a licence not accepted, an
 * adapter of another base; DLM_ERR_IO: no such base; DLM_ERR_NO_DEVICE. */
DLM_API enum dlm_status dlm_session_open(struct dlm_ctx *ctx, struct dlm_session **out,
                                         const struct dlm_session_params *params) DLM_CHECK_RESULT;

/* Closes *session and sets it to NULL. Accepts NULL and a pointer to NULL. */
DLM_API void dlm_session_close(struct dlm_session **session);

/* Reads the PEFT adapter in folder dir, to be used by its name, which is neither NULL nor empty.
 * One of the same name is replaced, also while it is used; after a failure it is still there.
 * Borrows name and dir until return. DLM_ERR_IO, DLM_ERR_PARSE: it cannot be read;
 * DLM_ERR_INVALID: it does not fit the base. */
DLM_API enum dlm_status dlm_session_load_adapter(struct dlm_session *session, const char *name,
                                                 const char *dir) DLM_CHECK_RESULT;

/* What is asked from now on is asked of this adapter, with NULL of the base alone. It stays on the
 * device from its first use until it is dropped. DLM_ERR_USAGE: no adapter has this name. */
DLM_API enum dlm_status dlm_session_use_adapter(struct dlm_session *session,
                                                const char *name) DLM_CHECK_RESULT;

/* Frees an adapter. DLM_ERR_USAGE: no adapter has this name, or it is being used, as nothing says
 * what would be used in its place. */
DLM_API enum dlm_status dlm_session_drop_adapter(struct dlm_session *session,
                                                 const char *name) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
