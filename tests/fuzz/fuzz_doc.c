/* Document parser, writer, migration and rows on arbitrary bytes. What parses must be written, read
 * back, and written the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rows/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NEW_ID "01HZ4X7TGZM3J1A2B3C4D5E6F8"

static enum dlm_status put_image(struct dlm_ctx *ctx, void *user, const char *path, char sha[65])
{
    (void)ctx, (void)user, (void)path;
    memset(sha, '0', 64);
    sha[64] = '\0';
    return DLM_OK;
}

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_fixed_point(struct dlm_ctx *ctx, const struct dlm_doc *doc)
{
    struct dlm_str once = {0}, twice = {0};
    struct dlm_doc *again = NULL;

    require(dlm_doc_serialize(ctx, doc, &once) == DLM_OK);
    require(dlm_doc_parse(ctx, &again, NULL, once.data, once.len) == DLM_OK);
    require(dlm_doc_serialize(ctx, again, &twice) == DLM_OK);
    require(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
    dlm_doc_destroy(&again);
    dlm_str_finish(&once);
    dlm_str_finish(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct dlm_rows_options params = {.put_image = put_image, .seed = 42};
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_doc *doc = NULL;
    struct dlm_str out = {0}, edited = {0};
    struct dlm_rows rows = {0};
    int64_t from = 0;

    if (!dlm_doc_parse(ctx, &doc, NULL, (const char *)data, size)) {
        check_fixed_point(ctx, doc);
        /* No file is looked for: ingested images need none. */
        for (size_t i = 0; i < doc->num_sections; i++)
            doc->sections[i].source_file = "/i";
        (void)!dlm_rows_from_doc(ctx, &rows, doc, &params); /* bad Q/A text is fine */
        for (size_t i = 0; i < doc->num_sections; i++) {
            struct dlm_arena arena = {0};
            struct dlm_doc_triple *triples = NULL;
            size_t n = 0;
            (void)!dlm_doc_parse_triples(ctx, &arena, NULL, &doc->sections[i], &triples, &n);
            dlm_arena_finish(&arena);
        }
    }
    if (!dlm_doc_set_id(ctx, NULL, (const char *)data, size, NEW_ID, &edited)) {
        struct dlm_doc *other = NULL;
        if (doc) { /* it had an id: nothing else has changed */
            require(!dlm_doc_parse(ctx, &other, NULL, edited.data, edited.len));
            require(!strcmp(other->id, NEW_ID) && !strcmp(other->base_model, doc->base_model) &&
                    other->num_sections == doc->num_sections);
        }
        dlm_doc_destroy(&other);
    }
    if (!dlm_doc_migrate(ctx, NULL, (const char *)data, size, &out, &from) && out.len) {
        dlm_doc_destroy(&doc);
        (void)!dlm_doc_parse(ctx, &doc, NULL, out.data, out.len); /* its body may hold bad fences */
    }
    dlm_rows_finish(&rows);
    dlm_str_finish(&out);
    dlm_str_finish(&edited);
    dlm_doc_destroy(&doc);
    dlm_ctx_destroy(&ctx);
    return 0;
}
