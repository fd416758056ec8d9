/* dlm_bench on the small bases: every part ran, rates follow from seconds, and the memory that was
 * planned before anything was allocated is the memory that the device then counted. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "dlm/dlm.h"

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

static void check_part(const char *name, const struct dlm_bench_part *part, int64_t tokens)
{
    check_case(name);
    if (CHECK(part->seconds > 0))
        CHECK(is_near(part->tokens_per_sec * part->seconds, (double)tokens));
}

static void check_memory(const struct dlm_bench_result *r)
{
    check_case("memory");
    CHECK(r->planned_weights > 0);
    CHECK(r->planned_activations > 0);
    CHECK(r->planned_cache > 0);
    CHECK(r->planned_adapter == r->planned_optimizer); /* values, gradients; two moments */
    CHECK(r->planned_total == r->planned_weights + r->planned_adapter + r->planned_optimizer +
                                  r->planned_activations + r->planned_cache);
    CHECK(r->peak_device_bytes <= r->planned_total);
    CHECK(r->peak_device_bytes * 100 >= r->planned_total * 99);
    /* the CPU's buffers are the process's */
    CHECK(r->peak_host_bytes > r->peak_device_bytes);
    CHECK(r->planned_host_bytes > r->planned_total);
}

static void bench_base(struct dlm_ctx *ctx, const char *name)
{
    char base[1024];
    const struct dlm_bench_params params = {
        .base = base, .prompt_tokens = 5, .decode_tokens = 3, .batch = 2, .repeat = 1,
        .compute.backend = DLM_BACKEND_CPU};
    struct dlm_bench_result r;

    check_case(name);
    snprintf(base, sizeof(base), "dir:%s/golden/models/%s/base", check_data_dir(), name);
    if (CHECK_INT(dlm_bench(ctx, &params, &r), DLM_OK)) {
        CHECK(!strcmp(r.model, base));
        CHECK(r.backend == DLM_BACKEND_CPU && r.device && *r.device);
        CHECK(r.precision != DLM_PRECISION_AUTO);
        CHECK(r.image_tokens > 0 && r.prompt_tokens == 5 && r.decode_tokens == 3 && r.batch == 2);
        check_part("vision", &r.vision, r.image_tokens);
        check_part("prefill", &r.prefill, r.image_tokens + 5);
        check_part("decode", &r.decode, 3);
        check_part("train step", &r.train_step, 2 * (r.image_tokens + 5 + 48));
        check_memory(&r);
    }
    dlm_bench_result_finish(&r);
}

/* Of a part: its ops in order, each with what it costs and a time; they are most of it. */
static void check_explained(const char *name, const struct dlm_bench_part *part)
{
    double seconds = 0, flops = 0;

    check_case(name);
    CHECK(part->num_ops > 3);
    for (size_t i = 0; i < part->num_ops; i++) {
        const struct dlm_bench_op *op = &part->ops[i];
        CHECK(*op->op && *op->kernel && *op->shapes && op->nodes >= 1 && op->bytes > 0);
        CHECK(op->seconds > 0 && op->limit_seconds > 0);
        CHECK((op->flops > 0) == (!strcmp(op->op, "matmul") || !strncmp(op->op, "attention", 9)));
        CHECK(!i || op->seconds <= op[-1].seconds);
        seconds += op->seconds;
        flops += op->flops;
    }
    CHECK(is_near(part->kernel_seconds, seconds));
    CHECK(flops > 0);
}

/* Where the time goes is told when it is asked for, and only then. */
static void explain(struct dlm_ctx *ctx)
{
    char base[1100];
    struct dlm_bench_result r;
    struct dlm_bench_params params = {
        .base = base, .repeat = 1, .decode_tokens = 2, .compute = {.backend = DLM_BACKEND_CPU}};

    snprintf(base, sizeof(base), "dir:%s/golden/models/f32_old/base", check_data_dir());
    check_case("not explained");
    if (CHECK_INT(dlm_bench(ctx, &params, &r), DLM_OK))
        CHECK(!r.prefill.ops && !r.prefill.num_ops && r.limits.read == 0);
    dlm_bench_result_finish(&r);
    params.explain = true;
    if (CHECK_INT(dlm_bench(ctx, &params, &r), DLM_OK)) {
        check_explained("vision explained", &r.vision);
        check_explained("prefill explained", &r.prefill);
        check_explained("decode explained", &r.decode);
        check_explained("step explained", &r.train_step);
        check_case("the head's product, once for each of two tokens");
        size_t i = 0;
        while (i < r.decode.num_ops && !strstr(r.decode.ops[i].shapes, "-> f32[1,367]"))
            i++;
        if (CHECK(i < r.decode.num_ops)) {
            CHECK(r.decode.ops[i].nodes == 2);
            CHECK(r.decode.ops[i].flops == 2 * 2.0 * 367 * 72);
        }
        check_memory(&r); /* the loops of limits had their own */
        check_case("limits of the CPU");
        CHECK(r.limits.read > 1e8 && r.limits.copy > 1e8 && r.limits.f32 > 1e8);
    }
    dlm_bench_result_finish(&r);
}

/* Every device that is asked for has these. */
static void limits(struct dlm_ctx *ctx)
{
    const struct dlm_compute cpu = {.backend = DLM_BACKEND_CPU};
    struct dlm_device_info device;
    struct dlm_limits l;

    check_case("limits alone");
    CHECK_INT(dlm_bench_limits(ctx, &cpu, &device, &l), DLM_OK);
    CHECK(device.kind == DLM_BACKEND_CPU && *device.name);
    CHECK(l.read > 1e8 && l.copy > 1e8 && l.f32 > 1e8);
    const struct dlm_compute none = {.backend = DLM_BACKEND_CPU, .has_device = true, .device = 9};
    CHECK_INT(dlm_bench_limits(ctx, &none, &device, &l), DLM_ERR_NO_DEVICE);
}

