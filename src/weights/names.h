/* Names of weights: a family states how older spellings become the one that its code uses.
 * The rules of a family live in its own file; here is only the machinery. */
#ifndef DLM_WEIGHTS_NAMES_H
#define DLM_WEIGHTS_NAMES_H

#include "base/attr.h"
#include "dlm/ctx.h"

/* A name that starts with `prefix` (whole components: followed by '.' or the end) gets
 * `replacement` in its place. */
struct dlm_name_rule {
    const char *prefix;
    const char *replacement;
};

/* Below `under`, a following component `component` is left out:
 * {"model.vision_tower", "vision_model"} makes model.vision_tower.vision_model.x into
 * model.vision_tower.x. */
struct dlm_name_drop {
    const char *under;
    const char *component;
};

/* First the first rule that fits, then every drop in turn. All zero changes nothing. */
struct dlm_name_map {
    const struct dlm_name_rule *rules;
    size_t num_rules;
    const struct dlm_name_drop *drops;
    size_t num_drops;
};

/* The canonical spelling of a tensor's name or of a module path. map may be NULL.
 * Returns a string owned by the caller (dlm_free), NULL after logging when out of memory. */
char *dlm_name_canonical(struct dlm_ctx *ctx, const struct dlm_name_map *map,
                         const char *name) DLM_CHECK_RESULT;

/* The other way for the drops alone: puts the left-out components back in, as transformers 4
 * spells them. Owned by the caller. */
char *dlm_name_with_drops(struct dlm_ctx *ctx, const struct dlm_name_map *map,
                          const char *name) DLM_CHECK_RESULT;

#endif
