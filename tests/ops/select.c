/* Rows of select. */
#include "harness.h"

#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}, .scale = 2}
#define DATA(values, ...) {.ndim = 2, .shape = {__VA_ARGS__}, .fill = FILL_DATA_F32,               \
                           .data = values, .data_len = DLM_ARRAY_LEN(values)}
#define SAMPLING(values) {.ndim = 1, .shape = {2}, .fill = FILL_DATA_F32, .data = values,          \
                          .data_len = 2}
#define RNG(words) {.dtype = DLM_DTYPE_U32, .ndim = 1, .shape = {4}, .fill = FILL_DATA_I32,        \
                    .data = words, .data_len = 4}

static const float greedy[2] = {0, 0.9f}, below_zero[2] = {-1, 1};
static const float plain[2] = {1, 1}, cool[2] = {0.7f, 1}, warm[2] = {2, 1};
static const float nucleus[2] = {0.7f, 0.9f}, narrow[2] = {2, 0.3f}, only[2] = {1, 1e-6f};
static const float no_nucleus[2] = {2, 0};
static const int32_t seed_a[4] = {42, 1, 9, 0}, seed_b[4] = {42, 1, 10, 0};
static const int32_t seed_c[4] = {43, 1, 9, 0};

/* Ties: the lowest index wins; it is 3, and in rows that start elsewhere in the data another. */
static const float ties[] = {-1, 0.5f, 0, 7, 7, 2, 7, -3, 7};
/* Few and far between; rows begin elsewhere in the data. */
static const float far_ties[4099] = {[21] = 7, [2050] = 7, [3000] = 7};
/* Two tokens of equal probability, which stay together or go together. */
static const float twins[] = {1, 3, 1, 3, -2, 0, 3, 3, -9, 1, 2};
/* NaN, and an infinite largest element, in some rows of each length; minus infinity is only
 * improbable. */
static const float not_finite[] = {1, 2, NAN, -INFINITY, 3, 0, 1, -INFINITY, 5, 2, 4, 1, -1, 2, 3,
                                   INFINITY, 1, 2, -NAN, 0, 3, 2, 1, 0, -3, 5, 2, 1, 2, 2, 1};
static const float one_nan[400] = {[3] = 2, [317] = NAN};
static const float nowhere[] = {-INFINITY};

static const struct op_row rows[] = {
    {"one element", &dlm_op_select, {{0}}, 3, {X(1, 1), SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT,
     NULL, 0},
    {"one element, sampled", &dlm_op_select, {{0}}, 3, {X(1, 1), SAMPLING(nucleus), RNG(seed_a)},
     TOL_EXACT, NULL, 0},
    {"greedy", &dlm_op_select, {{0}}, 3, {X(50, 301), SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT,
     NULL, 0},
    {"temperature below zero", &dlm_op_select, {{0}}, 3,
     {X(50, 301), SAMPLING(below_zero), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"ties", &dlm_op_select, {{0}}, 3, {DATA(ties, 11, 130), SAMPLING(greedy), RNG(seed_a)},
     TOL_EXACT, NULL, 0},
    {"all equal", &dlm_op_select, {{0}}, 3,
     {{.ndim = 2, .shape = {3, 200}, .fill = FILL_CONST}, SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT,
     NULL, 0},
    {"extremes", &dlm_op_select, {{0}}, 3,
     {{.ndim = 2, .shape = {9, 130}, .fill = FILL_EXTREME}, SAMPLING(greedy), RNG(seed_a)},
     TOL_EXACT, NULL, 0},
    {"PaliGemma's vocabulary, greedy", &dlm_op_select, {{0}}, 3,
     {X(2, 257216), SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT, NULL, 0},

    {"temperature 1", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(plain), RNG(seed_a)},
     TOL_EXACT, NULL, 0},
    {"temperature 0.7", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(cool), RNG(seed_a)},
     TOL_EXACT, NULL, 0},
    {"temperature 2", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(warm), RNG(seed_a)},
     TOL_EXACT, NULL, 0},
    {"another step", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(plain), RNG(seed_b)},
     TOL_EXACT, NULL, 0},
    {"another seed", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(plain), RNG(seed_c)},
     TOL_EXACT, NULL, 0},
    {"top-p 0.9", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(nucleus), RNG(seed_a)}, TOL_EXACT,
     NULL, 0},
    {"top-p 0.3", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(narrow), RNG(seed_a)}, TOL_EXACT,
     NULL, 0},
    {"top-p close to 0", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(only), RNG(seed_a)},
     TOL_EXACT, NULL, 0},
    {"top-p 0 is off", &dlm_op_select, {{0}}, 3, {X(200, 67), SAMPLING(no_nucleus), RNG(seed_a)},
     TOL_EXACT, NULL, 0},
    {"equal probabilities", &dlm_op_select, {{0}}, 3,
     {DATA(twins, 200, 11), SAMPLING(narrow), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"wide, sampled", &dlm_op_select, {{0}}, 3, {X(4, 5000), SAMPLING(nucleus), RNG(seed_c)},
     TOL_EXACT, NULL, 0},
    {"one slice", &dlm_op_select, {{0}}, 3, {X(3, 4096), SAMPLING(nucleus), RNG(seed_a)}, TOL_EXACT,
     NULL, 0},
    {"two slices, the last of one", &dlm_op_select, {{0}}, 3,
     {X(40, 4097), SAMPLING(nucleus), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"slices, temperature 2", &dlm_op_select, {{0}}, 3, {X(40, 9001), SAMPLING(warm), RNG(seed_b)},
     TOL_EXACT, NULL, 0},
    {"slices, top-p 0.3", &dlm_op_select, {{0}}, 3, {X(40, 9001), SAMPLING(narrow), RNG(seed_c)},
     TOL_EXACT, NULL, 0},
    {"slices, top-p close to 0", &dlm_op_select, {{0}}, 3,
     {X(40, 9001), SAMPLING(only), RNG(seed_c)}, TOL_EXACT, NULL, 0},
    {"slices, equal probabilities", &dlm_op_select, {{0}}, 3,
     {DATA(twins, 20, 9001), SAMPLING(narrow), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"slices, ties", &dlm_op_select, {{0}}, 3,
     {DATA(ties, 11, 9001), SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"PaliGemma's vocabulary, sampled", &dlm_op_select, {{0}}, 3,
     {X(2, 257216), SAMPLING(nucleus), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"not finite, greedy", &dlm_op_select, {{0}}, 3,
     {DATA(not_finite, 60, 7), SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"not finite, sampled", &dlm_op_select, {{0}}, 3,
     {DATA(not_finite, 60, 7), SAMPLING(plain), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"not finite, top-p", &dlm_op_select, {{0}}, 3,
     {DATA(not_finite, 60, 7), SAMPLING(nucleus), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"not finite, wide", &dlm_op_select, {{0}}, 3,
     {DATA(not_finite, 3, 9001), SAMPLING(nucleus), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"one NaN", &dlm_op_select, {{0}}, 3,
     {DATA(one_nan, 2, 200), SAMPLING(nucleus), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"all minus infinity", &dlm_op_select, {{0}}, 3,
     {DATA(nowhere, 3, 130), SAMPLING(plain), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"many rows", &dlm_op_select, {{0}}, 3, {X(70000, 3), SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT,
     NULL, 0},
    {"far ties", &dlm_op_select, {{0}}, 3,
     {DATA(far_ties, 40, 4096), SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT, NULL, 0},
    {"slices, far ties", &dlm_op_select, {{0}}, 3,
     {DATA(far_ties, 11, 9001), SAMPLING(greedy), RNG(seed_a)}, TOL_EXACT, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
