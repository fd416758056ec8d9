/* A safetensors file of weights in 4 bits from anywhere: what opens as one is read to its end. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "weights/bnb.h"

#define PIECE 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_checkpoint *c = NULL;
    float values[PIECE];

    if (ctx && !dlm_checkpoint_open_memory(ctx, &c, "fuzz", data, size)) {
        for (size_t i = 0; i < dlm_checkpoint_num_tensors(c); i++) {
            struct dlm_bnb_weight *w = NULL;
            if (dlm_bnb_open(ctx, c, dlm_checkpoint_tensor(c, i), &w) || !w)
                continue;
            const int64_t len = w->rows * w->cols;
            for (int64_t at = 0; at < len; at += PIECE) {
                const int64_t num = len - at < PIECE ? len - at : PIECE;
                dlm_quant_view_to_f32(&w->view, at, num, values);
                if (isnan(values[0]))
                    __builtin_trap();
            }
            dlm_bnb_close(&w);
        }
    }
    dlm_checkpoint_destroy(&c);
    dlm_ctx_destroy(&ctx);
    return 0;
}
