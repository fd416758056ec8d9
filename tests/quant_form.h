/* A quantised weight made of numbers, for tests that need one. */
#ifndef DLM_TESTS_QUANT_FORM_H
#define DLM_TESTS_QUANT_FORM_H

#include "base/quant.h"
#include "gguf/blocks.h"
#include "ir/desc.h"
#include "kernels/panel.h"
#include "tests/check.h"

/* As a GGUF file would hold the numbers: those of an operand type that only such files have. */
static inline void make_ggml_form(enum dlm_dtype dtype, const float *x, int64_t len, uint8_t *form)
{
    static const enum dlm_ggml_type types[] = {DLM_GGML_TYPE_Q4_0, DLM_GGML_TYPE_Q4_K,
                                               DLM_GGML_TYPE_Q5_K, DLM_GGML_TYPE_Q6_K};
    const struct dlm_quant_parts parts = dlm_quant_parts(dtype, form, len, 0);
    uint8_t *blocks = calloc((size_t)len, 1);

    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++)
        if (dlm_ggml_operand(types[i]) == dtype) {
            CHECK(dlm_ggml_quantize(types[i], x, len, blocks));
            dlm_ggml_to_parts(types[i], blocks, len, &parts);
        }
    free(blocks);
}

/* form: dlm_dtype_size(dtype, len) bytes. */
static inline void make_quant_form(enum dlm_dtype dtype, const float *x, int64_t len, uint8_t *form)
{
    const struct dlm_quant_layout l = dlm_quant_layout(dtype, len);
    const bool is_dq = dtype == DLM_DTYPE_NF4_DQ;

    if (!dlm_quant_can_make(dtype)) {
        make_ggml_form(dtype, x, len, form);
        return;
    }
    float *scales = calloc((size_t)l.blocks, sizeof(*scales));
    CHECK(dlm_quantize(dtype, x, len, form, is_dq ? (void *)scales : form + l.scales));
    if (is_dq)
        dlm_quantize_absmax(scales, l.blocks, dlm_quantize_offset(scales, l.blocks),
                            form + l.scales, (float *)(void *)(form + l.nested));
    free(scales);
}

/* A form of [n, k] in *data (malloc) becomes panels, as devices with DLM_CAP_PANELS have it. */
static inline void pack_quant_form(struct dlm_desc *d, void **data)
{
    const int64_t n = d->shape[0], k = d->shape[1];

    if (!dlm_dtype_is_quant(d->dtype) || d->layout == DLM_LAYOUT_PANEL)
        return;
    const struct dlm_quant_layout l = dlm_quant_layout(d->dtype, n * k);
    const uint8_t *form = *data;
    uint8_t *panels = calloc(1, dlm_panel_bytes(d->dtype, n, k));
    const struct dlm_quant_view view = dlm_quant_view(d->dtype, form, n * k, 0);
    dlm_panel_pack_quant(panels, &view, 0, n, n, k);
    if (d->dtype == DLM_DTYPE_NF4_DQ)
        dlm_panel_pack_nested(panels, (const float *)(const void *)(form + l.nested), n, k);
    free(*data);
    *data = panels;
    d->layout = DLM_LAYOUT_PANEL;
}

#endif
