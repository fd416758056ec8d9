/* attention with AMX, its tiles emulated (amx_emulated.h), against the C reference: paddings, rows
 * past the last, masks, both types of k and v. Needs AVX-512 BF16. */
#include "cpukernels/vmath.h"

#include "amx_emulated.h"

/* the kernels under other names: the library has them too */
#define dlm_cpu_attention_f32_amx emulated_f32
#define dlm_cpu_attention_bf16_amx emulated_bf16
#define dlm_cpu_attention_dq_f32_amx emulated_dq_f32
#define dlm_cpu_attention_dq_bf16_amx emulated_dq_bf16
#define dlm_cpu_attention_dkv_f32_amx emulated_dkv_f32
#define dlm_cpu_attention_dkv_bf16_amx emulated_dkv_bf16
#include "cpukernels/attention_amx.c"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/op.h"
#include "tests/check.h"

/* As for op rows whose operands are rounded to 16 bits inside: ||got - want|| / ||want||. */
#define TOLERANCE 5e-3

enum { MAX_LEN = 1 << 17, MAX_BATCH = 2 };

static const struct shape {
    const char *name;
    uint32_t batch, queries, keys, heads, kv_heads, dim;
    uint32_t mode, window;
    float softcap;
    int32_t rows[4 * MAX_BATCH]; /* q_start, kv_len, prefix_len, num_q */
    enum dlm_dtype kv;
} shapes[] = {
    {"one of all", 1, 1, 1, 1, 1, 1, 0, 0, 0, {0, 1, 0, 1}, DLM_DTYPE_F32},
    {"prefix, odd head", 1, 35, 37, 4, 2, 7, 1, 0, 0, {0, 35, 20, 33}, DLM_DTYPE_F32},
    {"full, head of 72", 1, 130, 130, 2, 2, 72, 0, 0, 0, {0, 130, 0, 130}, DLM_DTYPE_F32},
    {"bf16, head of 256", 2, 33, 40, 3, 1, 256, 1, 0, 0, {7, 40, 16, 33, 0, 33, 0, 20},
     DLM_DTYPE_BF16},
    {"window, soft cap, bf16", 1, 90, 100, 2, 1, 16, 1, 30, 0.5f, {5, 95, 20, 90}, DLM_DTYPE_BF16},
    {"window over steps", 1, 150, 150, 2, 1, 40, 1, 70, 0, {0, 150, 10, 147}, DLM_DTYPE_F32},
};

struct data {
    float q[MAX_LEN], dout[MAX_LEN], k[MAX_LEN], v[MAX_LEN]; /* k, v: of either type */
    float out[MAX_LEN], lse[MAX_LEN], dq[MAX_LEN], dk[MAX_LEN], dv[MAX_LEN]; /* expected */
    float got[MAX_LEN], got2[MAX_LEN], delta[MAX_LEN];
    struct dlm_host_tensor in[7], results[3];
};

static struct dlm_host_tensor tensor(enum dlm_dtype dtype, int ndim, const int64_t *shape,
                                     const void *data)
{
    return (struct dlm_host_tensor){dlm_desc_make(dtype, ndim, shape), (void *)(uintptr_t)data};
}

/* Numbers in [-1, 1) that bf16 holds: what is left are the roundings of P and dS. */
static void fill(struct dlm_host_tensor *t, uint32_t seed)
{
    for (int64_t i = 0; i < dlm_desc_len(&t->desc); i++) {
        seed = seed * 1664525u + 1013904223u;
        dlm_host_set_flat(t, i, (double)(seed >> 24) / 128 - 1);
    }
}

/* Inputs, and what the references make of them. */
static void prepare(struct data *d, const struct shape *s, const union dlm_attrs *attrs)
{
    const int64_t q_shape[] = {s->batch, s->queries, s->heads, s->dim};
    const int64_t kv_shape[] = {s->batch, s->keys, s->kv_heads, s->dim};
    const int64_t stat_shape[] = {s->batch, s->heads, s->queries};
    const int64_t rows_shape[] = {s->batch, 4};
    const struct dlm_host_tensor rows = tensor(DLM_DTYPE_I32, 2, rows_shape, s->rows);
    struct dlm_host_tensor *in = d->in;

    in[0] = tensor(DLM_DTYPE_F32, 4, q_shape, d->q);
    in[1] = tensor(s->kv, 4, kv_shape, d->k);
    in[2] = tensor(s->kv, 4, kv_shape, d->v);
    in[3] = rows;
    fill(&in[0], 1);
    fill(&in[1], 2);
    fill(&in[2], 3);
    d->results[0] = tensor(DLM_DTYPE_F32, 4, q_shape, d->out);
    d->results[1] = tensor(DLM_DTYPE_F32, 3, stat_shape, d->lse);
    dlm_op_attention.reference(&(struct dlm_reference_call){attrs, 4, 2, in, d->results});
    in[3] = tensor(DLM_DTYPE_F32, 4, q_shape, d->out);
    in[4] = tensor(DLM_DTYPE_F32, 3, stat_shape, d->lse);
    in[5] = tensor(DLM_DTYPE_F32, 4, q_shape, d->dout);
    in[6] = rows;
    fill(&in[5], 4);
    d->results[0] = tensor(DLM_DTYPE_F32, 4, q_shape, d->dq);
    d->results[1] = tensor(DLM_DTYPE_F32, 4, kv_shape, d->dk);
    d->results[2] = tensor(DLM_DTYPE_F32, 4, kv_shape, d->dv);
    dlm_op_attention_backward.reference(&(struct dlm_reference_call){attrs, 7, 3, in, d->results});
    for (uint32_t b = 0; b < s->batch; b++)
        for (uint32_t t = 0; t < s->queries; t++)
            for (uint32_t h = 0; h < s->heads; h++) {
                const size_t at = (((size_t)b * s->queries + t) * s->heads + h) * s->dim;
                float sum = 0;
                for (uint32_t i = 0; i < s->dim; i++)
                    sum += d->dout[at + i] * d->out[at + i];
                d->delta[((size_t)b * s->heads + h) * s->queries + t] = sum;
            }
}

