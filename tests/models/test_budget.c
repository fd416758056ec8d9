/* What config.json alone says of a checkpoint's memory: the same as its files say, by part, for
 * every precision; and what is planned for a 3B model, which nothing is loaded or allocated for. */
#include "models_test.h"

#include <sys/resource.h>

#include "base/json.h"
#include "generate/generator.h"
#include "models/budget.h"
#include "models/pass.h"
#include "models/vision.h"

/* What the files of the cases hold. */
static const char *const file_dtypes[NUM_CASES] = {"float32", "bfloat16", "float16"};

static struct dlm_ctx *ctx;
static struct dlm_device *device;

/* The budget of a training pass, of a prompt and of the tower; the policy. */
static bool measure(const struct dlm_model *m, struct dlm_lora *lora, struct dlm_budget *b)
{
    const struct dlm_pass_params pass_params = {
        .batch = 2, .tokens = 48, .labels = 16, .room = {2, m->tower.max_patches},
        .backward = true, .checkpoint = true};
    const struct dlm_generator_params generator_params = {
        .prompt_len = 40, .max_tokens = 8, .room = {1, m->tower.max_patches}};
    struct dlm_pass *pass = NULL;
    struct dlm_generator *generator = NULL;
    struct dlm_vision vision = {0};
    struct dlm_plan *plans[3] = {NULL};

    *b = (struct dlm_budget){0};
    bool ok = CHECK(!dlm_pass_create(ctx, &pass, m, lora, &pass_params)) &&
              CHECK(!dlm_generator_create(ctx, &generator, m, lora, &generator_params)) &&
              CHECK(!dlm_vision_init(&vision, m, lora, m->tower.max_patches));
    if (ok) {
        plans[0] = pass->plan;
        dlm_generator_plans(generator, plans + 1);
        dlm_budget_add_weights(b, m, DLM_WEIGHT_GROUPS_ALL);
        dlm_budget_add_lora(b, lora, DLM_LORA_MOMENTS);
        dlm_budget_add_workspace(b, plans, 3);
        dlm_budget_add_vision(b, &vision, plans, 3);
        dlm_budget_add_slots(b, &pass->slots);
        dlm_generator_add_to_budget(generator, b);
    }
    dlm_vision_finish(&vision);
    dlm_generator_destroy(&generator);
    dlm_pass_destroy(&pass);
    return ok;
}

static bool measure_model(struct dlm_model *m, struct dlm_budget *b)
{
    static const char *const names[] = {"q_proj", "k_proj", "v_proj", "o_proj"};
    const struct dlm_target_spec usual = {
        .kind = DLM_TARGET_LIST, .names = names, .num_names = DLM_ARRAY_LEN(names)};
    const struct dlm_lora_params params = {.r = 8, .alpha = 16};
    struct dlm_lora *lora = NULL;

    bool ok = CHECK(!dlm_model_make_lora(m, &lora, &usual, &params)) && measure(m, lora, b);
    dlm_lora_destroy(&lora);
    return ok;
}

/* The configs of the cases, as older transformers wrote them, do not say what the files are. */
static void compare(const char *file_dtype, enum dlm_dtype policy)
{
    struct dlm_model *whole = NULL, *alone = NULL;
    struct dlm_budget a, b;
    json_t *config = NULL;

    check_case(policy < DLM_DTYPE_COUNT ? dlm_dtype_name(policy) : "the files' precision");
    if (CHECK(!dlm_json_load(ctx, case_path("base/config.json"), 1 << 20, &config)) &&
        CHECK(!json_object_set_new(config, "dtype", json_string(file_dtype))) &&
        CHECK(!dlm_model_open(ctx, &whole, device, case_path("base"), policy, NULL)) &&
        CHECK(!dlm_model_open_config(ctx, &alone, device, config, "config.json", policy, NULL)) &&
        measure_model(whole, &a) && measure_model(alone, &b)) {
        CHECK_INT(alone->policy, whole->policy);
        CHECK_INT(b.weights, a.weights);
        CHECK_INT(b.vision, a.vision);
        CHECK_INT(b.adapter, a.adapter);
        CHECK_INT(b.optimizer, a.optimizer);
        CHECK_INT(b.activations, a.activations);
        CHECK_INT(b.cache, a.cache);
        CHECK_INT(b.inputs, a.inputs);
        CHECK(a.weights && a.vision && a.adapter && a.optimizer && a.activations && a.cache &&
              a.inputs);
    }
    json_decref(config);
    dlm_model_destroy(&alone);
    dlm_model_destroy(&whole);
}

