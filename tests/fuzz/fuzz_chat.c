/* A chat file from anywhere: what is read of it is a conversation. Images it names are not read. */
#include <stddef.h>
#include <stdint.h>

#include "api/chat_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_messages(const struct dlm_chat *chat)
{
    size_t num;
    const struct dlm_message *messages = dlm_chat_messages(chat, &num);
    volatile uint8_t last = 0;

    if (!num)
        __builtin_trap();
    for (size_t i = 0; i < num; i++)
        for (size_t k = 0; k < messages[i].num_parts; k++) {
            const struct dlm_message_part *p = &messages[i].parts[k];
            if (!p->text == !p->image || (p->data && !p->image))
                __builtin_trap();
            if (p->bytes)
                last = ((const uint8_t *)p->data)[p->bytes - 1];
        }
    (void)last;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_chat *chat = NULL;

    if (ctx && !dlm_chat_parse(ctx, &chat, "fuzz", (const char *)data, size))
        check_messages(chat);
    dlm_chat_destroy(&chat);
    dlm_ctx_destroy(&ctx);
    return 0;
}
