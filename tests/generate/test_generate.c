/* Decoding with the KV cache: every token is the likeliest after all that stands before it, by a
 * pass without cache, whatever the lengths of prompt and cache; one generator serves prompt after
 * prompt; sampling repeats with its seed; numbers that are none end it; the 16-bit policies stay
 * close to fp32. */
#include "base/cancel.h"
#include "tests/train/fixture.h"

#define NUM_TOKENS 20
#define MAX_IDS 200
#define MARGIN 2e-4 /* of two logits that may change places */

/* The prompt made longer or shorter, to len tokens. */
static struct dlm_example resized(const struct dlm_example *e, int64_t len, int32_t *ids)
{
    struct dlm_example other = *e;

    for (int64_t t = 0; t < len; t++)
        ids[t] = t < e->bidirectional_len ? e->ids[t] : (int32_t)(300 + t % 60);
    other.len = other.bidirectional_len = len;
    other.ids = ids;
    return other;
}

/* Example e with its image twice: the tokens of both images, then what followed the one. */
static struct dlm_example with_two_images(const struct fixture *f, const struct dlm_example *e,
                                          int32_t *ids)
{
    struct dlm_example two = *e;
    const int64_t n = f->plans[0].tokens;

    for (int64_t t = 0; t < e->bidirectional_len + n; t++)
        ids[t] = t < n ? f->model->image_id : e->ids[t - n];
    two.len = two.bidirectional_len = e->bidirectional_len + n;
    two.ids = ids;
    two.num_images = 2;
    two.plans = f->plans;
    two.features = f->features;
    return two;
}

/* Each token has the largest logit at its place in a pass over all of them. */
static void check_tokens(struct fixture *f, const struct dlm_example *prompt, const int32_t *tokens)
{
    const int64_t len = prompt->bidirectional_len, vocab = f->model->decoder.config.vocab;
    struct dlm_example whole = *prompt;
    int32_t ids[MAX_IDS];
    float *logits = malloc((size_t)((len + NUM_TOKENS) * vocab) * sizeof(*logits));

    memcpy(ids, prompt->ids, (size_t)len * sizeof(*ids));
    memcpy(ids + len, tokens, NUM_TOKENS * sizeof(*ids));
    whole.ids = ids;
    whole.len = len + NUM_TOKENS;
    if (CHECK(logits) && fixture_logits(f, &whole, logits))
        for (int64_t t = 0; t < NUM_TOKENS; t++) {
            const float *row = logits + (len - 1 + t) * vocab;
            float best = -INFINITY;
            for (int64_t v = 0; v < vocab; v++)
                best = row[v] > best ? row[v] : best;
            if (!CHECK(tokens[t] >= 0 && tokens[t] < vocab) ||
                !CHECK(row[tokens[t]] >= best - MARGIN)) {
                printf("     prompt of %d, token %d\n", (int)len, (int)t);
                break;
            }
        }
    free(logits);
}

/* The lengths around buckets of prompts (16) and caches (64, with 20 tokens to come). */
static void check_lengths(struct fixture *f, const struct dlm_example *e)
{
    static const int64_t lengths[] = {15, 16, 17, 31, 32, 33, 43, 44, 45, 64};

    fixture_case(f->params.backend, f->params.name, "prompts of many lengths");
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        int32_t ids[MAX_IDS], tokens[NUM_TOKENS];
        struct dlm_example prompt = resized(e, lengths[i], ids);
        if (fixture_generate(f, &prompt, 1, 0, &(struct dlm_sampling){0}, NUM_TOKENS,
                             (int32_t *[]){tokens}))
            check_tokens(f, &prompt, tokens);
    }
}

