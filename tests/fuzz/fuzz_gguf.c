/* A GGUF file from anywhere: of whatever opens, every value and every byte must be readable. */
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "gguf/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned read_value(struct dlm_ctx *ctx, const struct dlm_gguf_value *v)
{
    struct dlm_gguf_text *texts = NULL;
    unsigned sum = 0;

    for (size_t i = 0; v->element != DLM_GGUF_KIND_STRING && i < v->len; i++) {
        int64_t n = 0;
        double x = 0;
        if (dlm_gguf_value_int(v, i, &n))
            sum += (unsigned)n;
        if (dlm_gguf_value_number(v, i, &x))
            sum += x > 0;
    }
    if (v->element == DLM_GGUF_KIND_STRING && !dlm_gguf_value_strings(ctx, v, &texts))
        for (size_t i = 0; i < v->len; i++)
            for (size_t k = 0; k < texts[i].len; k++)
                sum += (unsigned)texts[i].data[k];
    dlm_free(texts);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_gguf *g = NULL;
    volatile unsigned sink = 0; /* so that the reads stay */

    if (ctx && !dlm_gguf_open_memory(ctx, &g, "fuzz", data, size)) {
        for (size_t i = 0; i < dlm_gguf_num_values(g); i++) {
            const struct dlm_gguf_value *v = dlm_gguf_value(g, i);
            sink += read_value(ctx, v);
            if (dlm_gguf_find_value(g, v->key) != v)
                __builtin_trap();
        }
        for (size_t i = 0; i < dlm_gguf_num_tensors(g); i++) {
            const struct dlm_gguf_tensor *t = dlm_gguf_tensor(g, i);
            for (size_t k = 0; k < t->bytes; k++)
                sink += t->data[k];
            if (dlm_gguf_find_tensor(g, t->name) != t)
                __builtin_trap();
        }
    }
    dlm_gguf_destroy(&g);
    dlm_ctx_destroy(&ctx);
    return 0;
}
