/* What the folder of a version holds, written. */
#ifndef DLM_API_VERSION_FILES_H
#define DLM_API_VERSION_FILES_H

#include "models/model.h"
#include "registry/registry.h"

/* An adapter whose values lie in lora->values. Borrows everything until return. */
struct dlm_version_adapter {
    const struct dlm_model *model;
    const struct dlm_base *base;
    const struct dlm_lora *lora;
    enum dlm_adapter_names names;
};

/* adapter_config.json and adapter_model.safetensors, as PEFT has them. */
enum dlm_status dlm_version_write_adapter(struct dlm_ctx *ctx, const char *dir,
                                          const struct dlm_version_adapter *adapter)
    DLM_CHECK_RESULT;

/* pinned_versions.json: of which dlm the version is. */
enum dlm_status dlm_version_write_versions(struct dlm_ctx *ctx, const char *dir) DLM_CHECK_RESULT;

#endif
