/* Fences and headers: which lines are some, which are refused because they almost are, where the
 * fault is, and which stay text. */
#include "doc_test.h"

#define PATH "::image path=\"a\""

/* Line 7 of a document is this one; the message is about the column given. */
static void check_bad_line(struct dlm_ctx *ctx, const char *line, int column, const char *message)
{
    char text[512], want[512];

    snprintf(text, sizeof(text), TEST_HEAD "\nok\n%s\n", line);
    snprintf(want, sizeof(want), "<text>:7:%d: %s", column, message);
    test_fails(ctx, text, want);
}

struct bad_line {
    const char *line;
    int column;
    const char *message;
};

/* Fences with a fault, in the words of the reference. */
static void test_bad_fences(struct dlm_ctx *ctx)
{
    static const struct bad_line rows[] = {
        {"::foo::", 1,
         "unknown section fence '::foo::'; valid types are ['prose', 'instruction', 'preference', "
         "'image', 'audio']"},
        {"::Instruction::", 1,
         "unknown section fence '::Instruction::'; valid types are ['prose', 'instruction', "
         "'preference', 'image', 'audio']"},
        {"  ::foo::", 3,
         "unknown section fence '::foo::'; valid types are ['prose', 'instruction', 'preference', "
         "'image', 'audio']"},
        {"::instruction#::", 1, "fence '::instruction#::' has an empty adapter suffix after '#'"},
        {"::instruction#Tone::", 1,
         "fence '::instruction#Tone::' has an invalid adapter name 'Tone' (must match "
         "^[a-z][a-z0-9_]{0,31}$)"},
        {"::foo a=\"b\"::", 1,
         "unknown attribute fence '::foo...::'; attribute form is only valid for types ['audio', "
         "'image']"},
        {"::instruction a=\"b\"::", 1, "fence '::instruction...::' does not take attributes"},
        {"::image::", 1,
         "fence '::image::' requires attributes (expected e.g. `::image path=\"...\"::`)"},
        {"::image path=\"a\" path=\"b\"::", 1, "fence '::image...::' repeats attribute 'path'"},
        {"\t::image path=\"a\" path=\"b\":: ", 2, "fence '::image...::' repeats attribute 'path'"},
        {"::image path=\"a\" caption=\"b\"::", 1,
         "fence '::image...::' has unknown attribute 'caption' (allowed: ['alt', 'path'])"},
        {"::audio path=\"a\" transcript=\"b\" alt=\"c\"::", 1,
         "fence '::audio...::' has unknown attribute 'alt' (allowed: ['path', 'transcript'])"},
        {"::image alt=\"a\"::", 1,
         "fence '::image...::' is missing required attribute(s) ['path']"},
        {"::audio path=\"a\"::", 1,
         "fence '::audio...::' is missing required attribute(s) ['transcript']"},
        {"::image path=\"a\x01\"::", 16,
         "fence '::image...::' attribute 'path' contains the control character 0x01"},
        {"::image path=\"\xc3\xa9\x7f\"::", 16,
         "fence '::image...::' attribute 'path' contains the control character 0x7f"},
        {"::image path=\"a\" alt=\"\t\"::", 23,
         "fence '::image...::' attribute 'alt' contains the control character 0x09"},
    };

    check_case("fences with a fault");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++)
        check_bad_line(ctx, rows[i].line, rows[i].column, rows[i].message);
    test_fails(ctx, TEST_HEAD "\n::instruction::\n```\n::foo::\n",
               "<text>:6: unterminated triple-backtick code block in body");
}

