/* Sampling as a distribution: 6,000 draws from five tokens come as often as softmax says, at every
 * temperature; top-p takes the likeliest tokens and never one outside them. */
#include "tests/train/fixture.h"

enum { VOCAB = 5, ROWS = 6000 };

static const double probabilities[VOCAB] = {0.1, 0.4, 0.05, 0.3, 0.15};

static const struct {
    const char *what;
    float temperature, top_p;
    double kept[VOCAB]; /* 1: in the nucleus */
} cases[] = {
    {"temperature 1", 1, 0, {1, 1, 1, 1, 1}},
    {"temperature 1, top_p 1 is off", 1, 1, {1, 1, 1, 1, 1}},
    {"temperature 0.5", 0.5f, 0, {1, 1, 1, 1, 1}},
    {"temperature 2", 2, 0, {1, 1, 1, 1, 1}},
    {"top_p 0.6", 1, 0.6f, {0, 1, 0, 1, 0}},         /* 0.4 + 0.3 */
    {"top_p 0.75", 1, 0.75f, {0, 1, 0, 1, 1}},       /* and 0.15 */
    {"top_p 0.3", 1, 0.3f, {0, 1, 0, 0, 0}},
    {"temperature 2, top_p 0.7", 2, 0.7f, {0, 1, 0, 1, 1}}, /* 0.294, 0.254, 0.180 */
};

static bool draw(struct dlm_ctx *ctx, struct dlm_device *device, const float *logits,
                 const float sampling[2], const uint32_t rng[4], int32_t *out)
{
    struct dlm_slots slots = {.ctx = ctx, .device = device};
    struct dlm_workspace workspace = {0};
    struct dlm_graph *g = NULL;
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;

    bool ok = CHECK(!dlm_graph_create(ctx, &g));
    struct dlm_tensor *t =
        dlm_select(g, fixture_leaf(&slots, g, DLM_DTYPE_F32, ROWS, VOCAB, logits),
                   fixture_leaf(&slots, g, DLM_DTYPE_F32, 2, 0, sampling),
                   fixture_leaf(&slots, g, DLM_DTYPE_U32, 4, 0, rng));
    if (CHECK(t)) {
        t->is_output = true;
        ok = ok && CHECK(!dlm_plan_create(ctx, &plan, g, device)) &&
             CHECK(!dlm_workspace_init(&workspace, device, &plan, 1)) &&
             CHECK(!dlm_program_create(ctx, &program, device, plan, &workspace)) &&
             CHECK(!dlm_program_run(program)) &&
             CHECK(!dlm_program_read(program, t, out, ROWS * sizeof(*out)));
    }
    dlm_program_destroy(&program);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&g);
    dlm_workspace_finish(&workspace);
    dlm_slots_finish(&slots);
    return ok && t;
}

static void check_counts(const int32_t *tokens, float temperature, const double *kept)
{
    double want[VOCAB], sum = 0;
    int counts[VOCAB] = {0};

    for (int v = 0; v < VOCAB; v++)
        sum += want[v] = pow(probabilities[v], 1 / (double)temperature) * kept[v];
    for (int r = 0; r < ROWS; r++)
        if (CHECK(tokens[r] >= 0 && tokens[r] < VOCAB))
            counts[tokens[r]]++;
    for (int v = 0; v < VOCAB; v++) {
        const double p = want[v] / sum, sigma = sqrt(p * (1 - p) * ROWS);
        if (!CHECK(fabs(counts[v] - p * ROWS) <= 3 * sigma))
            printf("     token %d: %d times, want %.0f +- %.0f\n", v, counts[v], p * ROWS, sigma);
    }
}

static void run_backend(enum dlm_backend_kind backend)
{
    const struct dlm_device_params params = {.kind = backend, .index = -1,
                                             .cache_dir = getenv("DLM_TEST_KERNEL_CACHE")};
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = fixture_log});
    struct dlm_device *device = NULL;
    float *logits = malloc(ROWS * VOCAB * sizeof(*logits));
    int32_t *first = malloc(ROWS * sizeof(*first)), *tokens = malloc(ROWS * sizeof(*tokens));

    fixture_case(backend, "", "opens");
    bool ok = CHECK(logits && first && tokens) && CHECK(!dlm_device_open(ctx, &device, &params));
    for (int i = 0; ok && i < ROWS * VOCAB; i++)
        logits[i] = (float)(log(probabilities[i % VOCAB]) + 3); /* a constant changes nothing */
    for (size_t i = 0; ok && i < sizeof(cases) / sizeof(cases[0]); i++) {
        const float sampling[2] = {cases[i].temperature, cases[i].top_p};
        const uint32_t rng[4] = {12345, 678, (uint32_t)i, 0};
        fixture_case(backend, "", cases[i].what);
        ok = draw(ctx, device, logits, sampling, rng, tokens);
        if (ok)
            check_counts(tokens, cases[i].temperature, cases[i].kept);
        if (ok && i == 0)
            memcpy(first, tokens, ROWS * sizeof(*first));
    }
    if (ok) {
        const float sampling[2] = {1, 0};
        const uint32_t same[4] = {12345, 678, 0, 0}, step[4] = {12345, 678, 1, 0};
        int equal = 0;
        fixture_case(backend, "", "steps are independent");
        ok = draw(ctx, device, logits, sampling, same, tokens) &&
             CHECK(!memcmp(first, tokens, ROWS * sizeof(*first))) &&
             draw(ctx, device, logits, sampling, step, tokens);
        for (int r = 0; r < ROWS; r++)
            equal += first[r] == tokens[r];
        /* two independent draws agree with probability sum p^2 = 0.285 */
        CHECK(fabs(equal - 0.285 * ROWS) <= 3 * sqrt(0.285 * 0.715 * ROWS));
    }
    free(logits);
    free(first);
    free(tokens);
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
