/* Adapter modules on a model's linears: those that a target means, and those that an adapter on
 * disk has. */
#include "base/log.h"
#include "models/model.h"

/* Each name of a list is one of the model's. */
static enum dlm_status check_targets(const struct dlm_model *m, const struct dlm_target_spec *spec)
{
    const char **paths = dlm_alloc_array(m->ctx, m->linears.num, sizeof(*paths));

    if (!paths)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < m->linears.num; i++)
        paths[i] = m->linears.items[i]->path;
    enum dlm_status st = dlm_target_spec_check(m->ctx, spec, paths, m->linears.num);
    dlm_free(paths);
    return st;
}

static enum dlm_status fail_no_target(const struct dlm_model *m,
                                      const struct dlm_target_spec *spec)
{
    const char *path = m->linears.num ? m->linears.items[m->linears.num - 1]->path : "";
    const char *dot = strrchr(path, '.');
    const char *name = dot ? dot + 1 : path;

    dlm_fail(m->ctx, DLM_ERR_INVALID,
             "target_modules: the expression '%.200s' matches no linear module of the base",
             spec->kind == DLM_TARGET_REGEX ? spec->regex : "all-linear");
    dlm_log(m->ctx, DLM_LOG_HINT, "an expression matches whole paths, as '.*\\.%s'; a list, as "
            "[%s], has names; all-linear means every linear of the language model",
            name, name);
    return DLM_ERR_INVALID;
}

enum dlm_status dlm_model_make_lora(struct dlm_model *m, struct dlm_lora **out,
                                    const struct dlm_target_spec *spec,
                                    const struct dlm_lora_params *params)
{
    struct dlm_lora_matcher *matcher = NULL;
    struct dlm_target_spec where = *spec;
    bool hit;

    if (!where.under)
        where.under = m->family->language;
    enum dlm_status st = dlm_lora_create(m->ctx, out, params);
    if (!st)
        st = check_targets(m, &where);
    if (!st)
        st = dlm_lora_matcher_create(m->ctx, &matcher, &where);
    for (size_t i = 0; !st && i < m->linears.num; i++) {
        const struct dlm_linear *l = m->linears.items[i];
        st = dlm_lora_matches(m->ctx, matcher, l->path, &hit);
        if (!st && hit)
            st = dlm_lora_add(*out, l->path, l->weight, l->weight->cols, l->out, 0, 0);
    }
    if (!st && !(*out)->num) /* a list has matched */
        st = fail_no_target(m, &where);
    dlm_lora_matcher_destroy(&matcher);
    if (st)
        dlm_lora_destroy(out);
    return st;
}

const struct dlm_linear *dlm_model_find_linear(const struct dlm_model *m, const char *path)
{
    for (size_t i = 0; i < m->linears.num; i++)
        if (!strcmp(m->linears.items[i]->path, path))
            return m->linears.items[i];
    return NULL;
}

enum dlm_status dlm_model_read_lora(struct dlm_model *m, struct dlm_lora **out,
                                    const struct dlm_adapter *adapter)
{
    struct dlm_lora_params params = {
        .r = adapter->config.r,
        .alpha = (float)adapter->config.alpha,
        .dropout = (float)adapter->config.dropout,
        .use_rslora = adapter->config.use_rslora,
    };

    enum dlm_status st = dlm_lora_create(m->ctx, out, &params);
    for (size_t i = 0; !st && i < adapter->num_modules; i++) {
        const struct dlm_adapter_module *a = &adapter->modules[i];
        const struct dlm_linear *l = dlm_model_find_linear(m, a->path);
        if (!l || l->out != a->out || l->weight->cols != a->in)
            st = dlm_fail(m->ctx, DLM_ERR_INVALID,
                          "the adapter does not fit the base: it has no linear '%s' of %lld x %lld",
                          a->path, (long long)a->out, (long long)a->in);
    }
    /* in the model's order, in which those of one input follow each other */
    for (size_t i = 0; !st && i < m->linears.num; i++) {
        const struct dlm_linear *l = m->linears.items[i];
        const struct dlm_adapter_module *a = dlm_adapter_find(adapter, l->path);
        if (a)
            st = dlm_lora_add(*out, a->path, l->weight, a->in, a->out, a->r, (float)a->alpha);
    }
    if (!st)
        st = dlm_lora_read(*out, adapter);
    if (st)
        dlm_lora_destroy(out);
    return st;
}

bool dlm_model_trains_tower(const struct dlm_model *m, const struct dlm_lora *lora)
{
    for (size_t i = 0; i < m->linears.num; i++) {
        const struct dlm_linear *l = m->linears.items[i];
        if (l->weight->group == DLM_WEIGHT_GROUP_TOWER && dlm_lora_find(lora, l->path))
            return true;
    }
    return false;
}
