/* What the matmul kernels share: arguments, a work-group's place, and how a result is made. */
#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)
#define TYPE_B PASTE(DLM_T_, DLM_B)
#define LOAD_B(p, i) PASTE(DLM_LOAD_, DLM_B)(p, i)

/* The arguments of every product kernel. */
#define MATMUL_ARGS                                                                                \
    __global const float *a, __global const TYPE_B *b, __global const float *c,                    \
        __global const float *bias, __global float *out, const struct dlm_matmul_params p

/* An element of a as the product takes it. */
static float round_a(float x, uint flags)
{
    if (flags & DLM_MATMUL_A_BF16)
        return dlm_bf16_to_f32(dlm_f32_to_bf16(x));
    return flags & DLM_MATMUL_A_F16 ? dlm_f16_to_f32(dlm_f32_to_f16(x)) : x;
}

/* Where a work-group works: element 0 of each operand of its part of the sum, and its length. */
struct place {
    uint a, b, c, out, k;
};

static struct place find_place(const struct dlm_matmul_params *p, uint z)
{
    const uint split = z % p->splits, batch = z / p->splits, k0 = split * p->split_k;
    const uint i0 = batch / p->batch1, i1 = batch % p->batch1;
    struct place at;

    at.a = p->a_lead + i0 * p->a_stride[0] + i1 * p->a_stride[1] + k0 * p->a_stride[3];
    at.b = p->b_lead + i0 * p->b_stride[0] + i1 * p->b_stride[1] + k0 * p->b_stride[2];
    at.c = p->c_lead + i0 * p->c_stride[0] + i1 * p->c_stride[1];
    at.out = p->out_lead + i0 * p->out_stride[0] + i1 * p->out_stride[1] + split * p->split_stride;
    at.k = min(p->split_k, p->k - k0);
    return at;
}

/* Writes one result: sum times alpha, plus what is to be added. */
static void put(const struct dlm_matmul_params *p, const struct place *at, float sum, uint m,
                uint n, __global const float *c, __global const float *bias, __global float *out)
{
    float value = p->alpha * sum;

    if (p->flags & DLM_MATMUL_HAS_C)
        value += c[at->c + m * p->c_stride[2] + n * p->c_stride[3]];
    if (p->flags & DLM_MATMUL_HAS_BIAS)
        value += bias[n];
    out[at->out + m * p->out_stride[2] + n] = value;
}