static void run(dlm_cpu_kernel_fn kernel, void **buffers, struct dlm_attention_params *p,
                uint32_t total, uint32_t block)
{
    p->block = block;
    const int64_t items = (int64_t)((total + block - 1) / block) * p->kv_heads * p->batch;
    const size_t bytes =
        DLM_MAX(dlm_attention_rows_scratch(p, 2, 2), dlm_attention_keys_scratch(p));
    void *scratch = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!scratch)
        exit(1);
    memset(scratch, 0xff, bytes); /* NaN */
    const struct dlm_cpu_call call = {.buffers = buffers, .params = p, .num_items = items,
                                      .scratch = scratch, .num_workers = 1};
    for (int64_t i = 0; i < items; i++)
        kernel(&call, i);
    free(scratch);
}

static void compare(const struct shape *s, const char *what, const float *got, const float *want,
                    size_t len)
{
    double error = 0, norm = 0;

    for (size_t i = 0; i < len; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += (double)want[i] * want[i];
    }
    const double part = sqrt(error / (norm + 1e-30));
    if (!CHECK(part <= TOLERANCE)) /* NaN fails */
        printf("     %s, %s: %g\n", s->name, what, part);
}

static void check_shape(struct data *d, const struct shape *s)
{
    static const dlm_cpu_kernel_fn kernels[2][3] = {
        {emulated_f32, emulated_dq_f32, emulated_dkv_f32},
        {emulated_bf16, emulated_dq_bf16, emulated_dkv_bf16},
    };
    const dlm_cpu_kernel_fn *kernel = kernels[s->kv == DLM_DTYPE_BF16];
    const union dlm_attrs attrs = {.attention = {0.25f, s->mode, s->softcap, s->window}};
    const uint32_t row = s->heads * s->dim, kv_row = s->kv_heads * s->dim;
    struct dlm_attention_params p = {
        .batch = s->batch, .queries = s->queries, .keys = s->keys, .heads = s->heads,
        .kv_heads = s->kv_heads, .dim = s->dim, .mode = s->mode, .scale = 0.25f,
        .softcap = s->softcap, .window = s->window,
        .q_stride = {s->queries * row, row, s->dim}, .out_stride = {s->queries * row, row, s->dim},
        .kv_stride = {s->keys * kv_row, kv_row, s->dim}, .splits = 1, .parts = 1,
    };
    const uint32_t rows = s->queries * (s->heads / s->kv_heads);
    const size_t len = (size_t)s->batch * s->queries * row;
    const size_t kv_len = (size_t)s->batch * s->keys * kv_row;
    void *mask = (void *)(uintptr_t)s->rows;

    prepare(d, s, &attrs);
    run(kernel[0], (void *[]){d->q, d->k, d->v, mask, d->got, d->got2}, &p, rows, 96);
    compare(s, "out", d->got, d->out, len);
    compare(s, "lse", d->got2, d->lse, (size_t)s->batch * s->heads * s->queries);
    run(kernel[1], (void *[]){d->q, d->k, d->v, d->dout, d->lse, d->delta, mask, d->got}, &p, rows,
        48);
    compare(s, "dq", d->got, d->dq, len);
    memcpy(p.out_stride, p.kv_stride, sizeof(p.out_stride));
    run(kernel[2], (void *[]){d->q, d->k, d->v, d->dout, d->lse, d->delta, mask, d->got, d->got2},
        &p, s->keys, 36);
    compare(s, "dk", d->got, d->dk, kv_len);
    compare(s, "dv", d->got2, d->dv, kv_len);
}

int main(void)
{
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vl")) {
        check_skip("emulated tiles", "this machine has no AVX-512 BF16");
        return check_summary();
    }
    struct data *d = calloc(1, sizeof(*d));
    if (!d)
        return 1;
    for (size_t i = 0; i < DLM_ARRAY_LEN(shapes); i++) {
        check_case(shapes[i].name);
        check_shape(d, &shapes[i]);
    }
    free(d);
    return check_summary();
}
