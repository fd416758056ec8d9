/* How rows are put into programs must not matter: padding, the size of a micro-batch and the order
 * of its rows, which have unequal lengths, with dropout too; and the base alone is the base. */
#include "tests/train/fixture.h"

#define NUM 4
#define DROPOUT 0.3f

/* Log-probabilities and gradients of NUM examples, `batch` at a time, in programs that have `extra`
 * tokens and labels to spare; backwards: the last example first. */
struct result {
    float logprobs[256]; /* in the order of the examples */
    float *grads;
};

static bool run_all(struct fixture *f, const struct dlm_example *list, int64_t batch, int64_t extra,
                    bool backwards, bool with_tower, struct result *r)
{
    const struct dlm_pass_params all = fixture_pass_params(f, list, NUM);
    bool ok = fixture_clear_grads(f);

    r->grads = NULL;
    for (int64_t at = 0; ok && at < NUM; at += batch) {
        struct dlm_example part[NUM];
        float got[256];
        for (int64_t i = 0; i < batch; i++)
            part[i] = list[backwards ? NUM - 1 - at - i : at + i];
        struct dlm_pass_params params = fixture_pass_params(f, part, batch);
        params.tokens += extra;
        params.labels += extra;
        params.room.slices += extra > 0;
        params.room.patches = all.room.patches;
        params.backward = true;
        params.dropout = f->lora->params.dropout > 0;
        params.with_tower = with_tower;
        const struct dlm_pass_step step = {.examples = part, .num = batch,
                                           .weight = 1.0f / (float)all.labels, .seed = 11,
                                           .step = 2};
        ok = fixture_run(f, &params, &step, false, got, NULL);
        for (int64_t i = 0, from = 0; ok && i < batch; i++) {
            const int64_t n = dlm_count_labels(part[i].is_label, part[i].len);
            int64_t to = 0;
            for (int64_t k = 0; k < (backwards ? NUM - 1 - at - i : at + i); k++)
                to += dlm_count_labels(list[k].is_label, list[k].len);
            memcpy(r->logprobs + to, got + from, (size_t)n * sizeof(float));
            from += n;
        }
    }
    if (ok)
        r->grads = fixture_grads(f);
    return r->grads != NULL;
}

struct way {
    const char *what;
    int64_t batch, extra;
    bool backwards;
};

static const struct way ways[] = {
    {"1 x 4", 4, 0, false},         {"2 x 2", 2, 0, false},         {"4 x 1", 1, 0, false},
    {"padded by 29", 2, 29, false}, {"last row first", 2, 0, true}, {"1 x 4, padded", 4, 7, true},
};

static void compare_ways(enum dlm_backend_kind backend, struct fixture *f, bool with_tower)
{
    struct dlm_example list[NUM];
    struct result first, other;

    /* text, image, image, image: an image's number is not its row's */
    for (size_t i = 0; i < NUM; i++)
        list[i] = fixture_example(f, (i + 2) % NUM, 4 + 3 * (int64_t)i);
    for (size_t i = 1; i < NUM; i++)
        CHECK(list[i].len != list[i - 1].len);
    const int64_t labels = fixture_pass_params(f, list, NUM).labels;
    if (!run_all(f, list, ways[0].batch, ways[0].extra, false, with_tower, &first))
        return;
    CHECK(norm_of(first.grads, (size_t)f->lora->len) > 1e-4);
    for (size_t i = 1; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char what[96];
        snprintf(what, sizeof(what), "%s, dropout %g%s", ways[i].what, f->lora->params.dropout,
                 with_tower ? ", tower" : "");
        fixture_case(backend, f->params.name, what);
        if (run_all(f, list, ways[i].batch, ways[i].extra, ways[i].backwards, with_tower, &other)) {
            const double logprob =
                largest_difference(other.logprobs, first.logprobs, (size_t)labels);
            const double grad =
                relative_difference(other.grads, first.grads, (size_t)f->lora->len);
            if (!CHECK(logprob <= 5e-6) || !CHECK(grad <= 1e-5))
                printf("     log-probabilities differ by %.3g, gradients by %.3g\n", logprob, grad);
        }
        free(other.grads);
    }
    free(first.grads);
}

/* With the adapter switched off, the pass gives what the base without adapter gives. */
static void compare_base(enum dlm_backend_kind backend, struct fixture *f)
{
    struct dlm_lora *lora = f->lora;
    struct dlm_example e = fixture_example(f, 0, 10);
    const struct dlm_pass_params params = fixture_pass_params(f, &e, 1);
    struct dlm_pass_step step = {.examples = &e, .num = 1};
    float on[16], off[16], base[16];

    fixture_case(backend, f->params.name, "adapter off");
    bool ok = fixture_run(f, &params, &step, false, on, NULL);
    step.adapter_off = true;
    ok = ok && fixture_run(f, &params, &step, false, off, NULL);
    f->lora = NULL;
    ok = ok && fixture_run(f, &params, &step, false, base, NULL);
    f->lora = lora;
    if (ok) {
        CHECK(largest_difference(on, base, 10) > 1e-3);
        CHECK(largest_difference(off, base, 10) <= 1e-6);
    }
}

static void run_backend(enum dlm_backend_kind backend)
{
    static const struct {
        const char *name, *adapter;
        bool with_tower;
    } cases[] = {
        {"f16_patch7", "adapter", false},
        {"bf16_new", "adapter_wide", true},
        {"qwen2_vl_f16_merge3", "adapter", false},
        {"qwen2_vl_bf16_new", "adapter_wide", true},
        {"mistral3_bf16_new", "adapter_wide", true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        fixture_case(backend, cases[i].name, "opens");
        if (fixture_open(&f, &(struct fixture_params){.backend = backend, .name = cases[i].name,
                                                      .adapter = cases[i].adapter,
                                                      .for_training = true})) {
            f.lora->params.dropout = 0;
            compare_ways(backend, &f, cases[i].with_tower);
            f.lora->params.dropout = DROPOUT;
            compare_ways(backend, &f, cases[i].with_tower);
            compare_base(backend, &f);
        }
        fixture_close(&f);
    }
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
