/* Walks the front matter along the schema's tables: required, unknown and nested keys, and the
 * rules that join several keys. Single values are read in convert.c. */
#include <string.h>

#include "doc/doc_impl.h"
#include "doc/schema.h"
#include "doc/text.h"

static void read_map(struct dlm_schema_check *check, const struct dlm_schema_map *map,
                     const struct dlm_yaml *value, const struct dlm_schema_place *place,
                     void *object);

/* The text of a key as Python's str() has it in a path. */
static struct dlm_schema_place key_place(const struct dlm_schema_place *parent,
                                         const struct dlm_yaml *key)
{
    if (key->kind == DLM_YAML_NULL)
        return (struct dlm_schema_place){parent, "None", 4, 0, key};
    if (key->kind == DLM_YAML_BOOL)
        return (struct dlm_schema_place){parent, key->boolean ? "1" : "0", 1, 0, key};
    return (struct dlm_schema_place){parent, key->text, key->text_len, 0, key};
}

/* --- training.adapters and training.sources ------------------------------------------------ */

static bool check_adapter_names(struct dlm_schema_check *check,
                                const struct dlm_schema_place *place, const struct dlm_yaml *value)
{
    struct dlm_str repr = {0};

    if (!value->len) {
        dlm_schema_report(check, place,
                          "Value error, training.adapters: at least one adapter must be declared "
                          "(omit the block entirely for the single-adapter shorthand)");
        return false;
    }
    for (size_t i = 0; i < value->len; i++) {
        const struct dlm_yaml *key = value->pairs[i].key;
        if (dlm_doc_is_adapter_name(key->text, key->text_len))
            continue;
        if (dlm_text_append_repr(check->ctx, &repr, key->text, key->text_len))
            check->st = DLM_ERR_MEMORY;
        dlm_schema_report(check, place,
                          "Value error, training.adapters: %s is not a valid adapter name "
                          "(must match ^[a-z][a-z0-9_]{0,31}$)",
                          dlm_str_text(&repr));
        dlm_str_finish(&repr);
        return false;
    }
    return true;
}

static void read_adapters(struct dlm_schema_check *check, const struct dlm_yaml *value,
                          const struct dlm_schema_place *place, struct dlm_doc_training *training)
{
    size_t num_errors = check->num_errors;

    if (value->kind == DLM_YAML_NULL)
        return;
    if (value->kind != DLM_YAML_MAP) {
        dlm_schema_report(check, place, "Input should be a valid dictionary");
        return;
    }
    struct dlm_doc_adapter *adapters =
        dlm_arena_alloc(check->ctx, check->arena, (value->len + 1) * sizeof(*adapters));
    if (!adapters) {
        check->st = DLM_ERR_MEMORY;
        return;
    }
    for (size_t i = 0; i < value->len && !check->st; i++) {
        const struct dlm_yaml *key = value->pairs[i].key;
        struct dlm_schema_place inner = key_place(place, key);
        const struct dlm_schema_place at_key = {&inner, "[key]", 5, 0, NULL};
        if (key->kind != DLM_YAML_STR)
            dlm_schema_report(check, &at_key, "Input should be a valid string");
        adapters[i].name = key->text;
        read_map(check, &dlm_schema_adapter, value->pairs[i].value, &inner, &adapters[i]);
    }
    if (check->num_errors > num_errors || !check_adapter_names(check, place, value))
        return;
    training->adapters = adapters;
    training->num_adapters = value->len;
}

static void read_sources(struct dlm_schema_check *check, const struct dlm_yaml *value,
                         const struct dlm_schema_place *place, struct dlm_doc_training *training)
{
    if (value->kind == DLM_YAML_NULL)
        return;
    if (value->kind != DLM_YAML_LIST) {
        dlm_schema_report(check, place, "Input should be a valid tuple");
        return;
    }
    training->sources =
        dlm_arena_alloc(check->ctx, check->arena, (value->len + 1) * sizeof(*training->sources));
    if (!training->sources) {
        check->st = DLM_ERR_MEMORY;
        return;
    }
    training->num_sources = value->len;
    for (size_t i = 0; i < value->len && !check->st; i++) {
        const struct dlm_schema_place inner = {place, NULL, 0, i, value->items[i]};
        read_map(check, &dlm_schema_source, value->items[i], &inner, &training->sources[i]);
    }
}

/* --- rules over several keys --------------------------------------------------------------- */

