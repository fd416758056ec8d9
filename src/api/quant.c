/* Forms of a base by their names. */
#include "api/quant.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define AS_SAVED ", as saved"
#define ELSE "; else "

static const struct {
    enum dlm_quant quant;
    enum dlm_quant_scope scope;
    enum dlm_dtype dtype;
    const char *name;
} forms[] = {
    {DLM_QUANT_Q8_0, DLM_QUANT_SCOPE_DECODER, DLM_DTYPE_Q8_0, "q8_0, decoder"},
    {DLM_QUANT_Q8_0, DLM_QUANT_SCOPE_LINEARS, DLM_DTYPE_Q8_0, "q8_0, linears"},
    {DLM_QUANT_Q8_0, DLM_QUANT_SCOPE_ALL, DLM_DTYPE_Q8_0, "q8_0, all"},
    {DLM_QUANT_NF4, DLM_QUANT_SCOPE_DECODER, DLM_DTYPE_NF4, "nf4, decoder"},
    {DLM_QUANT_NF4, DLM_QUANT_SCOPE_LINEARS, DLM_DTYPE_NF4, "nf4, linears"},
    {DLM_QUANT_NF4, DLM_QUANT_SCOPE_ALL, DLM_DTYPE_NF4, "nf4, all"},
    {DLM_QUANT_NF4_DQ, DLM_QUANT_SCOPE_DECODER, DLM_DTYPE_NF4_DQ, "nf4_dq, decoder"},
    {DLM_QUANT_NF4_DQ, DLM_QUANT_SCOPE_LINEARS, DLM_DTYPE_NF4_DQ, "nf4_dq, linears"},
    {DLM_QUANT_NF4_DQ, DLM_QUANT_SCOPE_ALL, DLM_DTYPE_NF4_DQ, "nf4_dq, all"},
};

struct dlm_quant_policy dlm_quant_policy_of(const struct dlm_compute *compute)
{
    struct dlm_quant_policy policy = {
        .scope = compute->quant_scope ? compute->quant_scope : DLM_QUANT_SCOPE_DECODER};

    for (size_t i = 0; i < DLM_ARRAY_LEN(forms); i++)
        if (forms[i].quant == compute->quant)
            policy.dtype = forms[i].dtype;
    return policy;
}

enum dlm_status dlm_quant_check(struct dlm_ctx *ctx, const struct dlm_compute *compute)
{
    if (!compute->quant_scope || compute->quant > DLM_QUANT_NONE)
        return DLM_OK;
    if (compute->quant == DLM_QUANT_NONE) {
        dlm_fail(ctx, DLM_ERR_INVALID, "--quant-scope says which weights are quantised, and "
                 "--quant none that none is");
        dlm_log(ctx, DLM_LOG_HINT, "leave one of the two out");
        return DLM_ERR_INVALID;
    }
    dlm_fail(ctx, DLM_ERR_INVALID, "--quant-scope says which weights are quantised, and nothing "
             "asks for that");
    dlm_log(ctx, DLM_LOG_HINT, "give --quant too, or write `adapter: qlora` below training");
    return DLM_ERR_INVALID;
}

void dlm_quant_take_document(struct dlm_compute *compute, const struct dlm_doc *doc)
{
    const struct dlm_doc_training *t = &doc->training;
    static const enum dlm_quant_scope scopes[] = {
        [DLM_DOC_QUANT_SCOPE_DECODER] = DLM_QUANT_SCOPE_DECODER,
        [DLM_DOC_QUANT_SCOPE_LINEARS] = DLM_QUANT_SCOPE_LINEARS,
        [DLM_DOC_QUANT_SCOPE_ALL] = DLM_QUANT_SCOPE_ALL,
    };

    if (t->adapter != DLM_DOC_ADAPTER_QLORA)
        return;
    if (!compute->quant)
        compute->quant = t->quant == DLM_DOC_BASE_QUANT_Q8_0 ? DLM_QUANT_Q8_0
                         : t->double_quant                   ? DLM_QUANT_NF4_DQ
                                                             : DLM_QUANT_NF4;
    if (!compute->quant_scope && compute->quant != DLM_QUANT_NONE)
        compute->quant_scope = scopes[t->quant_scope];
}

const char *dlm_quant_form_name(const struct dlm_quant_policy *policy)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(forms); i++)
        if (forms[i].dtype == policy->dtype && forms[i].scope == policy->scope)
            return forms[i].name;
    return "";
}

enum dlm_dtype dlm_quant_saved(const struct dlm_weights *weights)
{
    int64_t num[DLM_DTYPE_COUNT] = {0};
    enum dlm_dtype most = DLM_DTYPE_F32;

    for (size_t i = 0; i < weights->num; i++)
        for (int k = 0; k < weights->list[i]->num_parts; k++) {
            const struct dlm_weight_part *part = &weights->list[i]->parts[k];
            num[dlm_weight_part_saved(part)] += part->len;
        }
    num[DLM_DTYPE_F32] = 0;
    for (int d = 0; d < DLM_DTYPE_COUNT; d++)
        if (num[d] > num[most])
            most = (enum dlm_dtype)d;
    return most;
}

/* Whether a weight of which no part was saved so is quantised. */
static bool has_others(const struct dlm_weights *weights)
{
    for (size_t i = 0; i < weights->num; i++)
        if (dlm_dtype_is_quant(weights->list[i]->dtype) &&
            dlm_weight_part_saved(&weights->list[i]->parts[0]) == DLM_DTYPE_F32)
            return true;
    return false;
}

void dlm_quant_form_of(const struct dlm_weights *weights, char form[DLM_BASE_FORM_BYTES])
{
    const enum dlm_dtype saved = dlm_quant_saved(weights);
    const char *asked = dlm_quant_form_name(&weights->quant);

    if (saved == DLM_DTYPE_F32)
        snprintf(form, DLM_BASE_FORM_BYTES, "%s", asked);
    else
        snprintf(form, DLM_BASE_FORM_BYTES, "%s" AS_SAVED "%s%s", dlm_dtype_name(saved),
                 has_others(weights) ? ELSE : "", has_others(weights) ? asked : "");
}

/* Behind "nf4, as saved" and what joins it to the rest. */
static const char *skip_saved(const char *form)
{
    for (int d = 0; d < DLM_DTYPE_COUNT; d++) {
        const char *name = dlm_dtype_name((enum dlm_dtype)d);
        const size_t len = strlen(name);
        const char *rest = form + len + strlen(AS_SAVED);
        if (dlm_dtype_is_quant((enum dlm_dtype)d) && !strncmp(form, name, len) &&
            !strncmp(form + len, AS_SAVED, strlen(AS_SAVED)))
            return strncmp(rest, ELSE, strlen(ELSE)) ? rest : rest + strlen(ELSE);
    }
    return form;
}

bool dlm_quant_take_form(struct dlm_compute *compute, const char *form)
{
    const char *asked = skip_saved(form);

    for (size_t i = 0; i < DLM_ARRAY_LEN(forms); i++)
        if (!strcmp(forms[i].name, asked)) {
            if (!compute->quant)
                compute->quant = forms[i].quant;
            if (!compute->quant_scope && compute->quant != DLM_QUANT_NONE)
                compute->quant_scope = forms[i].scope;
            return true;
        }
    if (*asked)
        return false;
    if (!compute->quant)
        compute->quant = DLM_QUANT_NONE;
    return true;
}
