/* The OpenCL backend, on the first OpenCL device. `test_opencl gemm` tests the library GEMM alone:
 * PoCL takes some 15 s to compile it when its cache is cold. The kernels are this file's own: the
 * table below takes the place of the one that is made from clkernels/. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../check.h"
#include "backend/backend.h"
#include "backend/backend_impl.h"
#include "backend/opencl/opencl.h"
#include "base/file.h"
#include "base/scalar.h"

/* y[i] += factor * x[i] */
static const char axpy_source[] =
    "struct axpy_params { uint total; float factor; };\n"
    "__kernel __attribute__((reqd_work_group_size(64, 1, 1)))\n"
    "void axpy(__global const float *x, __global float *y, const struct axpy_params p)\n"
    "{\n"
    "    uint i = get_global_id(0);\n"
    "    if (i < p.total)\n"
    "        y[i] = y[i] + SIGN p.factor * x[i];\n"
    "}\n";

/* out[group * 64 + lane] = group, groups counted through all three dimensions */
static const char groups_source[] =
    "__kernel __attribute__((reqd_work_group_size(32, 2, 1))) void groups(__global uint *out)\n"
    "{\n"
    "    uint group = get_group_id(0) + get_num_groups(0) *\n"
    "                 (get_group_id(1) + get_num_groups(1) * get_group_id(2));\n"
    "    out[group * 64 + get_local_id(1) * 32 + get_local_id(0)] = group;\n"
    "}\n";

static const char broken_source[] = "__kernel void broken(__global float *x)\n"
                                    "{\n"
                                    "    x[0] = undeclared_thing;\n"
                                    "}\n";

static const char sizeless_source[] = "__kernel void sizeless(__global float *x) { x[0] = 1; }\n";

#define SOURCE(text) text, sizeof(text) - 1

const struct dlm_ocl_kernel dlm_ocl_kernels[] = {
    {"axpy", "axpy", "-DSIGN=+", SOURCE(axpy_source)},
    {"axpy_minus", "axpy", "-DSIGN=-", SOURCE(axpy_source)},
    {"groups", "groups", "", SOURCE(groups_source)},
    {"broken", "broken", "", SOURCE(broken_source)},
    {"sizeless", "sizeless", "", SOURCE(sizeless_source)},
    {"misnamed", "no_such_function", "-DSIGN=+ -DALONE", SOURCE(axpy_source)},
    {NULL, NULL, NULL, NULL, 0},
};

struct axpy_params {
    uint32_t total;
    float factor;
};

static struct {
    int num_compiled;   /* programs built from source */
    int num_discarded;  /* cache files of no use */
} logged;

static void count_messages(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    (void)level;
    if (!strncmp(text, "compiled kernel", 15))
        logged.num_compiled++;
    if (!strncmp(text, "cached kernel", 13))
        logged.num_discarded++;
}

static struct dlm_device *open_device(struct dlm_ctx *ctx, const char *cache_dir)
{
    struct dlm_device *device = NULL;
    const struct dlm_device_params params = {
        .kind = DLM_BACKEND_OPENCL, .index = 0, .cache_dir = cache_dir};

    CHECK(!dlm_device_open(ctx, &device, &params));
    return device;
}

static struct dlm_dispatch axpy(const char *kernel, struct dlm_binding x, struct dlm_binding y,
                                float factor)
{
    const struct axpy_params params = {(uint32_t)(y.bytes / 4), factor};
    struct dlm_dispatch d = {
        .kernel = kernel,
        .bindings = {x, y},
        .num_bindings = 2,
        .groups = {(params.total + 63) / 64, 1, 1},
        .params_bytes = sizeof(params),
        .barrier = true,
    };

    memcpy(d.params, &params, sizeof(params));
    return d;
}

