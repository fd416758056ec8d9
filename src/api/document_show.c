/* `dlm show`: a document and its store, as lines or as JSON. Keys and labels are the reference's;
 * keys about what dlm does not do yet (gate, mining, tokenized cache) are left out. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "api/run_rate.h"
#include "api/store_versions.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "dlm/document.h"
#include "doc/doc.h"
#include "registry/registry.h"
#include "store/manifest.h"

/* Lines about versions; JSON has all of them. */
#define MAX_VERSIONS 10

struct show {
    const char *path;
    const struct dlm_doc *doc;
    const struct dlm_store *store;
    const struct dlm_store_info *info;
    const struct dlm_manifest *manifest; /* root NULL: no store yet */
    char *source_path;                   /* absolute path of the document */
    struct dlm_document_versions versions;
    struct dlm_run_rate rate;            /* of the last run in the manifest */
};

static enum dlm_status collect(struct dlm_ctx *ctx, struct show *s)
{
    const json_t *runs = json_object_get(s->manifest->root, "training_runs");
    const json_t *last = json_array_get(runs, json_array_size(runs) - 1);

    enum dlm_status st = dlm_store_describe_versions(ctx, s->store, &s->versions);
    if (!st && last)
        st = dlm_run_rate(ctx, s->store, json_integer_value(json_object_get(last, "run_id")),
                          &s->rate);
    return st;
}

/* --- lines --- */

static enum dlm_status append_exports(struct dlm_ctx *ctx, const json_t *exports,
                                      struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendf(ctx, out, "  exports:        %zu\n",
                                         json_array_size(exports));

    for (size_t i = 0; !st && i < json_array_size(exports); i++) {
        const json_t *e = json_array_get(exports, i);
        const char *target = json_string_value(json_object_get(e, "target"));
        const char *quant = json_string_value(json_object_get(e, "quant"));
        const char *when = json_string_value(json_object_get(e, "exported_at"));
        st = dlm_str_appendf(ctx, out, "    - %s %s  %s\n", target ? target : "?",
                             quant ? quant : "", when ? when : "");
    }
    return st;
}

/* The newest versions, and the current one. */
static enum dlm_status append_versions(struct dlm_ctx *ctx, const struct show *s,
                                       struct dlm_str *out)
{
    const size_t len = s->versions.len;
    enum dlm_status st = DLM_OK;

    if (len > MAX_VERSIONS)
        st = dlm_str_appendf(ctx, out, "    (%zu versions; `dlm use --list` shows all)\n", len);
    for (size_t i = 0; !st && i < len; i++) {
        const struct dlm_document_version *v = &s->versions.items[i];
        char size[32];
        if (i + MAX_VERSIONS < len && !v->is_current)
            continue;
        dlm_size_text(v->bytes, size, sizeof(size));
        st = dlm_str_appendf(ctx, out, "    %c v%04" PRId64 "  %s", v->is_current ? '*' : '-',
                             v->number, size);
        if (!st && v->run_id)
            st = dlm_str_appendf(ctx, out, "  %s  %" PRId64 " step%s", v->trained_at, v->steps,
                                 v->steps == 1 ? "" : "s");
        if (!st && v->run_id && isfinite(v->loss))
            st = dlm_str_appendf(ctx, out, "  loss %.4f", v->loss);
        if (!st)
            st = dlm_str_appendz(ctx, out, "\n");
    }
    return st;
}

static enum dlm_status append_rate(struct dlm_ctx *ctx, const struct dlm_run_rate *rate,
                                   struct dlm_str *out)
{
    const double each = rate->run_id ? rate->seconds / (double)rate->steps : 0;
    char text[32];

    if (!rate->run_id)
        return DLM_OK;
    enum dlm_status st = dlm_str_appendf(
        ctx, out, "  last run:       %" PRId64 " step%s in %.3g s, %.3g s a step, %.0f tokens/s\n",
        rate->steps, rate->steps == 1 ? "" : "s", rate->seconds, each,
        (double)rate->tokens / rate->seconds);
    if (st)
        return st;
    if (!(rate->foretold > 0))
        return dlm_str_appendz(ctx, out, "                  foretold: nothing, as no `dlm doctor "
                                         "DOCUMENT` had measured the device\n");
    dlm_seconds_text(rate->foretold, text, sizeof(text));
    return dlm_str_appendf(ctx, out, "                  foretold: %s a step, of which it took %.2f "
                           "times as long\n", text, each / rate->foretold);
}

static enum dlm_status append_store(struct dlm_ctx *ctx, const struct show *s, struct dlm_str *out)
{
    const struct dlm_store_info *info = s->info;
    char size[32];

