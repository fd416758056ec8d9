/* Every allocation of the calls that do not compute fails once: each failure is reported as such,
 * nothing leaks (under a leak checker), and what was on disk stays whole. */
#include <unistd.h>

#include "check.h"
#include "countdown.h"
#include "dlm/dlm.h"

#define MAX_ALLOCATIONS 20000

static char folder[] = "/tmp/dlm-api-XXXXXX";
static char document[64], home[64], old[64], chat_path[64], pixels[64];
static char base[1024], adapter[1024], image[1024];

static enum dlm_status call_init(struct dlm_ctx *ctx)
{
    const struct dlm_document_init_params params = {
        .path = document, .home = home, .base = "paligemma-3b-mix-224", .multimodal = true,
        .force = true, .accept_license = true};
    return dlm_document_init(ctx, &params);
}

static enum dlm_status call_show(struct dlm_ctx *ctx)
{
    const struct dlm_document_show_params params = {.path = document, .home = home, .json = true};
    char *text = NULL;

    enum dlm_status st = dlm_document_show(ctx, &params, &text);
    CHECK(!text == (st != DLM_OK));
    dlm_text_free(text);
    return st;
}

static enum dlm_status call_migrate(struct dlm_ctx *ctx)
{
    const struct dlm_document_migrate_params params = {.path = old, .dry_run = true};
    struct dlm_document_migration result;

    enum dlm_status st = dlm_document_migrate(ctx, &params, &result);
    dlm_document_migration_finish(&result);
    return st;
}

static enum dlm_status call_encode(struct dlm_ctx *ctx)
{
    const char *const images[] = {image};
    const struct dlm_encoder_params params = {.base = base, .images = images, .num_images = 1};
    struct dlm_encoder *encoder = NULL;
    const int32_t *ids;
    size_t num;

    enum dlm_status st = dlm_encoder_create(ctx, &encoder, &params);
    if (!st)
        st = dlm_encoder_encode_json(ctx, encoder, "\"caption en\"", 12, &ids, &num);
    dlm_encoder_destroy(&encoder);
    return st;
}

static enum dlm_status call_chat(struct dlm_ctx *ctx)
{
    const struct dlm_encoder_params params = {.base = base};
    struct dlm_encoder *encoder = NULL;
    struct dlm_chat *chat = NULL;
    const int32_t *ids;
    size_t num, num_messages;

    enum dlm_status st = dlm_encoder_create(ctx, &encoder, &params);
    if (!st)
        st = dlm_chat_load(ctx, &chat, chat_path);
    if (!st) {
        const struct dlm_message *messages = dlm_chat_messages(chat, &num_messages);
        st = dlm_encoder_encode_messages(ctx, encoder, messages, num_messages, &ids, &num);
    }
    dlm_chat_destroy(&chat);
    dlm_encoder_destroy(&encoder);
    return st;
}

static enum dlm_status call_session(struct dlm_ctx *ctx)
{
    const struct dlm_session_params from = {
        .base = base, .adapter = adapter, .compute = {.backend = DLM_BACKEND_CPU}};
    struct dlm_session *s = NULL;

    enum dlm_status st = dlm_session_open(ctx, &s, &from);
    CHECK(!s == (st != DLM_OK));
    if (!st)
        st = dlm_session_load_adapter(s, "other", adapter);
    if (!st)
        st = dlm_session_use_adapter(s, "other");
    if (!st)
        st = dlm_session_drop_adapter(s, DLM_SESSION_ADAPTER);
    dlm_session_close(&s);
    return st;
}

static enum dlm_status call_preprocess(struct dlm_ctx *ctx)
{
    const struct dlm_preprocess_params params = {.base = base, .image = image, .out = pixels};
    return dlm_preprocess_image(ctx, &params);
}

static enum dlm_status call_doctor(struct dlm_ctx *ctx)
{
    const struct dlm_compute compute = {.backend = DLM_BACKEND_CPU};
    char *text = NULL;

    enum dlm_status st = dlm_doctor_ops(ctx, &compute, true, &text);
    dlm_text_free(text);
    return st;
}

static enum dlm_status call_budget(struct dlm_ctx *ctx)
{
    const struct dlm_doctor_budget_params params = {
        .base = base, .batch = 1, .compute = {.backend = DLM_BACKEND_CPU}, .json = true};
    char *text = NULL;

    enum dlm_status st = dlm_doctor_budget(ctx, &params, &text);
    CHECK(!text == (st != DLM_OK));
    dlm_text_free(text);
    return st;
}

/* Fails allocation 0, 1, 2, ... (in growing strides where there are many) until none is left. */
static void fail_each(const char *name, enum dlm_status (*call)(struct dlm_ctx *ctx))
{
    check_case(name);
    for (long n = 0; n < MAX_ALLOCATIONS; n += 1 + n / 64) {
        struct countdown countdown = {.left = n};
        const struct dlm_ctx_params params = {
            .alloc_hook = allow, .alloc_user = &countdown, .num_threads = 1};
        struct dlm_ctx *ctx = dlm_ctx_create(&params);
        enum dlm_status st = ctx ? call(ctx) : DLM_ERR_MEMORY;
        /* the message says so; a status may be that of what could not be done */
        bool says_memory = !ctx || !strncmp(dlm_ctx_last_error(ctx), "out of memory", 13);
        dlm_ctx_destroy(&ctx);
        if (!countdown.is_over) {
            CHECK_INT(st, DLM_OK);
            CHECK(n > 0);
            return;
        }
        if (st && !CHECK(says_memory))
            return;
    }
    CHECK(!"it ends");
}

int main(void)
{
    char command[128];

    check_case("folder");
    if (!CHECK(mkdtemp(folder)))
        return check_summary();
    snprintf(document, sizeof(document), "%s/a.dlm", folder);
    snprintf(home, sizeof(home), "%s/home", folder);
    snprintf(old, sizeof(old), "%s/old.dlm", folder);
    snprintf(pixels, sizeof(pixels), "%s/p.npz", folder);
    snprintf(base, sizeof(base), "dir:%s/golden/models/f32_old/base", check_data_dir());
    snprintf(adapter, sizeof(adapter), "%s/golden/models/f32_old/adapter", check_data_dir());
    snprintf(image, sizeof(image), "%s/golden/models/f32_old/images/one.png", check_data_dir());
    snprintf(chat_path, sizeof(chat_path), "%s/chat.json", folder);
    FILE *file = fopen(chat_path, "w");
    if (!CHECK(file))
        return check_summary();
    fprintf(file, "[{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"path\": \"%s\"}, "
            "{\"type\": \"image\", \"url\": \"data:;base64,AAAA\"}, {\"type\": \"text\", "
            "\"text\": \"caption\"}]}]", image);
    fclose(file);
    file = fopen(old, "w");
    if (!CHECK(file))
        return check_summary();
    fputs("---\ndlm_id: 01JZZZZZZZZZZZZZZZZZZZZZZZ\nbase_model: tiny-shapes\n---\n\nText\n", file);
    fclose(file);

    fail_each("init", call_init);
    fail_each("show", call_show);
    fail_each("migrate", call_migrate);
    fail_each("encode", call_encode);
    fail_each("chat", call_chat);
    fail_each("session", call_session);
    fail_each("preprocess", call_preprocess);
    fail_each("doctor", call_doctor);
    fail_each("budget", call_budget);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    if (system(command))
        printf("cannot remove %s\n", folder);
    return check_summary();
}