/* Lines that begin like a fence of a known type: each way to miss it. */
static void test_near_misses(struct dlm_ctx *ctx)
{
    static const struct bad_line rows[] = {
        /* the closing colons */
        {PATH, 17, "fence '::image...' is missing its closing '::'"},
        {PATH " alt=\"x\"", 25, "fence '::image...' is missing its closing '::'"},
        {PATH ":", 17, "fence '::image...' is missing its closing '::'"},
        {PATH " : :", 18, "fence '::image...' is missing its closing '::'"},
        {"::instruction", 14, "fence '::instruction...' is missing its closing '::'"},
        {"::instruction#tone", 19, "fence '::instruction...' is missing its closing '::'"},
        {"::prose:", 8, "fence '::prose...' is missing its closing '::'"},
        {"::image", 8, "fence '::image...' is missing its closing '::'"},
        {"::image:", 8, "fence '::image...' is missing its closing '::'"},
        /* what stands behind them */
        {PATH "::x", 19, "fence '::image...::' has text after its closing '::'"},
        {PATH ":: caption", 19, "fence '::image...::' has text after its closing '::'"},
        {PATH ":::", 19, "fence '::image...::' has text after its closing '::'"},
        {"::instruction::### Q", 16, "fence '::instruction...::' has text after its closing '::'"},
        {"::image::load()", 10, "fence '::image...::' has text after its closing '::'"},
        /* the opening colons, the name */
        {":::" "image path=\"a\":::", 1, "fence '::image...::' begins with two colons, not 3"},
        {":image path=\"a\"::", 1, "fence '::image...::' begins with two colons, not 1"},
        {":instruction::", 1, "fence '::instruction...::' begins with two colons, not 1"},
        {":: image path=\"a\"::", 3, "fence '::image...::' has a blank before its name"},
        {"\t::\tinstruction::", 4, "fence '::instruction...::' has a blank before its name"},
        {"::instruction ::", 14, "fence '::instruction ::' has a blank before its closing '::'"},
        {"::Image path=\"a\"::", 3,
         "unknown section fence '::Image...::'; did you mean '::image...::'?"},
        {"::IMAGE path=\"a\"", 3,
         "unknown section fence '::IMAGE...::'; did you mean '::image...::'?"},
        {"::imgae path='a'::", 3,
         "unknown section fence '::imgae...::'; did you mean '::image...::'?"},
        {"::images path='a'", 3,
         "unknown section fence '::images...::'; did you mean '::image...::'?"},
        {"::instuction #x::", 3,
         "unknown section fence '::instuction...::'; did you mean '::instruction...::'?"},
        {"\xef\xbb\xbf::instruction::", 1,
         "fence '::instruction...::' has the invisible character U+FEFF before it"},
        {" \xe2\x80\x8b" PATH "::", 2,
         "fence '::image...::' has the invisible character U+200B before it"},
        /* quotes */
        {"::image path='a'::", 14,
         "fence '::image...::' attribute 'path' needs straight double quotes, got '"},
        {"::image path=\xe2\x80\x9c" "a\xe2\x80\x9d::", 14,
         "fence '::image...::' attribute 'path' needs straight double quotes, got \xe2\x80\x9c"},
        {PATH " alt=\xe2\x80\x98" "a\xe2\x80\x99::", 22,
         "fence '::image...::' attribute 'alt' needs straight double quotes, got \xe2\x80\x98"},
        {"::image path=\"a\xe2\x80\x9d alt=\"x\"::", 23,
         "fence '::image...::' wants a blank or the closing '::' after a value"},
        {"::image path=a.png::", 14,
         "fence '::image...::' attribute 'path' needs its value in double quotes"},
        {"::image path=\"a::", 14, "fence '::image...::' attribute 'path' has no closing '\"'"},
        {"::image path=\"a\\\"b\"::", 18,
         "fence '::image...::' wants a blank or the closing '::' after a value; a value cannot "
         "hold '\"', nor escape it"},
        {PATH "alt=\"b\"::", 17,
         "fence '::image...::' wants a blank or the closing '::' after a value"},
        /* keys and signs; columns count characters */
        {"::image alt=\"\xc3\xa9\xf0\x9f\x98\x80\" path = \"a\"::", 22,
         "fence '::image...::' has a blank before the '=' of 'path'"},
        {"::image path= \"a\"::", 14, "fence '::image...::' has a blank after 'path='"},
        {"::image Path=\"a\"::", 9,
         "fence '::image...::' has unknown attribute 'Path' (allowed: ['alt', 'path'])"},
        {PATH " alt-text=\"b\"::", 18,
         "fence '::image...::' has unknown attribute 'alt-text' (allowed: ['alt', 'path'])"},
        {"::image pth='a' alt=\"x\"::", 9,
         "fence '::image...::' has unknown attribute 'pth' (allowed: ['alt', 'path'])"},
        {PATH " alt::", 21, "fence '::image...::' attribute 'alt' has no value"},
        {PATH ", alt=\"b\"::", 17,
         "fence '::image...::' wants a blank or the closing '::' after a value"},
        {PATH " , alt=\"b\"::", 18,
         "fence '::image...::' wants key=\"value\" or the closing '::' here"},
        {"::image(path=\"a\")::", 8,
         "fence '::image...::' wants key=\"value\" or the closing '::' here"},
        {"::image#tone path=\"a\"::", 8, "fence '::image...::' does not take an adapter"},
        {"::instruction a='b'::", 15, "fence '::instruction...::' wants its closing '::' here"},
        {"::prose is what I write", 9, "fence '::prose...::' wants its closing '::' here"},
    };

    check_case("lines that are almost fences");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        check_bad_line(ctx, rows[i].line, rows[i].column, rows[i].message);
        /* Code is text. */
        char text[512];
        snprintf(text, sizeof(text), TEST_HEAD "```\n%s\n```\n- x:\n  ```\n  %s\n  ```\n",
                 rows[i].line, rows[i].line);
        struct dlm_doc *doc = test_parse(ctx, text);
        if (doc && CHECK_INT(doc->num_sections, 1))
            CHECK_INT(doc->sections[0].type, DLM_DOC_SECTION_PROSE);
        dlm_doc_destroy(&doc);
    }
}