static void test_list(struct dlm_ctx *ctx)
{
    struct dlm_device *device = NULL;
    struct dlm_device_info *list = NULL;
    int num = 0, num_opencl = 0;

    check_case("devices are listed and numbered");
    CHECK(!dlm_device_list(ctx, &list, &num));
    for (int i = 0; i < num; i++) {
        if (list[i].kind != DLM_BACKEND_OPENCL)
            continue;
        CHECK_INT(list[i].index, num_opencl);
        CHECK(list[i].name[0] && list[i].driver[0]);
        CHECK(list[i].max_alloc_bytes > 0);
        CHECK(list[i].memory_bytes >= list[i].max_alloc_bytes);
        num_opencl++;
    }
    CHECK(num_opencl > 0);
    dlm_device_list_free(list);

    check_case("a device that is not there");
    const struct dlm_device_params params = {.kind = DLM_BACKEND_OPENCL, .index = num_opencl};
    CHECK_INT(dlm_device_open(ctx, &device, &params), DLM_ERR_NO_DEVICE);
    CHECK(!device);

    check_case("no matrix units, though they are to be shown");
    const struct dlm_device_params none = {.kind = DLM_BACKEND_OPENCL, .no_matrix = true,
                                           .show_caps = DLM_CAPS_MATRIX};
    CHECK(!dlm_device_open(ctx, &device, &none) &&
          !(dlm_device_get_caps(device)->bits & DLM_CAPS_MATRIX));
    dlm_device_destroy(&device);
}

static void test_caps(struct dlm_device *device)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);

    check_case("capabilities");
    CHECK(caps->align_bytes > 0 && DLM_ALIGN_BYTES % caps->align_bytes == 0);
    CHECK(caps->max_groups >= 65535);
    CHECK(caps->num_units > 0);
    CHECK(caps->max_range_bytes <= caps->max_alloc_bytes);
    CHECK(caps->free_bytes > 0);
    CHECK(!(caps->bits & DLM_CAPS_MATRIX) == !*caps->info.matrix_units);
    if (caps->info.is_software)
        CHECK(caps->bits & DLM_CAP_NO_LOCAL);
    CHECK(!caps->gemm_version == !dlm_device_has_kernel(device, "gemm_f32"));
    CHECK(!(caps->bits & DLM_CAP_GEMM_F32) || caps->gemm_version >= 10603); /* right from then on */
    CHECK(dlm_device_has_kernel(device, "axpy"));
    CHECK(!dlm_device_has_kernel(device, "axp"));
}

static void test_buffers(struct dlm_device *device)
{
    struct dlm_buffer *buffer = NULL, *huge = NULL;
    uint8_t sent[1000], got[1000];

    check_case("buffers: write, read, fill");
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (uint8_t)(i * 7 + 1);
    CHECK(!dlm_buffer_create(device, &buffer, sizeof(sent)));
    CHECK_INT(dlm_device_used_bytes(device), sizeof(sent));
    CHECK(!dlm_buffer_write(buffer, 0, sent, sizeof(sent)));
    CHECK(!dlm_buffer_read(buffer, 13, got, 77));
    CHECK(!memcmp(got, sent + 13, 77));
    CHECK(!dlm_buffer_write(buffer, 501, sent, 3));
    CHECK(!dlm_buffer_fill(buffer, 400, 12, 0x04030201));
    CHECK(!dlm_buffer_read(buffer, 0, got, sizeof(got)));
    memcpy(sent + 501, sent, 3);
    for (int i = 0; i < 12; i++)
        sent[400 + i] = (uint8_t)(i % 4 + 1);
    CHECK(!memcmp(got, sent, sizeof(sent)));
    CHECK(!dlm_buffer_host_data(buffer));
    dlm_buffer_destroy(&buffer);
    CHECK(!buffer);
    CHECK_INT(dlm_device_used_bytes(device), 0);

    check_case("a buffer that is too large");
    CHECK_INT(dlm_buffer_create(device, &huge, dlm_device_get_caps(device)->max_alloc_bytes + 1),
              DLM_ERR_MEMORY);
    CHECK(!huge);
}