/* Lists the keys of training that contradict training.adapters, as Python prints a list. */
static enum dlm_status list_drift(struct dlm_ctx *ctx, const struct dlm_doc_training *training,
                                  struct dlm_str *out)
{
    static const char *const keys[] = {"adapter",      "lora_r",         "lora_alpha",
                                       "lora_dropout", "target_modules", "learning_rate"};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(keys); i++) {
        const struct dlm_schema_field *field =
            dlm_schema_find(&dlm_schema_training, keys[i], strlen(keys[i]));
        if (!dlm_schema_is_default(field, training))
            st = dlm_str_appendf(ctx, out, "%s'%s'", out->len ? ", " : "", keys[i]);
    }
    return st;
}

static void check_training(struct dlm_schema_check *check, const struct dlm_schema_place *place,
                           const struct dlm_doc_training *training)
{
    struct dlm_str drift = {0};

    if (training->gate.enabled && training->num_adapters < 2) {
        dlm_schema_report(check, place,
                          "Value error, training.gate.enabled=true requires training.adapters with "
                          "two or more named adapters (a gate over a single adapter has nothing to "
                          "route between)");
        return;
    }
    if (!training->adapters)
        return;
    if (list_drift(check->ctx, training, &drift))
        check->st = DLM_ERR_MEMORY;
    if (drift.len)
        dlm_schema_report(check, place,
                          "Value error, training.adapters is declared; flat per-adapter fields "
                          "[%s] must stay at their defaults (move them into the per-adapter block "
                          "instead)",
                          drift.data);
    dlm_str_finish(&drift);
}

/* --- maps ---------------------------------------------------------------------------------- */

static void read_field(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                       const struct dlm_yaml_pair *pair, const struct dlm_schema_place *parent,
                       void *object)
{
    const struct dlm_schema_place place = {parent, field->key, strlen(field->key), 0,
                                           pair ? pair->key : NULL};
    const struct dlm_yaml *value = pair ? pair->value : NULL;

    if (!value) {
        if (field->is_required)
            dlm_schema_report(check, &place, "Field required");
        return;
    }
    if (field->type == DLM_SCHEMA_MAP)
        read_map(check, field->map, value, &place, dlm_schema_member(field, object));
    else if (field->type == DLM_SCHEMA_ADAPTERS)
        read_adapters(check, value, &place, object);
    else if (field->type == DLM_SCHEMA_SOURCES)
        read_sources(check, value, &place, object);
    else
        dlm_schema_convert(check, field, value, &place, dlm_schema_member(field, object));
}

static void report_extras(struct dlm_schema_check *check, const struct dlm_schema_map *map,
                          const struct dlm_yaml *value, const struct dlm_schema_place *place)
{
    for (size_t i = 0; i < value->len; i++) {
        const struct dlm_yaml *key = value->pairs[i].key;
        const struct dlm_schema_place inner = key_place(place, key);
        if (key->kind != DLM_YAML_STR)
            dlm_schema_report(check, &inner, "Keys should be strings");
        else if (!dlm_schema_find(map, key->text, key->text_len))
            dlm_schema_report(check, &inner, "Extra inputs are not permitted");
    }
}

/* Fills object, which is zeroed: defaults first, then what the map states. */
static void read_map(struct dlm_schema_check *check, const struct dlm_schema_map *map,
                     const struct dlm_yaml *value, const struct dlm_schema_place *place,
                     void *object)
{
    size_t num_errors = check->num_errors;
    uint32_t written = 0;

    if (value->kind != DLM_YAML_MAP) {
        dlm_schema_report(check, place, "Input should be a valid dictionary or instance of %s",
                          map->class_name);
        return;
    }
    if (!check->st)
        check->st = dlm_schema_set_defaults(check->ctx, check->arena, map, object);
    for (size_t i = 0; i < map->num_fields && !check->st; i++) {
        const struct dlm_yaml_pair *pair = dlm_yaml_find(value, map->fields[i].key);
        written |= pair ? 1u << i : 0;
        read_field(check, &map->fields[i], pair, place, object);
    }
    if (check->st)
        return;
    memcpy((char *)object + map->written_offset, &written, sizeof(written));
    report_extras(check, map, value, place);
    if (check->num_errors == num_errors && map == &dlm_schema_training)
        check_training(check, place, object);
}

enum dlm_status dlm_schema_read(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                const struct dlm_schema_map *map, const struct dlm_yaml *value,
                                void *object, struct dlm_schema_errors *errors)
{
    struct dlm_schema_check check = {.ctx = ctx, .arena = arena, .errors = errors};
    read_map(&check, map, value, NULL, object);
    return check.st;
}
