/* matmul: what its nodes say, as every lowering needs it. */
#include "ops/matmul_impl.h"

enum { A, B, C, BIAS };

void dlm_matmul_as_4d(const struct dlm_desc *d, int64_t shape[4], uint32_t stride[4])
{
    for (int i = 0; i < 4; i++) {
        int from = i - (4 - d->ndim);
        shape[i] = from < 0 ? 1 : d->shape[from];
        stride[i] = from < 0 || d->shape[from] == 1 ? 0 : (uint32_t)d->stride[from];
    }
    /* rows and columns keep their stride even when there is one: kernels test it */
    for (int i = 2; i < 4 && d->ndim >= 2; i++)
        stride[i] = (uint32_t)d->stride[i - (4 - d->ndim)];
}

double dlm_matmul_alpha(const union dlm_attrs *attrs)
{
    return attrs->matmul.alpha != 0 ? attrs->matmul.alpha : 1;
}

bool dlm_matmul_has_c(const struct dlm_lowering *l)
{
    return !dlm_desc_is_absent(&l->inputs[C]);
}

bool dlm_matmul_has_bias(const struct dlm_lowering *l)
{
    return !dlm_desc_is_absent(&l->inputs[BIAS]);
}

uint32_t dlm_matmul_addend_flags(const struct dlm_lowering *l)
{
    return (dlm_matmul_has_c(l) ? DLM_MATMUL_HAS_C : 0) |
           (dlm_matmul_has_bias(l) ? DLM_MATMUL_HAS_BIAS : 0);
}

uint32_t dlm_matmul_round_flag(const struct dlm_lowering *l)
{
    const enum dlm_dtype round = l->attrs->matmul.round;

    return round == DLM_DTYPE_BF16   ? DLM_MATMUL_A_BF16
           : round == DLM_DTYPE_F16 ? DLM_MATMUL_A_F16
                                    : 0;
}

struct dlm_matmul_params dlm_matmul_make_params(const struct dlm_lowering *l)
{
    int64_t a[4], b[4], out[4], c[4];
    uint32_t out_stride[4];
    struct dlm_matmul_params p = {
        .alpha = (float)dlm_matmul_alpha(l->attrs),
        .flags = dlm_matmul_addend_flags(l) | dlm_matmul_round_flag(l),
        .a_lead = (uint32_t)l->inputs[A].lead,
        .b_lead = (uint32_t)l->inputs[B].lead,
        .out_lead = (uint32_t)l->outputs[0].lead,
    };

    dlm_matmul_as_4d(&l->inputs[A], a, p.a_stride);
    dlm_matmul_as_4d(&l->inputs[B], b, p.b_stride);
    dlm_matmul_as_4d(&l->outputs[0], out, out_stride);
    memcpy(p.out_stride, out_stride, sizeof(p.out_stride));
    if (dlm_matmul_has_c(l)) {
        dlm_matmul_as_4d(&l->inputs[C], c, p.c_stride);
        p.c_lead = (uint32_t)l->inputs[C].lead;
    }
    p.batch0 = (uint32_t)out[0];
    p.batch1 = (uint32_t)out[1];
    p.m = (uint32_t)out[2];
    p.n = (uint32_t)out[3];
    p.k = (uint32_t)a[3];
    return p;
}

uint64_t dlm_matmul_work(const struct dlm_matmul_params *p)
{
    return (uint64_t)p->batch0 * p->batch1 * p->m * p->n * p->k;
}

bool dlm_matmul_is_a_along_k(const struct dlm_matmul_params *p)
{
    return p->a_stride[3] == 1 || p->k == 1;
}

bool dlm_matmul_is_b_along_k(const struct dlm_matmul_params *p)
{
    return p->b_stride[2] == 1 || p->k == 1;
}

bool dlm_matmul_is_b_along_n(const struct dlm_matmul_params *p)
{
    return p->b_stride[3] == 1 || p->n == 1;
}