/* f32 files beyond 4 GB are held as bf16, which config.json alone must lead to as well. */
static void test_large(const char *dtype, enum dlm_dtype want)
{
    json_t *config = json_pack("{s:s, s:s}", "model_type", "paligemma", "torch_dtype", dtype);
    struct dlm_model *m = NULL;
    struct dlm_budget b;

    case_name = "3B";
    check_case(dtype);
    if (CHECK(!dlm_model_open_config(ctx, &m, device, config, "config.json", DLM_DTYPE_COUNT,
                                     NULL)) &&
        measure_model(m, &b)) {
        CHECK_INT(m->policy, want);
        /* paligemma-3b-pt-224 has 2,923,335,408 parameters, most of them in 16-bit matrices */
        const uint64_t weights =
            b.weights + dlm_weights_bytes(m->weights, DLM_WEIGHT_GROUP_TOWER);
        CHECK(weights > 2923335408ull * 2 && weights < 2923335408ull * 2 * 101 / 100);
        CHECK_INT(dlm_device_peak_bytes(device), 0);
    }
    dlm_model_destroy(&m);
    json_decref(config);
}

/* What an adapter takes on a device is what was planned for its use: scores want no gradients,
 * gradients alone want no moments. */
static void test_lora(void)
{
    static const char *const names[] = {"q_proj"};
    const struct dlm_target_spec spec = {.kind = DLM_TARGET_LIST, .names = names, .num_names = 1};
    const struct dlm_lora_params params = {.r = 8, .alpha = 16};
    struct dlm_model *m = NULL;

    case_name = case_names[0];
    check_case("an adapter on the device");
    if (!CHECK(!dlm_model_open(ctx, &m, device, case_path("base"), DLM_DTYPE_F32, NULL)))
        return;
    for (int use = DLM_LORA_VALUES; use <= DLM_LORA_MOMENTS; use++) {
        static const uint64_t adapter[] = {1, 2, 2}, optimizer[] = {0, 0, 2}; /* vectors */
        const uint64_t before = dlm_device_used_bytes(device);
        struct dlm_lora *lora = NULL;
        struct dlm_budget b = {0};
        if (CHECK(!dlm_model_make_lora(m, &lora, &spec, &params)) &&
            CHECK(!dlm_lora_init(lora, 1)) &&
            CHECK(!dlm_lora_upload(lora, device, (enum dlm_lora_use)use))) {
            const uint64_t vector = (uint64_t)lora->len * sizeof(float);
            dlm_budget_add_lora(&b, lora, (enum dlm_lora_use)use);
            CHECK_INT(b.adapter, adapter[use] * vector);
            CHECK_INT(b.optimizer, optimizer[use] * vector);
            CHECK_INT(dlm_device_used_bytes(device) - before, dlm_budget_total(&b));
        }
        dlm_lora_destroy(&lora);
        CHECK_INT(dlm_device_used_bytes(device), before);
    }
    dlm_model_destroy(&m);
}

/* The null device plans what the CPU does, for a model that is nowhere, in next to no memory. */
static void test_null(void)
{
    const struct dlm_device_params params = {.is_null = true};
    struct dlm_device *cpu = device, *null = NULL;
    struct dlm_budget of_cpu, of_null;
    struct dlm_model *m = NULL;
    struct rusage before, after;

    case_name = "3B";
    check_case("on the null device");
    if (!CHECK(!dlm_device_open(ctx, &null, &params)))
        return;
    CHECK(!getrusage(RUSAGE_SELF, &before));
    bool ok = CHECK(!dlm_model_open_shape(ctx, &m, null, "paligemma-3b-224", 0,
                                          DLM_DTYPE_BF16, NULL)) &&
              measure_model(m, &of_null);
    CHECK(!getrusage(RUSAGE_SELF, &after));
    CHECK(after.ru_maxrss - before.ru_maxrss < 64 << 10); /* KiB */
    CHECK_INT(dlm_device_peak_bytes(null), 0);
    dlm_model_destroy(&m);
    if (ok && CHECK(!dlm_model_open_shape(ctx, &m, cpu, "paligemma-3b-224", 0,
                                          DLM_DTYPE_BF16, NULL)) &&
        measure_model(m, &of_cpu))
        CHECK(!memcmp(&of_cpu, &of_null, sizeof(of_cpu)));
    dlm_model_destroy(&m);
    dlm_device_destroy(&null);
}

