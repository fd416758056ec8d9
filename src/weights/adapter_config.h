/* adapter_config.json: what is read of it, and what is refused. Inside src/weights only. */
#ifndef DLM_WEIGHTS_ADAPTER_CONFIG_H
#define DLM_WEIGHTS_ADAPTER_CONFIG_H

#include "base/json.h"
#include "weights/adapter.h"

/* rank_pattern or alpha_pattern: compiled keys in the file's order. All zero is empty. */
struct dlm_pattern_list {
    struct dlm_pattern *items;
    size_t len;
};

/* A parsed config. Strings of `config` are borrowed from root. */
struct dlm_adapter_config_file {
    json_t *root;
    const char **target_names;
    struct dlm_adapter_config config;
    struct dlm_pattern_list rank_pattern, alpha_pattern;
};

/* Reads and checks the file at path. *file is finished by the caller also on failure. */
enum dlm_status dlm_adapter_config_load(struct dlm_ctx *ctx, struct dlm_adapter_config_file *file,
                                        const char *path) DLM_CHECK_RESULT;

/* The same for text in memory; `where` stands for it in messages. */
enum dlm_status dlm_adapter_config_parse(struct dlm_ctx *ctx, struct dlm_adapter_config_file *file,
                                         const char *where, const char *text,
                                         size_t len) DLM_CHECK_RESULT;

void dlm_adapter_config_finish(struct dlm_adapter_config_file *file);

/* The value of the first key that matches the path in one of its spellings (PEFT:
 * re.match("(.*\.)?(key)$")), else `otherwise`. */
enum dlm_status dlm_pattern_value(struct dlm_ctx *ctx, const struct dlm_pattern_list *list,
                                  const char *path, const char *canonical, double otherwise,
                                  double *value) DLM_CHECK_RESULT;

/* Whether a value means "set": anything but null, false, 0, "", [] and {}. */
bool dlm_json_is_set(const json_t *value);

#endif
