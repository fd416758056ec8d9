/* Rows of softmax and its backward. */
#include "harness.h"

#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}, .scale = 3}
#define Y(...) {.ndim = 2, .shape = {__VA_ARGS__}, .fill = FILL_UNIFORM, .scale = 0.1}

static const float far_apart[] = {1e30f, -1e30f, 0.0f, 1e30f, 88.0f, -104.0f, -3e38f};

static const struct op_row rows[] = {
    {"one element", &dlm_op_softmax, {{0}}, 1, {X(1, 1)}, TOL_REDUCTION, NULL, 0},
    {"odd sizes", &dlm_op_softmax, {{0}}, 1, {X(7, 67)}, TOL_REDUCTION, NULL, 0},
    {"wide", &dlm_op_softmax, {{0}}, 1, {X(2, 5000)}, TOL_REDUCTION, NULL, 0},
    {"three dimensions", &dlm_op_softmax, {{0}}, 1, {{.ndim = 3, .shape = {3, 5, 9}}},
     TOL_REDUCTION, NULL, 0},
    {"zeros", &dlm_op_softmax, {{0}}, 1, {{.ndim = 2, .shape = {2, 65}, .fill = FILL_CONST}},
     TOL_REDUCTION, NULL, 0},
    {"far apart", &dlm_op_softmax, {{0}}, 1,
     {{.ndim = 2, .shape = {3, 70}, .fill = FILL_DATA_F32, .data = far_apart, .data_len = 7}},
     TOL_REDUCTION, NULL, 0},
    {"extremes", &dlm_op_softmax, {{0}}, 1, {{.ndim = 2, .shape = {9, 100}, .fill = FILL_EXTREME}},
     TOL_REDUCTION, NULL, 0},
    {"many rows", &dlm_op_softmax, {{0}}, 1, {X(70000, 3)}, TOL_REDUCTION, NULL, 0},

    {"one element", &dlm_op_softmax_backward, {{0}}, 2, {Y(1, 1), X(1, 1)}, TOL_REDUCTION, NULL, 0},
    {"odd sizes", &dlm_op_softmax_backward, {{0}}, 2, {Y(7, 67), X(7, 67)}, TOL_REDUCTION, NULL, 0},
    {"wide", &dlm_op_softmax_backward, {{0}}, 2, {Y(2, 5000), X(2, 5000)}, TOL_PRODUCT, NULL, 0},
};

int main(void)
{
    return op_rows_main(rows, DLM_ARRAY_LEN(rows));
}
