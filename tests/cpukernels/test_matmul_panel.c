/* The panel matmuls of every instruction set the machine has, against a naive f64 product: odd
 * sizes, strides, c, bias, alpha, rounding of x; and the same bits from 1, 2 and 3 threads, which
 * share out the work as 2, 7 and 96 would. */
#include "isa.h"
#include "matmul_case.h"

#define MAX_THREADS 3

/* Error relative to the sum of magnitudes. f32 sums of at most some thousand terms in several
 * accumulators: a few ulp (6e-8). x that is rounded is rounded in the reference too. */
#define TOLERANCE 1e-6

static const struct matmul_case cases[] = {
    {.m = 1, .n = 1, .k = 1, .alpha = 1.0f},
    {.m = 3, .n = 17, .k = 33, .alpha = -0.5f, .x_pad = 5, .y_pad = 7},
    {.m = 13, .n = 16, .k = 32, .alpha = 1.0f, .c = CASE_C_IN_PLACE},
    {.m = 12, .n = 31, .k = 64, .alpha = 2.0f, .has_bias = true},
    {.m = 37, .n = 100, .k = 95, .alpha = 0.25f, .has_bias = true, .c = CASE_C_OTHER, .y_pad = 1},
    {.m = 64, .n = 300, .k = 129, .alpha = 1.0f, .c = CASE_C_IN_PLACE, .has_bias = true},
    {.m = 261, .n = 129, .k = 70, .alpha = 1.0f, .x_pad = 3},
    {.m = 25, .n = 1700, .k = 40, .alpha = 1.0f, .c = CASE_C_IN_PLACE},
    {.m = 14, .n = 2500, .k = 47, .alpha = 3.0f, .c = CASE_C_IN_PLACE},
    {.m = 14, .n = 47, .k = 5001, .alpha = 3.0f, .c = CASE_C_IN_PLACE, .has_bias = true},
    {.m = 18, .n = 2600, .k = 50, .alpha = 0.5f, .y_pad = 2},
    {.m = 18, .n = 50, .k = 2400, .alpha = 0.5f, .y_pad = 2},
    {.m = 300, .n = 100, .k = 95, .alpha = -2.0f, .has_bias = true, .zero = 3, .num_zero = 270},
    {.m = 61, .n = 40, .k = 64, .alpha = 1.0f, .c = CASE_C_IN_PLACE, .zero = 30, .num_zero = 30},
    {.m = 600, .n = 40, .k = 2400, .alpha = 1.0f, .c = CASE_C_OTHER, .zero = 10, .num_zero = 589},
    {.m = 2, .n = 2049, .k = 2050, .alpha = 1.0f, .has_bias = true, .c = CASE_C_OTHER},
    {.m = 4, .n = 77, .k = 130, .alpha = 1.5f, .c = CASE_C_IN_PLACE, .has_bias = true},
};

struct machine {
    int num_threads;
    struct dlm_ctx *ctx;
    struct dlm_device *device;
};

static bool machine_open(struct machine *m, const struct test_isa *isa, int threads)
{
    m->num_threads = threads;
    m->ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = threads});
    m->device = NULL;
    return m->ctx && !dlm_device_open(m->ctx, &m->device,
                                      &(struct dlm_device_params){.kind = DLM_BACKEND_CPU,
                                                                  .hide_caps = isa->hide_caps});
}

static void machine_close(struct machine *m)
{
    dlm_device_destroy(&m->device);
    dlm_ctx_destroy(&m->ctx);
}

static struct dlm_binding bind(struct dlm_device *device, const void *data, size_t bytes)
{
    struct dlm_buffer *buffer = NULL;

    if (dlm_buffer_create(device, &buffer, bytes ? bytes : 4) ||
        (data && dlm_buffer_write(buffer, 0, data, bytes))) {
        printf("out of memory\n");
        exit(1);
    }
    return (struct dlm_binding){.buffer = buffer, .bytes = dlm_buffer_bytes(buffer)};
}

static void run_list(struct machine *machine, const struct dlm_dispatch *list, size_t num)
{
    struct dlm_recording *recording = NULL;

    CHECK(!dlm_recording_create(machine->device, &recording, list, num) &&
          !dlm_recording_run(recording) && !dlm_device_wait(machine->device));
    dlm_recording_destroy(&recording);
}

