/* Trains an adapter on a document, then asks it about an image. C11 and C++.
 *
 *     cc train_then_prompt.c $(pkg-config --cflags --libs dlm) -o train_then_prompt
 *     ./train_then_prompt sample.dlm image.png "a question"
 */
#include <dlm/dlm.h>
#include <stdio.h>

static void print_message(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level <= DLM_LOG_WARNING)
        fprintf(stderr, "%s\n", text);
}

static void print_progress(void *user, const struct dlm_train_progress *p)
{
    (void)user;
    fprintf(stderr, "step %lld of %lld, loss %.4f\n", (long long)p->step, (long long)p->steps,
            p->loss);
}

static void print_answer(void *user, const char *utf8, size_t len)
{
    fwrite(utf8, 1, len, (FILE *)user);
}

static enum dlm_status train(struct dlm_ctx *ctx, const char *document)
{
    struct dlm_train_params params = {0}; /* all zero: what the document says */
    struct dlm_train_result result;

    params.document = document;
    params.progress = print_progress;
    enum dlm_status status = dlm_train(ctx, &params, &result);
    if (!status && !result.nothing_to_do)
        fprintf(stderr, "adapter: %s\n", result.adapter);
    dlm_train_result_finish(&result);
    return status;
}

static enum dlm_status ask(struct dlm_ctx *ctx, const char *document, const char *image,
                           const char *question)
{
    struct dlm_session_params from = {0};
    struct dlm_prompt_request request = {0};

    from.document = document;
    request.query = question;
    request.images = &image;
    request.num_images = 1;
    request.text = print_answer;
    request.user = stdout;
    return dlm_prompt(ctx, &from, &request);
}

int main(int argc, char **argv)
{
    struct dlm_ctx_params params = {0};

    if (argc != 4) {
        fprintf(stderr, "usage: %s DOCUMENT IMAGE QUESTION\n", argv[0]);
        return 2;
    }
    params.log = print_message;
    struct dlm_ctx *ctx = dlm_ctx_create(&params);
    if (!ctx)
        return 1;
    enum dlm_status status = train(ctx, argv[1]);
    if (!status)
        status = ask(ctx, argv[1], argv[2], argv[3]);
    if (!status)
        putchar('\n');
    dlm_ctx_destroy(&ctx);
    return status ? 1 : 0;
}
