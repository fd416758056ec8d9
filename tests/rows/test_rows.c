/* Rows of a document: which sections give which conversation and image. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/sha256.h"
#include "check.h"
#include "rows/rows.h"

#define FRONT "---\ndlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7\nbase_model: b\n"
#define HEAD FRONT "---\n\n"
#define ASK(n) "::instruction::\n### Q\nq" #n "\n### A\na" #n "\n"

static char root[64];

/* Stands for the blob store: the hash of the path's last component. */
static enum dlm_status put_image(struct dlm_ctx *ctx, void *user, const char *path, char sha[65])
{
    (void)ctx;
    ++*(int *)user;
    const char *name = dlm_path_basename(path);
    dlm_sha256_of(name, strlen(name), sha);
    return DLM_OK;
}

static enum dlm_status make_rows(struct dlm_ctx *ctx, const char *body,
                                 const struct dlm_doc_sources *sources, struct dlm_rows *rows,
                                 int *num_put)
{
    char text[4096], path[256];
    struct dlm_doc *doc = NULL;

    *rows = (struct dlm_rows){0};
    *num_put = 0;
    snprintf(path, sizeof(path), "%s/d.dlm", root);
    snprintf(text, sizeof(text), "%s%s", strncmp(body, "---", 3) ? HEAD : "", body);
    if (!CHECK(dlm_doc_parse(ctx, &doc, path, text, strlen(text)) == DLM_OK))
        return DLM_ERR_PARSE;
    const struct dlm_rows_options params = {
        .put_image = put_image, .user = num_put, .sources = sources, .seed = 42};
    enum dlm_status st = dlm_rows_from_doc(ctx, rows, doc, &params);
    dlm_doc_destroy(&doc);
    return st;
}

/* A row as "U: <a.png> <caption>\nA: text\n" or "P: text\n", each row ended by "--\n". */
static void print_row(const struct dlm_row *r, char *out, size_t bytes)
{
    static const char roles[] = "SUAP";
    const struct dlm_conversation *c = &r->conversation;
    size_t image = 0;

    for (size_t i = 0; i < c->num_turns; i++) {
        size_t n = strlen(out);
        snprintf(out + n, bytes - n, "%c:", roles[c->turns[i].role]);
        for (size_t k = 0; k < c->turns[i].num_parts; k++) {
            const struct dlm_part *part = &c->turns[i].parts[k];
            n = strlen(out);
            if (part->kind == DLM_PART_IMAGE && CHECK(image < r->num_images))
                snprintf(out + n, bytes - n, " <%s>", dlm_path_basename(r->images[image++].file));
            else if (part->kind == DLM_PART_CAPTION_REQUEST)
                snprintf(out + n, bytes - n, " <caption>");
            else if (CHECK(part->text && strlen(part->text) == part->len))
                snprintf(out + n, bytes - n, " %s", part->text);
        }
        n = strlen(out);
        snprintf(out + n, bytes - n, "\n");
    }
    CHECK_INT(image, r->num_images);
    size_t n = strlen(out);
    snprintf(out + n, bytes - n, "--\n");
}

static void check_rows(struct dlm_ctx *ctx, const char *body, const char *want)
{
    struct dlm_rows rows;
    char got[2048] = "";
    int num_put;

    if (!CHECK(make_rows(ctx, body, NULL, &rows, &num_put) == DLM_OK))
        printf("     %s\n", dlm_ctx_last_error(ctx));
    for (size_t i = 0; i < rows.num_rows; i++) {
        const struct dlm_row *r = &rows.rows[i];
        print_row(r, got, sizeof(got));
        CHECK(r->is_val == dlm_rows_is_val(42, r->section_id, r->index));
    }
    CHECK_STR(got, want);
    dlm_rows_finish(&rows);
}

