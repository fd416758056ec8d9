/* What would help a call that does not fit: settings of the document or the command, each with the
 * memory that its own plan takes, and together where none is enough. Private to src/api. */
#ifndef DLM_API_KNOBS_H
#define DLM_API_KNOBS_H

#include "api/session_impl.h"

/* What a call can have another way. */
struct dlm_setting {
    int64_t batch, grad_accum; /* 1: not to be less */
    bool checkpoint;           /* true: on, or the call has no such thing */
    int64_t max_tokens;        /* of an answer; 0: there is none */
    int64_t image_size;        /* see dlm/image_size.h */
    enum dlm_dtype policy;
    struct dlm_quant_policy quant;
};

struct dlm_knobs {
    struct dlm_session *s; /* the session that the call is in */
    bool in_document;      /* they are named as keys of `training`, else as options */
    bool has_images;       /* whose size may be asked for */
    const char *shape;     /* struct dlm_session_base */
    int64_t layers;
    /* As the call has it now; what the session's model says is filled in. */
    struct dlm_setting now;
    /* The memory that the call takes with other settings, the session having the model for them; 0:
     * it cannot be planned. Messages are muted meanwhile. */
    uint64_t (*measure)(void *user, const struct dlm_setting *with);
    void *user;
};

/* Logs hints behind an error. Settings that cost time alone come first, and if they are enough
 * nothing else is said. Then each of the others; and where none is enough alone, the fewest of them
 * that are together. */
void dlm_knobs_say(const struct dlm_knobs *knobs);

#endif
