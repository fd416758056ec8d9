/* matmul_general against a naive f64 product: every way of working (tiles, swapped, dots), strides
 * of both operands, types of b, batches, c, bias, alpha; the same bits from 1, 2 and 3 threads,
 * which share out the work as 2, 7 and 96 would. */
#include "isa.h"
#include "base/dtype.h"
#include "base/rng.h"
#include "base/scalar.h"
#include "kernels/matmul_general.h"
#include "tests/check.h"

#define MAX_THREADS 3
#define TOLERANCE 1e-6 /* of the sum of magnitudes: f32 sums */
#define GUARD 0x7fc0beefu
#define GUARD_LEN 64

struct general_case {
    uint32_t m, n, k;
    bool a_t, b_t; /* a is stored [k, m], b is stored [n, k] */
    uint32_t pad;  /* added to row strides, of y too */
    enum dlm_dtype b_dtype;
    uint32_t batch[2];
    bool repeats_b; /* stride 0 in the first batch dimension */
    bool has_c, in_place, has_bias;
    float alpha;
};

static const struct general_case cases[] = {
    {.m = 1, .n = 1, .k = 1, .alpha = 1.0f},
    {.m = 130, .n = 40, .k = 70, .alpha = 0.5f, .pad = 3},
    {.m = 130, .n = 40, .k = 70, .alpha = 0.5f, .a_t = true},
    {.m = 33, .n = 200, .k = 600, .alpha = 1.0f, .b_t = true, .has_bias = true},
    {.m = 257, .n = 8, .k = 1100, .alpha = 2.0f, .b_t = true},                 /* x A^T */
    {.m = 257, .n = 300, .k = 8, .alpha = 2.0f, .b_t = true, .in_place = true}, /* h B^T */
    {.m = 61, .n = 8, .k = 700, .alpha = 1.0f, .pad = 5},                      /* dy B */
    {.m = 61, .n = 700, .k = 8, .alpha = 1.0f, .in_place = true},              /* dh A */
    {.m = 8, .n = 700, .k = 530, .alpha = 1.0f, .a_t = true},                  /* dh^T x */
    {.m = 700, .n = 8, .k = 530, .alpha = 1.0f, .a_t = true, .in_place = true}, /* dy^T h */
    {.m = 700, .n = 16, .k = 31, .alpha = 1.0f, .a_t = true, .has_bias = true, .has_c = true},
    {.m = 5, .n = 7, .k = 9, .alpha = 1.0f, .a_t = true, .b_t = true},
    {.m = 70, .n = 15, .k = 33, .alpha = 1.0f, .b_dtype = DLM_DTYPE_BF16, .has_c = true},
    {.m = 70, .n = 45, .k = 33, .alpha = 1.0f, .b_dtype = DLM_DTYPE_BF16, .b_t = true},
    {.m = 9, .n = 45, .k = 33, .alpha = -1.0f, .b_dtype = DLM_DTYPE_F16, .has_bias = true},
    {.m = 90, .n = 3, .k = 33, .alpha = 1.0f, .b_dtype = DLM_DTYPE_F16, .a_t = true},
    {.m = 17, .n = 19, .k = 23, .alpha = 1.0f, .batch = {2, 3}, .has_c = true},
    {.m = 17, .n = 5, .k = 23, .alpha = 1.0f, .batch = {3, 2}, .repeats_b = true, .b_t = true},
    {.m = 65, .n = 64, .k = 64, .alpha = 1.0f, .batch = {2, 2}, .b_dtype = DLM_DTYPE_BF16},
};

struct operand {
    void *data;
    size_t bytes;
    uint32_t row, col, batch[2];
};

struct general_data {
    struct general_case s;
    struct operand a, b, y, c;
    float *bias;
    double *want, *scale;
};

static void *get(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        exit(1);
    return p;
}

/* rows x cols in `dtype`, stored transposed or not, with batches behind each other. */
static struct operand make_operand(struct dlm_rng *rng, const struct general_case *s, uint32_t rows,
                                   uint32_t cols, bool is_transposed, enum dlm_dtype dtype,
                                   bool repeats)
{
    const uint32_t inner = (is_transposed ? rows : cols) + s->pad;
    const uint32_t matrix = inner * (is_transposed ? cols : rows);
    const size_t len = (size_t)matrix * (repeats ? 1 : s->batch[0]) * s->batch[1];
    const size_t elem = dlm_dtype_size(dtype, 1);
    struct operand o = {
        .data = get(len * elem),
        .bytes = len * elem,
        .row = is_transposed ? 1 : inner,
        .col = is_transposed ? inner : 1,
        .batch = {repeats ? 0 : matrix * s->batch[1], matrix},
    };

    for (size_t i = 0; i < len; i++) {
        const float value = 2.0f * dlm_rng_uniform(rng) - 1.0f;
        CHECK(dlm_dtype_from_f32(dtype, &value, (char *)o.data + i * elem, 1));
    }
    return o;
}

