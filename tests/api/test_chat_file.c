/* Chat files: what is read of them, and what is refused with its place. */
#include "../weights/helpers.h"
#include "base/file.h"
#include "check.h"
#include "dlm/chat.h"

static struct dlm_ctx *ctx;

/* The chat of a file with this text, printed: "U: <NAME> words\n" a message, images by the last
 * component of their path, bytes as <NUMBER bytes>. */
static void print_chat(const struct dlm_chat *chat, struct dlm_str *out)
{
    size_t num;
    const struct dlm_message *messages = dlm_chat_messages(chat, &num);

    for (size_t i = 0; i < num; i++) {
        CHECK(!dlm_str_appendf(NULL, out, "%c:", "SUA"[messages[i].role]));
        for (size_t k = 0; k < messages[i].num_parts; k++) {
            const struct dlm_message_part *p = &messages[i].parts[k];
            CHECK(!p->text != !p->image);
            if (p->data)
                CHECK(!dlm_str_appendf(NULL, out, " <%zu bytes, first %d>", p->bytes,
                                       p->bytes ? *(const uint8_t *)p->data : -1));
            else if (p->image)
                CHECK(!dlm_str_appendf(NULL, out, " <%s>", dlm_path_basename(p->image)));
            else
                CHECK(!dlm_str_appendf(NULL, out, " %s", p->text));
        }
        CHECK(!dlm_str_appendf(NULL, out, "\n"));
    }
}

static enum dlm_status load(const char *json, struct dlm_chat **chat)
{
    CHECK(!dlm_file_replace(NULL, tmp_path("chat.json"), json, strlen(json)));
    return dlm_chat_load(ctx, chat, tmp_path("chat.json"));
}

static void check_chat(const char *json, const char *want)
{
    struct dlm_chat *chat = NULL;
    struct dlm_str got = {0};

    if (CHECK(!load(json, &chat)))
        print_chat(chat, &got);
    CHECK_STR(dlm_str_text(&got), want);
    dlm_chat_destroy(&chat);
    dlm_str_finish(&got);
}

static void check_bad_chat(const char *json, enum dlm_status status, const char *behind)
{
    struct dlm_chat *chat = NULL;
    char want[1400];

    check_case(json);
    CHECK_INT(load(json, &chat), status);
    CHECK(!chat);
    snprintf(want, sizeof(want), "cannot use '%s': %s", tmp_path("chat.json"), behind);
    CHECK_STR(dlm_ctx_last_error(ctx), want);
}

#define USER(content) "[{\"role\": \"user\", \"content\": " content "}]"
#define IMAGE(keys) USER("[{\"type\": \"image\"" keys "}]")
#define URL(url) USER("[{\"type\": \"image_url\", \"image_url\": {\"url\": \"" url "\"}}]")

static void test_files(void)
{
    char json[1400];

    check_case("texts and roles");
    check_chat("[{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": "
               "[{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": "
               "\"\\u00e9\"}]}, {\"role\": \"assistant\", \"content\": \"\"}]",
               "S: s\nU: a \xc3\xa9\nA: \n");
    check_chat("{\"messages\": " USER("\"a\"") "}", "U: a\n");
    check_chat("{\"model\": \"m\", \"messages\": [{\"role\": \"user\", \"content\": \"a\", "
               "\"name\": null}]}", "U: a\n");

    check_case("images");
    CHECK(!dlm_dir_make(NULL, tmp_path("in")));
    CHECK(!dlm_file_replace(NULL, tmp_path("a b.png"), "x", 1));
    CHECK(!dlm_file_replace(NULL, tmp_path("in/c.png"), "x", 1));
    check_chat(USER("[{\"type\": \"image\", \"path\": \"a b.png\"}, {\"type\": \"image\", "
                    "\"image\": \"in/c.png\"}, {\"type\": \"image\", \"url\": \"./a b.png\"}, "
                    "{\"type\": \"text\", \"text\": \"t\"}]"),
               "U: <a b.png> <c.png> <a b.png> t\n");
    check_chat(USER("[{\"type\": \"image_url\", \"image_url\": {\"url\": \"in/c.png\", \"detail\": "
                    "\"low\"}}, {\"type\": \"image_url\", \"image_url\": \"in/c.png\"}]"),
               "U: <c.png> <c.png>\n");
    snprintf(json, sizeof(json), URL("file://%s"), tmp_path("a%20b.png"));
    check_chat(json, "U: <a b.png>\n");
    snprintf(json, sizeof(json), URL("FILE://localhost%s"), tmp_path("a%20b.png"));
    check_chat(json, "U: <a b.png>\n");
    snprintf(json, sizeof(json), URL("%s"), tmp_path("in/c.png"));
    check_chat(json, "U: <c.png>\n");
    check_chat(URL("data:image/png;base64,iVBORw0KGgo="), "U: <8 bytes, first 137>\n");
    check_chat(URL("data:;base64,iVBORw0KGgo"), "U: <8 bytes, first 137>\n");
    check_chat(URL("data:image/png;charset=x;BASE64,iVBO\\nRw=="), "U: <4 bytes, first 137>\n");
}

