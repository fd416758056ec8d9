/* A document as a whole: parse, load, destroy, and questions about it. */
#include "doc/doc.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/schema.h"
#include "doc/text.h"
#include "doc/yaml.h"

#define MAX_DOC_BYTES ((size_t)256 << 20)

enum dlm_status dlm_doc_parse(struct dlm_ctx *ctx, struct dlm_doc **out, const char *path,
                              const char *text, size_t len)
{
    struct dlm_doc_parts parts = {0};
    enum dlm_status st = DLM_ERR_MEMORY;

    *out = NULL;
    struct dlm_doc *doc = dlm_alloc(ctx, sizeof(*doc));
    if (!doc)
        return st;
    if (path) {
        doc->path = dlm_arena_strndup(ctx, &doc->arena, path, strlen(path));
        if (!doc->path)
            goto done;
    }
    st = dlm_doc_split(ctx, &doc->arena, path, text, len, &parts);
    if (parts.had_bom)
        dlm_log(ctx, DLM_LOG_WARNING, "%s: UTF-8 BOM present; stripped", path ? path : "<text>");
    if (!st)
        st = dlm_doc_read_front(ctx, doc, &parts);
    if (!st)
        st = dlm_doc_read_body(ctx, doc, &parts);
    if (st)
        goto done;
    *out = doc;
    doc = NULL;
done:
    dlm_doc_destroy(&doc);
    return st;
}

enum dlm_status dlm_doc_load(struct dlm_ctx *ctx, struct dlm_doc **out, const char *path)
{
    struct dlm_str text = {0};

    *out = NULL;
    enum dlm_status st = dlm_file_read(ctx, path, MAX_DOC_BYTES, &text);
    if (!st)
        st = dlm_doc_parse(ctx, out, path, dlm_str_text(&text), text.len);
    dlm_str_finish(&text);
    return st;
}

void dlm_doc_destroy(struct dlm_doc **doc)
{
    if (!doc || !*doc)
        return;
    dlm_arena_finish(&(*doc)->arena);
    dlm_free(*doc);
    *doc = NULL;
}

bool dlm_doc_is_written(const struct dlm_doc *doc, const char *dotted_key)
{
    const struct dlm_schema_map *map = &dlm_schema_root;
    const void *object = doc;
    const char *key = dotted_key;

    for (;;) {
        size_t len = strcspn(key, ".");
        const struct dlm_schema_field *field = dlm_schema_find(map, key, len);
        if (!field || !dlm_schema_is_written(map, object, field))
            return false;
        if (!key[len])
            return true;
        if (field->type != DLM_SCHEMA_MAP)
            return false;
        object = dlm_schema_const_member(field, object);
        map = field->map;
        key += len + 1;
    }
}

const char *dlm_doc_system_prompt(const struct dlm_doc *doc, size_t *len)
{
    const char *text = doc->system_prompt;

    *len = text ? strlen(text) : 0;
    if (text)
        dlm_text_strip(&text, len);
    return text;
}

bool dlm_doc_wants_preference(const struct dlm_doc *doc)
{
    if (dlm_doc_is_written(doc, "training.preference.enabled"))
        return doc->training.preference.enabled;
    for (size_t i = 0; i < doc->num_sections; i++) {
        if (doc->sections[i].type == DLM_DOC_SECTION_PREFERENCE)
            return true;
    }
    return doc->training.preference.enabled;
}

static void warn_unused(struct dlm_ctx *ctx, const char *name, const struct dlm_schema_map *map,
                        const void *object, const char *prefix, const char *why)
{
    char key[128]; /* longer than any path of the tables */

    for (size_t i = 0; i < map->num_fields; i++) {
        const struct dlm_schema_field *field = &map->fields[i];
        const char *reason = field->unused ? field->unused : field->is_used ? NULL : why;
        bool is_map = field->type == DLM_SCHEMA_MAP;
        snprintf(key, sizeof(key), "%s%s%s", prefix, field->key, is_map ? "." : "");
        if (is_map) {
            warn_unused(ctx, name, field->map, dlm_schema_const_member(field, object), key, reason);
        } else if (reason && !dlm_schema_is_default(field, object)) {
            dlm_log(ctx, DLM_LOG_WARNING, "%s: '%s' is not used: %s", name, key, reason);
        }
    }
}