    dlm_size_text(info->total_bytes, size, sizeof(size));
    enum dlm_status st = dlm_str_appendf(ctx, out, "  store:          %s  (%s)\n",
                                         dlm_store_path(s->store), size);
    if (!st && info->has_current)
        st = dlm_str_appendf(ctx, out, "  adapter:        v%04" PRId64 "\n",
                             info->adapter_version);
    else if (!st)
        st = dlm_str_appendz(ctx, out, "  adapter:        none (no `dlm train` yet)\n");
    if (!st)
        st = append_versions(ctx, s, out);
    if (!st)
        st = dlm_str_appendf(ctx, out, "  training runs:  %" PRId64 "%s%s\n", info->num_runs,
                             info->last_trained_at[0] ? " \xe2\x80\x94 last " : "",
                             info->last_trained_at);
    if (!st)
        st = append_rate(ctx, &s->rate, out);
    if (!st && info->num_unfinished)
        st = dlm_str_appendf(ctx, out,
                             "  unfinished:     %" PRId64 " (go on with `dlm train --resume`)\n",
                             info->num_unfinished);
    if (!st)
        st = append_exports(ctx, json_object_get(s->manifest->root, "exports"), out);
    if (!st && info->orphaned)
        st = dlm_str_appendf(ctx, out, "  orphaned:       '%s' does not exist any more\n",
                             dlm_manifest_string(s->manifest, "source_path"));
    return st;
}

static enum dlm_status show_lines(struct dlm_ctx *ctx, const struct show *s, struct dlm_str *out)
{
    const char *revision = s->manifest->root
                               ? dlm_manifest_string(s->manifest, "base_model_revision")
                               : NULL;

    enum dlm_status st = dlm_str_appendf(ctx, out,
                                         "%s\n  dlm_id:         %s\n  base_model:     %s", s->path,
                                         s->doc->id, s->doc->base_model);
    if (!st)
        st = revision ? dlm_str_appendf(ctx, out, " (revision %.7s)\n", revision)
                      : dlm_str_appendz(ctx, out, "\n");
    if (!st && !s->info->initialized)
        st = dlm_str_appendz(ctx, out, "  store:        not yet initialized (run `dlm train`)\n");
    else if (!st)
        st = append_store(ctx, s, out);
    return st;
}

/* --- JSON --- */

/* Sets key to value (taken); a NULL value is a failed allocation. True when it failed. */
static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) != 0;
}

static json_t *cache_config(const struct dlm_doc_cache *cache)
{
    return json_pack("{s:b, s:I, s:I}", "enabled", (int)cache->enabled, "max_bytes",
                     (json_int_t)cache->max_bytes, "prune_older_than_days",
                     (json_int_t)cache->prune_older_than_days);
}

