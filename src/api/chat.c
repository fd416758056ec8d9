/* Chat files: JSON to messages. Where an image is, chat_image.c finds out. */
#include "dlm/chat.h"

#include <string.h>

#include "api/chat_impl.h"
#include "base/file.h"
#include "base/log.h"

#define MAX_FILE_BYTES ((size_t)1 << 28)

static enum dlm_status copy_text(struct dlm_chat_reader *r, const json_t *string, const char **out)
{
    *out = dlm_arena_strndup(r->ctx, &r->chat->arena, json_string_value(string),
                             json_string_length(string));
    return *out ? DLM_OK : DLM_ERR_MEMORY;
}

static bool is_one_of(const char *key, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        if (!strcmp(key, names[i]))
            return true;
    return false;
}

/* Any key with a value that is not in names is refused: something would be left out of what the
 * model is told. */
static enum dlm_status check_keys(const struct dlm_chat_reader *r, json_t *object,
                                  const char *const *names)
{
    const char *key;
    json_t *value;

    json_object_foreach (object, key, value)
        if (!json_is_null(value) && !is_one_of(key, names))
            return dlm_chat_fail(r, DLM_ERR_UNSUPPORTED, "key '%s' is not supported", key);
    return DLM_OK;
}

/* The location in an image's part: of "image_url", or under one of its other keys. */
static enum dlm_status read_location(const struct dlm_chat_reader *r, json_t *part, bool is_url,
                                     const json_t **location)
{
    static const char *const keys[] = {"type", "path", "image", "url", NULL};
    static const char *const url_keys[] = {"type", "image_url", NULL};
    static const char *const inner_keys[] = {"url", "detail", NULL}; /* of how much is paid for */
    json_t *inner = json_object_get(part, "image_url");
    const json_t *found = is_url ? inner : NULL;
    enum dlm_status st = check_keys(r, part, is_url ? url_keys : keys);

    if (!st && is_url && json_is_object(inner)) {
        st = check_keys(r, inner, inner_keys);
        found = json_object_get(inner, "url");
    }
    for (size_t i = 1; !st && !is_url && keys[i]; i++) {
        const json_t *value = json_object_get(part, keys[i]);
        if (value && found)
            st = dlm_chat_fail(r, DLM_ERR_PARSE, "more than one of 'path', 'image' and 'url'");
        found = value ? value : found;
    }
    if (!st && !json_is_string(found))
        st = dlm_chat_fail(r, DLM_ERR_PARSE, "%s is not a string that says where the image is",
                           is_url ? "'image_url'" : "'path'");
    *location = found;
    return st;
}

static enum dlm_status read_part(struct dlm_chat_reader *r, json_t *part,
                                 struct dlm_message_part *out)
{
    static const char *const text_keys[] = {"type", "text", NULL};
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *text = json_object_get(part, "text"), *location;
    enum dlm_status st;

    if (!type)
        return dlm_chat_fail(r, DLM_ERR_PARSE, "not an object with a 'type'");
    if (!strcmp(type, "text")) {
        st = check_keys(r, part, text_keys);
        if (!st && !json_is_string(text))
            st = dlm_chat_fail(r, DLM_ERR_PARSE, "'text' is not a string");
        return st ? st : copy_text(r, text, &out->text);
    }
    const bool is_url = !strcmp(type, "image_url");
    if (!is_url && strcmp(type, "image"))
        return dlm_chat_fail(r, DLM_ERR_UNSUPPORTED,
                             "type '%s' is not supported: text, image_url or image", type);
    st = read_location(r, part, is_url, &location);
    return st ? st
              : dlm_chat_find_image(r, json_string_value(location), json_string_length(location),
                                    out);
}

/* content: a string, or a list of parts. */
static enum dlm_status read_content(struct dlm_chat_reader *r, const json_t *content,
                                    struct dlm_message *out)
{
    const bool is_text = json_is_string(content);
    const size_t num = is_text ? 1 : json_array_size(content);
    enum dlm_status st = DLM_OK;

    if (!num)
        return dlm_chat_fail(r, DLM_ERR_PARSE, "'content' is not a string or a list of parts");
    struct dlm_message_part *parts =
        dlm_arena_alloc(r->ctx, &r->chat->arena, num * sizeof(*parts));
    if (!parts)
        return DLM_ERR_MEMORY;
    out->parts = parts;
    out->num_parts = num;
    if (is_text)
        return copy_text(r, content, &parts[0].text);
    for (size_t i = 0; !st && i < num; i++) {
        r->part = (int64_t)i;
        st = read_part(r, json_array_get(content, i), &parts[i]);
    }
    r->part = -1;
    return st;
}