/* One generator, larger than any of its prompts, one prompt after the other. */
static void check_reuse(struct fixture *f, const struct dlm_example *text,
                        const struct dlm_example *image)
{
    int32_t ids[2][MAX_IDS], tokens[4][NUM_TOKENS];
    const struct dlm_example prompts[] = {*image, resized(text, 50, ids[0]),
                                          with_two_images(f, image, ids[1]), *image};

    fixture_case(f->params.backend, f->params.name, "text, one and two images, in turn");
    if (!fixture_generate(f, prompts, 4, 70, &(struct dlm_sampling){0}, NUM_TOKENS,
                          (int32_t *[]){tokens[0], tokens[1], tokens[2], tokens[3]}))
        return;
    for (int i = 0; i < 4; i++)
        check_tokens(f, &prompts[i], tokens[i]);
    CHECK(!memcmp(tokens[0], tokens[3], sizeof(tokens[0])));
    CHECK(memcmp(tokens[0], tokens[2], sizeof(tokens[0])));
}

static void check_sampling(struct fixture *f, const struct dlm_example *e)
{
    static const struct dlm_sampling ways[] = {
        {0}, {.temperature = 1, .seed = 1}, {.temperature = 1, .seed = 1},
        {.temperature = 1, .seed = 2}, {.temperature = 1, .seed = 1ull << 32 | 1},
        {.temperature = 1e-4f, .seed = 1}, {.temperature = 1, .top_p = 1e-6f, .seed = 1},
        {.temperature = 4, .top_p = 0.9f, .seed = 1}, {.temperature = 4, .top_p = 0.9f, .seed = 1},
    };
    int32_t got[9][NUM_TOKENS];
    bool ok = true;

    fixture_case(f->params.backend, f->params.name, "sampling");
    for (int i = 0; ok && i < 9; i++)
        ok = fixture_generate(f, e, 1, 0, &ways[i], NUM_TOKENS, (int32_t *[]){got[i]});
    if (!ok)
        return;
    CHECK(memcmp(got[1], got[0], sizeof(got[0])));
    CHECK(!memcmp(got[2], got[1], sizeof(got[0])));
    CHECK(memcmp(got[3], got[1], sizeof(got[0])));
    CHECK(memcmp(got[4], got[1], sizeof(got[0]))); /* the seed has 64 bits */
    CHECK(!memcmp(got[5], got[0], sizeof(got[0])));
    CHECK(!memcmp(got[6], got[0], sizeof(got[0])));
    CHECK(memcmp(got[7], got[1], sizeof(got[0])));
    CHECK(!memcmp(got[8], got[7], sizeof(got[0])));
}

/* A token that fails can be asked for again: place, position and random number are as they were. */
static void check_retry(struct fixture *f, const struct dlm_example *e)
{
    const struct dlm_generator_params params = {
        .prompt_len = e->bidirectional_len, .max_tokens = NUM_TOKENS,
        .room = {e->num_images, f->model->tower.max_patches}};
    const struct dlm_sampling sampling = {.temperature = 4, .seed = 5};
    const struct dlm_example prompt = fixture_prompt(e);
    struct dlm_workspace workspace = {0};
    struct dlm_plan *plans[2];
    struct dlm_generator *g = NULL;
    int32_t want[NUM_TOKENS], got[NUM_TOKENS];

    fixture_case(f->params.backend, f->params.name, "a token that failed is asked for again");
    bool ok = fixture_generate(f, e, 1, 0, &sampling, NUM_TOKENS, (int32_t *[]){want}) &&
              CHECK(!dlm_generator_create(f->ctx, &g, f->model, f->lora, &params));
    if (ok) {
        dlm_generator_plans(g, plans);
        ok = CHECK(!dlm_workspace_init(&workspace, f->device, plans, 2)) &&
             CHECK(!dlm_generator_prepare(g, &workspace)) &&
             CHECK(!dlm_generator_prefill(g, &prompt, &sampling, &got[0]));
    }
    dlm_ctx_cancel(f->ctx); /* nothing runs but while it is held */
    for (int t = 1; ok && t < NUM_TOKENS; t++) {
        CHECK_INT(dlm_generator_next(g, &got[t]), DLM_ERR_CANCELLED);
        dlm_ctx_hold_cancel(f->ctx, true);
        ok = CHECK(!dlm_generator_next(g, &got[t]));
        dlm_ctx_hold_cancel(f->ctx, false);
    }
    CHECK(!ok || !memcmp(got, want, sizeof(got)));
    dlm_generator_destroy(&g);
    dlm_workspace_finish(&workspace);
}

