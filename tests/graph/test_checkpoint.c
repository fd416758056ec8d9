/* Recomputation of blocks: gradients to the same bits in less memory, with dropout on, with the
 * tower in the step, and with tensors in buffers of their own with guards around. */
#include "tests/train/fixture.h"

static float *gradients(struct fixture *f, const struct dlm_pass_params *base, bool checkpoint,
                        bool guarded, const struct dlm_pass_step *step, float *logprobs,
                        size_t *bytes)
{
    struct dlm_pass_params params = *base;

    params.backward = true;
    params.checkpoint = checkpoint;
    if (!fixture_clear_grads(f) ||
        !fixture_run(f, &params, step, guarded, logprobs, bytes))
        return NULL;
    return fixture_grads(f);
}

struct variant {
    const char *what, *name, *adapter;
    float dropout;
    bool with_tower;
    enum dlm_dtype policy; /* a 16-bit one narrows what is saved: the same bits all the same */
};

static const struct variant variants[] = {
    {"language model", "bf16_new", "adapter", 0, false, DLM_DTYPE_F32},
    {"dropout 0.3", "f16_patch7", "adapter", 0.3f, false, DLM_DTYPE_F32},
    {"tower, dropout 0.3", "f32_old", "adapter_wide", 0.3f, true, DLM_DTYPE_F32},
    {"policy bf16", "bf16_new", "adapter", 0, false, DLM_DTYPE_BF16},
    {"tower, dropout 0.3, policy f16", "f16_patch7", "adapter_wide", 0.3f, true, DLM_DTYPE_F16},
};

static void run_variant(enum dlm_backend_kind backend, const struct variant *v)
{
    struct fixture f;
    float plain[256], again[256];
    size_t plain_bytes = 0, less_bytes = 0;

    fixture_case(backend, v->name, v->what);
    if (fixture_open(&f, &(struct fixture_params){.backend = backend, .name = v->name,
                                                  .adapter = v->adapter, .policy = v->policy,
                                                  .for_training = true})) {
        struct dlm_example list[3];
        for (size_t i = 0; i < 3; i++)
            list[i] = fixture_example(&f, i, 12);
        f.lora->params.dropout = v->dropout;
        struct dlm_pass_params params = fixture_pass_params(&f, list, 3);
        params.with_tower = v->with_tower;
        params.dropout = v->dropout > 0;
        const size_t labels = (size_t)params.labels, len = (size_t)f.lora->len;
        const struct dlm_pass_step step = {
            .examples = list, .num = 3, .weight = 1.0f / (float)labels, .seed = 7, .step = 3};
        float *a = gradients(&f, &params, false, false, &step, plain, &plain_bytes);
        float *b = gradients(&f, &params, true, false, &step, again, &less_bytes);
        float *c = gradients(&f, &params, true, true, &step, again, NULL);
        if (CHECK(a && b && c)) {
            CHECK(norm_of(a, len) > 1e-3);
            CHECK(!memcmp(a, b, len * sizeof(float)));
            CHECK(!memcmp(a, c, len * sizeof(float)));
            CHECK(!memcmp(plain, again, labels * sizeof(float)));
            CHECK(less_bytes < plain_bytes);
        }
        printf("# %s %s: %zu bytes, with checkpoints %zu\n", v->name, v->what, plain_bytes,
               less_bytes);
        free(a);
        free(b);
        free(c);
    }
    fixture_close(&f);
}

/* Another seed, step or row id is another mask; dropout off is none. */
static void run_masks(enum dlm_backend_kind backend)
{
    struct fixture f;
    float got[6][64];

    fixture_case(backend, "bf16_new", "masks");
    if (fixture_open(&f, &(struct fixture_params){.backend = backend, .name = "bf16_new",
                                                  .adapter = "adapter", .for_training = true})) {
        struct dlm_example e = fixture_example(&f, 1, 12), other = e;
        struct dlm_pass_params params = fixture_pass_params(&f, &e, 1);
        const size_t bytes = (size_t)params.labels * sizeof(float);
        other.row_id++;
        struct dlm_pass_step steps[] = {
            {.examples = &e, .num = 1, .weight = 1, .seed = 7, .step = 3},
            {.examples = &e, .num = 1, .weight = 1, .seed = 7, .step = 3},
            {.examples = &e, .num = 1, .weight = 1, .seed = 8, .step = 3},
            {.examples = &e, .num = 1, .weight = 1, .seed = 7, .step = 4},
            {.examples = &other, .num = 1, .weight = 1, .seed = 7, .step = 3},
            {.examples = &e, .num = 1, .weight = 1, .seed = 7, .step = 3},
        };
        f.lora->params.dropout = 0.3f;
        bool ok = true;
        for (int i = 0; ok && i < 6; i++) {
            params.dropout = i < 5;
            ok = fixture_run(&f, &params, &steps[i], false, got[i], NULL);
        }
        for (int i = 1; ok && i < 6; i++)
            CHECK(!memcmp(got[0], got[i], bytes) == (i == 1));
    }
    fixture_close(&f);
}

static void run_backend(enum dlm_backend_kind backend)
{
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
        run_variant(backend, &variants[i]);
    run_masks(backend);
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
