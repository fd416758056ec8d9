/* The AMX matmuls with emulated tiles (amx_emulated.h). Needs AVX-512 BF16. */
#include "amx_emulated.h"

/* the kernels under other names: the library has them too */
#define dlm_cpu_matmul_panel_fwd_bf16_amx emulated_fwd_bf16
#define dlm_cpu_matmul_panel_bwd_bf16_amx emulated_bwd_bf16
#define dlm_cpu_matmul_panel_fwd_q8_0_amx emulated_fwd_q8_0
#define dlm_cpu_matmul_panel_bwd_q8_0_amx emulated_bwd_q8_0
#define dlm_cpu_matmul_panel_fwd_nf4_amx emulated_fwd_nf4
#define dlm_cpu_matmul_panel_bwd_nf4_amx emulated_bwd_nf4
#define dlm_cpu_matmul_panel_fwd_nf4_dq_amx emulated_fwd_nf4_dq
#define dlm_cpu_matmul_panel_bwd_nf4_dq_amx emulated_bwd_nf4_dq
#define dlm_cpu_matmul_panel_fwd_q4_0_amx emulated_fwd_q4_0
#define dlm_cpu_matmul_panel_bwd_q4_0_amx emulated_bwd_q4_0
#define dlm_cpu_matmul_panel_fwd_q4_k_amx emulated_fwd_q4_k
#define dlm_cpu_matmul_panel_bwd_q4_k_amx emulated_bwd_q4_k
#define dlm_cpu_matmul_panel_fwd_q5_k_amx emulated_fwd_q5_k
#define dlm_cpu_matmul_panel_bwd_q5_k_amx emulated_bwd_q5_k
#define dlm_cpu_matmul_panel_fwd_q6_k_amx emulated_fwd_q6_k
#define dlm_cpu_matmul_panel_bwd_q6_k_amx emulated_bwd_q6_k
#include "cpukernels/matmul_panel_amx.c"

#include "matmul_case.h"

/* f32 sums in the order of the emulation; denormals are kept, unlike the hardware. */
#define TOLERANCE 2e-6

static const struct matmul_case cases[] = {
    {.m = 1, .n = 1, .k = 1, .alpha = 1.0f},
    {.m = 16, .n = 32, .k = 32, .alpha = 1.0f, .c = CASE_C_IN_PLACE},
    {.m = 17, .n = 48, .k = 33, .alpha = 2.0f, .has_bias = true},
    {.m = 40, .n = 100, .k = 95, .alpha = 0.5f, .c = CASE_C_OTHER, .y_pad = 3, .x_pad = 1},
    {.m = 33, .n = 47, .k = 2400, .alpha = 1.0f, .c = CASE_C_IN_PLACE, .has_bias = true},
    {.m = 33, .n = 2400, .k = 47, .alpha = 1.0f, .c = CASE_C_IN_PLACE},
    {.m = 300, .n = 40, .k = 64, .alpha = 1.0f},
};

static const struct {
    enum dlm_dtype dtype;
    dlm_cpu_kernel_fn run[2]; /* fwd, bwd */
} kernels[] = {
    {DLM_DTYPE_BF16, {emulated_fwd_bf16, emulated_bwd_bf16}},
    {DLM_DTYPE_Q8_0, {emulated_fwd_q8_0, emulated_bwd_q8_0}},
    {DLM_DTYPE_NF4, {emulated_fwd_nf4, emulated_bwd_nf4}},
    {DLM_DTYPE_NF4_DQ, {emulated_fwd_nf4_dq, emulated_bwd_nf4_dq}},
    {DLM_DTYPE_Q4_0, {emulated_fwd_q4_0, emulated_bwd_q4_0}},
    {DLM_DTYPE_Q4_K, {emulated_fwd_q4_k, emulated_bwd_q4_k}},
    {DLM_DTYPE_Q5_K, {emulated_fwd_q5_k, emulated_bwd_q5_k}},
    {DLM_DTYPE_Q6_K, {emulated_fwd_q6_k, emulated_bwd_q6_k}},
};

static void check_direction(const struct matmul_case *shape, bool is_bwd, enum dlm_dtype dtype,
                            dlm_cpu_kernel_fn run)
{
    struct matmul_case plain = *shape;
    const uint32_t block = (uint32_t)dlm_dtype_block(dtype); /* at most 256 */

    plain.round_x = DLM_MATMUL_ROUND_BF16;
    plain.has_bias = shape->has_bias && !is_bwd;
    plain.k = (plain.k + block - 1) / block * block;
    plain.rounds_w = dlm_dtype_is_quant(dtype);
    struct matmul_data *d = case_create(&plain, is_bwd, dtype);
    struct dlm_matmul_panel_params p = case_params(d);
    uint32_t *y = case_alloc(d->y_len * sizeof(*y));
    const size_t round_bytes = dlm_matmul_round_bytes(p.m, d->depth, 2);
    char *rounded = case_alloc(round_bytes);
    void *buffers[5] = {rounded, d->panels, y};
    uint32_t num = 3;

    case_fill_y(d, y);
    const size_t stride = dlm_matmul_round_stride(d->depth, 2);
    memset(rounded, 0xff, round_bytes); /* NaN where nothing may be used */
    for (uint32_t r = 0; r < p.m; r++) {
        memset(rounded + r * stride, 0, stride);
        CHECK(dlm_dtype_from_f32(DLM_DTYPE_BF16, d->x + (size_t)r * d->x_stride,
                                 rounded + r * stride, d->depth));
    }
    if (p.flags & DLM_MATMUL_HAS_C)
        buffers[num++] = d->shape.c == CASE_C_IN_PLACE ? (void *)y : d->c;
    if (d->bias)
        buffers[num++] = d->bias;
    dlm_matmul_share(&p, is_bwd, 2);
    const uint32_t items = dlm_matmul_panel_items(&p);
    const size_t scratch_bytes = (dlm_matmul_panel_scratch(&p, is_bwd) + 63) / 64 * 64;
    void *scratch = aligned_alloc(64, scratch_bytes);
    if (!scratch)
        exit(1);
    memset(scratch, 0xff, scratch_bytes);
    const struct dlm_cpu_call call = {
        .buffers = buffers, .params = &p, .num_items = items, .scratch = scratch,
        .num_workers = 1,
    };
    for (uint32_t item = 0; item < items; item++)
        run(&call, item);
    case_check_y(d, (const float *)(const void *)y, TOLERANCE, is_bwd ? "bwd" : "fwd");
    free(scratch);
    free(rounded);
    free(y);
    case_destroy(d);
}

int main(void)
{
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vl")) {
        check_skip("emulated tiles", "this machine has no AVX-512 BF16");
        return check_summary();
    }
    check_case("emulated tiles");
    for (size_t t = 0; t < DLM_ARRAY_LEN(kernels); t++)
        for (size_t i = 0; i < DLM_ARRAY_LEN(cases) * 2; i++)
            check_direction(&cases[i / 2], i & 1, kernels[t].dtype, kernels[t].run[i & 1]);
    return check_summary();
}
