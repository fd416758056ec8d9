/* Types and bytes of whole models, as llama-quantize makes them in each kind of quantisation. */
#include "gguf/mixture.h"

#include <jansson.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "gguf/blocks.h"
#include "tests/check.h"

enum { MAX_TENSORS = 512 };

static struct dlm_ctx *ctx;

/* A model of the golden file's maker, its tensors in order of their names. */
struct tensor {
    char name[48];
    uint32_t index; /* as it was made */
    int ndim;
    int64_t ne[2];
};
struct model {
    struct tensor tensors[MAX_TENSORS];
    size_t num;
    int64_t layers, width, mlp;
    bool is_tied;
};

static int compare(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void add(struct model *m, const char *fmt, int64_t layer, int64_t row_len, int64_t rows)
{
    struct tensor *t = &m->tensors[m->num];

    if (!CHECK(m->num < MAX_TENSORS))
        return;
    snprintf(t->name, sizeof(t->name), "blk.%d.%s.weight", (int)layer, fmt);
    if (layer < 0)
        snprintf(t->name, sizeof(t->name), "%s.weight", fmt);
    t->index = (uint32_t)m->num++; /* below MAX_TENSORS */
    t->ndim = rows ? 2 : 1;
    t->ne[0] = row_len;
    t->ne[1] = rows;
}

static void make_model(struct model *m)
{
    static const char *const attention[] = {"attn_q", "attn_k", "attn_v", "attn_output"};

    m->num = 0;
    add(m, "token_embd", -1, m->width, 8);
    add(m, "output_norm", -1, m->width, 0);
    if (!m->is_tied)
        add(m, "output", -1, m->width, 8);
    for (int64_t i = 0; i < m->layers; i++) {
        for (size_t k = 0; k < DLM_ARRAY_LEN(attention); k++)
            add(m, attention[k], i, m->width, i < 1 ? m->width : 8);
        add(m, "attn_q", i, m->width, 0);
        strcpy(strstr(m->tensors[m->num - 1].name, ".weight"), ".bias");
        add(m, "attn_norm", i, m->width, 0);
        add(m, "ffn_norm", i, m->width, 0);
        add(m, "ffn_gate", i, m->width, 8);
        add(m, "ffn_up", i, m->width, 8);
        add(m, "ffn_down", i, m->mlp, 8);
    }
    qsort(m->tensors, m->num, sizeof(m->tensors[0]), compare);
}

static uint32_t mix(uint32_t n)
{
    n = (n ^ n >> 16) * 0x85ebca6bu;
    n = (n ^ n >> 13) * 0xc2b2ae35u;
    return n ^ n >> 16;
}

static char letter(enum dlm_ggml_type type)
{
    static const struct {
        enum dlm_ggml_type type;
        char letter;
    } letters[] = {
        {DLM_GGML_TYPE_F32, 'f'},  {DLM_GGML_TYPE_F16, 'h'},  {DLM_GGML_TYPE_BF16, 'b'},
        {DLM_GGML_TYPE_Q8_0, '8'}, {DLM_GGML_TYPE_Q6_K, '6'}, {DLM_GGML_TYPE_Q5_K, '5'},
        {DLM_GGML_TYPE_Q4_K, '4'}, {DLM_GGML_TYPE_Q4_0, 'q'}, {DLM_GGML_TYPE_Q5_0, 'v'},
        {DLM_GGML_TYPE_Q5_1, 'w'},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(letters); i++)
        if (letters[i].type == type)
            return letters[i].letter;
    return '?';
}

/* A tensor's bytes in a type. */
static void hash_tensor(struct dlm_sha256 *sha, const struct tensor *t, enum dlm_ggml_type type)
{
    const int64_t rows = t->ndim > 1 ? t->ne[1] : 1, len = t->ne[0] * rows;
    float *x = malloc((size_t)len * sizeof(*x));
    size_t bytes = 0;

    for (uint32_t i = 0; i < len; i++)
        x[i] = (float)((mix(t->index * 0x10000u + i) >> 8) / 8388608.0 - 1);
    CHECK(dlm_ggml_type_bytes(type, t->ne[0], rows, &bytes));
    uint8_t *out = malloc(bytes);
    CHECK(dlm_ggml_quantize(type, x, len, out));
    dlm_sha256_update(sha, out, bytes);
    free(out);
    free(x);
}

static void test_model(const struct model *m, enum dlm_gguf_quant quant, const json_t *want)
{
    const struct dlm_gguf_mixture mixture = {quant, m->layers, m->is_tied};
    char types[MAX_TENSORS + 1] = {0}, hex[65];
    uint8_t digest[32];
    struct dlm_sha256 sha;

    dlm_sha256_init(&sha);
    for (size_t i = 0; i < m->num; i++) {
        const struct tensor *t = &m->tensors[i];
        const enum dlm_ggml_type type = dlm_gguf_mixture_type(&mixture, t->name, t->ndim, t->ne);
        types[i] = letter(type);
        hash_tensor(&sha, t, type);
    }
    dlm_sha256_finish(&sha, digest);
    dlm_sha256_hex(digest, hex);
    CHECK_STR(types, json_string_value(json_object_get(want, "types")));
    CHECK_STR(hex, json_string_value(json_object_get(want, "sha256")));
}

static void test_names(void)
{
    check_case("kinds by name");
    for (int q = 0; q < DLM_GGUF_QUANT_COUNT; q++)
        CHECK_INT(dlm_gguf_quant_by_name(dlm_gguf_quant_name((enum dlm_gguf_quant)q)), q);
    CHECK_INT(dlm_gguf_quant_by_name("q4_k"), DLM_GGUF_QUANT_COUNT);
    CHECK_INT(dlm_gguf_quant_file_type(DLM_GGUF_QUANT_Q4_K_M), 15);
}

int main(void)
{
    static struct model m;
    char path[512];
    json_t *golden = NULL, *entry;
    size_t i;

    ctx = dlm_ctx_create(NULL);
    test_names();
    snprintf(path, sizeof(path), "%s/golden/gguf/types.json", check_data_dir());
    check_case("golden file");
    CHECK(!dlm_json_load(ctx, path, 1 << 20, &golden) && json_array_size(golden) > 4);
    json_array_foreach(golden, i, entry) {
        m.layers = json_integer_value(json_object_get(entry, "layers"));
        m.width = json_integer_value(json_object_get(entry, "width"));
        m.mlp = json_integer_value(json_object_get(entry, "mlp"));
        m.is_tied = json_is_true(json_object_get(entry, "tied"));
        make_model(&m);
        for (int q = 0; q < DLM_GGUF_QUANT_COUNT; q++) {
            const char *name = dlm_gguf_quant_name((enum dlm_gguf_quant)q);
            check_case(name);
            test_model(&m, (enum dlm_gguf_quant)q, json_object_get(entry, name));
        }
    }
    json_decref(golden);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
