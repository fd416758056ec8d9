/* Rows of add. */
#include "harness.h"

static const struct op_row rows[] = {
    {"one element", &dlm_op_add, {{0}}, 2, {{.ndim = 1, .shape = {1}}, {.ndim = 1, .shape = {1}}},
     TOL_ELEMENTWISE, NULL, 0},
    {"many", &dlm_op_add, {{0}}, 2,
     {{.ndim = 2, .shape = {129, 67}}, {.ndim = 2, .shape = {129, 67}}}, TOL_ELEMENTWISE, NULL, 0},
    {"row", &dlm_op_add, {{0}}, 2, {{.ndim = 3, .shape = {3, 5, 33}}, {.ndim = 1, .shape = {33}}},
     TOL_ELEMENTWISE, NULL, 0},
    {"both broadcast", &dlm_op_add, {{0}}, 2,
     {{.ndim = 3, .shape = {3, 1, 33}}, {.ndim = 4, .shape = {2, 1, 5, 1}}}, TOL_ELEMENTWISE, NULL,
     0},
    {"strided", &dlm_op_add, {{0}}, 2,
     {{.ndim = 2, .shape = {17, 19}, .view = VIEW_TRANSPOSED},
      {.ndim = 2, .shape = {17, 19}, .view = VIEW_SLICED}},
     TOL_ELEMENTWISE, NULL, 0},
    {"reversed in six dimensions", &dlm_op_add, {{0}}, 2,
     {{.ndim = 6, .shape = {3, 2, 5, 1, 7, 4}, .view = VIEW_REVERSED},
      {.ndim = 6, .shape = {3, 1, 5, 2, 7, 1}}}, TOL_ELEMENTWISE, NULL, 0},
    {"extremes", &dlm_op_add, {{0}}, 2,
     {{.ndim = 2, .shape = {9, 100}, .fill = FILL_EXTREME}, {.ndim = 2, .shape = {9, 100}}},
     TOL_ELEMENTWISE, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
