/* Documents, grammars, dates, scalars and globs against what the reference program makes of them
 * (tests/golden/doc/reference.json, made by tools/dev/make_doc_goldens.py). */
#include <jansson.h>
#include <math.h>

#include "doc/sources.h"
#include "doc/text.h"
#include "doc/yaml.h"
#include "doc_test.h"

/* Every failure of the schema has the line and column of its key; the reference puts them all on
 * line 2. What stands at the place of the failure at `place` is a part of its path, or an entry of
 * a list. */
static void check_place(const char *text, const char *place, long long line, long long col)
{
    char path[1024];
    bool is_there = false;

    for (; text && line > 1; line--) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    if (!CHECK(text && (long long)strlen(text) >= col))
        return;
    text += col - 1;
    text += *text == '"' || *text == '\'';
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(place, ": "), place);
    for (char *part = strtok(path, "."); part; part = strtok(NULL, "."))
        is_there |= !strncmp(text, part, strlen(part)) || !part[strspn(part, "0123456789")];
    /* A key that training.dpo brought, and one that is not written as it reads. */
    if (!CHECK(is_there || !strncmp(text, "dpo", 3) || strstr(place, ".[key]")))
        printf("     %s\n     is not about %.20s\n", place, text);
}

/* The message as the reference has it, in out: its places taken away, and checked. */
static void without_places(const char *text, const char *got, char out[2048])
{
    long long line = 0, col = 0;
    int n = 0, skip = 0;

    while (*got) {
        const char *place = got;
        bool is_first = !n && !strncmp(got, "<text>:", 7);
        skip = 0;
        if (is_first)
            place += 7;
        if ((is_first || (n > 1 && !memcmp(out + n - 2, "; ", 2))) &&
            (sscanf(place, "%lld:%lld: %n", &line, &col, &skip) == 2 && skip))
            check_place(text, place + skip, line, col);
        else if (!is_first && n > 1 && !memcmp(out + n - 2, "; ", 2))
            (void)sscanf(place, "%lld: %n", &line, &skip);
        if (is_first && skip)
            n += snprintf(out, 2048, "<text>:2: ");
        got = skip ? place + skip : got;
        if (*got && n < 2000)
            out[n++] = *got++;
        out[n] = '\0';
    }
}

/* The context keeps 1023 bytes of a message. */
static bool same_message(const char *document, const char *message, const char *want)
{
    char text[2048] = "";
    const char *got = message;

    if (!strncmp(want, "<text>:2: ", 10) && strncmp(message, want, strlen(want))) {
        without_places(document, message, text);
        got = text;
    }
    if (strstr(want, ": no migrator") && strstr(message, ": no migrator"))
        return !strcmp(strstr(message, ": no migrator"), strstr(want, ": no migrator"));
    if (strlen(message) == 1023)
        return !strncmp(got, want, strlen(got));
    return !strncmp(got, want, 1023) ||
           (!strncmp(got, want, strlen(want)) && strlen(want) > 14 &&
            !strcmp(want + strlen(want) - 14, "invalid YAML: "));
}

static void check_sections(const struct dlm_doc *doc, const json_t *sections)
{
    if (!CHECK_INT(doc->num_sections, json_array_size(sections)))
        return;
    for (size_t i = 0; i < doc->num_sections; i++) {
        const json_t *want = json_array_get(sections, i);
        const struct dlm_doc_section *got = &doc->sections[i];
        CHECK_STR(dlm_doc_section_type_name(got->type), json_string_value(json_array_get(want, 0)));
        CHECK_STR(got->id, json_string_value(json_array_get(want, 1)));
        CHECK_INT(got->start_line, json_integer_value(json_array_get(want, 2)));
    }
}

static void check_migrated(struct dlm_ctx *ctx, const char *text, const json_t *want)
{
    struct dlm_str out = {0};
    int64_t from = 0;

    CHECK(dlm_doc_migrate(ctx, NULL, text, strlen(text), &out, &from) == DLM_OK);
    CHECK(json_is_null(want) == (from == DLM_DOC_VERSION));
    CHECK_STR(dlm_str_text(&out), json_is_null(want) ? "" : json_string_value(want));
    dlm_str_finish(&out);
}

/* Writing is a fixed point of reading and writing, for every document that can be read. */
static void check_fixed_point(struct dlm_ctx *ctx, const struct dlm_doc *doc, const json_t *want)
{
    struct dlm_str once = {0}, twice = {0};
    struct dlm_doc *again = NULL;

    CHECK(dlm_doc_serialize(ctx, doc, &once) == DLM_OK);
    if (want)
        CHECK_STR(dlm_str_text(&once), json_string_value(want));
    again = test_parse(ctx, dlm_str_text(&once));
    if (again && CHECK(dlm_doc_serialize(ctx, again, &twice) == DLM_OK))
        CHECK_STR(dlm_str_text(&twice), dlm_str_text(&once));
    dlm_doc_destroy(&again);
    dlm_str_finish(&once);
    dlm_str_finish(&twice);
}

static void check_document(struct dlm_ctx *ctx, const json_t *item)
{
    const char *text = json_string_value(json_object_get(item, "text"));
    const char *error = json_string_value(json_object_get(item, "error"));
    struct dlm_doc *doc = NULL;

    enum dlm_status st = dlm_doc_parse(ctx, &doc, NULL, text, strlen(text));
    if (error) {
        CHECK(st == DLM_ERR_PARSE);
        if (!CHECK(same_message(text, dlm_ctx_last_error(ctx), error)))
            printf("     got  %s\n     want %s\n", dlm_ctx_last_error(ctx), error);
        return;
    }
    if (!CHECK(st == DLM_OK)) {
        printf("     %s\n", dlm_ctx_last_error(ctx));
        return;
    }
    check_sections(doc, json_object_get(item, "sections"));
    check_fixed_point(ctx, doc, json_object_get(item, "serialized"));
    if (json_object_get(item, "migrated"))
        check_migrated(ctx, text, json_object_get(item, "migrated"));
    dlm_doc_destroy(&doc);
}