static void test_kinds(struct dlm_ctx *ctx)
{
    check_case("prose and questions");
    check_rows(ctx, "", "");
    check_rows(ctx, " \n# Title\n\n text \n", "P: # Title\n\n text\n--\n");
    check_rows(ctx, "a\n::instruction::\n### Q\nq1\n### A\na1\n\n### Q !probe\n q2\n### A\na2\n b",
               "P: a\n--\nU: q1\nA: a1\n--\nU: q2\nA: a2\n b\n--\n");
    check_case("images");
    check_rows(ctx, "::image path=\"a.png\"::\n\n cap\n tion \n",
               "U: <a.png> <caption>\nA: cap\n tion\n--\n");
    check_rows(ctx, "::image path=\"a.png\" alt=\"not used\"::\n", "");
    check_case("questions about an image");
    check_rows(ctx,
               "::image path=\"a.png\"::\n\n::instruction::\n### Q\nq1\n### A\na1\n### Q\nq2\n### "
               "A\na2\n::instruction::\n### Q\nq3\n### A\na3\n",
               "U: <a.png> q1\nA: a1\n--\nU: <a.png> q2\nA: a2\n--\nU: <a.png> q3\nA: a3\n--\n");
    check_rows(ctx,
               "::image path=\"a.png\"::\n::prose::\nwords\n::instruction::\n### Q\nq\n### A\na\n",
               "P: words\n--\nU: q\nA: a\n--\n");
    check_rows(ctx, "::image path=\"a.png\"::\n" ASK(1) "::prose::\nwords\n" ASK(2),
               "U: <a.png> q1\nA: a1\n--\nP: words\n--\nU: q2\nA: a2\n--\n");
    check_case("sections without rows");
    check_rows(ctx,
               "::image path=\"a.png\"::\n::preference::\nx\n::instruction::\n### Q\nq\n### A\na\n",
               "U: q\nA: a\n--\n");
    check_rows(ctx, "::audio path=\"a.wav\" transcript=\"t\"::\n", "");
}

/* Images that follow each other, or with prose between. */
static void test_groups(struct dlm_ctx *ctx)
{
    check_case("questions about several images");
    check_rows(ctx,
               "::image path=\"b.png\"::\n::image path=\"a.png\"::\n" ASK(1) ASK(2),
               "U: <b.png> <a.png> q1\nA: a1\n--\nU: <b.png> <a.png> q2\nA: a2\n--\n");
    check_rows(ctx,
               "::image path=\"a.png\"::\ncap\n::image path=\"b.png\"::\n::prose::\n \n\n"
               ASK(1),
               "U: <a.png> <caption>\nA: cap\n--\nU: <a.png> <b.png> q1\nA: a1\n--\n");
    check_rows(ctx,
               "::image path=\"a.png\"::\n::image path=\"a.png\"::\n"
               "::image path=\"b.png\"::\n" ASK(1),
               "U: <a.png> <a.png> <b.png> q1\nA: a1\n--\n");
    check_case("an image behind an instruction begins anew");
    check_rows(ctx,
               "::image path=\"a.png\"::\n" ASK(1) "::image path=\"b.png\"::\n" ASK(2),
               "U: <a.png> q1\nA: a1\n--\nU: <b.png> q2\nA: a2\n--\n");
    check_case("prose between them is shown, and learned on its own");
    check_rows(ctx,
               "before\n::image path=\"a.png\"::\n::prose::\n\n one \n\n"
               "::image path=\"b.png\"::\ncap\n" ASK(1),
               "P: before\n--\nP: one\n--\nU: <b.png> <caption>\nA: cap\n--\n"
               "U: <a.png> one <b.png> q1\nA: a1\n--\n");
    check_rows(ctx,
               "::image path=\"a.png\"::\n::prose::\none\n::prose::\ntwo\n::image "
               "path=\"b.png\"::\n" ASK(1),
               "P: one\n--\nP: two\n--\nU: <a.png> one \n\n two <b.png> q1\nA: a1\n--\n");
    check_case("prose behind the last image parts the questions from all of them");
    check_rows(ctx,
               "::image path=\"a.png\"::\n::image path=\"b.png\"::\n::prose::\none\n" ASK(1),
               "P: one\n--\nU: q1\nA: a1\n--\n");
    check_rows(ctx,
               "::image path=\"a.png\"::\n::preference::\nx\n::image path=\"b.png\"::\n" ASK(1),
               "U: <b.png> q1\nA: a1\n--\n");
}

