/* Rounding of shapes, and how many programs a varied corpus takes: 1,000 rows of 20 to 1,500 tokens
 * by eights. No device. */
#include "base/rng.h"
#include "tests/check.h"
#include "train/buckets.h"

#define NUM_ROWS 1000
#define BATCH 8
#define EPOCHS 5

static void test_round(void)
{
    static const struct {
        int64_t n, least, want;
    } cases[] = {{1, 16, 16},    {16, 16, 16},   {17, 16, 32},    {256, 16, 256}, {257, 16, 288},
                 {512, 16, 512}, {513, 16, 576}, {1500, 16, 1536}, {1, 8, 8},     {100, 8, 104},
                 {129, 8, 144}};
    double most = 0;

    check_case("an eighth of a power of two");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_INT(dlm_bucket_round(cases[i].n, cases[i].least), cases[i].want);
    for (int64_t n = 128; n < 100000; n++) {
        const int64_t rounded = dlm_bucket_round(n, 16);
        CHECK(rounded >= n && dlm_bucket_round(rounded, 16) == rounded);
        most = DLM_MAX(most, (double)(rounded - n) / (double)n);
    }
    CHECK(most <= 0.125);
}

/* The shape of rows [at, at + BATCH) of the order. */
static struct dlm_pass_params shape_of(const uint32_t *order, const int64_t *tokens,
                                       const int64_t *labels, size_t at)
{
    struct dlm_pass_params p = {.batch = BATCH, .backward = true};

    for (size_t i = at; i < at + BATCH; i++) {
        p.tokens = DLM_MAX(p.tokens, tokens[order[i]]);
        p.labels += labels[order[i]];
    }
    p.tokens = dlm_bucket_round(p.tokens, 16);
    p.labels = dlm_bucket_round(p.labels, 8);
    return p;
}

static void shuffle(struct dlm_rng *rng, uint32_t *order)
{
    for (uint32_t i = NUM_ROWS; i-- > 1;) {
        const uint32_t k = dlm_rng_below(rng, i + 1), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
}

static void test_corpus(uint64_t seed)
{
    static int64_t tokens[NUM_ROWS], labels[NUM_ROWS];
    static uint32_t order[NUM_ROWS];
    struct dlm_buckets b = {0};
    struct dlm_pass_params largest = {.batch = BATCH, .backward = true};
    struct dlm_rng rng;
    int64_t step = 0, needed = 0, padded = 0;

    check_case("a varied corpus");
    dlm_rng_init(&rng, seed, 0);
    for (uint32_t i = 0; i < NUM_ROWS; i++) {
        tokens[i] = 20 + dlm_rng_below(&rng, 1481);
        labels[i] = 1 + dlm_rng_below(&rng, (uint32_t)tokens[i] - 10);
        largest.tokens = DLM_MAX(largest.tokens, tokens[i]);
        largest.labels = DLM_MAX(largest.labels, BATCH * labels[i]);
        order[i] = i;
    }
    largest.tokens = dlm_bucket_round(largest.tokens, 16);
    largest.labels = dlm_bucket_round(largest.labels, 8);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        shuffle(&rng, order);
        for (size_t at = 0; at + BATCH <= NUM_ROWS; at += BATCH, step++) {
            const struct dlm_pass_params p = shape_of(order, tokens, labels, at);
            if (step < DLM_BUCKET_STEPS)
                dlm_buckets_add(&b, &p);
            if (step == DLM_BUCKET_STEPS)
                dlm_buckets_add(&b, &largest);
            const int i = dlm_buckets_find(&b, &p);
            if (!CHECK(i >= 0))
                return;
            CHECK(b.list[i].tokens >= p.tokens && b.list[i].labels >= p.labels);
            needed += BATCH * p.tokens + p.labels;
            padded += BATCH * b.list[i].tokens + b.list[i].labels;
        }
    }
    printf("# %zu buckets, %.1f %% beyond their own rounding\n", b.num,
           100.0 * (double)(padded - needed) / (double)needed);
    CHECK(b.num < 64);
    CHECK((double)padded < 1.06 * (double)needed);
}

static void test_find(void)
{
    struct dlm_buckets b = {0};
    struct dlm_pass_params p = {.batch = 2, .tokens = 64, .labels = 8, .backward = true};

    check_case("the cheapest bucket that holds a shape");
    dlm_buckets_add(&b, &p);
    dlm_buckets_add(&b, &p);
    CHECK_INT(b.num, 1);
    p.tokens = 32;
    p.labels = 16;
    dlm_buckets_add(&b, &p);
    CHECK_INT(dlm_buckets_find(&b, &p), 1);
    p.labels = 8;
    CHECK_INT(dlm_buckets_find(&b, &p), 1);
    p.tokens = 33;
    CHECK_INT(dlm_buckets_find(&b, &p), 0);
    p.labels = 9;
    CHECK_INT(dlm_buckets_find(&b, &p), -1);
    p.labels = 8;
    p.room.slices = 1;
    CHECK_INT(dlm_buckets_find(&b, &p), -1);
    p.room.slices = 0;
    p.backward = false;
    CHECK_INT(dlm_buckets_find(&b, &p), -1);
    check_case("one with room for as many and as large images");
    p.backward = true;
    p.room = (struct dlm_image_room){.slices = 2, .patches = 64};
    dlm_buckets_add(&b, &p);
    p.room.slices = 1;
    CHECK_INT(dlm_buckets_find(&b, &p), 2);
    p.room.patches = 65;
    CHECK_INT(dlm_buckets_find(&b, &p), -1);
    p.room = (struct dlm_image_room){0};
    CHECK_INT(dlm_buckets_find(&b, &p), 0); /* costs less without */
}

static void test_within(void)
{
    struct dlm_buckets b = {0};
    struct dlm_pass_params p = {.batch = 2, .tokens = 64, .labels = 8, .backward = true};

    check_case("what another bucket's pass does, too");
    dlm_buckets_add(&b, &p);
    CHECK(!dlm_buckets_is_within(&b, 0));
    p.backward = false;
    dlm_buckets_add(&b, &p); /* the same forward */
    CHECK(!dlm_buckets_is_within(&b, 0) && dlm_buckets_is_within(&b, 1));
    p.labels = 9;
    dlm_buckets_add(&b, &p); /* with more labels */
    CHECK(!dlm_buckets_is_within(&b, 2));
    p.tokens = 128;
    dlm_buckets_add(&b, &p);
    CHECK(dlm_buckets_is_within(&b, 2) && !dlm_buckets_is_within(&b, 3));
    CHECK(!dlm_buckets_is_within(&b, 0)); /* forward takes less than backward */
    p.backward = true;
    p.room = (struct dlm_image_room){.slices = 1, .patches = 16};
    dlm_buckets_add(&b, &p);
    CHECK(dlm_buckets_is_within(&b, 0) && dlm_buckets_is_within(&b, 3));
    CHECK(!dlm_buckets_is_within(&b, 4));
}

int main(void)
{
    test_round();
    test_find();
    test_within();
    test_corpus(1);
    test_corpus(2);
    return check_summary();
}
