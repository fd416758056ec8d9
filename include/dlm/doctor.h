/* What this machine offers: devices, and which op runs on which of them in which type. */
#ifndef DLM_DOCTOR_H
#define DLM_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "dlm/compute.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The machine and its devices, as lines or as JSON. Devices are looked for through the context's
 * dlm_probe_fn; a driver that fails there is named, and not loaded into this process. *text (ends
 * with a newline) is owned by the caller, NULL on failure. */
DLM_API enum dlm_status dlm_doctor_report(struct dlm_ctx *ctx, bool json,
                                          char **text) DLM_CHECK_RESULT;

/* All zero but one of document and base. Borrows everything until return. */
struct dlm_doctor_budget_params {
    const char *document; /* path of a .dlm; what it says about the run holds */
    const char *base;     /* registry key, "hf:org/name", "dir:PATH" or "gguf:PATH" */
    const char *mmproj; /* of gguf: the vision tower; NULL: the *mmproj*.gguf beside it */
    struct dlm_compute compute; /* auto: what the document asks for, else chosen */
    int64_t image_size;   /* see dlm/image_size.h; 0: the document's, else the base's */
    int64_t batch;        /* rows of a micro-batch; 0: 1 and 4 */
    int64_t tokens;       /* of a row, its image's too; 0: the document's, else a short answer */
    bool time;            /* measure a GPU's speed, too: its driver compiles kernels for it */
    bool json;
};

/* What device memory a base or document needs, for answers and for training, as lines or as JSON:
 * from its plans, without reading a weight, and without the base's files where the registry knows
 * its sizes. Besides how long steps and tokens take, from a short measurement: of the CPU always,
 * of a GPU when asked for or kept from before. *text as above. DLM_ERR_UNSUPPORTED: no family of
 * dlm is this base's. */
DLM_API enum dlm_status dlm_doctor_budget(struct dlm_ctx *ctx,
                                          const struct dlm_doctor_budget_params *params,
                                          char **text) DLM_CHECK_RESULT;

/* Op x type x device: which of them run, as a table or as JSON. compute->backend auto: every device
 * that is there, software devices too; otherwise the one asked for. *text as above. */
DLM_API enum dlm_status dlm_doctor_ops(struct dlm_ctx *ctx, const struct dlm_compute *compute,
                                       bool json, char **text) DLM_CHECK_RESULT;

/* Compiles every kernel that models use of a device, and runs it on small inputs, in this process.
 * on_kernel is called with the name of each before its turn, and with NULL after the last. A kernel
 * that fails is logged, and the next has its turn. */
struct dlm_try_params {
    struct dlm_compute compute;
    const char *after; /* begins behind this kernel; NULL: with the first */
    void (*on_kernel)(void *user, const char *kernel);
    void *user;
};
DLM_API enum dlm_status dlm_doctor_try(struct dlm_ctx *ctx,
                                       const struct dlm_try_params *params) DLM_CHECK_RESULT;

/* All zero but base. Borrows everything until return. */
struct dlm_verify_params {
    const char *base;    /* registry key, "hf:org/name", "dir:PATH" or "gguf:PATH" */
    const char *mmproj; /* of gguf: the vision tower; NULL: the *mmproj*.gguf beside it */
    const char *image;   /* path, or NULL: text alone */
    const char *prompt;  /* NULL: a question of dlm's own */
    int64_t image_size;  /* see dlm/image_size.h */
    struct dlm_compute compute;
    bool json;
};

/* Computes an answer's first two tokens on a device, node by node, and each node on a reference
 * from what the device's node read: plain C, and the CPU's kernels without vector instructions
 * where that would take long. Then the same once more as an answer is computed otherwise. *text
 * (lines, or JSON) says which tensor is the first that differs, or that none does, and *agrees
 * which of the two; *text is owned by the caller, NULL on failure. */
DLM_API enum dlm_status dlm_doctor_verify(struct dlm_ctx *ctx,
                                          const struct dlm_verify_params *params, char **text,
                                          bool *agrees) DLM_CHECK_RESULT;

/* The devices of one backend that is named, found in this process: a line of JSON, which the
 * process that asked reads. *text as above. */
DLM_API enum dlm_status dlm_doctor_probe(struct dlm_ctx *ctx, enum dlm_backend_kind kind,
                                         char **text) DLM_CHECK_RESULT;

/* How a process ended that was to run dlm_doctor_probe(). */
enum dlm_probe_end {
    DLM_PROBE_ANSWERED,
    DLM_PROBE_CRASHED, /* by a signal */
    DLM_PROBE_HUNG,    /* it had no more time */
    DLM_PROBE_EXITED,  /* without an answer */
    DLM_PROBE_UNREADABLE, /* its answer is none; the library says so, not a dlm_probe_fn */
};

/* For a dlm_probe_fn. */
struct dlm_probe_job {
    /* Asked: the backend's name, and NAME=VALUE strings that its environment is to have besides
     * (or instead), ending with NULL. Borrowed until the function returns. */
    const char *backend;
    char *const *env; /* NULL: none */
    /* Answered: text is what dlm_doctor_probe() gave, from malloc(); the library frees it. */
    enum dlm_probe_end end;
    int code;    /* the signal, the seconds that it had, or the exit status */
    char *text;
};

/* For a dlm_try_fn: false when the device is to be tried with dlm_compute.no_matrix_units. */
DLM_API bool dlm_trial_has_matrix_units(const struct dlm_trial *trial);

/* For a dlm_try_fn: the device's driver crashed, or hung, on a kernel. */
DLM_API enum dlm_status dlm_trial_add(struct dlm_trial *trial, const char *kernel,
                                      bool is_hung) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
