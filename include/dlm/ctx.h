/* The context: log callback, last error, cancel flag, thread pool. The caller makes one and passes
 * it first to whatever can fail or log. A context may be used by one thread at a time, except for
 * dlm_ctx_cancel(). */
#ifndef DLM_CTX_H
#define DLM_CTX_H

#include <stdbool.h>
#include <stddef.h>

#include "dlm/api.h"
#include "dlm/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dlm_ctx;

enum dlm_log_level {
    DLM_LOG_ERROR,
    DLM_LOG_HINT, /* what to do about the error just logged */
    DLM_LOG_WARNING,
    DLM_LOG_INFO,
    DLM_LOG_DEBUG,
};

/* Receives one message without a newline. Borrows text until return. */
typedef void (*dlm_log_fn)(void *user, enum dlm_log_level level, const char *text);

/* Called before every allocation of `bytes`; returning false makes that allocation fail. */
typedef bool (*dlm_alloc_hook_fn)(void *user, size_t bytes);

struct dlm_trial;
/* Tries the kernels of a device (backend by name, index within it) whose driver compiles them on
 * this machine for the first time: calls dlm_doctor_try() in another process, so that a crash of
 * the driver ends that one, and names what it crashed or hung on with dlm_trial_add(). DLM_OK: the
 * device was tried, and the result is kept; DLM_ERR_UNSUPPORTED: it could not be tried, and is used
 * untried; any other status ends the call, already logged. */
typedef enum dlm_status (*dlm_try_fn)(void *user, struct dlm_trial *trial, const char *backend,
                                      int index);

struct dlm_probe_job;
/* Looks for devices in other processes, because a driver may crash or hang over it: calls
 * dlm_doctor_probe() in one process a job, all at once, each with the job's environment and no more
 * time than whoever wrote the function grants. Fills the jobs' results. DLM_OK: all have one;
 * DLM_ERR_UNSUPPORTED: no other process is to be had, and devices are looked for in this one; any
 * other status ends the call, already logged. */
typedef enum dlm_status (*dlm_probe_fn)(void *user, struct dlm_probe_job *jobs, size_t num);

/* What is about to be loaded. */
struct dlm_load {
    const char *who;          /* "the driver 'FILE'", or "a driver" where there are several */
    const char *const *marks; /* files that say that it answered; ends with NULL */
};
/* Called before drivers are loaded in this process and devices opened, and with NULL after it. They
 * answered in another process, at some time; one that hangs here holds the call for ever. Whoever
 * writes the function may end the process then, and removes the marks before, so that the next one
 * asks again. load is borrowed until the call with NULL. */
typedef void (*dlm_load_fn)(void *user, const struct dlm_load *load);

struct dlm_ctx_params {
    dlm_log_fn log;               /* NULL: messages are dropped (the last error is still kept) */
    void *log_user;               /* borrowed as long as the context lives */
    dlm_alloc_hook_fn alloc_hook; /* NULL: every allocation is tried */
    void *alloc_user;
    dlm_try_fn try_device; /* NULL: drivers are not tried, and one that crashes ends the process */
    void *try_user;
    dlm_probe_fn probe_devices; /* NULL: dlm_doctor_* looks for devices in this process */
    void *probe_user;
    dlm_load_fn load_drivers; /* NULL: nobody watches */
    void *load_user;
    /* Folder of stores, caches and the user's own bases, for calls that name none. Borrowed as long
     * as the context lives. NULL: $DLM_HOME, else ~/.dlm */
    const char *home;
    int num_threads; /* 0: as many as the affinity mask and the cgroup limit allow */
};

/* Makes a context. params may be NULL (all defaults). Returns NULL when out of memory. */
DLM_API struct dlm_ctx *dlm_ctx_create(const struct dlm_ctx_params *params);

/* Destroys *ctx and sets it to NULL. Accepts NULL and a pointer to NULL. */
DLM_API void dlm_ctx_destroy(struct dlm_ctx **ctx);

/* Text of the last error logged through ctx, "" if none. Valid until the next call with ctx. */
DLM_API const char *dlm_ctx_last_error(const struct dlm_ctx *ctx);

/* Asks the running call to stop at the next safe point: it returns DLM_ERR_CANCELLED.
 * Safe from a signal handler and from other threads. */
DLM_API void dlm_ctx_cancel(struct dlm_ctx *ctx);

/* Forgets a cancel, which until then stops every further call with ctx too. For a program that goes
 * on after it, with a session say. */
DLM_API void dlm_ctx_clear_cancel(struct dlm_ctx *ctx);

/* True from a cancel until it is cleared. */
DLM_API bool dlm_ctx_is_cancelled(const struct dlm_ctx *ctx);

#ifdef __cplusplus
}
#endif

#endif
