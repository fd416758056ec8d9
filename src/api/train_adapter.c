/* The adapter that a run trains: a new one as the document asks, one from disk, or the state's. */
#include <stdio.h>
#include <strings.h>

#include "api/image_size.h"
#include "api/quant.h"
#include "api/train_impl.h"
#include "base/log.h"

/* target_modules of the document as a spec; names has room for the registry's list. */
static struct dlm_target_spec target_spec(const struct dlm_doc_targets *targets,
                                          const struct dlm_base_row *row, const char **names)
{
    static const char *const usual[] = {"q_proj", "k_proj", "v_proj", "o_proj"};
    struct dlm_target_spec spec = {.kind = DLM_TARGET_LIST};

    if (targets->kind == DLM_DOC_TARGETS_REGEX && !strcasecmp(targets->regex, "all-linear"))
        return (struct dlm_target_spec){.kind = DLM_TARGET_ALL_LINEAR};
    if (targets->kind == DLM_DOC_TARGETS_REGEX)
        return (struct dlm_target_spec){.kind = DLM_TARGET_REGEX, .regex = targets->regex};
    if (targets->kind == DLM_DOC_TARGETS_LIST) {
        spec.names = targets->list.items;
        spec.num_names = targets->list.len;
        return spec;
    }
    const char *const *list = row ? row->target_modules : usual;
    size_t most = row ? DLM_ARRAY_LEN(row->target_modules) : 4;
    while (spec.num_names < most && list[spec.num_names]) {
        names[spec.num_names] = list[spec.num_names];
        spec.num_names++;
    }
    spec.names = names;
    return spec;
}

enum dlm_status dlm_train_document_lora(struct dlm_model *model, const struct dlm_base *base,
                                        const struct dlm_doc *doc, struct dlm_lora **lora)
{
    const struct dlm_doc_training *d = &doc->training;
    const struct dlm_lora_params params = {
        .r = d->lora_r, .alpha = (float)d->lora_alpha, .dropout = (float)d->lora_dropout};
    const char *names[8];
    struct dlm_target_spec spec = target_spec(&d->target_modules, base->row, names);

    return dlm_model_make_lora(model, lora, &spec, &params);
}

/* An adapter from disk keeps its r, alpha and targets; dropout is the document's. One of the store
 * must be of this base, and what the document asks for now what it asked for then. */
static enum dlm_status read_lora(struct dlm_train_call *t)
{
    const bool is_current = !t->params->init_adapter;
    enum dlm_status st = DLM_OK;

    if (is_current)
        st = dlm_origin_check_base(t->ctx, t->start_adapter, &t->origin);
    if (!st)
        st = dlm_session_read_adapter(t->s, t->start_adapter, &t->lora);
    if (!st && is_current)
        st = dlm_origin_check_form(t->ctx, t->start_adapter, t->lora, &t->origin);
    if (!st)
        t->lora->params.dropout = (float)t->doc->training.lora_dropout;
    return st;
}

static enum dlm_status note_origin(struct dlm_train_call *t, const struct dlm_lora *asked)
{
    t->origin.base_model = dlm_strdup(t->ctx, t->doc->base_model);
    if (!t->origin.base_model)
        return DLM_ERR_MEMORY;
    memcpy(t->origin.base_sha256, t->base_sha, sizeof(t->base_sha));
    t->origin.image_size = dlm_image_size_of(t->s->model);
    snprintf(t->origin.base_form, sizeof(t->origin.base_form), "%s",
             t->s->base_form);
    return dlm_origin_set_form(t->ctx, &t->origin, asked);
}

enum dlm_status dlm_train_make_adapter(struct dlm_train_call *t, struct dlm_checkpoint **tensors)
{
    struct dlm_lora *asked = NULL;

    enum dlm_status st = dlm_train_document_lora(t->s->model, t->base, t->doc, &asked);
    if (!st)
        st = note_origin(t, asked);
    if (st)
        goto done;
    if (t->is_resumed) {
        st = dlm_train_load_state(t, tensors);
    } else if (t->start_adapter) {
        st = read_lora(t);
    } else {
        t->lora = asked;
        asked = NULL;
        st = dlm_lora_init(t->lora, (uint64_t)t->seed);
    }
done:
    dlm_lora_destroy(&asked);
    return st;
}
