/* Matmul cases against a naive f64 product: inputs, reference, and the comparison. */
#ifndef DLM_TESTS_CPUKERNELS_MATMUL_CASE_H
#define DLM_TESTS_CPUKERNELS_MATMUL_CASE_H

#include "base/quant.h"
#include "base/rng.h"
#include "base/scalar.h"
#include "kernels/matmul_panel.h"
#include "tests/quant_form.h"

/* Gaps between rows and the space behind the last one hold this; a kernel must not touch it. */
#define CASE_GUARD 0x7fc0beefu /* a NaN */
#define CASE_GUARD_LEN 64

enum case_c { CASE_C_NONE, CASE_C_OTHER, CASE_C_IN_PLACE };

struct matmul_case {
    uint32_t m, n, k;
    uint32_t x_pad, y_pad; /* added to the row strides */
    enum case_c c;
    bool has_bias; /* fwd only */
    uint32_t zero, num_zero; /* x's rows of zeros, and one behind but for its last element */
    float alpha;
    uint32_t round_x;
    bool rounds_w; /* to bf16, as an engine does with a quantised w */
};

/* The operands of a case for one direction and one type of W, and the f64 result. */
struct matmul_data {
    struct matmul_case shape;
    bool is_bwd;
    enum dlm_dtype dtype;
    uint32_t depth, cols; /* of the sum, of y */
    uint32_t x_stride, y_stride, c_stride;
    size_t y_len;  /* elements with guards */
    float *x, *c, *bias;
    void *w;       /* row-major [n, k], or base/quant.h's form */
    float *values; /* what w stands for */
    void *panels;
    size_t panel_bytes;
    double *want;  /* [m][cols] */
    double *scale; /* [m][cols]: sum of the magnitudes, what an error is relative to */
};

static inline void *case_alloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) {
        printf("out of memory\n");
        exit(1);
    }
    return p;
}

static inline float case_random(struct dlm_rng *rng)
{
    return 2.0f * dlm_rng_uniform(rng) - 1.0f;
}

/* Makes w and its panels of values, and values what they are after rounding. */
static inline void case_fill_w(struct matmul_data *d)
{
    const uint32_t n = d->shape.n, k = d->shape.k;
    const size_t len = (size_t)n * k;

    d->w = case_alloc(dlm_dtype_size(d->dtype, (int64_t)len));
    d->panel_bytes = dlm_panel_bytes(d->dtype, n, k);
    d->panels = aligned_alloc(64, (d->panel_bytes + 63) / 64 * 64);
    if (!d->panels)
        exit(1);
    memset(d->panels, 0xff, d->panel_bytes); /* NaN: packing must write everything */
    if (!dlm_dtype_is_quant(d->dtype)) {
        CHECK(dlm_dtype_from_f32(d->dtype, d->values, d->w, len));
        CHECK(dlm_dtype_to_f32(d->dtype, d->w, d->values, len));
        for (uint32_t n0 = 0; n0 < n; n0 += 48)
            dlm_panel_pack_rows(d->dtype, d->panels,
                                (char *)d->w + dlm_dtype_size(d->dtype, (int64_t)n0 * k), n0,
                                (int64_t)n0 + 48, n, k);
        return;
    }
    const int64_t all = (int64_t)len; /* small */
    make_quant_form(d->dtype, d->values, all, d->w);
    dlm_dequantize(d->dtype, d->w, all, 0, all, d->values);
    if (d->dtype == DLM_DTYPE_NF4_DQ)
        dlm_panel_pack_nested(
            d->panels,
            (const float *)(const void *)((char *)d->w + dlm_quant_layout(d->dtype, all).nested), n,
            k);
    for (uint32_t n0 = 0; n0 < n; n0 += 48) {
        const struct dlm_quant_view rows = dlm_quant_view(d->dtype, d->w, all, (int64_t)n0 * k);
        dlm_panel_pack_quant(d->panels, &rows, n0, (int64_t)n0 + 48, n, k);
    }
}

/* An element of w as the engine multiplies it. */
static inline float case_w(const struct matmul_data *d, size_t at)
{
    const float value = d->values[at];

    return d->shape.rounds_w ? dlm_bf16_to_f32(dlm_f32_to_bf16(value)) : value;
}

static inline float case_round(float x, uint32_t round_x)
{
    if (round_x == DLM_MATMUL_ROUND_BF16)
        return dlm_bf16_to_f32(dlm_f32_to_bf16(x));
    if (round_x == DLM_MATMUL_ROUND_F16)
        return dlm_f16_to_f32(dlm_f32_to_f16(x));
    return x;
}

static inline void case_reference(struct matmul_data *d)
{
    const struct matmul_case *s = &d->shape;
    double *row_w = case_alloc(d->depth * sizeof(double));

    for (uint32_t col = 0; col < d->cols; col++) {
        for (uint32_t i = 0; i < d->depth; i++) {
            const size_t at = d->is_bwd ? (size_t)i * s->k + col : (size_t)col * s->k + i;
            row_w[i] = case_w(d, at);
        }
        for (uint32_t row = 0; row < s->m; row++) {
            const float *x = d->x + (size_t)row * d->x_stride;
            const size_t at = (size_t)row * d->cols + col;
            double sum = 0.0, magnitude = 0.0;
            for (uint32_t i = 0; i < d->depth; i++) {
                const double product = (double)case_round(x[i], s->round_x) * row_w[i];
                sum += product;
                magnitude += fabs(product);
            }
            const double c = s->c ? d->c[(size_t)row * d->c_stride + col] : 0.0;
            const double bias = d->bias ? d->bias[col] : 0.0;
            d->want[at] = (double)s->alpha * sum + c + bias;
            d->scale[at] = fabs((double)s->alpha) * magnitude + fabs(c) + fabs(bias);
        }
    }
    free(row_w);
}

