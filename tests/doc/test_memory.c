/* Every allocation of parsing, writing, migrating and row making fails once: an error each time, no
 * leak (under a sanitizer), no crash. */
#include <limits.h>

#include "doc_test.h"
#include "rows/rows.h"
#include "tests/countdown.h"

#define PAD_STEP 4096
#define PADS 17

/* %s: a comment, which moves what follows across the arena's blocks. */
static const char format[] =
    "---\n#%s\ndlm_id: " TEST_ID "\nbase_model: b\nsystem_prompt: |\n  hi\ntraining:\n"
    "  dpo: {beta: 0.2}\n"
    "  sources: [{path: x, include: [y]}]\n  adapters: {a: {target_modules: [x]}, b: {}}\n"
    "---\nprose\n::instruction::\n### Q\nq\n### A\na\n::preference#a::\n<!-- dlm-auto-mined: "
    "judge_name=\"j\" judge_score_chosen=\"1\" judge_score_rejected=\"0\" mined_at=\"2026-01-02\" "
    "mined_run_id=\"7\" -->\nx\n::image path=\"p\" alt=\"q\"::\ncaption\n";

static enum dlm_status put_image(struct dlm_ctx *ctx, void *user, const char *path, char sha[65])
{
    (void)ctx, (void)user, (void)path;
    memset(sha, 'a', 64);
    sha[64] = '\0';
    return DLM_OK;
}

static enum dlm_status work(struct dlm_ctx *ctx, const char *text)
{
    const struct dlm_rows_options params = {.put_image = put_image, .seed = 42};
    struct dlm_doc *doc = NULL;
    struct dlm_str out = {0}, migrated = {0};
    struct dlm_rows rows = {0};
    int64_t from = 0;

    enum dlm_status st = dlm_doc_parse(ctx, &doc, "/d.dlm", text, strlen(text));
    if (!st)
        st = dlm_doc_serialize(ctx, doc, &out);
    if (!st)
        st = dlm_doc_migrate(ctx, NULL, text, strlen(text), &migrated, &from);
    if (!st) {
        doc->sections[3].source_file = "/p";
        st = dlm_rows_from_doc(ctx, &rows, doc, &params);
    }
    dlm_rows_finish(&rows);
    dlm_str_finish(&out);
    dlm_str_finish(&migrated);
    dlm_doc_destroy(&doc);
    return st;
}

static long fail_each(struct dlm_ctx *ctx, struct countdown *c, const char *text)
{
    for (long n = 0;; n++) {
        *c = (struct countdown){.left = n, .is_once = true};
        const enum dlm_status st = work(ctx, text);
        if (!c->is_over || !CHECK(st == DLM_ERR_MEMORY)) {
            CHECK(st == DLM_OK);
            return n;
        }
    }
}

int main(void)
{
    static char pad[PAD_STEP * PADS], text[PAD_STEP * PADS + 2048];
    struct countdown c = {.left = LONG_MAX};
    const struct dlm_ctx_params params = {.alloc_hook = allow, .alloc_user = &c};
    struct dlm_ctx *ctx = dlm_ctx_create(&params);
    long num_allocations = 0;

    check_case("every allocation fails once");
    for (size_t i = 0; i < PADS; i++) {
        memset(pad, 'x', i * PAD_STEP);
        pad[i * PAD_STEP] = '\0';
        snprintf(text, sizeof(text), format, pad);
        num_allocations += fail_each(ctx, &c, text);
    }
    CHECK(num_allocations > 300);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
