/* training.sources and image paths on folders made for the purpose. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "doc/sources.h"
#include "doc_test.h"

static char root[64];

static char *at(const char *rel)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", root, rel);
    return path;
}

static void put_bytes(struct dlm_ctx *ctx, const char *rel, const char *bytes, size_t len)
{
    char *dir = dlm_path_dirname(ctx, at(rel));
    CHECK(dir && dlm_dir_make(ctx, dir) == DLM_OK);
    CHECK(dlm_file_replace(ctx, at(rel), bytes, len) == DLM_OK);
    dlm_free(dir);
}

static void put(struct dlm_ctx *ctx, const char *rel, const char *text)
{
    put_bytes(ctx, rel, text, strlen(text));
}

/* Reads the sources of a document with this `training` value that lies at <root>/<rel>. */
static enum dlm_status read_sources(struct dlm_ctx *ctx, const char *rel, const char *training,
                                    struct dlm_doc_sources *out)
{
    char text[1024];
    struct dlm_doc *doc = NULL;

    snprintf(text, sizeof(text), "---\ndlm_id: " TEST_ID "\nbase_model: b\ntraining: %s\n---\n",
             training);
    *out = (struct dlm_doc_sources){0};
    if (!CHECK(dlm_doc_parse(ctx, &doc, at(rel), text, strlen(text)) == DLM_OK))
        return DLM_ERR_PARSE;
    enum dlm_status st = dlm_doc_sources_read(ctx, doc, out);
    dlm_doc_destroy(&doc);
    return st;
}

/* The first line of each text and the path of each image, joined by '|'. */
static void check_list(struct dlm_ctx *ctx, const char *rel, const char *training, const char *want)
{
    struct dlm_doc_sources sources;
    char got[2048] = "";

    if (!CHECK(read_sources(ctx, rel, training, &sources) == DLM_OK))
        printf("     %s\n", dlm_ctx_last_error(ctx));
    for (size_t i = 0; i < sources.num_sections; i++) {
        const struct dlm_doc_section *s = &sources.sections[i];
        bool is_image = s->type == DLM_DOC_SECTION_IMAGE;
        const char *name = is_image ? s->media_path : s->content + strlen("# source: ");
        size_t n = strlen(got);
        snprintf(got + n, sizeof(got) - n, "%s%.*s", n ? "|" : "", (int)strcspn(name, "\n"), name);
    }
    CHECK_STR(got, want);
    dlm_doc_sources_finish(&sources);
}

static void make_tree(struct dlm_ctx *ctx)
{
    put(ctx, ".dlm/d.dlm", "");
    put(ctx, "src/a.py", "one\r\n");
    put(ctx, "src/B.md", "two");
    put(ctx, "src/sub/c.py", "three");
    put(ctx, "src/sub.txt", "four");
    put(ctx, "src/.git/config", "x");
    put(ctx, "src/deep/package-lock.json", "x");
    put_bytes(ctx, "src/bin.dat", "a\0b", 3);
    put(ctx, "src/latin.txt", "\xe9t\xe9");
    put(ctx, "src/sound.wav", "x");
    put(ctx, "pics/cat.png", "png");
    put(ctx, "pics/cat.txt", " A cat. \n");
    put(ctx, "pics/dog.JPG", "jpg");
    put(ctx, "pics/notes.txt", "prose");
    put(ctx, "pics/owl.txt", "An owl.");
    put(ctx, "pics/owl.webp", "webp");
    put(ctx, "pics/blank.png", "png");
    put(ctx, "pics/blank.txt", " \n");
    put(ctx, "pics/old.gif", "gif");
}

static void test_walk(struct dlm_ctx *ctx)
{
    struct dlm_doc_sources s;

    check_case("walk");
    check_list(ctx, "d.dlm", "{sources: [{path: src}]}", "B.md|a.py|sub/c.py|sub.txt");
    CHECK(read_sources(ctx, "d.dlm", "{sources: [{path: src}]}", &s) == DLM_OK);
    if (CHECK_INT(s.num_provenance, 1)) {
        const struct dlm_doc_provenance *p = s.provenance;
        CHECK_STR(p->path, "src");
        CHECK_INT(p->file_count, 4);
        CHECK_INT(p->total_bytes, 3 + 5 + 5 + 4);
        CHECK_INT(p->skipped_binary, 1);
        CHECK_INT(p->skipped_encoding, 1);
        CHECK_INT(p->skipped_by_descent, 2);
        CHECK_INT(p->audio_skipped, 1);
        CHECK_STR(s.sections[1].content, "# source: a.py\n\none\n");
        CHECK_STR(s.sections[1].source_file, at("src/a.py"));
    }
    dlm_doc_sources_finish(&s);
    check_list(ctx, "d.dlm", "{sources: [{path: src, include: [\"**/*.py\"]}]}", "a.py|sub/c.py");
    check_list(ctx, "d.dlm", "{sources: [{path: src, include: [\"*.py\", \"*.md\"]}]}",
               "B.md|a.py");
    check_list(ctx, "d.dlm", "{sources: [{path: src, exclude: [\"sub/**\", \"B.*\"]}]}",
               "a.py|sub.txt");
    check_list(ctx, "d.dlm", "{sources: [{path: src, max_files: 2}, {path: src/sub}]}",
               "B.md|a.py|c.py");
    check_list(ctx, "d.dlm", "{sources: [{path: src, max_bytes_per_file: 4}]}", "B.md|sub.txt");
    check_list(ctx, "d.dlm", "{sources: [{path: src/sub/c.py}]}", "c.py");
    check_list(ctx, ".dlm/d.dlm", "{sources: [{path: src/sub}], sources_policy: strict}", "c.py");
}