/* x and y lie in one buffer: y += x; x -= y; y += 2 x; ... in small whole numbers, so exactly. */
static void test_replay(struct dlm_device *device)
{
    enum { LEN = 1000, BYTES = LEN * 4, Y_OFFSET = 4096, TOTAL = 8192, REPLAYS = 1000 };
    struct dlm_buffer *buffer = NULL;
    struct dlm_recording *recording = NULL;
    float x[LEN], y[LEN], got[TOTAL / 4];

    check_case("a chain in one buffer, replayed 1000 times");
    CHECK(!dlm_buffer_create(device, &buffer, TOTAL));
    CHECK(!dlm_buffer_fill(buffer, 0, TOTAL, 0x7fc00000)); /* NaN: the gaps must stay */
    for (int i = 0; i < LEN; i++) {
        x[i] = (float)(i % 5 - 2);
        y[i] = (float)(i % 7 - 3);
    }
    CHECK(!dlm_buffer_write(buffer, 0, x, BYTES));
    CHECK(!dlm_buffer_write(buffer, Y_OFFSET, y, BYTES));
    const struct dlm_binding bx = {buffer, 0, BYTES}, by = {buffer, Y_OFFSET, BYTES};
    const struct dlm_dispatch list[] = {
        axpy("axpy", bx, by, 1), axpy("axpy_minus", by, bx, 1), axpy("axpy", bx, by, 1),
        axpy("axpy_minus", by, bx, 1)};
    CHECK(!dlm_recording_create(device, &recording, list, 4));
    for (int run = 0; recording && run < REPLAYS; run++) {
        if (!CHECK(!dlm_recording_run(recording)))
            break;
        for (int i = 0; i < 2 * LEN; i++) { /* the chain turns (x, y) by a third of a circle */
            y[i % LEN] += x[i % LEN];
            x[i % LEN] -= y[i % LEN];
        }
    }
    CHECK(!dlm_device_wait(device));
    CHECK(!dlm_buffer_read(buffer, 0, got, TOTAL));
    CHECK(!memcmp(got, x, BYTES));
    CHECK(!memcmp(got + Y_OFFSET / 4, y, BYTES));
    for (int i = LEN; i < Y_OFFSET / 4; i++)
        CHECK(isnan(got[i]) && isnan(got[Y_OFFSET / 4 + i]));
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&buffer);
}

/* More dispatches than a slice holds, each seeing the one before; also one by one with times. */
static void test_long_list(struct dlm_device *device)
{
    enum { LEN = 64, NUM = 3000 };
    static struct dlm_dispatch list[NUM];
    static double seconds[NUM];
    struct dlm_buffer *x = NULL, *y = NULL;
    struct dlm_recording *recording = NULL;
    float ones[LEN], got[LEN];
    bool is_timed = true;

    check_case("3000 dispatches in order, in slices");
    for (int i = 0; i < LEN; i++)
        ones[i] = 1;
    CHECK(!dlm_buffer_create(device, &x, sizeof(ones)));
    CHECK(!dlm_buffer_create(device, &y, sizeof(ones)));
    CHECK(!dlm_buffer_write(x, 0, ones, sizeof(ones)));
    CHECK(!dlm_buffer_fill(y, 0, sizeof(ones), 0));
    const struct dlm_binding bx = {x, 0, sizeof(ones)}, by = {y, 0, sizeof(ones)};
    for (int i = 0; i < NUM; i++) /* y += 1; y -= y / 2: 1/2, 3/4, ... only in this order */
        list[i] = i % 2 ? axpy("axpy_minus", by, by, 0.5f) : axpy("axpy", bx, by, 1);
    CHECK(!dlm_recording_create(device, &recording, list, NUM));
    for (int run = 0; recording && run < 6; run++)
        CHECK(!dlm_recording_run(recording));
    CHECK(!dlm_buffer_read(y, 0, got, sizeof(got)));
    CHECK(got[0] > 0.999999f && got[0] <= 1 && got[LEN - 1] == got[0]);

    check_case("a profile runs the list once and times each dispatch");
    CHECK(!dlm_buffer_fill(y, 0, sizeof(ones), 0));
    CHECK(recording && !dlm_recording_profile(recording, seconds));
    CHECK(!dlm_buffer_read(y, 0, got, sizeof(got)));
    CHECK(got[0] > 0.999999f && got[0] <= 1);
    for (int i = 0; i < NUM; i++)
        is_timed = is_timed && seconds[i] > 0 && seconds[i] < 1;
    CHECK(is_timed);
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&x);
    dlm_buffer_destroy(&y);
}

