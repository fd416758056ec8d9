/* Rows of fill. */
#include "harness.h"

static const union dlm_attrs zero = {.fill = {0}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_fill, {.fill = {2.5f}}, 1, {{.ndim = 1, .shape = {1}}}, TOL_EXACT,
     &zero, 0},
    {"zeros", &dlm_op_fill, {.fill = {0}}, 1, {{.ndim = 2, .shape = {65, 67}}}, TOL_EXACT, NULL, 0},
    {"odd size", &dlm_op_fill, {.fill = {-1e30f}}, 1, {{.ndim = 3, .shape = {3, 65, 67}}},
     TOL_EXACT, &zero, 0},
    {"a slice", &dlm_op_fill, {.fill = {7}}, 1,
     {{.ndim = 1, .shape = {301}, .view = VIEW_SLICED}}, TOL_EXACT, &zero, 0},
    {"many groups", &dlm_op_fill, {.fill = {1}}, 1, {{.ndim = 2, .shape = {701, 1009}}}, TOL_EXACT,
     &zero, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