static double at(const struct operand *o, enum dlm_dtype dtype, size_t i0, size_t i1, size_t row,
                 size_t col)
{
    const size_t index = i0 * o->batch[0] + i1 * o->batch[1] + row * o->row + col * o->col;
    float value = NAN;

    CHECK(dlm_dtype_to_f32(dtype, (char *)o->data + index * dlm_dtype_size(dtype, 1), &value, 1));
    return value;
}

static void reference(struct general_data *d)
{
    const struct general_case *s = &d->s;
    size_t out = 0;

    for (size_t batch = 0; batch < (size_t)s->batch[0] * s->batch[1]; batch++) {
        const size_t i0 = batch / s->batch[1], i1 = batch % s->batch[1];
        for (uint32_t m = 0; m < s->m; m++) {
            for (uint32_t n = 0; n < s->n; n++, out++) {
                double sum = 0.0, magnitude = 0.0;
                for (uint32_t k = 0; k < s->k; k++) {
                    const double product = at(&d->a, DLM_DTYPE_F32, i0, i1, m, k) *
                                           at(&d->b, s->b_dtype, i0, i1, k, n);
                    sum += product;
                    magnitude += fabs(product);
                }
                double more = s->has_bias ? (double)d->bias[n] : 0.0;
                if (s->has_c || s->in_place)
                    more += at(&d->c, DLM_DTYPE_F32, i0, i1, m, n);
                d->want[out] = (double)s->alpha * sum + more;
                d->scale[out] = fabs((double)s->alpha) * magnitude + fabs(more);
            }
        }
    }
}

static struct general_data *make_data(const struct general_case *shape, uint64_t seed)
{
    struct general_data *d = get(sizeof(*d));
    struct general_case *s = &d->s;
    struct dlm_rng rng;

    dlm_rng_init(&rng, 2, seed);
    *s = *shape;
    s->batch[0] = DLM_MAX(s->batch[0], 1u);
    s->batch[1] = DLM_MAX(s->batch[1], 1u);
    d->a = make_operand(&rng, s, s->m, s->k, s->a_t, DLM_DTYPE_F32, false);
    d->b = make_operand(&rng, s, s->k, s->n, s->b_t, s->b_dtype, s->repeats_b);
    d->y = make_operand(&rng, s, s->m, s->n, false, DLM_DTYPE_F32, false);
    d->c = make_operand(&rng, s, s->m, s->n, false, DLM_DTYPE_F32, false);
    d->bias = get(s->n * sizeof(float));
    for (uint32_t i = 0; i < s->n; i++)
        d->bias[i] = dlm_rng_uniform(&rng);
    const size_t len = (size_t)s->m * s->n * s->batch[0] * s->batch[1];
    d->want = get(len * sizeof(double));
    d->scale = get(len * sizeof(double));
    reference(d);
    return d;
}

static void free_data(struct general_data *d)
{
    free(d->a.data);
    free(d->b.data);
    free(d->y.data);
    free(d->c.data);
    free(d->bias);
    free(d->want);
    free(d->scale);
    free(d);
}

static struct dlm_binding bind(struct dlm_device *device, const void *data, size_t bytes)
{
    struct dlm_buffer *buffer = NULL;

    if (dlm_buffer_create(device, &buffer, bytes) || dlm_buffer_write(buffer, 0, data, bytes))
        exit(1);
    return (struct dlm_binding){.buffer = buffer, .bytes = bytes};
}