void dlm_doc_warn_unused(struct dlm_ctx *ctx, const struct dlm_doc *doc)
{
    warn_unused(ctx, doc->path ? doc->path : "<text>", &dlm_schema_root, doc, "", NULL);
}

/* What the document asks for that training does not do, named by its key; NULL: nothing. */
static const char *find_unsupported(const struct dlm_doc *doc)
{
    const struct dlm_doc_training *training = &doc->training;

    if (training->adapter == DLM_DOC_ADAPTER_DORA)
        return "training.adapter: dora";
    if (training->optimizer != DLM_DOC_OPTIMIZER_ADAMW_TORCH)
        return "training.optimizer (only adamw_torch)";
    if (training->adapters)
        return "training.adapters";
    if (training->gate.enabled)
        return "training.gate";
    if (training->cpt.schedule == DLM_DOC_CPT_DAPT)
        return "training.cpt.schedule: dapt";
    if (training->cpt.embed_warmup_steps)
        return "training.cpt.embed_warmup_steps";
    if (dlm_doc_wants_preference(doc))
        return "training.preference";
    return NULL;
}

/* The line of a written key of training. */
static long long training_line(const struct dlm_doc *doc, const char *key)
{
    const struct dlm_yaml *training = dlm_yaml_get(doc->front, "training");

    return (long long)dlm_yaml_find(training, key)->key->line + 1; /* behind the first line */
}

/* Keys of a quantised base that say nothing as they stand. */
static enum dlm_status check_quant(struct dlm_ctx *ctx, const struct dlm_doc *doc,
                                   const char *name)
{
    static const char *const keys[] = {"quant", "double_quant", "quant_scope"};
    const struct dlm_doc_training *t = &doc->training;
    char dotted[32];

    for (size_t i = 0; t->adapter != DLM_DOC_ADAPTER_QLORA && i < DLM_ARRAY_LEN(keys); i++) {
        snprintf(dotted, sizeof(dotted), "training.%s", keys[i]);
        if (!dlm_doc_is_written(doc, dotted))
            continue;
        dlm_fail(ctx, DLM_ERR_INVALID, "cannot train '%s': %s (line %lld) is about a quantised "
                 "base, and training.adapter is not qlora", name, dotted,
                 training_line(doc, keys[i]));
        dlm_log(ctx, DLM_LOG_HINT, "write `adapter: qlora` below training, or leave %s out",
                keys[i]);
        return DLM_ERR_INVALID;
    }
    if (t->adapter == DLM_DOC_ADAPTER_QLORA && t->quant == DLM_DOC_BASE_QUANT_Q8_0 &&
        t->double_quant && dlm_doc_is_written(doc, "training.double_quant")) {
        dlm_fail(ctx, DLM_ERR_INVALID, "cannot train '%s': training.double_quant (line %lld) is "
                 "about the scales of nf4, and training.quant is q8_0", name,
                 training_line(doc, "double_quant"));
        dlm_log(ctx, DLM_LOG_HINT, "write `quant: nf4`, or leave double_quant out");
        return DLM_ERR_INVALID;
    }
    return DLM_OK;
}

enum dlm_status dlm_doc_check_trainable(struct dlm_ctx *ctx, const struct dlm_doc *doc)
{
    const char *name = doc->path ? doc->path : "<text>";
    const char *key = find_unsupported(doc);

    if (key)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot train '%s': %s is not supported yet",
                        name, key);
    enum dlm_status st = check_quant(ctx, doc, name);
    if (st)
        return st;
    for (size_t i = 0; i < doc->num_sections; i++) {
        if (doc->sections[i].type == DLM_DOC_SECTION_AUDIO)
            return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                            "cannot train '%s': ::audio:: (line %lld) is not supported yet", name,
                            (long long)doc->sections[i].start_line);
    }
    return DLM_OK;
}