static void test_text(struct dlm_ctx *ctx)
{
    static const char *const lines[] = {
        "::", "::::", "a ::image:: b", "see `::image path=\"a\"::`", "\\::image path=\"a\"::",
        "> ::image path=\"a\"::", "- ::instruction::", "std::image::load()", "::std::vector<int>",
        "::a b::", "::foo path='a'::", "::imagery", "::image_file(\"a\")", "::rose", "::post",
        ":image: a.png", ":prose", ": image", "::-", "image path=\"a\"::", "[::image::]",
        "::1", "ff02::1", "::before", "##::instruction::",
    };

    check_case("lines that are text");
    for (size_t i = 0; i < DLM_ARRAY_LEN(lines); i++) {
        char text[512];
        snprintf(text, sizeof(text), TEST_HEAD "\n%s\n", lines[i]);
        struct dlm_doc *doc = test_parse(ctx, text);
        if (doc && CHECK_INT(doc->num_sections, 1)) {
            CHECK_INT(doc->sections[0].type, DLM_DOC_SECTION_PROSE);
            CHECK_STR(doc->sections[0].content, lines[i]);
        }
        dlm_doc_destroy(&doc);
    }
}

static void test_fences(struct dlm_ctx *ctx)
{
    check_case("fences");
    struct dlm_doc *doc =
        test_parse(ctx, TEST_HEAD "\n\n   \n::prose#a::\np\n::instruction#tone_1::\n::image "
                                  "alt=\"x y\"\tpath=\"a b.png\" ::\n\n cap \n\n::prose::\n\n");
    if (doc && CHECK_INT(doc->num_sections, 3)) {
        CHECK_STR(doc->sections[0].adapter, "a");
        CHECK_STR(doc->sections[1].adapter, "tone_1");
        CHECK_STR(doc->sections[1].content, "");
        CHECK_STR(doc->sections[2].media_path, "a b.png");
        CHECK_STR(doc->sections[2].media_alt, "x y");
        CHECK_STR(doc->sections[2].content, "\n cap \n");
        CHECK_INT(doc->sections[2].start_line, 11);
    }
    dlm_doc_destroy(&doc);

    check_case("blanks around them");
    doc = test_parse(ctx, TEST_HEAD "  ::image path=\"a.png\"::\t\ncap\n\t::instruction:: \n### Q\n"
                                    "\xc2\xa0::prose::\nx\n   ```\n   ::image::\n::image "
                                    "path=\"b\"::\n   ::instruction::\n");
    if (doc && CHECK_INT(doc->num_sections, 5)) {
        CHECK_STR(doc->sections[0].media_path, "a.png");
        CHECK_STR(doc->sections[0].content, "cap");
        CHECK_INT(doc->sections[1].type, DLM_DOC_SECTION_INSTRUCTION);
        CHECK_STR(doc->sections[1].content, "### Q");
        CHECK_INT(doc->sections[2].type, DLM_DOC_SECTION_PROSE);
        CHECK_STR(doc->sections[2].content, "x\n   ```\n   ::image::");
        CHECK_STR(doc->sections[3].media_path, "b");
        CHECK_INT(doc->sections[4].type, DLM_DOC_SECTION_INSTRUCTION);
    }
    dlm_doc_destroy(&doc);

    check_case("paths beyond ASCII");
    doc = test_parse(ctx, TEST_HEAD "::image path=\"Bilder/gr\xc3\xbcn \xe6\xa8\xb9.png\" "
                                    "alt=\"\xf0\x9f\x8c\xb2\"::\n");
    if (doc && CHECK_INT(doc->num_sections, 1)) {
        CHECK_STR(doc->sections[0].media_path, "Bilder/gr\xc3\xbcn \xe6\xa8\xb9.png");
        CHECK_STR(doc->sections[0].media_alt, "\xf0\x9f\x8c\xb2");
    }
    dlm_doc_destroy(&doc);
    test_fails(ctx, TEST_HEAD "::image path=\"\xc3\"::\n",
               "<text>: invalid UTF-8 at byte 71: invalid continuation byte");
}

