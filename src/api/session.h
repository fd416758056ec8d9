/* A base opened on a device for one call: what train, prompt, score and bench share. */
#ifndef DLM_API_SESSION_H
#define DLM_API_SESSION_H

#include "api/adapter_source.h"
#include "dlm/compute.h"
#include "models/budget.h"
#include "models/model.h"
#include "models/vision.h"
#include "registry/registry.h"
#include "tokens/tokenizer.h"

struct dlm_session {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_base base;
    struct dlm_model *model;
    struct dlm_tokenizer *tok; /* NULL with random weights */
    struct dlm_lora *lora;     /* NULL: the base alone */
    struct dlm_vision vision;
    bool has_vision;
};

struct dlm_session_params {
    const char *base;    /* base_model text, or NULL with shape */
    const char *doc_dir; /* what dir: is relative to, or NULL */
    const char *shape;
    struct dlm_compute compute;
};

/* Opens device, base, model (no weight loaded yet) and tokenizer; prints device and precision at
 * info level. *s must be zero; finish it also after a failure. */
enum dlm_status dlm_session_open(struct dlm_session *s, struct dlm_ctx *ctx,
                                 const struct dlm_session_params *params) DLM_CHECK_RESULT;
void dlm_session_finish(struct dlm_session *s);

/* The same for a document or a base, with its adapter read (no weight or adapter uploaded yet). */
enum dlm_status dlm_session_open_source(struct dlm_session *s, struct dlm_ctx *ctx,
                                        const struct dlm_adapter_source_params *source,
                                        const struct dlm_compute *compute) DLM_CHECK_RESULT;

/* The device alone, with the kernel cache in place. */
enum dlm_status dlm_session_open_device(struct dlm_ctx *ctx, struct dlm_device **device,
                                        const struct dlm_compute *compute) DLM_CHECK_RESULT;

/* Says that a document's system_prompt does nothing: no family has a place for one yet. */
void dlm_session_warn_system_prompt(const struct dlm_session *s);

/* Reads the PEFT adapter in dir as the session's LoRA. */
enum dlm_status dlm_session_read_adapter(struct dlm_session *s, const char *dir) DLM_CHECK_RESULT;

/* Loads weights (the tower only if vision is wanted), uploads the adapter. */
enum dlm_status dlm_session_load(struct dlm_session *s, bool with_tower,
                                 enum dlm_lora_use use) DLM_CHECK_RESULT;
/* What that takes. */
void dlm_session_add_to_budget(const struct dlm_session *s, bool with_tower,
                               enum dlm_lora_use use, struct dlm_budget *budget);

/* Decodes and preprocesses an image file: pixels of the plan's shape, owned (dlm_free). */
enum dlm_status dlm_session_pixels(struct dlm_session *s, const char *path,
                                   const struct dlm_image_plan *plan,
                                   float **pixels) DLM_CHECK_RESULT;

/* What the vision program, which is prepared, makes of them: [plan->patches, width], owned. */
enum dlm_status dlm_session_see(struct dlm_session *s, const struct dlm_image_plan *plan,
                                const float *pixels, float **features) DLM_CHECK_RESULT;

#endif
