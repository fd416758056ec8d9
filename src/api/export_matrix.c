/* `dlm export --matrix`: which bases of the registry llama.cpp has a model for. */
#include <string.h>

#include "api/export_verdict.h"
#include "base/json.h"
#include "base/log.h"
#include "dlm/export.h"
#include "registry/registry.h"

#define ROW "%-31s %-12s %s\n"

/* NULL: a family that dlm does not know. */
static const struct dlm_family *find_family(const char *model_type)
{
    static const struct dlm_family *const families[] = {
#define FAMILY_ROW(name) &dlm_family_##name,
        DLM_FAMILY_LIST(FAMILY_ROW)
#undef FAMILY_ROW
    };

    for (size_t i = 0; model_type && i < DLM_ARRAY_LEN(families); i++)
        if (!strcmp(families[i]->model_type, model_type))
            return families[i];
    return NULL;
}

static struct dlm_export_verdict judge(const struct dlm_base_row *row)
{
    return dlm_verdict_of(row, find_family(row->family));
}

static bool is_listed(const struct dlm_base_row *row)
{
    return row->modality == DLM_MODALITY_VISION_LANGUAGE;
}

static enum dlm_status append_table(struct dlm_ctx *ctx, struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendf(ctx, out, "llama.cpp at %s\n" ROW, dlm_export_llama_cpp,
                                         "BASE", "SUPPORT", "WHY");

    for (size_t i = 0; !st && i < dlm_registry_num_rows(); i++) {
        const struct dlm_base_row *row = dlm_registry_row(i);
        const struct dlm_export_verdict v = judge(row);
        if (is_listed(row))
            st = dlm_str_appendf(ctx, out, ROW, row->key, v.support, v.reason);
    }
    return st;
}

/* As the Python dlm has it in a file of its own. */
static enum dlm_status append_json(struct dlm_ctx *ctx, struct dlm_str *out)
{
    json_t *bases = json_object();
    int rc = bases ? 0 : -1;

    for (size_t i = 0; !rc && i < dlm_registry_num_rows(); i++) {
        const struct dlm_base_row *row = dlm_registry_row(i);
        const struct dlm_export_verdict v = judge(row);
        if (is_listed(row))
            rc = json_object_set_new(bases, row->key,
                                     json_pack("{s:s, s:s, s:s, s:s}", "architecture",
                                               row->architecture, "support", v.support,
                                               "llama_cpp_tag", dlm_export_llama_cpp, "reason",
                                               v.reason));
    }
    json_t *root = json_pack("{s:i, s:o}", "schema", 1, "bases", bases);
    enum dlm_status st = dlm_json_append(ctx, out, rc ? NULL : root, 0);
    json_decref(root);
    return st;
}

enum dlm_status dlm_export_matrix(struct dlm_ctx *ctx, bool is_json, char **text)
{
    struct dlm_str out = {0};

    *text = NULL;
    enum dlm_status st = is_json ? append_json(ctx, &out) : append_table(ctx, &out);
    if (st)
        dlm_str_finish(&out);
    else
        *text = out.data;
    return st;
}
