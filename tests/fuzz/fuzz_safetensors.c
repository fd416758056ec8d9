/* A safetensors file from anywhere: whatever opens must be readable to its last byte. */
#include <stddef.h>
#include <stdint.h>

#include "weights/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_checkpoint *c = NULL;
    volatile uint8_t sink = 0;

    if (ctx && !dlm_checkpoint_open_memory(ctx, &c, "fuzz", data, size)) {
        for (size_t i = 0; i < dlm_checkpoint_num_tensors(c); i++) {
            const struct dlm_tensor_info *t = dlm_checkpoint_tensor(c, i);
            for (size_t k = 0; k < t->bytes; k++)
                sink = (uint8_t)(sink ^ t->data[k]);
            if (dlm_checkpoint_find(c, t->name) != t)
                __builtin_trap();
            (void)(dlm_tensor_check_dtype(ctx, t) ? 0 : 1);
            dlm_checkpoint_drop(c, t);
        }
    }
    dlm_checkpoint_destroy(&c);
    dlm_ctx_destroy(&ctx);
    return 0;
}