static void test_images(struct dlm_ctx *ctx)
{
    struct dlm_doc_sources s;

    check_case("images and captions");
    check_list(ctx, "d.dlm", "{sources: [{path: pics}]}",
               "blank.png|cat.png|dog.JPG|notes.txt|old.gif|owl.webp");
    CHECK(read_sources(ctx, "d.dlm", "{sources: [{path: pics}]}", &s) == DLM_OK);
    if (CHECK_INT(s.num_sections, 6)) {
        const struct dlm_doc_provenance *p = s.provenance;
        CHECK_INT(p->file_count, 1);
        CHECK_INT(p->image_count, 5);
        CHECK_INT(p->image_bytes, 3 + 3 + 3 + 3 + 4);
        CHECK_INT(p->images_without_caption, 3);
        CHECK_INT(p->caption_count, 2);
        CHECK_STR(s.sections[1].content, " A cat. \n");
        CHECK_STR(s.sections[1].media_alt, "cat");
        CHECK_STR(s.sections[2].content, "");
        CHECK_STR(s.sections[5].content, "An owl.");
    }
    dlm_doc_sources_finish(&s);
    /* A caption need not be included; without its image, it is prose. */
    check_list(ctx, "d.dlm", "{sources: [{path: pics, include: [\"*.webp\"]}]}", "owl.webp");
    check_list(ctx, "d.dlm",
               "{sources: [{path: pics, include: [\"owl.*\"], exclude: [\"*.webp\"]}]}",
               "owl.txt");
    check_list(ctx, "d.dlm", "{sources: [{path: pics/cat.png}]}", "cat.png");
}

static void test_configs(struct dlm_ctx *ctx)
{
    check_case(".dlm/ignore and .dlm/training.yaml");
    put(ctx, "cfg/.dlm/ignore", "# comment\n*.md\n!keep.md\nbuild2/\n/top.txt\n");
    put(ctx, "cfg/a.md", "x");
    put(ctx, "cfg/keep.md", "x");
    put(ctx, "cfg/build2/x.txt", "x");
    put(ctx, "cfg/q/build2/x.txt", "x");
    put(ctx, "cfg/top.txt", "x");
    put(ctx, "cfg/q/top.txt", "x");
    put(ctx, "cfg/q/b.md", "x");
    check_list(ctx, "d.dlm", "{sources: [{path: cfg}]}", "keep.md|q/top.txt");
    put(ctx, "cfg/q/.dlm/training.yaml",
        "include: [\"**/*.md\", \"**/*.lock\"]\nexclude: [\"sub/*\"]\nexclude_defaults: false\n"
        "metadata: {a: b}\n");
    put(ctx, "cfg/q/.dlm/ignore", "!b.md\n");
    put(ctx, "cfg/q/uv.lock", "x");
    put(ctx, "cfg/q/sub/z.lock", "x");
    check_list(ctx, "d.dlm", "{sources: [{path: cfg}]}", "keep.md|q/b.md|q/uv.lock");
    put(ctx, "cfg/q/.dlm/training.yaml", "include: 3\n");
    int warnings = test_log_.num_warnings;
    check_list(ctx, "d.dlm", "{sources: [{path: cfg}]}", "keep.md|q/b.md|q/sub/z.lock|q/top.txt");
    CHECK_INT(test_log_.num_warnings, warnings + 1);
}