/* y += x, with x written again while the run before is under way: nobody waits, and each run sees
 * its own x. */
static void test_queued_writes(struct dlm_device *device)
{
    enum { LEN = 64, NUM = 500, RUNS = 2 * DLM_OCL_MAX_WRITES };
    static struct dlm_dispatch list[NUM];
    const struct dlm_ocl_device *d = (const struct dlm_ocl_device *)device;
    struct dlm_buffer *x = NULL, *y = NULL;
    struct dlm_recording *recording = NULL;
    float in[LEN], got[LEN];
    int num_pending = 0;

    check_case("writes are queued behind the work that reads what they overwrite");
    CHECK(!dlm_buffer_create(device, &x, sizeof(in)));
    CHECK(!dlm_buffer_create(device, &y, sizeof(in)));
    CHECK(!dlm_buffer_fill(y, 0, sizeof(in), 0));
    const struct dlm_binding bx = {x, 0, sizeof(in)}, by = {y, 0, sizeof(in)};
    for (int i = 0; i < NUM; i++)
        list[i] = axpy("axpy", bx, by, 1);
    CHECK(!dlm_recording_create(device, &recording, list, NUM));
    for (int run = 0; recording && run < RUNS; run++) {
        cl_int status = CL_COMPLETE;
        for (int i = 0; i < LEN; i++)
            in[i] = (float)(i + run);
        CHECK(!dlm_buffer_write(x, 0, in, sizeof(in)));
        const unsigned last = (d->next_write + DLM_OCL_MAX_WRITES - 1) % DLM_OCL_MAX_WRITES;
        CHECK(!clGetEventInfo(d->writes[last].done, CL_EVENT_COMMAND_EXECUTION_STATUS,
                              sizeof(status), &status, NULL));
        num_pending += status != CL_COMPLETE;
        memset(in, 0xff, sizeof(in)); /* it was taken over */
        CHECK(!dlm_recording_run(recording));
    }
    CHECK(num_pending > 0);
    CHECK(!dlm_buffer_read(y, 0, got, sizeof(got)));
    for (int i = 0; i < LEN; i++) /* sums below 2^24: exact */
        CHECK(got[i] == (float)(NUM * (RUNS * i + RUNS * (RUNS - 1) / 2)));
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&x);
    dlm_buffer_destroy(&y);
}

static void test_grid(struct dlm_device *device)
{
    enum { X = 5, Y = 3, Z = 2, LEN = X * Y * Z * 64 };
    struct dlm_buffer *buffer = NULL;
    struct dlm_recording *recording = NULL;
    uint32_t got[LEN];
    bool is_right = true;

    check_case("a grid in three dimensions");
    CHECK(!dlm_buffer_create(device, &buffer, sizeof(got)));
    CHECK(!dlm_buffer_fill(buffer, 0, sizeof(got), 0xffffffff));
    const struct dlm_dispatch d = {.kernel = "groups",
                                   .bindings = {{buffer, 0, sizeof(got)}},
                                   .num_bindings = 1,
                                   .groups = {X, Y, Z}};
    CHECK(!dlm_recording_create(device, &recording, &d, 1));
    CHECK(recording && !dlm_recording_run(recording));
    CHECK(!dlm_buffer_read(buffer, 0, got, sizeof(got)));
    for (uint32_t i = 0; i < LEN; i++)
        is_right = is_right && got[i] == i / 64;
    CHECK(is_right);
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&buffer);
}