/* Nearly uniform over the vocabulary, a sampled token is its random number: each token takes a new
 * one, and the next prompt of the same generator begins with the first again. */
static void check_random_numbers(struct fixture *f, const struct dlm_example *e)
{
    const struct dlm_sampling sampling = {.temperature = 1e5f, .seed = 3};
    const struct dlm_example prompts[] = {*e, *e};
    int32_t got[2][NUM_TOKENS];
    int num_different = 0;

    fixture_case(f->params.backend, f->params.name, "a new random number for each token");
    if (!fixture_generate(f, prompts, 2, 0, &sampling, NUM_TOKENS, (int32_t *[]){got[0], got[1]}))
        return;
    for (int t = 0; t < NUM_TOKENS; t++) {
        bool is_new = true;
        for (int k = 0; k < t; k++)
            is_new = is_new && got[0][k] != got[0][t];
        num_different += is_new;
    }
    /* 20 draws of 367 tokens: 19.5 different ones are expected, below 15 one time in 50,000 */
    if (!CHECK(num_different >= 15))
        printf("     %d of %d tokens differ\n", num_different, NUM_TOKENS);
    CHECK(!memcmp(got[0], got[1], sizeof(got[0])));
}

/* What does not fit the programs is an error, and does not spoil the next prompt. */
static void check_refusals(struct fixture *f, const struct dlm_example *image)
{
    const struct dlm_generator_params params = {
        .prompt_len = image->bidirectional_len, .max_tokens = 2,
        .room = {1, f->model->tower.max_patches}};
    const struct dlm_sampling greedy = {0};
    struct dlm_ctx *quiet = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 1});
    struct dlm_workspace workspace = {0};
    struct dlm_plan *plans[2];
    struct dlm_generator *g = NULL;
    int32_t ids[MAX_IDS], first = 0, token = 0;

    fixture_case(f->params.backend, f->params.name, "refusals");
    if (CHECK(quiet) && CHECK(!dlm_generator_create(quiet, &g, f->model, f->lora, &params))) {
        dlm_generator_plans(g, plans);
        CHECK(!dlm_workspace_init(&workspace, f->device, plans, 2));
        CHECK(!dlm_generator_prepare(g, &workspace));
        const struct dlm_example good = fixture_prompt(image);
        CHECK(!dlm_generator_prefill(g, &good, &greedy, &first));
        struct dlm_example bad = resized(image, image->bidirectional_len + 1, ids);
        CHECK(dlm_generator_prefill(g, &bad, &greedy, &token) == DLM_ERR_INVALID);
        bad = resized(image, image->bidirectional_len, ids);
        ids[bad.bidirectional_len - 1] = (int32_t)f->model->decoder.config.vocab;
        CHECK(dlm_generator_prefill(g, &bad, &greedy, &token) == DLM_ERR_INVALID);
        ids[bad.bidirectional_len - 1] = -1;
        CHECK(dlm_generator_prefill(g, &bad, &greedy, &token) == DLM_ERR_INVALID);
        ids[bad.bidirectional_len - 1] = f->model->image_id; /* one more than the image has */
        CHECK(dlm_generator_prefill(g, &bad, &greedy, &token) == DLM_ERR_INVALID);
        CHECK(!dlm_generator_prefill(g, &good, &greedy, &token));
        CHECK_INT(token, first);
        CHECK(!dlm_generator_next(g, &token));
        CHECK(!dlm_generator_next(g, &token));
        CHECK(dlm_generator_next(g, &token) == DLM_ERR_INVALID); /* the cache is full */
    }
    dlm_generator_destroy(&g);
    dlm_workspace_finish(&workspace);
    dlm_ctx_destroy(&quiet);
}