/* For a base that takes one image. */
static void test_last_images(struct dlm_ctx *ctx)
{
    static const char cap[] = "::image path=\"a.png\"::\ncap\n::prose::\none\n"
                              "::image path=\"b.png\"::\n" ASK(1);
    static const char none[] = "::image path=\"a.png\"::\n" ASK(1) "::image path=\"a.png\"::\n"
                               "::image path=\"b.png\"::\ncap\n" ASK(2);
    const struct dlm_row *lost;
    struct dlm_rows rows;
    char got[512] = "";
    int num_put;

    check_case("the last image alone, where the others have captions");
    CHECK(make_rows(ctx, cap, NULL, &rows, &num_put) == DLM_OK);
    CHECK(!dlm_rows_keep_last_images(ctx, &rows, &lost) && !lost);
    for (size_t i = 0; i < rows.num_rows; i++)
        print_row(&rows.rows[i], got, sizeof(got));
    CHECK_STR(got, "U: <a.png> <caption>\nA: cap\n--\nP: one\n--\nU: <b.png> q1\nA: a1\n--\n");
    dlm_rows_finish(&rows);
    check_case("and else the row that would lose one");
    CHECK(make_rows(ctx, none, NULL, &rows, &num_put) == DLM_OK);
    CHECK(!dlm_rows_keep_last_images(ctx, &rows, &lost));
    if (CHECK_INT(rows.num_rows, 3) && CHECK(lost == &rows.rows[2]))
        CHECK_INT(lost->num_images, 2);
    dlm_rows_finish(&rows);
}

static void test_keys(struct dlm_ctx *ctx)
{
    struct dlm_rows rows;
    char got[512] = "";
    int num_put;

    check_case("the system prompt stands before what is asked, and not before prose");
    static const char system[] = FRONT "system_prompt: |\n  be brief\n---\nwords\n"
                                 "::image path=\"a.png\"::\ncap\n" ASK(1);
    check_rows(ctx, system,
               "P: words\n--\nS: be brief\nU: <a.png> <caption>\nA: cap\n--\n"
               "S: be brief\nU: <a.png> q1\nA: a1\n--\n");
    CHECK(make_rows(ctx, system, NULL, &rows, &num_put) == DLM_OK);
    dlm_rows_drop_system(&rows);
    for (size_t i = 0; i < rows.num_rows; i++) {
        print_row(&rows.rows[i], got, sizeof(got));
        CHECK(!rows.rows[i].is_all_learned);
    }
    CHECK_STR(got, "P: words\n--\nU: <a.png> <caption>\nA: cap\n--\nU: <a.png> q1\nA: a1\n--\n");
    dlm_rows_finish(&rows);

    check_case("words for the request of a caption");
    check_rows(ctx,
               FRONT "training: {caption_prompt: ' What is it?'}\n---\n"
                     "::image path=\"a.png\"::\ncap\n",
               "U: <a.png> What is it?\nA: cap\n--\n");
    check_case("what is learned");
    CHECK(make_rows(ctx, FRONT "training: {loss_on: all}\n---\nwords\n" ASK(1), NULL, &rows,
                    &num_put) == DLM_OK);
    if (CHECK_INT(rows.num_rows, 2))
        CHECK(rows.rows[0].is_all_learned && rows.rows[1].is_all_learned);
    dlm_rows_finish(&rows);
}