static void test_bad_files(void)
{
    char json[1400];

    check_bad_chat("{}", DLM_ERR_PARSE, "not a list of messages");
    check_bad_chat("[]", DLM_ERR_PARSE, "not a list of messages");
    check_bad_chat("[1]", DLM_ERR_PARSE, "messages[0]: not an object with a 'role'");
    check_bad_chat("[{\"role\": \"tool\", \"content\": \"a\"}]", DLM_ERR_UNSUPPORTED,
                   "messages[0]: role 'tool' is not supported: system, user or assistant");
    check_bad_chat("[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"system\", \"content\": "
                   "\"a\"}]", DLM_ERR_PARSE, "messages[1]: the system's message is not the first");
    check_bad_chat("[{\"role\": \"user\", \"content\": \"a\", \"name\": \"n\"}]",
                   DLM_ERR_UNSUPPORTED, "messages[0]: key 'name' is not supported");
    check_bad_chat(USER("null"), DLM_ERR_PARSE,
                   "messages[0]: 'content' is not a string or a list of parts");
    check_bad_chat(USER("[]"), DLM_ERR_PARSE,
                   "messages[0]: 'content' is not a string or a list of parts");
    check_bad_chat(USER("[\"a\"]"), DLM_ERR_PARSE,
                   "messages[0].content[0]: not an object with a 'type'");
    check_bad_chat(USER("[{\"type\": \"audio\"}]"), DLM_ERR_UNSUPPORTED,
                   "messages[0].content[0]: type 'audio' is not supported: text, image_url or "
                   "image");
    check_bad_chat(USER("[{\"type\": \"text\", \"text\": 1}]"), DLM_ERR_PARSE,
                   "messages[0].content[0]: 'text' is not a string");
    check_bad_chat(IMAGE(""), DLM_ERR_PARSE,
                   "messages[0].content[0]: 'path' is not a string that says where the image is");
    check_bad_chat(IMAGE(", \"path\": \"a\", \"url\": \"a\""), DLM_ERR_PARSE,
                   "messages[0].content[0]: more than one of 'path', 'image' and 'url'");
    check_bad_chat(IMAGE(", \"path\": \"a\", \"resized_height\": 2"), DLM_ERR_UNSUPPORTED,
                   "messages[0].content[0]: key 'resized_height' is not supported");
    check_bad_chat(IMAGE(", \"path\": \"\""), DLM_ERR_PARSE,
                   "messages[0].content[0]: the image's path is empty");
    check_bad_chat(USER("[{\"type\": \"image_url\", \"image_url\": {}}]"), DLM_ERR_PARSE,
                   "messages[0].content[0]: 'image_url' is not a string that says where the image "
                   "is");
    snprintf(json, sizeof(json), "messages[0].content[0]: image not found: '%s'",
             tmp_path("none.png"));
    check_bad_chat(URL("none.png"), DLM_ERR_IO, json);
    check_bad_chat(URL("https://example.org/a.png"), DLM_ERR_UNSUPPORTED,
                   "messages[0].content[0]: nothing is fetched over https: save the image and give "
                   "its path");
    check_bad_chat(URL("file://elsewhere/a.png"), DLM_ERR_UNSUPPORTED,
                   "messages[0].content[0]: a file: URL has an absolute path on this machine");
    check_bad_chat(URL("file:///a%2"), DLM_ERR_PARSE,
                   "messages[0].content[0]: a % in the file: URL without two hex digits");
    check_bad_chat(URL("file:///a%00b"), DLM_ERR_PARSE,
                   "messages[0].content[0]: a % in the file: URL without two hex digits");
    check_bad_chat(URL("data:image/png,abc"), DLM_ERR_UNSUPPORTED,
                   "messages[0].content[0]: a data: URL of an image needs base64");
    check_bad_chat(URL("data:image/png;base64"), DLM_ERR_UNSUPPORTED,
                   "messages[0].content[0]: a data: URL of an image needs base64");
    for (size_t i = 0; i < 4; i++) {
        static const char *const bad[] = {"a", "ab=", "a-b=", "ab==cd=="};
        snprintf(json, sizeof(json), URL("data:;base64,%s"), bad[i]);
        check_bad_chat(json, DLM_ERR_PARSE, "messages[0].content[0]: the data: URL is not base64");
    }
    check_case("a file that is no JSON names its line");
    struct dlm_chat *chat = NULL;
    CHECK_INT(load("[\n{]", &chat), DLM_ERR_PARSE);
    CHECK(strstr(dlm_ctx_last_error(ctx), "chat.json': line 2, column 2"));
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    tmp_make();
    if (CHECK(ctx)) {
        test_files();
        test_bad_files();
    }
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