/* One NaN among the adapter's weights leaves no token to choose. */
static void check_nan_adapter(struct fixture *f, const struct dlm_example *image)
{
    static const struct dlm_sampling ways[] = {
        {0}, {.temperature = 1, .seed = 1}, {.temperature = 1, .top_p = 0.5f, .seed = 1}};
    const struct dlm_generator_params params = {
        .prompt_len = image->bidirectional_len, .max_tokens = 2,
        .room = {1, f->model->tower.max_patches}};
    const size_t place = (size_t)f->lora->modules[0]->a_at * sizeof(float);
    const float nan = NAN, value = f->lora->values[f->lora->modules[0]->a_at];
    struct dlm_ctx *quiet = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 1});
    struct dlm_workspace workspace = {0};
    struct dlm_plan *plans[2];
    struct dlm_generator *g = NULL;
    int32_t token = 0;

    fixture_case(f->params.backend, f->params.name, "an adapter with NaN");
    if (CHECK(quiet) && CHECK(!dlm_generator_create(quiet, &g, f->model, f->lora, &params))) {
        dlm_generator_plans(g, plans);
        CHECK(!dlm_workspace_init(&workspace, f->device, plans, 2));
        CHECK(!dlm_generator_prepare(g, &workspace));
        const struct dlm_example prompt = fixture_prompt(image);
        for (int i = 0; i < 3; i++) {
            CHECK(!dlm_buffer_write(f->lora->flat.buffer, place, &nan, sizeof(nan)));
            CHECK(dlm_generator_prefill(g, &prompt, &ways[i], &token) == DLM_ERR_INVALID);
            CHECK(!dlm_buffer_write(f->lora->flat.buffer, place, &value, sizeof(value)));
            CHECK(!dlm_generator_prefill(g, &prompt, &ways[i], &token) && token >= 0);
        }
        CHECK(!dlm_buffer_write(f->lora->flat.buffer, place, &nan, sizeof(nan)));
        CHECK(dlm_generator_next(g, &token) == DLM_ERR_INVALID);
        CHECK(!dlm_buffer_write(f->lora->flat.buffer, place, &value, sizeof(value)));
    }
    dlm_generator_destroy(&g);
    dlm_workspace_finish(&workspace);
    dlm_ctx_destroy(&quiet);
}

/* Neither are there features of an image with a pixel that is no number. */
static void check_nan_pixels(struct fixture *f)
{
    struct dlm_workspace workspace = {0};
    struct dlm_vision vision;
    const struct dlm_image_plan *plan = &f->plans[0];
    const size_t len = dlm_pixels_len(&plan->pixels);
    float *pixels = calloc(len, sizeof(*pixels));
    float *features = calloc(dlm_image_plan_features_len(f->model, plan), sizeof(*features));

    fixture_case(f->params.backend, f->params.name, "an image with NaN");
    bool ok = CHECK(pixels && features) &&
              CHECK(!dlm_vision_init(&vision, f->model, f->lora, plan->patches));
    if (ok && CHECK(!dlm_workspace_init(&workspace, f->device, &vision.largest.plan, 1)) &&
        CHECK(!dlm_vision_prepare(&vision, &workspace))) {
        CHECK(!dlm_vision_run(&vision, plan, pixels, features));
        pixels[len / 2] = NAN;
        CHECK(dlm_vision_run(&vision, plan, pixels, features) == DLM_ERR_INVALID);
    }
    if (ok)
        dlm_vision_finish(&vision);
    dlm_workspace_finish(&workspace);
    free(pixels);
    free(features);
}

