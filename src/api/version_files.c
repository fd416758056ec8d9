/* The files of a version besides origin.json and its record. */
#include "api/version_files.h"

#include "base/file.h"
#include "base/json.h"
#include "dlm/api.h"

enum dlm_status dlm_version_write_adapter(struct dlm_ctx *ctx, const char *dir,
                                          const struct dlm_version_adapter *adapter)
{
    const struct dlm_lora *lora = adapter->lora;
    const struct dlm_linear_list *linears = &adapter->model->linears;
    struct dlm_adapter_write_params params = {
        .base_model = dlm_base_name(adapter->base),
        .revision = adapter->base->revision,
        .r = lora->params.r,
        .alpha = lora->params.alpha,
        .dropout = lora->params.dropout,
        .use_rslora = lora->params.use_rslora,
        .names = adapter->names,
        .map = &adapter->model->family->names,
        .target_regex = adapter->model->family->usual_targets,
        .num_all_paths = linears->num,
    };
    struct dlm_adapter_out_module *list = dlm_alloc_array(ctx, lora->num, sizeof(*list));
    const char **paths = dlm_alloc_array(ctx, linears->num, sizeof(*paths));
    enum dlm_status st = list && paths ? DLM_OK : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < linears->num; i++)
        paths[i] = linears->items[i]->path;
    params.all_paths = paths;
    for (size_t i = 0; !st && i < lora->num; i++) {
        const struct dlm_lora_module *m = lora->modules[i];
        list[i] = (struct dlm_adapter_out_module){
            .path = m->path, .r = m->r, .alpha = m->alpha, .in = m->in, .out = m->out,
            .a = lora->values + m->a_at, .b = lora->values + m->b_at};
    }
    if (!st)
        st = dlm_adapter_write(ctx, dir, &params, list, lora->num);
    dlm_free(list);
    dlm_free(paths);
    return st;
}

enum dlm_status dlm_version_write_versions(struct dlm_ctx *ctx, const char *dir)
{
    char *path = dlm_path_join(ctx, dir, "pinned_versions.json");
    json_t *versions = json_pack("{s:s}", "dlm", dlm_version_text());
    enum dlm_status st = path && versions ? dlm_json_replace(ctx, path, versions) : DLM_ERR_MEMORY;

    json_decref(versions);
    dlm_free(path);
    return st;
}
