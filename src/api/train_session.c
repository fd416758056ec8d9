/* Where a run computes: in the caller's session, or in one of its own as the document asks. */
#include <stdio.h>

#include "api/base_model.h"
#include "api/image_size.h"
#include "api/may_train.h"
#include "api/quant.h"
#include "api/train_impl.h"
#include "base/file.h"
#include "base/log.h"
#include "doctor/driver_guard.h"

struct dlm_compute dlm_train_choose_compute(const struct dlm_compute *given,
                                            const struct dlm_doc *doc)
{
    static const enum dlm_precision precisions[] = {
        [DLM_DOC_PRECISION_NONE] = DLM_PRECISION_AUTO,
        [DLM_DOC_PRECISION_BF16] = DLM_PRECISION_BF16,
        [DLM_DOC_PRECISION_FP16] = DLM_PRECISION_FP16,
        [DLM_DOC_PRECISION_FP32] = DLM_PRECISION_FP32,
    };
    static const enum dlm_backend_kind backends[] = {
        [DLM_DOC_BACKEND_AUTO] = DLM_BACKEND_AUTO,
        [DLM_DOC_BACKEND_CPU] = DLM_BACKEND_CPU,
        [DLM_DOC_BACKEND_OPENCL] = DLM_BACKEND_OPENCL,
        [DLM_DOC_BACKEND_VULKAN] = DLM_BACKEND_VULKAN,
    };
    struct dlm_compute compute = *given;

    if (compute.backend == DLM_BACKEND_AUTO)
        compute.backend = backends[doc->training.backend];
    if (compute.precision == DLM_PRECISION_AUTO)
        compute.precision = precisions[doc->training.precision];
    dlm_quant_take_document(&compute, doc);
    return compute;
}

static int64_t choose_image_size(const struct dlm_train_call *t)
{
    return t->params->image_size ? t->params->image_size : t->doc->training.image_size;
}

static enum dlm_status open_session(struct dlm_train_call *t, const char *doc_dir)
{
    struct dlm_session_base params = {
        .base = t->doc->base_model, .mmproj = t->doc->mmproj, .dir = doc_dir,
        .image_size = choose_image_size(t),
        .compute = dlm_train_choose_compute(&t->params->compute, t->doc)};

    enum dlm_status st = dlm_driver_guard_once(t->ctx, &params.compute);
    if (!st)
        st = dlm_may_train_check_row(t->ctx, &params, t->doc, t->params->force);
    if (!st)
        st = dlm_session_open_base(t->ctx, &t->own_session, &params);
    if (st)
        return st;
    t->s = t->own_session;
    t->base = &t->s->base;
    return DLM_OK;
}

static void warn_of_image_size(const struct dlm_train_call *t)
{
    const int64_t asked = choose_image_size(t), is = dlm_image_size_of(t->s->model);
    char side[32] = "native";

    if (asked == is || !is || asked == DLM_IMAGE_SIZE_BASE || asked == DLM_IMAGE_SIZE_PINNED)
        return;
    if (is > 0)
        snprintf(side, sizeof(side), "%lld", (long long)is);
    dlm_log(t->ctx, DLM_LOG_WARNING, "the document asks for another image size; the session's is "
            "%s", side);
}

/* The caller's session has the document's base open. */
static enum dlm_status check_session(struct dlm_train_call *t, const char *doc_dir)
{
    const struct dlm_compute asked = dlm_train_choose_compute(&t->params->compute, t->doc);
    const enum dlm_backend_kind kind = dlm_device_get_caps(t->s->device)->info.kind;
    const enum dlm_precision precision = dlm_session_precision(t->s);

    enum dlm_status st = dlm_base_find(t->ctx, &t->named_base, t->doc->base_model,
                                                t->doc->mmproj, doc_dir);
    if (st)
        return st;
    if (strcmp(t->named_base.dir, t->s->base.dir))
        return dlm_fail(t->ctx, DLM_ERR_INVALID,
                        "cannot train '%s': its base is in '%s', and the session's in '%s'",
                        t->params->document, t->named_base.dir, t->s->base.dir);
    t->base = &t->named_base;
    if (asked.backend != DLM_BACKEND_AUTO && asked.backend != kind)
        dlm_log(t->ctx, DLM_LOG_WARNING, "the document asks for %s; the session is on %s",
                dlm_backend_name(asked.backend), dlm_backend_name(kind));
    if (asked.precision != DLM_PRECISION_AUTO && asked.precision != precision)
        dlm_log(t->ctx, DLM_LOG_WARNING, "the document asks for %s; the session computes in %s",
                dlm_precision_name(asked.precision), dlm_precision_name(precision));
    const struct dlm_quant_policy quant = dlm_quant_policy_of(&asked);
    const struct dlm_weights *weights = t->s->model->weights;
    if (dlm_quant_saved(weights) == DLM_DTYPE_F32 &&
        strcmp(dlm_quant_form_name(&quant), dlm_quant_form_name(&weights->quant)))
        dlm_log(t->ctx, DLM_LOG_WARNING, "the document asks for another form of the base; the "
                "session's is %s", *t->s->base_form ? t->s->base_form : "its precision");
    warn_of_image_size(t);
    return DLM_OK;
}

enum dlm_status dlm_train_take_session(struct dlm_train_call *t)
{
    char *doc_dir = dlm_path_dirname(t->ctx, t->params->document);
    enum dlm_status st = doc_dir ? DLM_OK : DLM_ERR_MEMORY;

    if (!st)
        st = t->s ? check_session(t, doc_dir) : open_session(t, doc_dir);
    dlm_free(doc_dir);
    return st;
}