static void test_failures(struct dlm_ctx *ctx, struct dlm_device *device)
{
    struct dlm_buffer *buffer = NULL;
    struct dlm_recording *recording = NULL;

    CHECK(!dlm_buffer_create(device, &buffer, 256));
    struct dlm_dispatch d = {.kernel = "no_such_kernel",
                             .bindings = {{buffer, 0, 256}},
                             .num_bindings = 1,
                             .groups = {1, 1, 1}};
    check_case("an unknown kernel");
    CHECK_INT(dlm_recording_create(device, &recording, &d, 1), DLM_ERR_UNSUPPORTED);
    CHECK(strstr(dlm_ctx_last_error(ctx), "no_such_kernel") != NULL);

    check_case("a kernel that does not compile");
    d.kernel = "broken";
    CHECK_INT(dlm_recording_create(device, &recording, &d, 1), DLM_ERR_DEVICE);
    CHECK(strstr(dlm_ctx_last_error(ctx), "'broken'") != NULL);
    CHECK(strstr(dlm_ctx_last_error(ctx), "undeclared_thing") != NULL);

    check_case("a kernel without a work-group size");
    d.kernel = "sizeless";
    CHECK_INT(dlm_recording_create(device, &recording, &d, 1), DLM_ERR_DEVICE);

    check_case("a kernel function that is not in its source");
    d.kernel = "misnamed";
    CHECK_INT(dlm_recording_create(device, &recording, &d, 1), DLM_ERR_DEVICE);

    check_case("a wrong number of arguments");
    d.kernel = "axpy";
    CHECK_INT(dlm_recording_create(device, &recording, &d, 1), DLM_ERR_INVALID);

    check_case("the second of two dispatches fails");
    const struct dlm_dispatch two[] = {
        axpy("axpy", d.bindings[0], d.bindings[0], 1), {.kernel = "no_such_kernel"}};
    CHECK_INT(dlm_recording_create(device, &recording, two, 2), DLM_ERR_UNSUPPORTED);
    CHECK(!recording);
    dlm_buffer_destroy(&buffer);
}

static void test_cancel(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_device *device = open_device(ctx, NULL);
    struct dlm_buffer *buffer = NULL;
    struct dlm_recording *recording = NULL;

    check_case("cancelling");
    CHECK(!dlm_buffer_create(device, &buffer, 256));
    const struct dlm_binding b = {buffer, 0, 256};
    const struct dlm_dispatch d = axpy("axpy", b, b, 1);
    CHECK(!dlm_recording_create(device, &recording, &d, 1));
    CHECK(recording && !dlm_recording_run(recording));
    dlm_ctx_cancel(ctx);
    if (recording)
        CHECK_INT(dlm_recording_run(recording), DLM_ERR_CANCELLED);
    CHECK(!dlm_device_wait(device));
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&buffer);
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
}

/* Runs y = 1 + 2 * 1 on a device of its own; 3 when all went well. */
static float run_with_cache(struct dlm_ctx *ctx, const char *cache_dir)
{
    struct dlm_device *device = open_device(ctx, cache_dir);
    struct dlm_buffer *buffer = NULL;
    struct dlm_recording *recording = NULL;
    float got[64] = {0};

    logged.num_compiled = 0;
    logged.num_discarded = 0;
    CHECK(!dlm_buffer_create(device, &buffer, sizeof(got)));
    CHECK(!dlm_buffer_fill(buffer, 0, sizeof(got), 0x3f800000));
    const struct dlm_binding b = {buffer, 0, sizeof(got)};
    const struct dlm_dispatch d = axpy("axpy", b, b, 2);
    CHECK(!dlm_recording_create(device, &recording, &d, 1));
    if (recording)
        CHECK(!dlm_recording_run(recording));
    CHECK(!dlm_buffer_read(buffer, 0, got, sizeof(got)));
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&buffer);
    dlm_device_destroy(&device);
    return got[63];
}

/* Damages each file of the cache: cut to half, or one byte of the binary changed. */
static void damage_files(struct dlm_ctx *ctx, const char *dir, bool is_cut)
{
    char **names = NULL;

    CHECK(!dlm_dir_list(ctx, dir, &names));
    for (size_t i = 0; names && names[i]; i++) {
        struct dlm_str bytes = {0};
        char *path = dlm_path_join(ctx, dir, names[i]);
        CHECK(!dlm_file_read(ctx, path, 1 << 24, &bytes));
        if (is_cut)
            bytes.len /= 2;
        else
            bytes.data[bytes.len / 2] ^= 1;
        CHECK(!dlm_file_replace(ctx, path, bytes.data, bytes.len));
        dlm_str_finish(&bytes);
        dlm_free(path);
    }
    dlm_names_free(names);
}