static inline struct matmul_data *case_create(const struct matmul_case *shape, bool is_bwd,
                                              enum dlm_dtype dtype)
{
    struct matmul_data *d = case_alloc(sizeof(*d));
    struct dlm_rng rng;

    dlm_rng_init(&rng, 1, shape->m * 1000003u + shape->n * 1009u + shape->k);
    d->shape = *shape;
    d->is_bwd = is_bwd;
    d->dtype = dtype;
    d->depth = is_bwd ? shape->n : shape->k;
    d->cols = is_bwd ? shape->k : shape->n;
    d->x_stride = d->depth + shape->x_pad;
    d->y_stride = d->cols + shape->y_pad;
    d->c_stride = shape->c == CASE_C_IN_PLACE ? d->y_stride : d->cols + 3;
    d->y_len = (size_t)shape->m * d->y_stride + CASE_GUARD_LEN;
    d->x = case_alloc((size_t)shape->m * d->x_stride * sizeof(float));
    for (size_t i = 0; i < (size_t)shape->m * d->x_stride; i++)
        d->x[i] = i % d->x_stride < d->depth ? case_random(&rng) : NAN;
    for (size_t i = 0; shape->num_zero && i < (shape->num_zero + 1) * (size_t)d->depth; i++) {
        const size_t row = shape->zero + i / d->depth, col = i % d->depth;
        if (row < shape->zero + shape->num_zero || col + 1 < d->depth)
            d->x[row * d->x_stride + col] = i % 2 ? -0.0f : 0.0f;
    }
    d->c = case_alloc((size_t)shape->m * d->c_stride * sizeof(float));
    for (size_t i = 0; i < (size_t)shape->m * d->c_stride; i++)
        d->c[i] = case_random(&rng);
    if (shape->has_bias) {
        d->bias = case_alloc(d->cols * sizeof(float));
        for (uint32_t i = 0; i < d->cols; i++)
            d->bias[i] = case_random(&rng);
    }
    d->values = case_alloc((size_t)shape->n * shape->k * sizeof(float));
    for (size_t i = 0; i < (size_t)shape->n * shape->k; i++)
        d->values[i] = case_random(&rng) * (float)(1 + i / 64 % 7); /* scales differ */
    case_fill_w(d);
    d->want = case_alloc((size_t)shape->m * d->cols * sizeof(double));
    d->scale = case_alloc((size_t)shape->m * d->cols * sizeof(double));
    case_reference(d);
    return d;
}

static inline void case_destroy(struct matmul_data *d)
{
    free(d->x);
    free(d->c);
    free(d->bias);
    free(d->w);
    free(d->values);
    free(d->panels);
    free(d->want);
    free(d->scale);
    free(d);
}

static inline struct dlm_matmul_panel_params case_params(const struct matmul_data *d)
{
    const struct matmul_case *s = &d->shape;

    return (struct dlm_matmul_panel_params){
        .m = s->m,
        .n = s->n,
        .k = s->k,
        .x_stride = d->x_stride,
        .y_stride = d->y_stride,
        .c_stride = d->c_stride,
        .flags = (s->c ? DLM_MATMUL_HAS_C : 0) | (d->bias ? DLM_MATMUL_HAS_BIAS : 0),
        .round_x = s->round_x,
        .alpha = s->alpha,
    };
}

/* What y holds before a run: guards in the gaps, c where it is added in place, NaN elsewhere. */
static inline void case_fill_y(const struct matmul_data *d, uint32_t *y)
{
    for (size_t i = 0; i < d->y_len; i++)
        y[i] = CASE_GUARD;
    if (d->shape.c == CASE_C_IN_PLACE) {
        for (uint32_t row = 0; row < d->shape.m; row++)
            memcpy(y + (size_t)row * d->y_stride, d->c + (size_t)row * d->c_stride, d->cols * 4);
    }
}

/* Checks y against the reference and the guards; the error is relative to the sum of magnitudes. */
static inline bool case_check_y(const struct matmul_data *d, const float *y, double tolerance,
                                const char *what)
{
    double worst = 0.0;
    bool guards_ok = true;

    for (size_t i = 0; i < d->y_len; i++) {
        const size_t row = i / d->y_stride, col = i % d->y_stride;
        if (row >= d->shape.m || col >= d->cols) {
            guards_ok = guards_ok && dlm_as_u32_(y[i]) == CASE_GUARD;
            continue;
        }
        const size_t at = row * d->cols + col;
        const double error = fabs(y[i] - d->want[at]) / (d->scale[at] + 1e-30);
        worst = error <= worst ? worst : error; /* NaN counts as worst */
    }
    const bool ok = worst <= tolerance && guards_ok;
    if (!CHECK(ok)) {
        printf("     %s %s m %u n %u k %u: error %.3g (allowed %.3g)%s\n", what,
               dlm_dtype_name(d->dtype), d->shape.m, d->shape.n, d->shape.k, worst, tolerance,
               guards_ok ? "" : ", guard overwritten");
    }
    return ok;
}

#endif