/* A shape of which no run is possible here is planned nevertheless, whole and with fewer layers; an
 * image is as large as the processor takes it. */
static void plan(struct dlm_ctx *ctx)
{
    const struct dlm_compute cpu = {.backend = DLM_BACKEND_CPU, .precision = DLM_PRECISION_BF16};
    /* of a decoder layer: q and o, k and v, three of the MLP; its norms stay f32 */
    const uint64_t layer = 2 * (2 * 5120 * 4096 + 2 * 5120 * 1024 + 3ull * 5120 * 32768);
    struct dlm_bench_result whole, three, two;
    struct dlm_bench_params params = {
        .shape = "mistral-small-24b", .compute = cpu, .plan_only = true};

    check_case("plans of 24 billion parameters");
    CHECK_INT(dlm_bench(ctx, &params, &whole), DLM_OK);
    params.layers = 3;
    CHECK_INT(dlm_bench(ctx, &params, &three), DLM_OK);
    params.layers = 2;
    CHECK_INT(dlm_bench(ctx, &params, &two), DLM_OK);
    CHECK_INT(whole.image_tokens, 3025);
    /* the tower goes before the others come: layers, embedding and head; and a projector */
    const uint64_t decoder = 40 * layer + 2 * 2 * 131072ull * 5120;
    CHECK(whole.planned_weights > decoder && whole.planned_weights < decoder + (128 << 20));
    const uint64_t more = three.planned_weights - two.planned_weights;
    CHECK(more >= layer && more < layer + (layer >> 10));
    CHECK(two.vision.seconds == 0 && two.train_step.seconds == 0 && !two.peak_device_bytes);
    dlm_bench_result_finish(&whole);
    dlm_bench_result_finish(&three);
    dlm_bench_result_finish(&two);
}

static struct dlm_bench_result plan_shape(struct dlm_ctx *ctx, const char *shape)
{
    const struct dlm_bench_params params = {
        .shape = shape, .plan_only = true,
        .compute = {.backend = DLM_BACKEND_CPU, .precision = DLM_PRECISION_BF16}};
    struct dlm_bench_result r;

    check_case(shape);
    CHECK_INT(dlm_bench(ctx, &params, &r), DLM_OK);
    return r;
}

/* Parameters of the decoders, counted from their published sizes. */
static void plan_shapes(struct dlm_ctx *ctx)
{
    const uint64_t gemma2 = 257216ull * 2304 + 26ull * (2 * 2304 * 2048 + 2 * 2304 * 1024 +
                                                        3 * 2304 * 9216);
    const uint64_t qwen2 = 151936ull * 1536 + 28ull * (2 * 1536 * 1536 + 2 * 1536 * 256 +
                                                       3 * 1536 * 8960);

    struct dlm_bench_result r = plan_shape(ctx, "paligemma2-3b-224");
    CHECK_INT(r.image_tokens, 256);
    CHECK(r.planned_weights > 2 * gemma2 && r.planned_weights < 2 * gemma2 + (8 << 20));
    dlm_bench_result_finish(&r);
    r = plan_shape(ctx, "qwen2-1.5b");
    CHECK_INT(r.image_tokens, 0);
    CHECK(r.planned_weights > 2 * qwen2 && r.planned_weights < 2 * qwen2 + (2 << 20));
    dlm_bench_result_finish(&r);
    r = plan_shape(ctx, "qwen2-vl-2b");
    CHECK_INT(r.image_tokens, 576);
    CHECK(r.planned_weights > 2 * qwen2 + (50 << 20));
    dlm_bench_result_finish(&r);
}

static void refuse(struct dlm_ctx *ctx, const char *name, const struct dlm_bench_params *params,
                   enum dlm_status want)
{
    struct dlm_bench_result r;

    check_case(name);
    CHECK_INT(dlm_bench(ctx, params, &r), want);
    CHECK(!r.model && r.vision.seconds == 0);
    dlm_bench_result_finish(&r);
}

int main(void)
{
    const struct dlm_compute cpu = {.backend = DLM_BACKEND_CPU};
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    if (!CHECK(ctx))
        return check_summary();
    bench_base(ctx, "f32_old");
    bench_base(ctx, "bf16_new");
    bench_base(ctx, "f16_patch7");
    bench_base(ctx, "qwen2_vl_bf16_new");
    bench_base(ctx, "mistral3_f16_merge3");
    explain(ctx);
    limits(ctx);
    plan(ctx);
    plan_shapes(ctx);
    refuse(ctx, "nothing", &(struct dlm_bench_params){.compute = cpu}, DLM_ERR_INVALID);
    refuse(ctx, "two", &(struct dlm_bench_params){.base = "dir:.", .shape = "x", .compute = cpu},
           DLM_ERR_INVALID);
    refuse(ctx, "shape", &(struct dlm_bench_params){.shape = "paligemma-4b", .compute = cpu},
           DLM_ERR_USAGE);
    CHECK(strstr(dlm_ctx_last_error(ctx), "unknown shape 'paligemma-4b': there are "
                                          "paligemma-3b-224, paligemma2-3b-224, "));
    refuse(ctx, "repeat",
           &(struct dlm_bench_params){.shape = "paligemma-3b-224", .repeat = -1, .compute = cpu},
           DLM_ERR_INVALID);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