static void set_params(struct dlm_dispatch *d, const struct dlm_matmul_panel_params *p)
{
    d->params_bytes = sizeof(*p);
    memcpy(d->params, p, sizeof(*p));
}

/* Bytes of an element of x as the kernel multiplies it. */
static size_t engine_bytes(const char *kernel)
{
    return strstr(kernel, "_avx512bf16") || strstr(kernel, "_amx") || strstr(kernel, "_neonbf16")
               ? 2
               : 4;
}

/* By threads: shares as for machines of that many cores. */
static const uint32_t units[MAX_THREADS + 1] = {0, 2, 7, 96};

/* Runs a kernel; x of fwd and bwd is rounded by matmul_panel_round first. y: [d->y_len]. */
static void run_case(struct machine *machine, const struct matmul_data *d, const char *kernel,
                     bool is_vec, float *y)
{
    struct dlm_matmul_panel_params p = case_params(d);
    const bool is_rounded = !is_vec;
    struct dlm_dispatch list[2] = {{0}, {0}};
    struct dlm_dispatch *main_call = &list[is_rounded];
    const size_t x_bytes = (size_t)p.m * p.x_stride * sizeof(float);

    if (is_vec)
        dlm_matmul_share_vec(&p, d->dtype, units[machine->num_threads]);
    else
        dlm_matmul_share(&p, d->is_bwd, units[machine->num_threads]);
    case_fill_y(d, (uint32_t *)(void *)y);
    main_call->bindings[0] = bind(machine->device, d->x, x_bytes);
    if (is_rounded) {
        struct dlm_matmul_panel_params round = p;
        const size_t elem_bytes = engine_bytes(kernel);
        round.k = d->depth;
        round.flags = elem_bytes == 4 ? DLM_MATMUL_ROUND_F32 : 0;
        list[0] = (struct dlm_dispatch){
            .kernel = "matmul_panel_round",
            .bindings = {main_call->bindings[0],
                         bind(machine->device, NULL,
                              dlm_matmul_round_bytes(p.m, d->depth, elem_bytes))},
            .num_bindings = 2,
            .groups = {dlm_matmul_round_items(&round), 1, 1},
        };
        set_params(&list[0], &round);
        main_call->bindings[0] = list[0].bindings[1];
    }
    main_call->kernel = kernel;
    main_call->bindings[1] = bind(machine->device, d->panels, d->panel_bytes);
    main_call->bindings[2] = bind(machine->device, y, d->y_len * sizeof(float));
    main_call->num_bindings = 3;
    if (d->shape.c == CASE_C_IN_PLACE) {
        main_call->bindings[main_call->num_bindings++] = main_call->bindings[2];
    } else if (d->shape.c == CASE_C_OTHER) {
        main_call->bindings[main_call->num_bindings++] =
            bind(machine->device, d->c, (size_t)p.m * d->c_stride * sizeof(float));
    }
    if (d->bias)
        main_call->bindings[main_call->num_bindings++] =
            bind(machine->device, d->bias, d->cols * sizeof(float));
    main_call->groups[0] = dlm_matmul_panel_items(&p);
    main_call->groups[1] = main_call->groups[2] = 1;
    if (machine->num_threads == 2) { /* as folded: what the grid has to spare must not run */
        main_call->units = main_call->groups[0];
        main_call->groups[1] = 2;
    }
    main_call->scratch_bytes =
        is_vec ? dlm_matmul_vec_scratch(&p) : dlm_matmul_panel_scratch(&p, d->is_bwd);
    set_params(main_call, &p);
    run_list(machine, list, is_rounded ? 2 : 1);
    if (!CHECK(!dlm_buffer_read(main_call->bindings[2].buffer, 0, y, d->y_len * sizeof(float))))
        exit(1);
    for (uint32_t i = main_call->num_bindings; i-- > 0;) {
        if (i < 3 || main_call->bindings[i].buffer != main_call->bindings[2].buffer)
            dlm_buffer_destroy(&main_call->bindings[i].buffer);
    }
    if (is_rounded)
        dlm_buffer_destroy(&list[0].bindings[0].buffer);
}