/* What is compared with what: free memory, or all of it where the driver does not tell. */
static void test_check(void)
{
    const struct dlm_budget b = {.weights = 3 << 20, .inputs = 1 << 20};
    struct dlm_device_caps caps = *dlm_device_get_caps(device);
    static const struct {
        uint64_t all, free, limit;
        enum dlm_status want;
        const char *text;
    } rows[] = {
        {8 << 20, 4 << 20, 0, DLM_OK, NULL},
        {8 << 20, (4 << 20) - 1, 0, DLM_ERR_MEMORY, "which has 4 MiB free:"},
        {8 << 20, 1, 0, DLM_ERR_MEMORY, "which has 0 MiB free:"},
        {4 << 20, 0, 0, DLM_OK, NULL},
        {2 << 20, 0, 0, DLM_ERR_MEMORY, "which has 2 MiB in all (how much is free is not known):"},
        {0, 0, 0, DLM_OK, NULL},
        {8 << 20, 6 << 20, 3 << 20, DLM_ERR_MEMORY, "which has 3 MiB free:"},
        {8 << 20, 2 << 20, 6 << 20, DLM_ERR_MEMORY, "which has 2 MiB free:"},
        {8 << 20, 0, 3 << 20, DLM_ERR_MEMORY, "which has 3 MiB free:"},
    };

    case_name = "budget";
    check_case("what a device has free, has in all, or may use");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        const struct dlm_device_params params = {
            .is_null = true, .null_caps = &caps, .max_free_bytes = rows[i].limit};
        struct dlm_device *null = NULL;
        caps.info.memory_bytes = rows[i].all;
        caps.free_bytes = rows[i].free;
        if (!CHECK(!dlm_device_open(ctx, &null, &params)))
            return;
        if (!CHECK_INT(dlm_budget_check(ctx, &b, null), rows[i].want) ||
            !CHECK(!rows[i].text || strstr(dlm_ctx_last_error(ctx), rows[i].text)))
            printf("     row %zu: %s\n", i, dlm_ctx_last_error(ctx));
        dlm_device_destroy(&null);
    }
}

/* Rows of logits of PaliGemma-3B (257,216 words; 5.85 GB of weights in 16 bits) by what the caller
 * lets plans count on: an eighth of what is beside the weights, in powers of two. */
static void test_loss_rows(void)
{
    static const struct {
        uint64_t gib;
        int64_t want;
    } rows[] = {{4, 32}, {8, 128}, {12, 256}, {16, 512}, {24, 1024}, {80, 1024}};
    struct dlm_device_caps caps = *dlm_device_get_caps(device);

    case_name = "3B";
    check_case("rows of logits");
    caps.info.memory_bytes = (uint64_t)80 << 30;
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        const struct dlm_device_params params = {
            .is_null = true, .null_caps = &caps, .max_free_bytes = rows[i].gib << 30};
        struct dlm_device *null = NULL;
        struct dlm_model *m = NULL;
        caps.free_bytes = i % 2 ? (uint64_t)1 << 30 : 0; /* what is free does not count */
        if (CHECK(!dlm_device_open(ctx, &null, &params)) &&
            CHECK(!dlm_model_open_shape(ctx, &m, null, "paligemma-3b-224", 0, DLM_DTYPE_BF16,
                                        NULL)))
            CHECK_INT(dlm_pass_loss_rows(m), rows[i].want);
        dlm_model_destroy(&m);
        dlm_device_destroy(&null);
    }
}

int main(void)
{
    const struct dlm_device_params cpu = {.kind = DLM_BACKEND_CPU, .index = -1};

    ctx = make_ctx();
    if (CHECK(ctx) && CHECK(!dlm_device_open(ctx, &device, &cpu))) {
        for (size_t i = 0; i < NUM_CASES; i++) {
            case_name = case_names[i];
            compare(file_dtypes[i], DLM_DTYPE_COUNT);
            compare(file_dtypes[i], DLM_DTYPE_F32);
            compare(file_dtypes[i], DLM_DTYPE_BF16);
            compare(file_dtypes[i], DLM_DTYPE_F16);
        }
        test_large("float32", DLM_DTYPE_BF16);
        test_large("bfloat16", DLM_DTYPE_BF16);
        test_large("float16", DLM_DTYPE_F16);
        test_lora();
        test_null();
        test_check();
        test_loss_rows();
    }
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
