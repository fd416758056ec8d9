/* Rows of scale. */
#include "harness.h"

static const union dlm_attrs by_one = {.scale = {1.0f}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_scale, {.scale = {2.5f}}, 2, {{.ndim = 1, .shape = {1}}},
     TOL_ELEMENTWISE, &by_one, 0},
    {"factor alone", &dlm_op_scale, {.scale = {-0.25f}}, 2, {{.ndim = 3, .shape = {5, 67, 29}}},
     TOL_ELEMENTWISE, &by_one, 0},
    {"with t", &dlm_op_scale, {.scale = {2.5f}}, 2,
     {{.ndim = 2, .shape = {67, 129}}, {.ndim = 1, .shape = {1}, .fill = FILL_CONST, .scale = -3}},
     TOL_ELEMENTWISE, &by_one, 0},
    {"t switches off", &dlm_op_scale, {.scale = {2.5f}}, 2,
     {{.ndim = 2, .shape = {6, 13}}, {.ndim = 1, .shape = {1}, .fill = FILL_CONST}}, TOL_EXACT,
     NULL, 0},
    {"extremes", &dlm_op_scale, {.scale = {0.5f}}, 2,
     {{.ndim = 2, .shape = {40, 25}, .fill = FILL_EXTREME}}, TOL_ELEMENTWISE, &by_one, 0},
    {"many groups", &dlm_op_scale, {.scale = {3.0f}}, 2, {{.ndim = 2, .shape = {701, 1009}}},
     TOL_ELEMENTWISE, &by_one, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