/* One kernel with every number of threads: right, and the same bits. */
static void check_kernel(struct machine machines[], const struct matmul_data *d,
                         const char *kernel, bool is_vec)
{
    float *first = case_alloc(d->y_len * sizeof(float));
    float *y = case_alloc(d->y_len * sizeof(float));

    for (int t = 0; t < MAX_THREADS; t++) {
        run_case(&machines[t], d, kernel, is_vec, t ? y : first);
        if (t == 0 && !case_check_y(d, first, TOLERANCE, kernel))
            break;
        if (t && !CHECK(!memcmp(first, y, d->y_len * sizeof(float))))
            printf("     %s: other bits from %d threads\n", kernel, t + 1);
    }
    free(first);
    free(y);
}

/* All kernels of a direction and type that the devices have. */
static void check_case_on(struct machine machines[], const struct matmul_case *shape, bool is_bwd,
                          enum dlm_dtype dtype)
{
    static const char *const engines[] = {"", "_avx512bf16", "_amx", "_neonbf16"};
    const uint32_t block = (uint32_t)dlm_dtype_block(dtype); /* at most 256 */
    struct matmul_case plain = *shape;
    char kernel[64];

    if (is_bwd)
        plain.has_bias = false;
    plain.round_x = (shape->m + (uint32_t)dtype) % 3; /* every mode somewhere */
    plain.k = (plain.k + block - 1) / block * block;
    struct matmul_data *d = case_create(&plain, is_bwd, dtype);
    snprintf(kernel, sizeof(kernel), "matmul_panel_%s_%s", is_bwd ? "bwd" : "fwd",
             dlm_dtype_name(dtype));
    check_kernel(machines, d, kernel, false);
    snprintf(kernel, sizeof(kernel), "matmul_panel_vec_%s", dlm_dtype_name(dtype));
    if (!is_bwd && shape->m <= DLM_MATMUL_VEC_ROWS)
        check_kernel(machines, d, kernel, true);
    case_destroy(d);
    if (dtype == DLM_DTYPE_F32 || dtype == DLM_DTYPE_F16)
        return;
    plain.round_x = DLM_MATMUL_ROUND_BF16;
    plain.rounds_w = dlm_dtype_is_quant(dtype);
    d = case_create(&plain, is_bwd, dtype);
    for (size_t e = 1; e < DLM_ARRAY_LEN(engines); e++) {
        snprintf(kernel, sizeof(kernel), "matmul_panel_%s_%s%s", is_bwd ? "bwd" : "fwd",
                 dlm_dtype_name(dtype), engines[e]);
        if (!dlm_device_has_kernel(machines[0].device, kernel))
            continue;
        check_kernel(machines, d, kernel, false);
    }
    case_destroy(d);
}

static void check_isa(const struct test_isa *isa, uint32_t *seen)
{
    static const enum dlm_dtype dtypes[] = {DLM_DTYPE_F32,  DLM_DTYPE_BF16, DLM_DTYPE_F16,
                                            DLM_DTYPE_Q8_0, DLM_DTYPE_NF4,  DLM_DTYPE_NF4_DQ,
                                            DLM_DTYPE_Q4_0, DLM_DTYPE_Q4_K, DLM_DTYPE_Q5_K,
                                            DLM_DTYPE_Q6_K};
    struct machine machines[MAX_THREADS];
    bool ok = true;

    for (int t = 0; t < MAX_THREADS; t++)
        ok = machine_open(&machines[t], isa, t + 1) && ok;
    check_case(isa->name);
    if (!CHECK(ok))
        exit(1);
    const uint32_t bits = dlm_device_get_caps(machines[0].device)->bits;
    if (bits == *seen) {
        check_state_.open = false; /* nothing was checked */
        check_skip(isa->name, "this machine does not have it");
    } else {
        for (size_t i = 0; i < DLM_ARRAY_LEN(cases) * DLM_ARRAY_LEN(dtypes) * 2; i++) {
            const struct matmul_case *shape = &cases[i / 2 / DLM_ARRAY_LEN(dtypes)];
            const enum dlm_dtype dtype = dtypes[i / 2 % DLM_ARRAY_LEN(dtypes)];
            /* but for its scales, nf4 is nf4_dq: small cases show them */
            if (dtype != DLM_DTYPE_NF4 || (size_t)shape->m * shape->n * shape->k < 1000000)
                check_case_on(machines, shape, i % 2, dtype);
        }
    }
    *seen = bits;
    for (int t = 0; t < MAX_THREADS; t++)
        machine_close(&machines[t]);
}