/* y: the operand's bytes and the guard behind it; units: for how many it is shared out. */
static void run_case(struct dlm_device *device, const struct general_data *d, uint32_t units,
                     uint32_t *y)
{
    const struct general_case *s = &d->s;
    const size_t y_len = d->y.bytes / 4 + GUARD_LEN;
    const bool reads_c = s->has_c || s->in_place;
    struct dlm_matmul_general_params p = {
        .m = s->m, .n = s->n, .k = s->k,
        .a_m = d->a.row, .a_k = d->a.col,
        .b_k = d->b.row, .b_n = d->b.col,
        .y_m = d->y.row, .c_m = d->c.row,
        .batch = {s->batch[0], s->batch[1]},
        .a_batch = {d->a.batch[0], d->a.batch[1]},
        .b_batch = {d->b.batch[0], d->b.batch[1]},
        .y_batch = {d->y.batch[0], d->y.batch[1]},
        .c_batch = {d->c.batch[0], d->c.batch[1]},
        .b_dtype = s->b_dtype,
        .flags = (reads_c ? DLM_MATMUL_HAS_C : 0) | (s->has_bias ? DLM_MATMUL_HAS_BIAS : 0),
        .alpha = s->alpha,
    };
    dlm_matmul_general_share(&p, units);
    struct dlm_dispatch call = {
        .kernel = "matmul_general",
        .num_bindings = 3,
        .groups = {(uint32_t)dlm_matmul_general_items(&p), 1, 1},
        .params_bytes = sizeof(p),
        .scratch_bytes = dlm_matmul_general_scratch(&p),
    };
    struct dlm_recording *recording = NULL;

    for (size_t i = 0; i < y_len; i++)
        y[i] = GUARD;
    for (size_t i = 0; s->in_place && i < d->y.bytes / 4; i++) {
        if (i % d->y.row < s->n)
            memcpy(&y[i], (char *)d->c.data + 4 * i, 4);
    }
    memcpy(call.params, &p, sizeof(p));
    call.bindings[0] = bind(device, d->a.data, d->a.bytes);
    call.bindings[1] = bind(device, d->b.data, d->b.bytes);
    call.bindings[2] = bind(device, y, y_len * 4);
    if (s->in_place)
        call.bindings[call.num_bindings++] = call.bindings[2];
    else if (s->has_c)
        call.bindings[call.num_bindings++] = bind(device, d->c.data, d->c.bytes);
    if (s->has_bias)
        call.bindings[call.num_bindings++] = bind(device, d->bias, s->n * sizeof(float));
    CHECK(!dlm_recording_create(device, &recording, &call, 1) && !dlm_recording_run(recording));
    CHECK(!dlm_buffer_read(call.bindings[2].buffer, 0, y, y_len * 4));
    dlm_recording_destroy(&recording);
    for (uint32_t i = call.num_bindings; i-- > 0;) {
        if (i < 3 || call.bindings[i].buffer != call.bindings[2].buffer)
            dlm_buffer_destroy(&call.bindings[i].buffer);
    }
}

static void check_y(const struct general_data *d, const uint32_t *y)
{
    const struct general_case *s = &d->s;
    double worst = 0.0;
    bool guards_ok = true;
    size_t out = 0;

    for (size_t i = 0; i < d->y.bytes / 4 + GUARD_LEN; i++) {
        if (i >= d->y.bytes / 4 || i % d->y.row >= s->n) {
            guards_ok = guards_ok && y[i] == GUARD;
            continue;
        }
        const double error =
            fabs(dlm_as_f32_(y[i]) - d->want[out]) / (d->scale[out] + 1e-30);
        worst = error <= worst ? worst : error; /* NaN counts as worst */
        out++;
    }
    const bool ok = worst <= TOLERANCE && guards_ok;
    if (!CHECK(ok))
        printf("     m %u n %u k %u: error %.3g%s\n", s->m, s->n, s->k, worst,
               guards_ok ? "" : ", guard overwritten");
}

/* By threads: shares as for machines of that many cores. */
static const uint32_t units[MAX_THREADS] = {2, 7, 96};

static void check_isa(const struct test_isa *isa)
{
    struct dlm_ctx *ctx[MAX_THREADS];
    struct dlm_device *device[MAX_THREADS];

    check_case(isa->name);
    for (int t = 0; t < MAX_THREADS; t++) {
        ctx[t] = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = t + 1});
        if (!CHECK(ctx[t] && !dlm_device_open(ctx[t], &device[t], &(struct dlm_device_params){
                                                                      .kind = DLM_BACKEND_CPU,
                                                                      .hide_caps =
                                                                          isa->hide_caps})))
            exit(1);
    }
    for (size_t i = 0; i < DLM_ARRAY_LEN(cases); i++) {
        struct general_data *d = make_data(&cases[i], i);
        const size_t bytes = d->y.bytes + GUARD_LEN * 4;
        uint32_t *first = get(bytes), *y = get(bytes);
        for (int t = 0; t < MAX_THREADS; t++) {
            run_case(device[t], d, units[t], t ? y : first);
            if (t == 0)
                check_y(d, first);
            else
                CHECK(!memcmp(first, y, bytes));
        }
        free(first);
        free(y);
        free_data(d);
    }
    for (int t = 0; t < MAX_THREADS; t++) {
        dlm_device_destroy(&device[t]);
        dlm_ctx_destroy(&ctx[t]);
    }
}

int main(void)
{
    /* a level that the machine lacks runs the next lower one again */
    for (size_t i = 0; i < 3; i++) /* the others have no kernel of their own */
        check_isa(&isas[i]);
    return check_summary();
}
