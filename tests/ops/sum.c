/* Rows of sum. */
#include "harness.h"

#define X(...) {.ndim = 4, .shape = {__VA_ARGS__}}

static const union dlm_attrs first = {.sum = {1}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_sum, {.sum = {1}}, 1, {{.ndim = 1, .shape = {1}}}, TOL_PRODUCT, NULL,
     0},
    {"a row", &dlm_op_sum, {.sum = {1}}, 1, {{.ndim = 1, .shape = {1000}}}, TOL_PRODUCT, NULL, 0},
    {"no axis", &dlm_op_sum, {.sum = {0}}, 1, {{.ndim = 2, .shape = {7, 67}}}, TOL_PRODUCT, NULL,
     0},
    {"first axis", &dlm_op_sum, {.sum = {1}}, 1, {X(5, 3, 7, 5)}, TOL_PRODUCT, NULL, 0},
    {"last axis", &dlm_op_sum, {.sum = {8}}, 1, {X(3, 3, 7, 67)}, TOL_PRODUCT, NULL, 0},
    {"axes matter", &dlm_op_sum, {.sum = {2}}, 1, {X(6, 6, 6, 6)}, TOL_PRODUCT, &first, 0},
    {"inner axes", &dlm_op_sum, {.sum = {6}}, 1, {X(3, 5, 5, 3)}, TOL_PRODUCT, NULL, 0},
    {"outer axes", &dlm_op_sum, {.sum = {9}}, 1, {X(3, 4, 5, 6)}, TOL_PRODUCT, NULL, 0},
    {"every axis", &dlm_op_sum, {.sum = {15}}, 1, {X(3, 4, 5, 66)}, TOL_PRODUCT, NULL, 0},
    {"transposed", &dlm_op_sum, {.sum = {1}}, 1,
     {{.ndim = 2, .shape = {67, 33}, .view = VIEW_TRANSPOSED}}, TOL_PRODUCT, NULL, 0},
    {"columns", &dlm_op_sum, {.sum = {1}}, 1, {{.ndim = 2, .shape = {37, 131}}}, TOL_PRODUCT, NULL,
     0},
    {"columns of a slice", &dlm_op_sum, {.sum = {5}}, 1,
     {{.ndim = 4, .shape = {3, 5, 7, 67}, .view = VIEW_SLICED}}, TOL_PRODUCT, NULL, 0},
    {"columns between", &dlm_op_sum, {.sum = {2}}, 1, {X(5, 6, 4, 65)}, TOL_PRODUCT, NULL, 0},
    {"transposed, the last axis", &dlm_op_sum, {.sum = {2}}, 1,
     {{.ndim = 2, .shape = {67, 33}, .view = VIEW_TRANSPOSED}}, TOL_PRODUCT, NULL, 0},
    {"sliced", &dlm_op_sum, {.sum = {2}}, 1, {{.ndim = 2, .shape = {17, 130}, .view = VIEW_SLICED}},
     TOL_PRODUCT, NULL, 0},
    {"zeros", &dlm_op_sum, {.sum = {8}}, 1,
     {{.ndim = 4, .shape = {1, 2, 3, 100}, .fill = FILL_CONST}}, TOL_EXACT, NULL, 0},
    {"large", &dlm_op_sum, {.sum = {8}}, 1, {{.ndim = 4, .shape = {1, 2, 3, 100}, .scale = 1e30}},
     TOL_PRODUCT, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
