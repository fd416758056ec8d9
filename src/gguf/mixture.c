/* The rules are those of llama.cpp's src/llama-quant.cpp and conversion/base.py, as far as they
 * concern models without experts. */
#include "gguf/mixture.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t file_type;
    enum dlm_ggml_type type;
} quants[DLM_GGUF_QUANT_COUNT] = {
#define QUANT(name, text, file_type, type) [name] = {text, file_type, type},
    DLM_GGUF_QUANT_LIST(QUANT)
#undef QUANT
};

const char *dlm_gguf_quant_name(enum dlm_gguf_quant quant)
{
    return quants[quant].name;
}

enum dlm_gguf_quant dlm_gguf_quant_by_name(const char *name)
{
    int i = 0;

    while (i < DLM_GGUF_QUANT_COUNT && strcmp(quants[i].name, name))
        i++;
    return (enum dlm_gguf_quant)i;
}

uint32_t dlm_gguf_quant_file_type(enum dlm_gguf_quant quant)
{
    return quants[quant].file_type;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t len = strlen(s), n = strlen(end);

    return len >= n && !strcmp(s + len - n, end);
}

/* As ggml counts them: the last ones that are 1 do not. */
static int count_dims(int ndim, const int64_t *ne)
{
    while (ndim > 1 && ne[ndim - 1] == 1)
        ndim--;
    return ndim;
}

static bool is_in_blocks(enum dlm_ggml_type type, int64_t row_len)
{
    return row_len % (int64_t)dlm_ggml_type_info((uint32_t)type)->block_len == 0;
}

/* The type, or what stands in for it where rows are no whole blocks. */
static enum dlm_ggml_type fit(enum dlm_ggml_type type, int64_t row_len)
{
    if (is_in_blocks(type, row_len))
        return type;
    if (type == DLM_GGML_TYPE_Q4_K)
        type = DLM_GGML_TYPE_Q5_0;
    else if (type == DLM_GGML_TYPE_Q5_K)
        type = DLM_GGML_TYPE_Q5_1;
    else if (type == DLM_GGML_TYPE_Q6_K)
        type = DLM_GGML_TYPE_Q8_0;
    return is_in_blocks(type, row_len) ? type : DLM_GGML_TYPE_F16;
}

/* Whether a layer's attn_v and ffn_down get more bits: the first and last eighth, and of those
 * between them every third. */
static bool gets_more_bits(int64_t layer, int64_t num)
{
    return layer < num / 8 || layer >= 7 * num / 8 || (layer - num / 8) % 3 == 2;
}

enum dlm_ggml_type dlm_gguf_mixture_type(const struct dlm_gguf_mixture *m, const char *name,
                                         int ndim, const int64_t *ne)
{
    const enum dlm_ggml_type most = quants[m->quant].type;
    const bool is_embedding = !strcmp(name, "token_embd.weight");
    long long layer = -1;

    if (count_dims(ndim, ne) < 2 || !ends_with(name, "weight") || ends_with(name, "_norm.weight"))
        return DLM_GGML_TYPE_F32;
    if (dlm_ggml_type_info((uint32_t)most)->block_len == 1)
        return most;
    if (!strcmp(name, "output.weight") || (is_embedding && m->is_tied))
        return fit(most == DLM_GGML_TYPE_Q8_0 ? most : DLM_GGML_TYPE_Q6_K, ne[0]);
    if (m->quant != DLM_GGUF_QUANT_Q4_K_M && m->quant != DLM_GGUF_QUANT_Q5_K_M)
        return fit(most, ne[0]);
    const bool may_have_more =
        ends_with(name, ".attn_v.weight") || ends_with(name, ".ffn_down.weight");
    if (may_have_more && sscanf(name, "blk.%lld.", &layer) == 1 &&
        gets_more_bits(layer, m->num_layers))
        return fit(DLM_GGML_TYPE_Q6_K, ne[0]);
    return fit(most, ne[0]);
}

enum dlm_ggml_type dlm_gguf_mmproj_type(enum dlm_gguf_quant quant, const char *name, int ndim,
                                        const int64_t *ne)
{
    const bool is_plain = quant == DLM_GGUF_QUANT_F32 || quant == DLM_GGUF_QUANT_BF16 ||
                          quant == DLM_GGUF_QUANT_Q8_0;

    if (ndim < 2 || ends_with(name, "_norm.weight") || strstr(name, ".position_embd."))
        return DLM_GGML_TYPE_F32;
    if (strstr(name, ".patch_embd.weight") || strstr(name, ".patch_merger.weight"))
        return is_plain ? DLM_GGML_TYPE_F32 : DLM_GGML_TYPE_F16;
    if (!ends_with(name, ".weight"))
        return DLM_GGML_TYPE_F32;
    return fit(is_plain ? quants[quant].type : DLM_GGML_TYPE_F16, ne[0]);
}