static enum dlm_status read_message(struct dlm_chat_reader *r, json_t *message,
                                    struct dlm_message *out)
{
    static const char *const keys[] = {"role", "content", NULL};
    static const char *const roles[] = {[DLM_ROLE_SYSTEM] = "system", [DLM_ROLE_USER] = "user",
                                        [DLM_ROLE_ASSISTANT] = "assistant"};
    const char *role = json_string_value(json_object_get(message, "role"));
    size_t i = 0;

    if (!role)
        return dlm_chat_fail(r, DLM_ERR_PARSE, "not an object with a 'role'");
    while (i < DLM_ARRAY_LEN(roles) && strcmp(role, roles[i]))
        i++;
    if (i == DLM_ARRAY_LEN(roles))
        return dlm_chat_fail(r, DLM_ERR_UNSUPPORTED,
                             "role '%s' is not supported: system, user or assistant", role);
    if (i == DLM_ROLE_SYSTEM && r->message)
        return dlm_chat_fail(r, DLM_ERR_PARSE, "the system's message is not the first");
    out->role = (enum dlm_role)i;
    enum dlm_status st = check_keys(r, message, keys);
    return st ? st : read_content(r, json_object_get(message, "content"), out);
}

/* The list, in an object or not. What else a request's object says is not for this program. */
static enum dlm_status find_messages(struct dlm_ctx *ctx, const char *path, json_t *root,
                                     const json_t **list)
{
    const char *key;
    json_t *value;

    *list = json_is_object(root) ? json_object_get(root, "messages") : root;
    if (!json_array_size(*list))
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot use '%s': not a list of messages", path);
    json_object_foreach (root, key, value)
        if (strcmp(key, "messages"))
            dlm_log(ctx, DLM_LOG_WARNING, "'%s' in '%s' is not used", key, path);
    return DLM_OK;
}

static enum dlm_status read_messages(struct dlm_chat_reader *r, const json_t *list)
{
    struct dlm_chat *chat = r->chat;
    const size_t num = json_array_size(list);
    enum dlm_status st = DLM_OK;

    chat->messages = dlm_arena_alloc(r->ctx, &chat->arena, num * sizeof(*chat->messages));
    if (!chat->messages)
        return DLM_ERR_MEMORY;
    for (r->message = 0; !st && r->message < num; r->message++)
        st = read_message(r, json_array_get(list, r->message), &chat->messages[r->message]);
    chat->num_messages = num;
    return st;
}

enum dlm_status dlm_chat_parse(struct dlm_ctx *ctx, struct dlm_chat **out, const char *path,
                               const char *text, size_t len)
{
    char *dir = dlm_path_dirname(ctx, path);
    struct dlm_chat_reader r = {.ctx = ctx, .path = path, .dir = dir, .part = -1,
                                .chat = dlm_alloc(ctx, sizeof(*r.chat))};
    const json_t *list;
    json_t *root = NULL;

    *out = NULL;
    enum dlm_status st =
        r.chat && dir ? dlm_json_parse(ctx, path, text, len, &root) : DLM_ERR_MEMORY;
    if (!st)
        st = find_messages(ctx, path, root, &list);
    if (!st)
        st = read_messages(&r, list);
    if (st)
        dlm_chat_destroy(&r.chat);
    *out = r.chat;
    json_decref(root);
    dlm_free(dir);
    return st;
}

enum dlm_status dlm_chat_load(struct dlm_ctx *ctx, struct dlm_chat **out, const char *path)
{
    struct dlm_str text = {0};
    enum dlm_status st;

    *out = NULL;
    DLM_REQUIRE(ctx, path);
    st = dlm_file_read(ctx, path, MAX_FILE_BYTES, &text);
    if (!st)
        st = dlm_chat_parse(ctx, out, path, dlm_str_text(&text), text.len);
done:
    dlm_str_finish(&text);
    return st;
}

void dlm_chat_destroy(struct dlm_chat **chat)
{
    if (!chat || !*chat)
        return;
    dlm_arena_finish(&(*chat)->arena);
    dlm_free(*chat);
    *chat = NULL;
}

const struct dlm_message *dlm_chat_messages(const struct dlm_chat *chat, size_t *num)
{
    *num = chat->num_messages;
    return chat->messages;
}
