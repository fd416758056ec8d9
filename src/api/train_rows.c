/* The document's rows, and whether the base that is open takes them. */
#include "api/train_impl.h"
#include "base/log.h"

/* Without a store nothing is kept. */
static enum dlm_status put_image(struct dlm_ctx *ctx, void *user, const char *abs_path,
                                 char sha[65])
{
    return user ? dlm_blob_put(ctx, user, abs_path, sha, NULL)
                : dlm_file_sha256(ctx, abs_path, sha, NULL);
}

enum dlm_status dlm_train_make_rows(struct dlm_train_call *t)
{
    struct dlm_rows_options options = {.put_image = put_image, .user = t->store,
                                       .sources = &t->sources, .seed = t->seed};

    enum dlm_status st = dlm_doc_sources_read(t->ctx, t->doc, &t->sources);
    if (!st)
        st = dlm_rows_from_doc(t->ctx, &t->rows, t->doc, &options);
    if (!st && t->rows.num_images_without_caption)
        dlm_log(t->ctx, DLM_LOG_WARNING, "%zu of %zu images have no caption",
                t->rows.num_images_without_caption, t->rows.num_images);
    return st;
}

/* What is seen both ways cannot be learned: each token would be told itself. */
static enum dlm_status check_loss(struct dlm_train_call *t)
{
    const struct dlm_family *family = t->s->model->family;

    if (t->doc->training.loss_on != DLM_DOC_LOSS_ON_ALL || !family->has_prefix)
        return DLM_OK;
    dlm_fail(t->ctx, DLM_ERR_UNSUPPORTED,
             "'training.loss_on: all' cannot be trained: %s reads a prompt both ways, so that only "
             "answers can be learned", family->model_type);
    dlm_log(t->ctx, DLM_LOG_HINT, "leave the key out, or write `loss_on: assistant`");
    return DLM_ERR_UNSUPPORTED;
}

static enum dlm_status fit_images(struct dlm_train_call *t)
{
    const struct dlm_family *family = t->s->model->family;
    const struct dlm_row *lost = NULL;
    enum dlm_status st = DLM_OK;

    if (family->has_one_image)
        st = dlm_rows_keep_last_images(t->ctx, &t->rows, &lost);
    if (st || !lost)
        return st;
    dlm_fail(t->ctx, DLM_ERR_INVALID,
             "section %s (line %lld): its questions are about the %zu images before it, but %s "
             "takes one", lost->section_id, (long long)lost->line, lost->num_images,
             family->model_type);
    dlm_log(t->ctx, DLM_LOG_HINT, "put an instruction directly behind each image that is asked "
            "about, before the next image");
    return DLM_ERR_INVALID;
}

enum dlm_status dlm_train_check_rows(struct dlm_train_call *t)
{
    if (t->doc->system_prompt && !dlm_request_can_say_system(t->s->model))
        dlm_rows_drop_system(&t->rows);
    enum dlm_status st = check_loss(t);
    return st ? st : fit_images(t);
}

enum dlm_status dlm_train_check_row_images(struct dlm_train_call *t)
{
    enum dlm_status st = dlm_train_check_images(
        t->store, t->s->model, !t->doc->training.cache.enabled, &t->rows);
    const size_t num_bad = t->rows.num_bad_images;

    if (st || !num_bad)
        return st;
    if (t->params->skip_bad_images) {
        dlm_log(t->ctx, DLM_LOG_WARNING, "%zu of %zu images cannot be read: trained without %s",
                num_bad, t->rows.num_images, num_bad == 1 ? "it" : "them");
        return DLM_OK;
    }
    if (num_bad > 1)
        dlm_fail(t->ctx, DLM_ERR_INVALID, "%zu of %zu images cannot be read", num_bad,
                 t->rows.num_images);
    dlm_log(t->ctx, DLM_LOG_HINT, "--skip-bad-images trains without %s",
            num_bad == 1 ? "it" : "them");
    return DLM_ERR_INVALID;
}
