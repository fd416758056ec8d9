/* One row for each way in which training or prompting calls an op. Sizes are small and even. */
#include "doctor/ops_table.h"

#define F32(...) {.dtype = DLM_DTYPE_F32, DIMS(__VA_ARGS__)}
#define I32(...) {.dtype = DLM_DTYPE_I32, DIMS(__VA_ARGS__)}
#define U32(...) {.dtype = DLM_DTYPE_U32, DIMS(__VA_ARGS__)}
#define DIMS(...)                                                                                  \
    .ndim = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .shape = {__VA_ARGS__}
#define ABSENT {.ndim = 0}

/* A weight in 4 to 8 bits, in blocks of up to 256: with many rows, with one, backward, and as a
 * table. */
#define QUANT_MATMULS(type, name)                                                                  \
    {&dlm_op_matmul, name, .rounds = true,                                                         \
     .in = {F32(64, 256), {type, 2, {256, 96}, DLM_PROBE_WEIGHT_T}, ABSENT, F32(96)}},             \
    {&dlm_op_matmul, name ", one row", .rounds = true,                                             \
     .in = {F32(1, 256), {type, 2, {256, 96}, DLM_PROBE_WEIGHT_T}}},                               \
    {&dlm_op_matmul, name ", backward", .rounds = true,                                            \
     .in = {F32(64, 96), {type, 2, {96, 256}, DLM_PROBE_WEIGHT}}}
#define QUANT_EMBEDDING(type, name)                                                                \
    {&dlm_op_embedding, name,                                                                      \
     .in = {I32(64), {type, 2, {512, 256}, DLM_PROBE_WEIGHT}, F32(16, 256)}}

/* Feature maps of 64 rows and 128 columns; 2 batch rows of 32 tokens, 4 heads of 32 on 2. */
#define ROWS_COLS F32(64, 128)
#define QUERY F32(2, 32, 4, 32)
#define KEY F32(2, 64, 2, 32)

static const struct dlm_op_probe probes[] = {
    {&dlm_op_matmul, "weight", .varies = 2,
     .in = {ROWS_COLS, {DLM_DTYPE_F32, 2, {128, 96}, DLM_PROBE_WEIGHT_T}, ABSENT, F32(96)}},
    {&dlm_op_matmul, "weight, one row", .varies = 2,
     .in = {F32(1, 128), {DLM_DTYPE_F32, 2, {128, 96}, DLM_PROBE_WEIGHT_T}}},
    {&dlm_op_matmul, "weight, backward", .varies = 2,
     .in = {ROWS_COLS, {DLM_DTYPE_F32, 2, {128, 96}, DLM_PROBE_WEIGHT}}},
    QUANT_MATMULS(DLM_DTYPE_Q8_0, "q8_0"),
    QUANT_MATMULS(DLM_DTYPE_NF4, "nf4"),
    QUANT_MATMULS(DLM_DTYPE_NF4_DQ, "nf4_dq"),
    QUANT_MATMULS(DLM_DTYPE_Q4_0, "q4_0"),
    QUANT_MATMULS(DLM_DTYPE_Q4_K, "q4_k"),
    QUANT_MATMULS(DLM_DTYPE_Q5_K, "q5_k"),
    QUANT_MATMULS(DLM_DTYPE_Q6_K, "q6_k"),
    {&dlm_op_matmul, "adapter", .in = {ROWS_COLS, F32(128, 8), F32(64, 8)}},
    {&dlm_op_matmul, "batched", .in = {F32(2, 16, 32), F32(2, 32, 16)}},
    {&dlm_op_add, .in = {ROWS_COLS, F32(128)}},
    {&dlm_op_mul, .in = {ROWS_COLS, F32(128)}},
    {&dlm_op_scale, .attrs.scale = {0.5f}, .in = {ROWS_COLS, F32(1)}},
    {&dlm_op_activation, "gelu tanh", .attrs.activation = {DLM_ACT_GELU_TANH}, .in = {ROWS_COLS}},
    {&dlm_op_activation, "gelu erf", .attrs.activation = {DLM_ACT_GELU_ERF}, .in = {ROWS_COLS}},
    {&dlm_op_activation, "silu", .attrs.activation = {DLM_ACT_SILU}, .in = {ROWS_COLS}},
    {&dlm_op_activation, "quick gelu", .attrs.activation = {DLM_ACT_QUICK_GELU},
     .in = {ROWS_COLS}},
    {&dlm_op_activation, "tanh", .attrs.activation = {DLM_ACT_TANH}, .in = {ROWS_COLS}},
    {&dlm_op_activation_backward, .in = {ROWS_COLS, ROWS_COLS}},
    {&dlm_op_gated_activation, .in = {ROWS_COLS, ROWS_COLS}},
    {&dlm_op_gated_activation_backward, .varies = 3, .in = {ROWS_COLS, ROWS_COLS, ROWS_COLS}},
    {&dlm_op_rms_norm, .attrs.norm = {1e-6f, true}, .in = {ROWS_COLS, F32(128)}},
    {&dlm_op_rms_norm_backward, .attrs.norm = {1e-6f, true},
     .in = {ROWS_COLS, F32(128), ROWS_COLS}},
    {&dlm_op_layer_norm, .attrs.norm = {1e-6f, false}, .in = {ROWS_COLS, F32(128), F32(128)}},
    {&dlm_op_layer_norm_backward, .attrs.norm = {1e-6f, false},
     .in = {ROWS_COLS, F32(128), ROWS_COLS}},
    {&dlm_op_attention, "full", .varies = 6, .attrs.attention = {0.125f, DLM_ATTENTION_FULL},
     .in = {QUERY, KEY, KEY, I32(2, 4)}},
    {&dlm_op_attention, "prefix", .varies = 6, .attrs.attention = {0.125f, DLM_ATTENTION_PREFIX},
     .in = {QUERY, KEY, KEY, I32(2, 4)}},
    {&dlm_op_attention, "one query", .varies = 6, .attrs.attention = {0.125f, DLM_ATTENTION_PREFIX},
     .in = {F32(1, 1, 4, 32), F32(1, 64, 2, 32), F32(1, 64, 2, 32), I32(1, 4)}},
    {&dlm_op_attention_backward, .varies = 6, .attrs.attention = {0.125f, DLM_ATTENTION_PREFIX},
     .in = {QUERY, KEY, KEY, QUERY, F32(2, 4, 32), QUERY, I32(2, 4)}},
    {&dlm_op_rope, .in = {F32(64, 4, 32), F32(64, 16), F32(64, 16)}},
    {&dlm_op_embedding, .varies = 2,
     .in = {I32(64), {DLM_DTYPE_F32, 2, {512, 128}, DLM_PROBE_WEIGHT}, F32(16, 128)}},
    QUANT_EMBEDDING(DLM_DTYPE_Q8_0, "q8_0"),
    QUANT_EMBEDDING(DLM_DTYPE_NF4, "nf4"),
    QUANT_EMBEDDING(DLM_DTYPE_NF4_DQ, "nf4_dq"),
    QUANT_EMBEDDING(DLM_DTYPE_Q4_0, "q4_0"),
    QUANT_EMBEDDING(DLM_DTYPE_Q4_K, "q4_k"),
    QUANT_EMBEDDING(DLM_DTYPE_Q5_K, "q5_k"),
    QUANT_EMBEDDING(DLM_DTYPE_Q6_K, "q6_k"),
    {&dlm_op_copy, "to f32", .varies = 1, .attrs.copy_dtype = DLM_DTYPE_F32, .in = {ROWS_COLS}},
    {&dlm_op_copy, "f32 to bf16", .attrs.copy_dtype = DLM_DTYPE_BF16, .in = {ROWS_COLS}},
    {&dlm_op_copy, "f32 to f16", .attrs.copy_dtype = DLM_DTYPE_F16, .in = {ROWS_COLS}},
    {&dlm_op_sum, .attrs.sum = {1}, .in = {ROWS_COLS}},
    {&dlm_op_cross_entropy, .in = {F32(8, 512), I32(8), F32(8)}},
    {&dlm_op_dropout, .attrs.dropout = {0.05f, 1, 32}, .in = {ROWS_COLS, U32(4), U32(2)}},
    {&dlm_op_adamw, .in = {F32(4096), F32(4096), F32(4096), F32(4096), F32(2), F32(8)}},
    {&dlm_op_grad_norm, .attrs.grad_norm = {1}, .in = {F32(4096)}},
    {&dlm_op_select, .in = {F32(1, 512), F32(2), U32(4)}},
    {&dlm_op_gather_rows, .in = {ROWS_COLS, I32(8), I32(64)}},
    {&dlm_op_fill, .in = {ROWS_COLS}},
    {&dlm_op_store_rows, .varies = 1, .in = {F32(256, 64), F32(32, 64), I32(2)}},
};