static void test_identity(struct dlm_ctx *ctx)
{
    struct dlm_rows rows;
    char sha[65], want[17];
    int num_put;
    const struct dlm_doc_section image = {.type = DLM_DOC_SECTION_IMAGE, .media_path = "a.png"};

    check_case("ids and numbers");
    CHECK(make_rows(ctx,
                    "::image path=\"a.png\"::\ncap\n::instruction::\n### Q\nq\n### A\na\n### Q\nr\n"
                    "### A\nb\n\n::image path=\"a.png\"::\nother\n::instruction::\n### Q\nq\n### "
                    "A\na\n### Q\nr\n### A\nb\n\n::prose::\nx",
                    NULL, &rows, &num_put) == DLM_OK);
    CHECK_INT(num_put, 2);
    CHECK_INT(rows.num_images, 2);
    CHECK_INT(rows.num_images_without_caption, 0);
    dlm_sha256_of("a.png", 5, sha);
    dlm_doc_section_id(&image, sha, want);
    if (CHECK_INT(rows.num_rows, 7)) {
        CHECK_STR(rows.rows[0].section_id, want);
        CHECK_STR(rows.rows[0].images[0].sha, sha);
        CHECK_STR(rows.rows[3].section_id, want);
        /* Sections with one id share the count. */
        CHECK_STR(rows.rows[1].section_id, rows.rows[4].section_id);
        static const int64_t index[] = {0, 0, 1, 1, 2, 3, 0};
        for (size_t i = 0; i < 7; i++)
            CHECK_INT(rows.rows[i].index, index[i]);
        CHECK_INT(rows.rows[0].images[0].index, 0);
        CHECK_INT(rows.rows[2].images[0].index, 0);
        CHECK_INT(rows.rows[3].images[0].index, 1);
        CHECK_INT(rows.rows[1].line, 8);
    }
    dlm_rows_finish(&rows);
}

static void test_sources(struct dlm_ctx *ctx)
{
    char i_png[256], j_png[256];

    snprintf(i_png, sizeof(i_png), "%s/i.png", root);
    snprintf(j_png, sizeof(j_png), "%s/j.png", root);
    CHECK(!dlm_file_replace(ctx, i_png, "x", 1) && !dlm_file_replace(ctx, j_png, "x", 1));
    struct dlm_doc_section sections[] = {
        {.type = DLM_DOC_SECTION_IMAGE, .media_path = "i.png", .source_file = i_png,
         .content = "cap", .content_len = 3, .id = "x"},
        {.type = DLM_DOC_SECTION_PROSE, .content = "# source: a\n\nt\n", .content_len = 15,
         .id = "y"},
        {.type = DLM_DOC_SECTION_IMAGE, .media_path = "j.png", .source_file = j_png,
         .content = "", .id = "z"},
    };
    const struct dlm_doc_sources sources = {.sections = sections, .num_sections = 3};
    struct dlm_rows rows;
    int num_put;

    check_case("ingested sections");
    CHECK(make_rows(ctx, "::image path=\"a.png\"::\n", &sources, &rows, &num_put) == DLM_OK);
    CHECK_INT(num_put, 3);
    CHECK_INT(rows.num_images, 3);
    CHECK_INT(rows.num_images_without_caption, 2);
    if (CHECK_INT(rows.num_rows, 2)) {
        char got[256] = "";
        print_row(&rows.rows[0], got, sizeof(got));
        print_row(&rows.rows[1], got, sizeof(got));
        CHECK_STR(got, "U: <i.png> <caption>\nA: cap\n--\nP: # source: a\n\nt\n--\n");
    }
    dlm_rows_finish(&rows);
}

static void check_fails(struct dlm_ctx *ctx, const char *body, enum dlm_status status,
                        const char *message)
{
    struct dlm_rows rows;
    char want[512];
    int num_put;

    CHECK_INT(make_rows(ctx, body, NULL, &rows, &num_put), status);
    snprintf(want, sizeof(want), message, root);
    CHECK_STR(dlm_ctx_last_error(ctx), want);
    dlm_rows_finish(&rows);
}

static void test_failures(struct dlm_ctx *ctx)
{
    check_case("failures name the place");
    check_fails(ctx, "::instruction::\n### Q\nq\n", DLM_ERR_PARSE,
                "%s/d.dlm:9: section 2cb16ef4e7a3ba80, line 3: ### Q without matching `### A` at "
                "end of section");
}

struct heard {
    int errors;
    char text[1024];
};

static void on_log(void *user, enum dlm_log_level level, const char *text)
{
    struct heard *h = user;
    const size_t len = strlen(h->text);

    h->errors += level == DLM_LOG_ERROR;
    snprintf(h->text + len, sizeof(h->text) - len, "%s\n", text);
}

