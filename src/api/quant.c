/* Forms of a base by their names. */
#include "api/quant.h"

#include <string.h>

#include "base/attr.h"

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
    if (!compute->quant_scope)
        compute->quant_scope = scopes[t->quant_scope];
}

const char *dlm_quant_form_name(const struct dlm_quant_policy *policy)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(forms); i++)
        if (forms[i].dtype == policy->dtype && forms[i].scope == policy->scope)
            return forms[i].name;
    return "";
}

bool dlm_quant_take_form(struct dlm_compute *compute, const char *name)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(forms); i++)
        if (!strcmp(forms[i].name, name)) {
            if (!compute->quant)
                compute->quant = forms[i].quant;
            if (!compute->quant_scope)
                compute->quant_scope = forms[i].scope;
            return true;
        }
    if (*name)
        return false;
    if (!compute->quant)
        compute->quant = DLM_QUANT_NONE;
    return true;
}