static void test_panels(void)
{
    static const enum dlm_dtype dtypes[] = {DLM_DTYPE_F32, DLM_DTYPE_BF16, DLM_DTYPE_F16};
    const struct matmul_case shape = {.m = 1, .n = 53, .k = 71, .alpha = 1.0f};

    check_case("panels keep the weights");
    CHECK(dlm_panel_bytes(DLM_DTYPE_BF16, 17, 33) == 32 * 64 * 2);
    CHECK(dlm_panel_bytes(DLM_DTYPE_U8, 17, 33) == 0);
    CHECK(dlm_panel_bytes(DLM_DTYPE_F32, INT64_MAX / 4, 64) == 0);
    for (size_t t = 0; t < DLM_ARRAY_LEN(dtypes); t++) {
        struct matmul_data *d = case_create(&shape, false, dtypes[t]);
        const size_t elem = dlm_dtype_size(dtypes[t], 1);
        char *back = case_alloc(53 * 71 * elem);
        float row[71];
        bool same = true;
        dlm_panel_unpack_rows(dtypes[t], d->panels, back, 0, 53, 71);
        CHECK(!memcmp(back, d->w, 53 * 71 * elem));
        dlm_panel_unpack_rows(dtypes[t], d->panels, back, 19, 37, 71);
        CHECK(!memcmp(back, (char *)d->w + 19 * 71 * elem, 18 * 71 * elem));
        for (uint32_t n = 0; n < 53; n++) {
            dlm_panel_row_to_f32(dtypes[t], d->panels, n, 53, 71, row);
            for (uint32_t k = 0; k < 71; k++)
                same = same && row[k] == case_w(d, n * 71 + k);
        }
        CHECK(same);
        free(back);
        case_destroy(d);
    }
}

/* Quantised weights come back as they were, row by row, through every kernel that does not round:
 * a column of the unit matrix picks each value. */
static void test_quant_values(void)
{
    static const enum dlm_dtype dtypes[] = {DLM_DTYPE_Q8_0, DLM_DTYPE_NF4,  DLM_DTYPE_NF4_DQ,
                                            DLM_DTYPE_Q4_0, DLM_DTYPE_Q4_K, DLM_DTYPE_Q5_K,
                                            DLM_DTYPE_Q6_K};
    const size_t num = DLM_ARRAY_LEN(dtypes);
    const uint32_t n = 70, k = 512; /* scales of nf4_dq in three groups */
    const struct matmul_case shape = {.m = 1, .n = n, .k = k, .alpha = 1.0f};
    char kernel[2][64];
    float row[512];

    check_case("quantised values are exact");
    CHECK(dlm_panel_bytes(DLM_DTYPE_NF4, 17, 64) == 2 * (512 + 64));
    CHECK(dlm_panel_bytes(DLM_DTYPE_NF4_DQ, 17, 64) == 2 * (512 + 64) + 8);
    CHECK(dlm_panel_bytes(DLM_DTYPE_Q8_0, 17, 32) == 2 * (512 + 64));
    CHECK(dlm_panel_bytes(DLM_DTYPE_NF4, 17, 96) == 0);
    CHECK(dlm_panel_bytes(DLM_DTYPE_Q4_0, 17, 32) == 2 * (256 + 64));
    CHECK(dlm_panel_bytes(DLM_DTYPE_Q4_K, 17, 256) == 2 * (2048 + 320));
    CHECK(dlm_panel_bytes(DLM_DTYPE_Q5_K, 17, 256) == 2 * (2560 + 320));
    CHECK(dlm_panel_bytes(DLM_DTYPE_Q6_K, 17, 256) == 2 * (3072 + 320));
    CHECK(dlm_panel_bytes(DLM_DTYPE_Q6_K, 17, 128) == 0);
    for (size_t i = 0; i < TEST_ISA_TABLES * num; i++) {
        const enum dlm_dtype dtype = dtypes[i % num];
        struct machine machine;
        struct matmul_data *d = case_create(&shape, false, dtype);
        float *y = case_alloc(d->y_len * sizeof(float));
        bool same = true;
        if (!CHECK(machine_open(&machine, &isas[i / num], 1)))
            exit(1);
        snprintf(kernel[0], sizeof(kernel[0]), "matmul_panel_fwd_%s", dlm_dtype_name(dtype));
        snprintf(kernel[1], sizeof(kernel[1]), "matmul_panel_vec_%s", dlm_dtype_name(dtype));
        for (uint32_t col = 0; col < k; col += 3) {
            memset(d->x, 0, k * sizeof(float));
            d->x[col] = 1.0f;
            for (int is_vec = 0; is_vec < 2; is_vec++) {
                run_case(&machine, d, kernel[is_vec], is_vec, y);
                for (uint32_t r = 0; r < n; r++)
                    same = same && y[r] == d->values[r * k + col];
            }
        }
        for (uint32_t r = 0; r < n; r++) {
            dlm_panel_row_to_f32(dtype, d->panels, r, n, k, row);
            same = same && !memcmp(row, d->values + (size_t)r * k, sizeof(row));
        }
        CHECK(same);
        free(y);
        case_destroy(d);
        machine_close(&machine);
    }
}

