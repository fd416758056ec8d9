/* A base in GGUF: what the keys say of a model, its tensors by name and shape, its tokenizer. An
 * input is the number of bytes of the language model's header (4, little-endian), that header and
 * the tower's, each from the file's first byte to its first tensor; weights are zeros behind them,
 * so that inputs stay small. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "models/gguf_model.h"
#include "use_tokenizer.h"

#define FILE_BYTES (1 << 20) /* of both, with their weights; no byte of them is read here */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of a file in memory, whose descriptor is returned. */
static int put_file(const uint8_t *data, size_t len, char path[64])
{
    const int fd = memfd_create("fuzz", 0);

    if (fd < 0 || write(fd, data, len) != (ssize_t)len || ftruncate(fd, FILE_BYTES))
        __builtin_trap();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_checkpoint *ckpt = NULL;
    struct dlm_model *m = NULL;
    char text[64], tower[64], *source = NULL;

    if (!ctx || size < 4 || size > FILE_BYTES / 2)
        goto done;
    size_t len = data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16;
    data += 4;
    size -= 4;
    len = len < size ? len : size;
    const int fds[] = {put_file(data, len, text), put_file(data + len, size - len, tower)};
    const struct dlm_gguf_paths paths = {text, tower};
    const enum dlm_status st = dlm_gguf_model_read(ctx, &m, &paths);
    if (!st != !*dlm_ctx_last_error(ctx))
        __builtin_trap(); /* what fails is said */
    if (!st && !dlm_gguf_open_checkpoint(ctx, &ckpt, &paths))
        (void)use_tokenizer(ctx, &paths); /* an input may be anything */
    if (dlm_gguf_read_source(ctx, text, &source))
        dlm_log_forget(ctx);
    close(fds[0]);
    close(fds[1]);
done:
    dlm_free(source);
    dlm_model_destroy(&m);
    dlm_checkpoint_destroy(&ckpt);
    dlm_ctx_destroy(&ctx);
    return 0;
}