static void run_case(enum dlm_backend_kind backend, const char *name)
{
    struct fixture f;

    fixture_case(backend, name, "opens");
    if (fixture_open(&f, &(struct fixture_params){.backend = backend, .name = name,
                                                  .adapter = "adapter"})) {
        const struct dlm_example image = fixture_example(&f, 0, 0);
        const struct dlm_example text = fixture_example(&f, 2, 0);
        check_lengths(&f, &text);
        check_reuse(&f, &text, &image);
        check_sampling(&f, &image);
        check_random_numbers(&f, &image);
        check_refusals(&f, &image);
        check_nan_adapter(&f, &image);
        check_nan_pixels(&f);
        if (backend == DLM_BACKEND_CPU) /* which stops at once; it leaves the context cancelled */
            check_retry(&f, &image);
    }
    fixture_close(&f);
}

/* --- precision --- */

/* Logits of the labelled positions of one example under a policy, and greedy tokens. */
static float *logits_under(enum dlm_backend_kind backend, enum dlm_dtype policy, int64_t *rows,
                           int64_t *vocab, int32_t *tokens)
{
    struct fixture f;
    float *out = NULL, *all = NULL;

    if (fixture_open(&f, &(struct fixture_params){.backend = backend, .name = "f32_old",
                                                  .adapter = "adapter", .policy = policy})) {
        const struct dlm_example e = fixture_example(&f, 0, 0);
        *vocab = f.model->decoder.config.vocab;
        *rows = e.len - e.bidirectional_len;
        CHECK_INT(f.model->decoder.embed->dtype, policy);
        out = calloc((size_t)(*rows * *vocab), sizeof(*out));
        all = calloc((size_t)(e.len * *vocab), sizeof(*all));
        if (CHECK(out && all) && fixture_logits(&f, &e, all) &&
            fixture_generate(&f, &e, 1, 0, &(struct dlm_sampling){0}, NUM_TOKENS, &tokens)) {
            memcpy(out, all + (e.bidirectional_len - 1) * *vocab,
                   (size_t)(*rows * *vocab) * sizeof(*out));
        } else {
            free(out);
            out = NULL;
        }
    }
    free(all);
    fixture_close(&f);
    return out;
}

/* Mean over rows of sum p log(p / q). */
static double divergence(const float *p, const float *q, int64_t rows, int64_t vocab)
{
    double sum = 0;

    for (int64_t r = 0; r < rows; r++) {
        const double zp = log_sum_exp(p + r * vocab, vocab), zq = log_sum_exp(q + r * vocab, vocab);
        for (int64_t v = 0; v < vocab; v++) {
            const double lp = p[r * vocab + v] - zp;
            sum += exp(lp) * (lp - (q[r * vocab + v] - zq));
        }
    }
    return sum / (double)rows;
}

static void run_precisions(enum dlm_backend_kind backend)
{
    static const struct {
        enum dlm_dtype policy;
        double least, most; /* of the divergence: it must be there, and be small */
    } rows[] = {{DLM_DTYPE_BF16, 1e-9, 1e-3}, {DLM_DTYPE_F16, 1e-11, 2e-5}};
    int32_t tokens[NUM_TOKENS];
    int64_t num = 0, vocab = 0;

    fixture_case(backend, "f32_old", "fp32");
    float *exact = logits_under(backend, DLM_DTYPE_F32, &num, &vocab, tokens);
    for (size_t i = 0; exact && i < 2; i++) {
        fixture_case(backend, "f32_old", dlm_dtype_name(rows[i].policy));
        float *got = logits_under(backend, rows[i].policy, &num, &vocab, tokens);
        if (got) {
            const double kl = divergence(exact, got, num, vocab);
            printf("# %s %s: divergence from fp32 %.3g\n", dlm_backend_name(backend),
                   dlm_dtype_name(rows[i].policy), kl);
            CHECK(kl >= rows[i].least && kl <= rows[i].most);
        }
        for (int t = 0; t < NUM_TOKENS; t++)
            CHECK(tokens[t] >= 0 && tokens[t] < vocab);
        free(got);
    }
    free(exact);
}

static void run_backend(enum dlm_backend_kind backend)
{
    run_case(backend, "f32_old");
    run_case(backend, "f16_patch7");
    run_precisions(backend);
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