static void test_cache(struct dlm_ctx *ctx)
{
    char top[] = "/tmp/dlm-test-XXXXXX";

    if (!CHECK(mkdtemp(top)))
        return;
    char *dir = dlm_path_join(ctx, top, "made/if/missing");
    check_case("compiled kernels are kept and used");
    CHECK(run_with_cache(ctx, dir) == 3);
    CHECK_INT(logged.num_compiled, 1);
    CHECK(run_with_cache(ctx, dir) == 3);
    CHECK_INT(logged.num_compiled, 0);

    for (int is_cut = 0; is_cut < 2; is_cut++) {
        check_case(is_cut ? "a cut cache file" : "a changed cache file");
        damage_files(ctx, dir, is_cut);
        CHECK(run_with_cache(ctx, dir) == 3);
        CHECK_INT(logged.num_compiled, 1);
        CHECK_INT(logged.num_discarded, 1);
        CHECK(run_with_cache(ctx, dir) == 3);
        CHECK_INT(logged.num_compiled, 0);
    }

    check_case("a cache folder that cannot be made");
    CHECK(run_with_cache(ctx, "/dev/null/cache") == 3);
    CHECK_INT(logged.num_compiled, 1);
    CHECK_STR(dlm_ctx_last_error(ctx), "");
    CHECK(!dlm_path_remove(ctx, top));
    dlm_free(dir);
}

/* Noise in [-1, 1). */
static float value_at(size_t i, uint32_t seed)
{
    return 2 * dlm_uniform(dlm_philox((uint32_t)i, 0, 0, 0, seed, 0)) - 1;
}

/* One product with leading dimensions and offsets larger than needed, against plain loops in f64.
 * beta 0 must not read C, which is NaN then. */
static void check_gemm(struct dlm_device *device, const struct dlm_gemm_params *p)
{
    const size_t a_len = p->a_offset + (size_t)(p->trans_a ? p->k : p->m) * p->lda;
    const size_t b_len = p->b_offset + (size_t)(p->trans_b ? p->n : p->k) * p->ldb;
    const size_t c_len = p->c_offset + (size_t)p->m * p->ldc;
    const size_t scratch = dlm_device_gemm_scratch(device, p);
    float *a = calloc(a_len, 4), *b = calloc(b_len, 4), *c = calloc(c_len, 4);
    float *got = calloc(c_len, 4);
    struct dlm_buffer *ba = NULL, *bb = NULL, *bc = NULL, *bs = NULL;
    struct dlm_recording *recording = NULL;
    double worst = 0, seconds = 0;
    bool is_kept = true;

    for (size_t i = 0; i < a_len; i++)
        a[i] = value_at(i, 1);
    for (size_t i = 0; i < b_len; i++)
        b[i] = value_at(i, 2);
    for (size_t i = 0; i < c_len; i++)
        c[i] = p->beta != 0 ? value_at(i, 3) : NAN;
    CHECK(!dlm_buffer_create(device, &ba, a_len * 4));
    CHECK(!dlm_buffer_create(device, &bb, b_len * 4));
    CHECK(!dlm_buffer_create(device, &bc, c_len * 4));
    CHECK(!dlm_buffer_create(device, &bs, scratch + 256));
    CHECK(!dlm_buffer_write(ba, 0, a, a_len * 4));
    CHECK(!dlm_buffer_write(bb, 0, b, b_len * 4));
    CHECK(!dlm_buffer_write(bc, 0, c, c_len * 4));
    struct dlm_dispatch d = {
        .kernel = "gemm_f32",
        .bindings = {{ba, 0, a_len * 4}, {bb, 0, b_len * 4}, {bc, 0, c_len * 4}, {bs, 0, scratch}},
        .num_bindings = scratch ? 4 : 3,
        .groups = {1, 1, 1},
        .params_bytes = sizeof(*p),
    };
    memcpy(d.params, p, sizeof(*p));
    CHECK(!dlm_recording_create(device, &recording, &d, 1));
    if (recording && p->beta == 0) /* twice gives the same; with its time */
        CHECK(!dlm_recording_profile(recording, &seconds) && seconds > 0);
    if (recording)
        CHECK(!dlm_recording_run(recording));
    CHECK(!dlm_buffer_read(bc, 0, got, c_len * 4));
    const uint32_t row_step = p->m > 128 ? 37 : 1; /* the loops below are slow */
    for (uint32_t i = 0; i < p->m; i += row_step) {
        for (uint32_t j = 0; j < p->ldc; j++) {
            const size_t at = p->c_offset + (size_t)i * p->ldc + j;
            if (j >= p->n) { /* between rows: untouched */
                is_kept = is_kept && !memcmp(&got[at], &c[at], 4);
                continue;
            }
            double sum = 0;
            for (uint32_t l = 0; l < p->k; l++) {
                size_t ai = p->trans_a ? (size_t)l * p->lda + i : (size_t)i * p->lda + l;
                size_t bi = p->trans_b ? (size_t)j * p->ldb + l : (size_t)l * p->ldb + j;
                sum += (double)a[p->a_offset + ai] * b[p->b_offset + bi];
            }
            double want = p->alpha * sum + (p->beta != 0 ? p->beta * (double)c[at] : 0);
            double error = fabs(got[at] - want);
            worst = error <= worst ? worst : error; /* NaN stays */
        }
    }
    printf("gemm %u x %u x %u, scratch %zu bytes: error %.2g\n", p->m, p->n, p->k, scratch, worst);
    CHECK(worst < 1e-7 * p->k);
    CHECK(is_kept);
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&ba);
    dlm_buffer_destroy(&bb);
    dlm_buffer_destroy(&bc);
    dlm_buffer_destroy(&bs);
    free(a);
    free(b);
    free(c);
    free(got);
}

