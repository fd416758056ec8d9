/* Rows of gather_rows. */
#include "harness.h"

#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}}
#define IDX(n) {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {n}, .fill = FILL_DATA_I32,            \
                .data = idx, .data_len = DLM_ARRAY_LEN(idx)}
#define IDX_BACK(n) {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {n}, .fill = FILL_CONST,          \
                     .scale = -1}

/* Rows of 9: inside, at the edges, and on both sides outside. */
static const int32_t idx[] = {0, 8, -1, 3, 9, 3, INT32_MIN, INT32_MAX, 7};

static const struct op_row rows[] = {
    {"one element", &dlm_op_gather_rows, {{0}}, 3, {X(1, 1), IDX(1)}, TOL_EXACT, NULL, 0},
    {"odd sizes", &dlm_op_gather_rows, {{0}}, 3, {X(9, 67), IDX(29)}, TOL_EXACT, NULL, 0},
    {"with the way back", &dlm_op_gather_rows, {{0}}, 3, {X(9, 67), IDX(5), IDX_BACK(9)}, TOL_EXACT,
     NULL, 0},
    {"wide", &dlm_op_gather_rows, {{0}}, 3, {X(9, 2048), IDX(4)}, TOL_EXACT, NULL, 0},
    {"extremes", &dlm_op_gather_rows, {{0}}, 3,
     {{.ndim = 2, .shape = {9, 65}, .fill = FILL_EXTREME}, IDX(9)}, TOL_EXACT, NULL, 0},
    {"many rows", &dlm_op_gather_rows, {{0}}, 3, {X(9, 2), IDX(70000)}, TOL_EXACT, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