const struct dlm_op_probe *dlm_op_probes(size_t *num)
{
    *num = DLM_ARRAY_LEN(probes);
    return probes;
}

const enum dlm_dtype dlm_probe_dtypes[3] = {DLM_DTYPE_F32, DLM_DTYPE_BF16, DLM_DTYPE_F16};

size_t dlm_probe_num_dtypes(const struct dlm_op_probe *probe)
{
    return probe->varies || probe->rounds ? DLM_ARRAY_LEN(dlm_probe_dtypes) : 1;
}

static struct dlm_desc make_desc(const struct dlm_probe_input *in, enum dlm_dtype dtype,
                                 const struct dlm_device_caps *caps)
{
    struct dlm_desc d = {.dtype = DLM_DTYPE_COUNT, .ndim = 1};

    if (!in->ndim)
        return d;
    d = dlm_desc_make(dtype, in->ndim, in->shape);
    if (in->form != DLM_PROBE_PLAIN && caps->bits & DLM_CAP_PANELS)
        d.layout = DLM_LAYOUT_PANEL;
    if (in->form == DLM_PROBE_WEIGHT_T) {
        d.stride[0] = 1;
        d.stride[1] = in->shape[0];
    }
    return d;
}

enum dlm_status dlm_probe_lower(struct dlm_ctx *ctx, struct dlm_lowering *l,
                                const struct dlm_op_probe *probe, enum dlm_dtype dtype,
                                const struct dlm_device *device)
{
    const struct dlm_op *op = probe->op;
    union dlm_attrs attrs = probe->attrs;

    *l = (struct dlm_lowering){.ctx = ctx, .device = device, .caps = dlm_device_get_caps(device),
                               .op = probe->op, .attrs = &attrs, .num_inputs = op->num_inputs,
                               .num_outputs = op->num_outputs};
    if (probe->op == &dlm_op_matmul)
        attrs.matmul.round = dtype; /* as the precision policy does */
    for (int i = 0; i < DLM_MAX_INPUTS; i++) {
        bool varies = probe->varies >> i & 1;
        l->inputs[i] =
            make_desc(&probe->in[i], varies ? dtype : probe->in[i].dtype, l->caps);
    }
    enum dlm_status st = op->infer(ctx, &attrs, l->inputs, l->outputs);
    if (!st)
        st = op->lower(l);
    l->attrs = NULL; /* attrs ends here */
    return st;
}
