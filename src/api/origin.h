/* What an adapter version was made on and of: origin.json in its folder. An adapter answers on the
 * base it was trained on alone, and goes on in the form that its document asked for. */
#ifndef DLM_API_ORIGIN_H
#define DLM_API_ORIGIN_H

#include "api/quant.h"
#include "models/model.h"

/* Strings are owned. All zero: nothing is known, as of a version that an older dlm made. */
struct dlm_origin {
    char *base_model;     /* as the document names it */
    char base_sha256[65]; /* dlm_checkpoint_fingerprint() */
    int64_t lora_r;
    double lora_alpha;
    char *target_modules; /* regex of exactly the modules, NULL: the form is not known */
    int64_t image_size;   /* see dlm/image_size.h; 0: of a base with one size */
    char base_form[DLM_BASE_FORM_BYTES]; /* dlm_quant_form_of() */
};

void dlm_origin_finish(struct dlm_origin *origin);

/* The form of an adapter: rank, alpha and modules. *origin gets them. */
enum dlm_status dlm_origin_set_form(struct dlm_ctx *ctx, struct dlm_origin *origin,
                                    const struct dlm_lora *lora) DLM_CHECK_RESULT;

enum dlm_status dlm_origin_write(struct dlm_ctx *ctx, const char *dir,
                                 const struct dlm_origin *origin) DLM_CHECK_RESULT;

/* Of the version in folder dir; zero if it has none. DLM_ERR_PARSE: damaged. */
enum dlm_status dlm_origin_read(struct dlm_ctx *ctx, const char *dir,
                                struct dlm_origin *origin) DLM_CHECK_RESULT;

/* The version in dir was trained on the base that is open. DLM_ERR_INVALID: on another. */
enum dlm_status dlm_origin_check_base(struct dlm_ctx *ctx, const char *dir,
                                      const struct dlm_origin *now) DLM_CHECK_RESULT;

/* The version in dir, which is `current`, has the form that the document asks for now.
 * DLM_ERR_INVALID: it does not, with each difference. */
enum dlm_status dlm_origin_check_form(struct dlm_ctx *ctx, const char *dir,
                                      const struct dlm_lora *current,
                                      const struct dlm_origin *now) DLM_CHECK_RESULT;

#endif