/* All of them are named, and nothing about them is left. */
static void test_bad_images(void)
{
    struct heard heard = {0};
    struct dlm_ctx *ctx =
        dlm_ctx_create(&(struct dlm_ctx_params){.log = on_log, .log_user = &heard});
    struct dlm_rows rows;
    char want[1024], got[512] = "";
    int num_put;

    check_case("images that cannot be read");
    CHECK(make_rows(ctx,
                    "::image path=\"none.png\"::\ncaption\n\n"
                    "::instruction::\n### Q\nq\n### A\na\n\n"
                    "::image path=\"../../etc/hostname\"::\ncaption\n\n" ASK(3)
                    "::image path=\"a.png\"::\n\n::instruction::\n### Q\nq\n### A\na\n\n"
                    "::image path=\"none.png\"::\n::prose::\nwords\n"
                    "::image path=\"a.png\"::\n" ASK(1) ASK(2),
                    NULL, &rows, &num_put) == DLM_OK);
    snprintf(want, sizeof(want),
             "cannot open image 'none.png' (line 6): no such file in '%s'\n"
             "cannot use image '../../etc/hostname' (line 15): it lies outside the document's "
             "folder '%s'\n"
             "cannot open image 'none.png' (line 31): no such file in '%s'\n",
             root, root, root);
    CHECK_STR(heard.text, want);
    CHECK_INT(heard.errors, 3);
    CHECK_INT(num_put, 2);
    CHECK_INT(rows.num_images, 5);
    CHECK_INT(rows.num_bad_images, 3);
    for (size_t i = 0; i < rows.num_rows; i++)
        print_row(&rows.rows[i], got, sizeof(got));
    CHECK_STR(got, "U: <a.png> q\nA: a\n--\nP: words\n--\n");
    dlm_rows_finish(&rows);
    dlm_ctx_destroy(&ctx);
}

static void test_keep(struct dlm_ctx *ctx)
{
    struct dlm_rows rows;
    char body[2048] = "::instruction::\n", got[4096] = "", want[4096] = "";
    bool keep[40];
    size_t num_val = 0;
    int num_put;

    check_case("rows that are kept");
    for (int i = 0; i < 40; i++) {
        const size_t len = strlen(body);
        snprintf(body + len, sizeof(body) - len, "### Q\nq%d\n### A\na\n", i);
        keep[i] = i % 3 != 1;
    }
    CHECK(make_rows(ctx, body, NULL, &rows, &num_put) == DLM_OK);
    CHECK(rows.num_rows == 40 && rows.num_val > 0);
    for (size_t i = 0; i < rows.num_rows; i++)
        if (keep[i]) {
            print_row(&rows.rows[i], want, sizeof(want));
            num_val += rows.rows[i].is_val;
        }
    CHECK(num_val < rows.num_val); /* else the count below proves nothing */
    dlm_rows_keep(&rows, keep);
    CHECK_INT(rows.num_rows, 27);
    CHECK_INT(rows.num_val, num_val);
    for (size_t i = 0; i < rows.num_rows; i++)
        print_row(&rows.rows[i], got, sizeof(got));
    CHECK_STR(got, want);
    dlm_rows_finish(&rows);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    char made[] = "/tmp/dlm-test-XXXXXX", path[256];
    char *resolved = mkdtemp(made) ? realpath(made, NULL) : NULL;

    if (!CHECK(resolved != NULL))
        return check_summary();
    snprintf(root, sizeof(root), "%s", resolved);
    free(resolved);
    snprintf(path, sizeof(path), "%s/a.png", root);
    CHECK(dlm_file_replace(ctx, path, "a", 1) == DLM_OK);
    snprintf(path, sizeof(path), "%s/b.png", root);
    CHECK(dlm_file_replace(ctx, path, "b", 1) == DLM_OK);
    test_kinds(ctx);
    test_groups(ctx);
    test_last_images(ctx);
    test_keys(ctx);
    test_identity(ctx);
    test_sources(ctx);
    test_failures(ctx);
    test_bad_images();
    test_keep(ctx);
    check_case("clean up");
    CHECK(dlm_path_remove(ctx, root) == DLM_OK);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