static json_t *string_list(const struct dlm_doc_strings *list)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < list->len; i++) {
        if (json_array_append_new(array, json_string(list->items[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* The entries of training.sources as the document has them. */
static json_t *source_list(const struct dlm_doc_training *training)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < training->num_sources; i++) {
        const struct dlm_doc_source *s = &training->sources[i];
        json_t *entry = json_object();
        bool failed = set(entry, "path", json_string(s->path)) ||
                      set(entry, "include", string_list(&s->include)) ||
                      set(entry, "exclude", string_list(&s->exclude)) ||
                      set(entry, "max_files",
                          s->max_files ? json_integer(s->max_files) : json_null()) ||
                      set(entry, "max_bytes_per_file", s->max_bytes_per_file
                                                           ? json_integer(s->max_bytes_per_file)
                                                           : json_null());
        if (json_array_append_new(array, entry) || failed) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* What the document alone says. True on failure. */
static bool set_optional(json_t *root, const struct dlm_doc *doc)
{
    const struct dlm_base_row *row = dlm_registry_find(doc->base_model);

    if (doc->training.num_sources && set(root, "training_sources", source_list(&doc->training)))
        return true;
    return row && set(root, "base_security",
                      json_pack("{s:s, s:s?, s:b}", "base_model", row->key, "architecture",
                                row->architecture, "trust_remote_code",
                                (int)row->trust_remote_code));
}

static bool set_uninitialized(json_t *root, const struct show *s)
{
    return set(root, "dlm_id", json_string(s->doc->id)) ||
           set(root, "base_model", json_string(s->doc->base_model)) ||
           set(root, "store_initialized", json_false()) ||
           set(root, "source_path", json_string(s->source_path)) ||
           set(root, "training_cache_config", cache_config(&s->doc->training.cache));
}

static json_t *rate_json(const struct dlm_run_rate *rate)
{
    if (!rate->run_id)
        return json_null();
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:o}", "run_id", (json_int_t)rate->run_id, "steps",
                     (json_int_t)rate->steps, "seconds", rate->seconds, "seconds_per_step",
                     rate->seconds / (double)rate->steps, "tokens_per_sec",
                     (double)rate->tokens / rate->seconds, "est_step_seconds",
                     rate->foretold > 0 ? json_real(rate->foretold) : json_null());
}

static bool set_initialized(struct dlm_ctx *ctx, json_t *root, const struct show *s)
{
    static const char *const copied[] = {"exports", "content_hashes", "pinned_versions"};
    const struct dlm_store_info *info = s->info;
    const struct dlm_manifest *m = s->manifest;

    bool failed =
        set(root, "dlm_id", json_string(s->doc->id)) ||
        set(root, "path", json_string(dlm_store_path(s->store))) ||
        set(root, "base_model", json_string(s->doc->base_model)) ||
        set(root, "base_model_revision",
            dlm_json_text(dlm_manifest_string(m, "base_model_revision"))) ||
        set(root, "adapter_version", json_integer(info->adapter_version)) ||
        set(root, "training_runs", json_integer(info->num_runs)) ||
        set(root, "last_trained_at", dlm_json_text(info->last_trained_at)) ||
        set(root, "has_adapter_current", json_boolean(info->has_current)) ||
        set(root, "replay_size_bytes", json_integer((json_int_t)info->replay_bytes)) ||
        set(root, "total_size_bytes", json_integer((json_int_t)info->total_bytes)) ||
        set(root, "source_path", dlm_json_text(dlm_manifest_string(m, "source_path"))) ||
        set(root, "orphaned", json_boolean(info->orphaned));
    for (size_t i = 0; !failed && i < DLM_ARRAY_LEN(copied); i++)
        failed = json_object_set(root, copied[i], json_object_get(m->root, copied[i])) != 0;
    return failed || set(root, "named_adapters", json_array()) ||
           set(root, "training_cache_config", cache_config(&s->doc->training.cache)) ||
           set(root, "adapters", dlm_versions_json(ctx, s->store, &s->versions)) ||
           set(root, "unfinished_runs", json_integer(info->num_unfinished)) ||
           set(root, "last_run", rate_json(&s->rate));
}

static enum dlm_status show_json(struct dlm_ctx *ctx, const struct show *s, struct dlm_str *out)
{
    json_t *root = json_object();
    bool failed = s->info->initialized ? set_initialized(ctx, root, s) : set_uninitialized(root, s);
    failed = failed || set_optional(root, s->doc);
    enum dlm_status st = dlm_json_append(ctx, out, failed ? NULL : root, 9);

    json_decref(root);
    return st;
}

/* A document with malformed questions is no more in order than one with a malformed key. */
static enum dlm_status check_sections(struct dlm_ctx *ctx, const struct dlm_doc *doc)
{
    struct dlm_arena scratch = {0};
    struct dlm_doc_triple *triples;
    struct dlm_doc_pair *pairs;
    enum dlm_status st = DLM_OK;
    size_t num;

    for (size_t i = 0; !st && i < doc->num_sections; i++) {
        const struct dlm_doc_section *s = &doc->sections[i];
        if (s->type == DLM_DOC_SECTION_INSTRUCTION)
            st = dlm_doc_parse_pairs(ctx, &scratch, doc->path, s, &pairs, &num);
        else if (s->type == DLM_DOC_SECTION_PREFERENCE)
            st = dlm_doc_parse_triples(ctx, &scratch, doc->path, s, &triples, &num);
    }
    dlm_arena_finish(&scratch);
    return st;
}

enum dlm_status dlm_document_show(struct dlm_ctx *ctx,
                                  const struct dlm_document_show_params *params, char **text)
{
    struct dlm_doc *doc = NULL;
    struct dlm_store *store = NULL;
    struct dlm_store_info info = {0};
    struct dlm_manifest manifest = {0};
    struct dlm_str out = {0};
    struct show show = {.path = params->path, .info = &info, .manifest = &manifest};
    enum dlm_status st;

    *text = NULL;
    DLM_REQUIRE(ctx, params->path);
    st = dlm_doc_load(ctx, &doc, params->path);
    if (!st)
        st = check_sections(ctx, doc);
    if (!st)
        st = dlm_store_open(ctx, &store, params->home, doc->id);
    if (!st)
        st = dlm_store_inspect(ctx, store, &info);
    if (!st && info.initialized)
        st = dlm_manifest_load(ctx, &manifest, store);
    show.doc = doc;
    show.store = store;
    if (!st && info.initialized)
        st = collect(ctx, &show);
    if (st)
        goto done;
    if (manifest.root)
        dlm_manifest_warn_other_source(ctx, &manifest, params->path);
    show.source_path = realpath(params->path, NULL);
    if (!show.source_path) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot find '%s' any more", params->path);
        goto done;
    }
    st = params->json ? show_json(ctx, &show, &out) : show_lines(ctx, &show, &out);
    if (st)
        goto done;
    *text = out.data;
    out = (struct dlm_str){0};
done:
    free(show.source_path);
    dlm_document_versions_finish(&show.versions);
    dlm_str_finish(&out);
    dlm_manifest_finish(&manifest);
    dlm_store_close(&store);
    dlm_doc_destroy(&doc);
    return st;
}
