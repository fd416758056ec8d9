/* Asks a document's adapter several questions about an image, and its base the same for comparison.
 * Device and weights are opened once. C11 and C++.
 *
 *     cc ask_questions.c $(pkg-config --cflags --libs dlm) -o ask_questions
 *     ./ask_questions sample.dlm image.png "a question" "another"
 */
#include <dlm/dlm.h>
#include <stdio.h>

static void print_message(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level <= DLM_LOG_WARNING)
        fprintf(stderr, "%s\n", text);
}

static void print_answer(void *user, const char *utf8, size_t len)
{
    fwrite(utf8, 1, len, (FILE *)user);
}

static enum dlm_status ask(struct dlm_session *session, const char *adapter, const char *image,
                           const char *question)
{
    struct dlm_prompt_request request = {0};

    request.query = question;
    request.images = &image;
    request.num_images = 1;
    request.text = print_answer;
    request.user = stdout;
    enum dlm_status status = dlm_session_use_adapter(session, adapter);
    if (!status) {
        printf("%s: ", adapter ? adapter : "base");
        status = dlm_session_prompt(session, &request);
        putchar('\n');
    }
    return status;
}

int main(int argc, char **argv)
{
    struct dlm_ctx_params params = {0};
    struct dlm_session_params from = {0};
    struct dlm_session *session = NULL;

    if (argc < 4) {
        fprintf(stderr, "usage: %s DOCUMENT IMAGE QUESTION...\n", argv[0]);
        return 2;
    }
    params.log = print_message;
    struct dlm_ctx *ctx = dlm_ctx_create(&params);
    if (!ctx)
        return 1;
    from.document = argv[1]; /* with its current adapter, as DLM_SESSION_ADAPTER */
    enum dlm_status status = dlm_session_open(ctx, &session, &from);
    for (int i = 3; !status && i < argc; i++) {
        status = ask(session, DLM_SESSION_ADAPTER, argv[2], argv[i]);
        if (!status)
            status = ask(session, NULL, argv[2], argv[i]);
    }
    dlm_session_close(&session);
    dlm_ctx_destroy(&ctx);
    return status ? 1 : 0;
}
