/* Training: a document's sections become a LoRA adapter in the document's store. */
#ifndef DLM_TRAIN_H
#define DLM_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "dlm/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One finished optimiser step. */
struct dlm_train_progress {
    int64_t step, steps; /* step counts from 1 */
    double loss;         /* cross entropy: the mean of -ln p over the step's labels */
    double lr;           /* by the schedule */
    double grad_norm;    /* L2, of all gradients together, before clipping */
    double tokens_per_sec;
    double seconds_left;
};

/* What a document says about gradient checkpointing, or not. */
enum dlm_train_checkpointing {
    DLM_TRAIN_CHECKPOINTING_DOCUMENT, /* training.gradient_checkpointing */
    DLM_TRAIN_CHECKPOINTING_ON,
    DLM_TRAIN_CHECKPOINTING_OFF,
};

/* dlm.lock records under which conditions the store was last trained. */
enum dlm_train_lock {
    DLM_TRAIN_LOCK_CHECK,  /* another base is an error; another device, seed or program a warning */
    DLM_TRAIN_LOCK_STRICT, /* every difference is an error */
    DLM_TRAIN_LOCK_UPDATE, /* record what holds now, unchecked */
    DLM_TRAIN_LOCK_IGNORE, /* neither check nor record */
};

/* How modules of the vision tower are named in the adapter's file. */
enum dlm_train_adapter_names {
    DLM_TRAIN_ADAPTER_NAMES_V5, /* as transformers 5 does */
    DLM_TRAIN_ADAPTER_NAMES_V4, /* as transformers 4.52 and later 4.x do */
};

/* All zero but document: what the document says. Borrows everything until return. */
struct dlm_train_params {
    const char *document; /* path of the .dlm */
    const char *home;     /* NULL: $DLM_HOME, else ~/.dlm */
    struct dlm_compute compute; /* auto: what the document asks for, else chosen */
    int64_t image_size; /* see dlm/image_size.h; 0: what the document asks for, else the base's */
    bool has_seed; /* seed is given; otherwise the document's */
    int64_t seed;
    int64_t max_steps;        /* 0: all epochs */
    bool resume;              /* go on with the interrupted run, else from the current adapter */
    bool fresh;               /* from a new adapter (the default); not with resume */
    enum dlm_train_lock lock;
    bool skip_bad_images;     /* train without images that cannot be read, instead of failing */
    bool take_over;           /* the store is another file's of the same dlm_id: take it */
    bool force;               /* train though the device is one that is refused otherwise */
    bool accept_license;      /* accept the licence of a gated base, and record it */
    /* Folder of a PEFT adapter to start from: its r, alpha and targets hold. Or NULL. */
    const char *init_adapter;
    int64_t save_every;       /* steps between saved states; 0: about every two minutes */
    int64_t num_questions;    /* to be answered in the result; 0: 3; negative: none */
    enum dlm_train_adapter_names adapter_names;
    enum dlm_train_checkpointing checkpointing;
    /* Called after each step, from the calling thread. NULL: not. */
    void (*progress)(void *user, const struct dlm_train_progress *progress);
    void *user;
};

/* A question of the document's own, asked greedily when training is over. Owned by the result. */
struct dlm_train_answer {
    char *question, *expected; /* what the document says; NUL-terminated UTF-8 */
    char *before, *after;      /* of the base alone, with the adapter; NULL after a failure */
    bool is_held_out;          /* the row was kept back from training */
};

struct dlm_train_result {
    bool nothing_to_do;      /* the document has nothing to train on; the rest is empty */
    int64_t version;         /* of the adapter: 1 is v0001 */
    int64_t steps;           /* of the whole run */
    int64_t seed;
    double first_loss, final_loss; /* of the first and the last step */
    const char *determinism; /* "strong"; a constant */
    char *adapter;           /* its folder, owned */
    char *log;               /* the JSONL log, owned */
    struct dlm_train_answer *answers; /* owned */
    size_t num_answers;
};

/* Trains and commits a new adapter version. Cancelling finishes the step, saves the run's state and
 * returns DLM_ERR_CANCELLED; resume then continues to the very bytes of an unbroken run.
 * DLM_ERR_INVALID: what the document asks for cannot be done, an image cannot be read, a licence is
 * not accepted, dlm.lock holds other conditions, another process trains, or what is to be resumed
 * has changed; DLM_ERR_UNSUPPORTED: what dlm does not compute, or a device that is refused (force);
 * DLM_ERR_MEMORY: more than the device has free, of which nothing has been taken; DLM_ERR_IO: the
 * document or the base is not on this machine, or the store cannot be written; DLM_ERR_PARSE: the
 * document, or what is to be resumed, is damaged. The adapter that was current stays so after each
 * of them. *result: give it back with dlm_train_result_finish(), also after a failure. */
DLM_API enum dlm_status dlm_train(struct dlm_ctx *ctx, const struct dlm_train_params *params,
                                  struct dlm_train_result *result) DLM_CHECK_RESULT;
/* The same on what a session has open: the document's base must be the session's, params->compute
 * is all zero, and what the document says about device and precision does not count (a warning
 * tells). The session's adapters stay as they are; dlm_session_load_adapter(session, name,
 * result->adapter) makes the new one usable. */
DLM_API enum dlm_status dlm_session_train(struct dlm_session *session,
                                          const struct dlm_train_params *params,
                                          struct dlm_train_result *result) DLM_CHECK_RESULT;
DLM_API void dlm_train_result_finish(struct dlm_train_result *result);

#ifdef __cplusplus
}
#endif

#endif