static void test_policies(struct dlm_ctx *ctx)
{
    struct dlm_doc_sources s;
    char text[256], want[512];

    check_case("policies");
    put(ctx, "proj/in/x.txt", "x");
    char *target = dlm_strdup(ctx, at("src/a.py"));
    CHECK(!symlink(target, at("proj/in/link.py")));
    dlm_free(target);
    target = dlm_strdup(ctx, at("src/sub"));
    CHECK(!symlink(target, at("proj/in/linked-folder")));
    dlm_free(target);
    /* Files behind links are read, folders are not entered. */
    check_list(ctx, "proj/d.dlm", "{sources: [{path: in}]}", "link.py|x.txt");
    check_list(ctx, "proj/d.dlm", "{sources: [{path: ../src/sub}]}", "c.py");
    CHECK(read_sources(ctx, "proj/d.dlm", "{sources: [{path: in}], sources_policy: strict}", &s) ==
          DLM_ERR_INVALID);
    dlm_doc_sources_finish(&s);
    CHECK(read_sources(ctx, "proj/d.dlm", "{sources: [{path: ../src}], sources_policy: strict}",
                       &s) == DLM_ERR_INVALID);
    snprintf(want, sizeof(want),
             "directive path %s/src escapes strict-policy root %s/proj; either move the path under "
             "the .dlm's parent directory or set `training.sources_policy: permissive` to allow "
             "external paths",
             root, root);
    CHECK_STR(dlm_ctx_last_error(ctx), want);
    dlm_doc_sources_finish(&s);
    CHECK(read_sources(ctx, "d.dlm", "{sources: [{path: nowhere}]}", &s) == DLM_ERR_IO);
    snprintf(want, sizeof(want), "directive path %s/nowhere: path does not exist", root);
    CHECK_STR(dlm_ctx_last_error(ctx), want);
    dlm_doc_sources_finish(&s);
    CHECK(!setenv("HOME", root, 1));
    check_list(ctx, "proj/d.dlm", "{sources: [{path: ~/src/sub}]}", "c.py");
    snprintf(text, sizeof(text), "{sources: [{path: \"%s/src/sub\"}]}", root);
    check_list(ctx, "proj/d.dlm", text, "c.py");
}

static void check_image(struct dlm_ctx *ctx, const char *doc, const char *rel, const char *want)
{
    char *path = NULL;
    CHECK(dlm_doc_resolve_image(ctx, doc, rel, 12, &path) == DLM_OK);
    CHECK_STR(path, want);
    dlm_free(path);
}

static void check_no_image(struct dlm_ctx *ctx, const char *doc, const char *rel,
                           enum dlm_status status, const char *message)
{
    char *path = NULL;
    CHECK_INT(dlm_doc_resolve_image(ctx, doc, rel, 12, &path), status);
    CHECK(!path);
    CHECK_STR(dlm_ctx_last_error(ctx), message);
}

static void test_image_paths(struct dlm_ctx *ctx)
{
    char doc[512], want[512], other[512];

    check_case("image paths");
    put(ctx, "box/figures/a.png", "x");
    put(ctx, "box/.dlm/d.dlm", "x");
    snprintf(doc, sizeof(doc), "%s/box/d.dlm", root);
    snprintf(other, sizeof(other), "%s/box/.dlm/d.dlm", root);
    snprintf(want, sizeof(want), "%s/box/figures/a.png", root);
    check_image(ctx, doc, "figures/a.png", want);
    check_image(ctx, doc, "figures/../figures/./a.png", want);
    check_image(ctx, doc, want, want);
    check_image(ctx, other, "figures/a.png", want);
    snprintf(want, sizeof(want), "cannot open image 'b.png' (line 12): no such file in '%s/box'",
             root);
    check_no_image(ctx, doc, "b.png", DLM_ERR_IO, want);
    snprintf(want, sizeof(want),
             "cannot use image '../pics/cat.png' (line 12): it lies outside the document's "
             "folder '%s/box'", root);
    check_no_image(ctx, doc, "../pics/cat.png", DLM_ERR_INVALID, want);
    check_no_image(ctx, doc, "figures", DLM_ERR_INVALID,
                   "cannot use image 'figures' (line 12): not a regular file");
    check_no_image(ctx, doc, "", DLM_ERR_INVALID,
                   "cannot use image '' (line 12): the path is empty");
    char *target = dlm_strdup(ctx, at("pics/cat.png"));
    CHECK(!symlink(target, at("box/link.png")));
    dlm_free(target);
    snprintf(want, sizeof(want),
             "cannot use image 'link.png' (line 12): it lies outside the document's folder "
             "'%s/box'", root);
    check_no_image(ctx, doc, "link.png", DLM_ERR_INVALID, want);
    /* A folder whose name begins alike is another one. */
    put(ctx, "box2/x.png", "x");
    snprintf(want, sizeof(want),
             "cannot use image '../box2/x.png' (line 12): it lies outside the document's folder "
             "'%s/box'", root);
    check_no_image(ctx, doc, "../box2/x.png", DLM_ERR_INVALID, want);
}

int main(void)
{
    struct dlm_ctx *ctx = test_ctx();
    char made[] = "/tmp/dlm-test-XXXXXX";
    char *resolved = mkdtemp(made) ? realpath(made, NULL) : NULL;

    if (!CHECK(resolved != NULL))
        return check_summary();
    snprintf(root, sizeof(root), "%s", resolved);
    free(resolved);
    make_tree(ctx);
    test_walk(ctx);
    test_images(ctx);
    test_configs(ctx);
    test_policies(ctx);
    test_image_paths(ctx);
    check_case("clean up");
    CHECK(dlm_path_remove(ctx, root) == DLM_OK);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