static void check_items(struct dlm_ctx *ctx, const struct dlm_doc_section *section,
                        const json_t *items, struct dlm_arena *arena)
{
    struct dlm_doc_pair *pairs = NULL;
    struct dlm_doc_triple *triples = NULL;
    bool is_pairs = section->type == DLM_DOC_SECTION_INSTRUCTION;
    size_t n = 0;

    enum dlm_status st =
        is_pairs ? dlm_doc_parse_pairs(ctx, arena, NULL, section, &pairs, &n)
                 : dlm_doc_parse_triples(ctx, arena, NULL, section, &triples, &n);
    if (!CHECK(st == DLM_OK) || !CHECK_INT(n, json_array_size(items)))
        return;
    for (size_t i = 0; i < n; i++) {
        const json_t *want = json_array_get(items, i);
        CHECK_STR(is_pairs ? pairs[i].question : triples[i].prompt,
                  json_string_value(json_array_get(want, 0)));
        CHECK_STR(is_pairs ? pairs[i].answer : triples[i].chosen,
                  json_string_value(json_array_get(want, 1)));
        if (!is_pairs)
            CHECK_STR(triples[i].rejected, json_string_value(json_array_get(want, 2)));
    }
}

static void check_grammar(struct dlm_ctx *ctx, const json_t *item)
{
    const char *text = json_string_value(json_object_get(item, "text"));
    const char *error = json_string_value(json_object_get(item, "error"));
    bool is_pairs = !strcmp(json_string_value(json_object_get(item, "kind")), "instruction");
    struct dlm_doc_section section = {
        .type = is_pairs ? DLM_DOC_SECTION_INSTRUCTION : DLM_DOC_SECTION_PREFERENCE,
        .id = "0123456789abcdef", .content = text, .content_len = strlen(text), .start_line = 100};
    struct dlm_arena arena = {0};
    struct dlm_doc_pair *pairs = NULL;
    struct dlm_doc_triple *triples = NULL;
    size_t n = 0;

    if (!error) {
        check_items(ctx, &section, json_object_get(item, "items"), &arena);
    } else {
        long long line = json_integer_value(json_object_get(item, "line"));
        char *want = dlm_strf(ctx, "d.dlm:%lld: section 0123456789abcdef, line %lld: %s",
                              line + 100, line, error);
        enum dlm_status st =
            is_pairs ? dlm_doc_parse_pairs(ctx, &arena, "d.dlm", &section, &pairs, &n)
                     : dlm_doc_parse_triples(ctx, &arena, "d.dlm", &section, &triples, &n);
        CHECK(st == DLM_ERR_PARSE);
        CHECK_STR(dlm_ctx_last_error(ctx), want);
        dlm_free(want);
    }
    dlm_arena_finish(&arena);
}

static void check_scalar(struct dlm_ctx *ctx, const json_t *item)
{
    const char *text = json_string_value(json_array_get(item, 0));
    const char *repr = json_string_value(json_array_get(item, 2));
    struct dlm_yaml value = {0};
    struct dlm_str got = {0};
    const char *reason = NULL;

    CHECK(dlm_yaml_resolve(text, strlen(text), &value, &reason));
    if (!CHECK_STR(dlm_yaml_type_name(&value), json_string_value(json_array_get(item, 1))))
        printf("     of %s\n", text);
    if (!repr)
        return;
    enum dlm_status st = DLM_OK;
    if (value.kind == DLM_YAML_FLOAT)
        st = dlm_text_append_float(ctx, &got, value.number);
    else if (value.kind == DLM_YAML_INT)
        st = dlm_str_appendf(ctx, &got, "%lld", (long long)value.integer);
    else
        st = dlm_str_appendz(ctx, &got, value.boolean ? "True" : "False");
    CHECK(st == DLM_OK);
    CHECK_STR(dlm_str_text(&got), repr);
    dlm_str_finish(&got);
}

int main(void)
{
    struct dlm_ctx *ctx = test_ctx();
    char path[1024];
    json_error_t error;
    size_t i;
    json_t *item;

    snprintf(path, sizeof(path), "%s/golden/doc/reference.json", check_data_dir());
    json_t *golden = json_load_file(path, 0, &error);
    if (!CHECK(golden != NULL))
        return check_summary();
    check_case("documents");
    json_array_foreach(json_object_get(golden, "documents"), i, item)
        check_document(ctx, item);
    CHECK(i > 400);
    check_case("question and preference texts");
    json_array_foreach(json_object_get(golden, "grammar"), i, item)
        check_grammar(ctx, item);
    CHECK(i > 100);
    check_case("dates");
    json_array_foreach(json_object_get(golden, "dates"), i, item) {
        const char *text = json_string_value(json_array_get(item, 0));
        if (!CHECK_INT(dlm_text_is_iso_datetime(text, strlen(text)),
                       json_is_true(json_array_get(item, 1))))
            printf("     of '%s'\n", text);
    }
    check_case("plain scalars");
    json_array_foreach(json_object_get(golden, "scalars"), i, item)
        check_scalar(ctx, item);
    check_case("globs");
    json_array_foreach(json_object_get(golden, "globs"), i, item) {
        const char *glob = json_string_value(json_array_get(item, 0));
        const char *name = json_string_value(json_array_get(item, 1));
        if (!CHECK_INT(dlm_doc_glob_match(glob, name), json_is_true(json_array_get(item, 2))))
            printf("     of '%s' and '%s'\n", glob, name);
    }
    json_decref(golden);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
