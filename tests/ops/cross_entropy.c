/* Rows of cross_entropy. */
#include "harness.h"

#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}, .scale = 3}
#define LABELS(n) {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {n}, .fill = FILL_DATA_I32,         \
                   .data = labels, .data_len = DLM_ARRAY_LEN(labels)}
#define WEIGHTS(n) {.ndim = 1, .shape = {n}, .fill = FILL_UNIFORM, .scale = 2}

#define LOSS {.cross_entropy = {.no_gradient = true}}

/* For a vocabulary of 67: labels in it, and on both sides outside. */
static const int32_t labels[] = {0, 66, 5, -1, 67, 31, -100, INT32_MAX, INT32_MIN, 64, 63};

static const struct op_row rows[] = {
    {"one element", &dlm_op_cross_entropy, {{0}}, 3, {X(1, 1), LABELS(1), WEIGHTS(1)},
     TOL_REDUCTION, NULL, 0},
    {"odd sizes, labels outside", &dlm_op_cross_entropy, {{0}}, 3,
     {X(23, 67), LABELS(23), WEIGHTS(23)}, TOL_REDUCTION, NULL, 0},
    {"weights of zero", &dlm_op_cross_entropy, {{0}}, 3,
     {X(11, 67), LABELS(11), {.ndim = 1, .shape = {11}, .fill = FILL_CONST}}, TOL_REDUCTION, NULL,
     0},
    {"sliced labels and weights", &dlm_op_cross_entropy, {{0}}, 3,
     {X(9, 67),
      {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {9}, .fill = FILL_IDS, .max = 67,
       .view = VIEW_SLICED},
      {.ndim = 1, .shape = {9}, .view = VIEW_SLICED}}, TOL_REDUCTION, NULL, 0},
    {"equal logits", &dlm_op_cross_entropy, {{0}}, 3,
     {{.ndim = 2, .shape = {2, 130}, .fill = FILL_CONST, .scale = -70}, LABELS(2), WEIGHTS(2)},
     TOL_REDUCTION, NULL, 0},
    {"large logits", &dlm_op_cross_entropy, {{0}}, 3,
     {{.ndim = 2, .shape = {5, 130}, .scale = 1000}, LABELS(5), WEIGHTS(5)}, TOL_REDUCTION, NULL,
     0},
    {"extreme logits", &dlm_op_cross_entropy, {{0}}, 3,
     {{.ndim = 2, .shape = {5, 130}, .fill = FILL_EXTREME}, LABELS(5), WEIGHTS(5)}, TOL_REDUCTION,
     NULL, 0},
    {"PaliGemma's vocabulary", &dlm_op_cross_entropy, {{0}}, 3,
     {X(3, 257216),
      {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {3}, .fill = FILL_IDS, .max = 257216},
      WEIGHTS(3)}, TOL_REDUCTION, NULL, 0},
    {"many rows", &dlm_op_cross_entropy, {{0}}, 3, {X(70000, 3), LABELS(70000), WEIGHTS(70000)},
     TOL_REDUCTION, NULL, 0},
    {"a vocabulary of whole quads", &dlm_op_cross_entropy, {{0}}, 3,
     {X(5, 2052),
      {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {5}, .fill = FILL_IDS, .max = 2052}, WEIGHTS(5)},
     TOL_REDUCTION, NULL, 0},
    {"rows that start anywhere", &dlm_op_cross_entropy, {{0}}, 3,
     {X(9, 1997),
      {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {9}, .fill = FILL_IDS, .max = 1997}, WEIGHTS(9)},
     TOL_REDUCTION, NULL, 0},

    {"loss, one element", &dlm_op_cross_entropy, LOSS, 3, {X(1, 1), LABELS(1), WEIGHTS(1)},
     TOL_REDUCTION, NULL, 0},
    {"loss, odd sizes, labels outside", &dlm_op_cross_entropy, LOSS, 3,
     {X(23, 67), LABELS(23), WEIGHTS(23)}, TOL_REDUCTION, NULL, 0},
    {"loss, sliced labels", &dlm_op_cross_entropy, LOSS, 3,
     {X(9, 67),
      {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {9}, .fill = FILL_IDS, .max = 67,
       .view = VIEW_SLICED},
      WEIGHTS(9)}, TOL_REDUCTION, NULL, 0},
    {"loss, extreme logits", &dlm_op_cross_entropy, LOSS, 3,
     {{.ndim = 2, .shape = {5, 130}, .fill = FILL_EXTREME}, LABELS(5), WEIGHTS(5)}, TOL_REDUCTION,
     NULL, 0},
    {"loss, rows that start anywhere", &dlm_op_cross_entropy, LOSS, 3,
     {X(9, 1997),
      {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {9}, .fill = FILL_IDS, .max = 1997}, WEIGHTS(9)},
     TOL_REDUCTION, NULL, 0},
    {"loss, PaliGemma's vocabulary", &dlm_op_cross_entropy, LOSS, 3,
     {X(3, 257216),
      {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {3}, .fill = FILL_IDS, .max = 257216},
      WEIGHTS(3)}, TOL_REDUCTION, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