/* Every half value that is a number, through the f16 kernels: widening is exact. */
static void test_all_halves(void)
{
    const uint32_t n = 256, k = 256;
    uint16_t *w = case_alloc((size_t)n * k * 2);
    struct matmul_case shape = {.m = 1, .n = n, .k = k, .alpha = 1.0f};

    check_case("every f16 value widens exactly");
    for (uint32_t i = 0; i < n * k; i++)
        w[i] = (uint16_t)((i & 0x7c00u) == 0x7c00u ? 0 : i); /* 16 bits; no infinities, no NaN */
    for (size_t isa = 0; isa < TEST_ISA_TABLES; isa++) {
        struct machine machine;
        struct matmul_data *d = case_create(&shape, false, DLM_DTYPE_F16);
        float *y = case_alloc(d->y_len * sizeof(float));
        if (!CHECK(machine_open(&machine, &isas[isa], 1)))
            exit(1);
        dlm_panel_pack_rows(DLM_DTYPE_F16, d->panels, w, 0, n, n, k);
        bool same = true;
        for (uint32_t col = 0; col < k; col += 5) {
            memset(d->x, 0, k * sizeof(float));
            d->x[col] = 1.0f;
            for (int is_vec = 0; is_vec < 2; is_vec++) {
                run_case(&machine, d, is_vec ? "matmul_panel_vec_f16" : "matmul_panel_fwd_f16",
                         is_vec, y);
                for (uint32_t row = 0; row < n; row++)
                    same = same && y[row] == dlm_f16_to_f32(w[row * k + col]);
            }
        }
        CHECK(same);
        free(y);
        case_destroy(d);
        machine_close(&machine);
    }
    free(w);
}

/* Infinity times zero would be NaN: rows of zeros do not meet the weights. */
static void test_zeros(void)
{
    const struct matmul_case shape = {.m = 64, .n = 40, .k = 48, .alpha = 1.0f};

    check_case("rows of zeros are passed over");
    for (size_t i = 0; i < DLM_ARRAY_LEN(isas) * 2; i++) {
        struct machine machine;
        struct matmul_data *d = case_create(&shape, i % 2, DLM_DTYPE_BF16);
        float *y = case_alloc(d->y_len * sizeof(float));
        bool is_zero = true;
        if (!CHECK(machine_open(&machine, &isas[i / 2], 1)))
            exit(1);
        for (size_t at = 0; at < d->panel_bytes; at += 2)
            memcpy((char *)d->panels + at, &(uint16_t){0x7f80}, 2);
        memset(d->x + 32 * d->x_stride, 0, 32 * d->x_stride * sizeof(float));
        run_case(&machine, d, d->is_bwd ? "matmul_panel_bwd_bf16" : "matmul_panel_fwd_bf16", false,
                 y);
        for (size_t at = 44 * d->y_stride; at < 64 * d->y_stride; at++) /* a tile is up to 12 */
            is_zero = is_zero && y[at] == 0;
        CHECK(is_zero && isnan(y[0]));
        free(y);
        case_destroy(d);
        machine_close(&machine);
    }
}

int main(void)
{
    uint32_t seen = UINT32_MAX;

    test_panels();
    for (size_t i = 0; i < DLM_ARRAY_LEN(isas); i++)
        check_isa(&isas[i], &seen);
    test_quant_values();
    test_all_halves();
    test_zeros();
    return check_summary();
}
