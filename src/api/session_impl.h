/* What a session holds, and what the calls that use one share. Private to src/api. */
#ifndef DLM_API_SESSION_IMPL_H
#define DLM_API_SESSION_IMPL_H

#include "api/quant.h"
#include "api/request.h"
#include "dlm/prompt.h"
#include "dlm/session.h"
#include "generate/generator.h"
#include "models/budget.h"
#include "models/model.h"
#include "models/vision.h"
#include "registry/registry.h"
#include "tokens/tokenizer.h"

struct dlm_session_adapter {
    char *name;
    struct dlm_lora *lora;
};

struct dlm_session {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_base base;
    struct dlm_model *model;
    char base_form[DLM_BASE_FORM_BYTES]; /* dlm_quant_form_of() */
    struct dlm_tokenizer *tok; /* NULL with random weights, and where only plans are made
                                  without one */
    struct dlm_session_adapter *adapters;
    size_t num_adapters, cap_adapters;
    struct dlm_lora *lora; /* of the adapter in use; NULL: the base alone */
    char *system_prompt;   /* of the document, if the family has a place for it; or NULL */
    bool is_asking_itself; /* for a training: nobody wants to read of memory each time */
    const struct dlm_program_watch *watch; /* of what answers; borrowed, NULL: none */
};

struct dlm_session_base {
    const char *base; /* base_model text, or NULL with shape */
    const char *mmproj; /* the tower's file of gguf:, or NULL */
    const char *dir;  /* what paths are relative to, or NULL */
    const char *shape;
    int64_t image_size; /* see dlm/image_size.h */
    int64_t layers; /* with shape: of its decoder at most; 0: all */
    struct dlm_compute compute;
    /* Nothing will run: a base that is not on this machine is its registry row's shape, without
     * tokenizer, a folder without weights what its configs say, and a driver that is new here is
     * not put on trial. */
    bool plan_only;
    bool is_quiet; /* device and precision are told to -v alone: the call is of other things */
};

/* Opens device, base, model (no weight loaded yet) and tokenizer; tells device and precision at
 * info level. *out is owned, NULL on failure. */
enum dlm_status dlm_session_open_base(struct dlm_ctx *ctx, struct dlm_session **out,
                                      const struct dlm_session_base *params) DLM_CHECK_RESULT;

/* The device alone, with the kernel cache in place. plan_only: as above. */
enum dlm_status dlm_session_open_device(struct dlm_ctx *ctx, struct dlm_device **device,
                                        const struct dlm_compute *compute,
                                        bool plan_only) DLM_CHECK_RESULT;

/* What it computes in; never DLM_PRECISION_AUTO. */
enum dlm_precision dlm_session_precision(const struct dlm_session *s);

/* Reads the PEFT adapter in dir; *lora is owned by the caller, NULL on failure. */
enum dlm_status dlm_session_read_adapter(const struct dlm_session *s, const char *dir,
                                         struct dlm_lora **lora) DLM_CHECK_RESULT;

/* Loads what is missing of the weights (the tower's only with images), uploads lora (may be NULL).
 * What of lora is not in `use` stays if it is there: see dlm_lora_keep_values(). */
enum dlm_status dlm_session_load(struct dlm_session *s, struct dlm_lora *lora, bool with_tower,
                                 enum dlm_lora_use use) DLM_CHECK_RESULT;

/* What is on the device after that, with the weights and adapters that are there for other calls:
 * the budget is held against what was free before there were any. */
void dlm_session_add_to_budget(const struct dlm_session *s, const struct dlm_lora *lora,
                               bool with_tower, enum dlm_lora_use use, struct dlm_budget *budget);

/* What answers with these take of the device, weights and adapter in use included; vision NULL:
 * without images. */
void dlm_session_add_answer(const struct dlm_session *s, const struct dlm_generator *generator,
                            const struct dlm_vision *vision, struct dlm_budget *budget);

/* Decodes and preprocesses an image: pixels of the plan's shape, owned (dlm_free). */
enum dlm_status dlm_session_pixels(const struct dlm_session *s,
                                   const struct dlm_message_part *part,
                                   const struct dlm_image_plan *plan,
                                   float **pixels) DLM_CHECK_RESULT;

/* What is said before what is asked, of a call with this system prompt (or NULL) and messages. */
const char *dlm_session_system(const struct dlm_session *s, const char *system,
                               const struct dlm_message *messages, size_t num_messages);

/* prompt.c: answers what is asked; of request only how counts, not what. */
enum dlm_status dlm_session_answer(struct dlm_session *s, const struct dlm_asked *asked,
                                   const struct dlm_prompt_request *request) DLM_CHECK_RESULT;

/* score.c: the same as dlm_session_score() of a document's row, borrowed until return: all that it
 * learns. *lacking: bytes that it needs of a device that has less: nothing is scored; else 0. */
struct dlm_row;
struct dlm_score_result;
enum dlm_status dlm_session_score_row(struct dlm_session *s, const struct dlm_row *row,
                                      struct dlm_score_result *result,
                                      uint64_t *lacking) DLM_CHECK_RESULT;

/* verify.c: fills v, of which the caller may have set fault and user; nothing of it is owned. */
struct dlm_verify;
struct dlm_verify_params;
enum dlm_status dlm_session_verify(struct dlm_session *s, const struct dlm_verify_params *params,
                                   struct dlm_verify *v) DLM_CHECK_RESULT;

/* What a vision program, which is prepared, makes of them: [plan->patches, width], owned. */
enum dlm_status dlm_session_see(const struct dlm_session *s, struct dlm_vision *vision,
                                const struct dlm_image_plan *plan, const float *pixels,
                                float **features) DLM_CHECK_RESULT;

#endif