/* Parses the body of a section that starts at line 100; message NULL: it must be good. */
static void check_body(struct dlm_ctx *ctx, enum dlm_doc_section_type type, const char *text,
                       size_t want, const char *message)
{
    const struct dlm_doc_section section = {
        .type = type, .id = "0123456789abcdef", .content = text, .content_len = strlen(text),
        .start_line = 100};
    struct dlm_arena arena = {0};
    struct dlm_doc_pair *pairs = NULL;
    struct dlm_doc_triple *triples = NULL;
    size_t n = 0;

    enum dlm_status st =
        type == DLM_DOC_SECTION_INSTRUCTION
            ? dlm_doc_parse_pairs(ctx, &arena, NULL, &section, &pairs, &n)
            : dlm_doc_parse_triples(ctx, &arena, NULL, &section, &triples, &n);
    if (message) {
        CHECK(st == DLM_ERR_PARSE);
        CHECK_STR(dlm_ctx_last_error(ctx), message);
    } else if (CHECK(st == DLM_OK)) {
        CHECK_INT(n, want);
    } else {
        printf("     %s\n     %s\n", text, dlm_ctx_last_error(ctx));
    }
    dlm_arena_finish(&arena);
}

#define PAIR "### Q\nq\n### A\na\n"
#define TRIPLE "### Prompt\np\n### Chosen\nc\n### Rejected\nr\n"

static void test_headers(struct dlm_ctx *ctx)
{
    /* Behind a whole pair, so that as text they would be the end of its answer. */
    static const char *const near[] = {"###Q", "### q", "## Q", "# Q", "#### Q", "### Q:", "###\tQ",
                                       "###  Q", " ###Q ", "### Q !Probe", "###Q !probe", "###q:",
                                       "### Q what is it?", "### Q!probe", "### Question",
                                       "### question:"};
    static const char *const text[] = {"### Questions", "#Q",       "Q",         "Q:",
                                       "### Question 2", "### Answer key",
                                       "### Q&A",      "###",      "####### Q", "### A better way",
                                       "# Answer",     "### QA"};
    char body[256], message[256];

    check_case("lines that are almost headers");
    for (size_t i = 0; i < DLM_ARRAY_LEN(near); i++) {
        bool is_probe = !strcmp(near[i], "### Q !Probe") || !strcmp(near[i], "###Q !probe");
        snprintf(body, sizeof(body), PAIR "%s\nq\n### a\nb\n", near[i]);
        snprintf(message, sizeof(message),
                 "<text>:105:%d: section 0123456789abcdef, line 5: expected `%s` header alone on "
                 "its line, got '%s'",
                 near[i][0] == ' ' ? 2 : 1, is_probe ? "### Q !probe" : "### Q",
                 strcmp(near[i], "###\tQ") ? near[i] : "###\\tQ");
        check_body(ctx, DLM_DOC_SECTION_INSTRUCTION, body, 0, message);
        /* In code it is a comment. */
        snprintf(body, sizeof(body), PAIR "```sh\n%s\n```\n" PAIR, near[i]);
        check_body(ctx, DLM_DOC_SECTION_INSTRUCTION, body, 2, NULL);
    }
    check_body(ctx, DLM_DOC_SECTION_INSTRUCTION, "### Q\nq\n###A\na\n", 0,
               "<text>:103:1: section 0123456789abcdef, line 3: expected `### A` header alone on "
               "its line, got '###A'");
    check_body(ctx, DLM_DOC_SECTION_INSTRUCTION, "### Q\nq\n### A 4\n" PAIR, 0,
               "<text>:103:1: section 0123456789abcdef, line 3: expected `### A` header alone on "
               "its line, got '### A 4'");
    check_body(ctx, DLM_DOC_SECTION_INSTRUCTION, PAIR "### Q\nq\n### Answer\na\n", 0,
               "<text>:107:1: section 0123456789abcdef, line 7: expected `### A` header alone on "
               "its line, got '### Answer'");
    check_body(ctx, DLM_DOC_SECTION_PREFERENCE, TRIPLE "### prompt\np\n", 0,
               "<text>:107:1: section 0123456789abcdef, line 7: expected `### Prompt` header alone "
               "on its line, got '### prompt'");
    check_body(ctx, DLM_DOC_SECTION_PREFERENCE,
               "### Prompt\np\n### Chosen\nc\n##Rejected:\nr\n" TRIPLE, 0,
               "<text>:105:1: section 0123456789abcdef, line 5: expected `### Rejected` header "
               "alone on its line, got '##Rejected:'");

    check_case("headings that are text");
    for (size_t i = 0; i < DLM_ARRAY_LEN(text); i++) {
        snprintf(body, sizeof(body), PAIR "%s\n" PAIR, text[i]);
        check_body(ctx, DLM_DOC_SECTION_INSTRUCTION, body, 2, NULL);
    }
    check_body(ctx, DLM_DOC_SECTION_PREFERENCE,
               "### Prompt\n### Question\n### Chosen\n### Prompt engineering\n### Rejected\n"
               "# Choose\n", 1, NULL);
}

int main(void)
{
    struct dlm_ctx *ctx = test_ctx();

    test_fences(ctx);
    test_bad_fences(ctx);
    test_near_misses(ctx);
    test_text(ctx);
    test_headers(ctx);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