static void test_gemm(struct dlm_device *device)
{
    if (!dlm_device_has_kernel(device, "gemm_f32")) {
        check_skip("gemm", "built without CLBlast");
        return;
    }
    check_case("gemm: nn, exact sizes");
    check_gemm(device, &(struct dlm_gemm_params){.m = 128, .n = 64, .k = 96,
                                                 .lda = 96, .ldb = 64, .ldc = 64, .alpha = 1});
    check_case("gemm: tn with offsets, leads, alpha and beta");
    check_gemm(device, &(struct dlm_gemm_params){.m = 67, .n = 33, .k = 50,
                                                 .lda = 70, .ldb = 41, .ldc = 39,
                                                 .a_offset = 5, .b_offset = 3, .c_offset = 7,
                                                 .trans_a = 1, .alpha = 0.5f, .beta = -2});
    check_case("gemm: nt, large enough for scratch on PoCL");
    check_gemm(device, &(struct dlm_gemm_params){.m = 1000, .n = 640, .k = 1400, .lda = 1400,
                                                 .ldb = 1400, .ldc = 640, .trans_b = 1,
                                                 .alpha = 1});
}

int main(int argc, char **argv)
{
    const struct dlm_ctx_params params = {.log = count_messages};
    const struct dlm_device_params first = {.kind = DLM_BACKEND_OPENCL, .index = 0};
    struct dlm_ctx *ctx = dlm_ctx_create(&params);
    struct dlm_device *device = NULL;

    enum dlm_status st = dlm_device_open(ctx, &device, &first);
    if (st == DLM_ERR_NO_DEVICE || st == DLM_ERR_UNSUPPORTED) {
        check_skip("opencl", dlm_ctx_last_error(ctx));
    } else if (st) {
        check_case("opening the first device");
        CHECK_STR(dlm_ctx_last_error(ctx), "");
    } else if (argc > 1 && !strcmp(argv[1], "gemm")) {
        test_gemm(device);
    } else {
        test_cache(ctx); /* first: it looks at the last error */
        test_list(ctx);
        test_caps(device);
        test_buffers(device);
        test_replay(device);
        test_long_list(device);
    test_queued_writes(device);
        test_grid(device);
        test_failures(ctx, device);
        test_cancel();
    }
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
