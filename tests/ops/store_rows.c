/* Rows of store_rows. */
#include "harness.h"

#define DST(type, ...) {.dtype = type, .ndim = 2, .shape = {__VA_ARGS__}}
#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}}
#define START(values) {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {2}, .fill = FILL_DATA_I32,     \
                       .data = values, .data_len = 2}

static const int32_t all[2] = {0, 100}, some[2] = {3, 4}, none[2] = {3, 0}, negative[2] = {3, -1};
static const int32_t past_end[2] = {10, 9}, outside[2] = {50, 9}, before[2] = {-2, 9};
static const int32_t last[2] = {12, 1}, many[2] = {1, 70000};

static const struct op_row rows[] = {
    {"one element", &dlm_op_store_rows, {{0}}, 3, {DST(DLM_DTYPE_F32, 1, 1), X(1, 1), START(all)},
     TOL_EXACT, NULL, 0},
    {"f32", &dlm_op_store_rows, {{0}}, 3, {DST(DLM_DTYPE_F32, 13, 67), X(9, 67), START(some)},
     TOL_EXACT, NULL, 0},
    {"f16", &dlm_op_store_rows, {{0}}, 3, {DST(DLM_DTYPE_F16, 13, 66), X(9, 66), START(some)},
     TOL_EXACT, NULL, 0},
    {"f32 from a slice", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_F32, 13, 67), {.ndim = 2, .shape = {9, 67}, .view = VIEW_SLICED}, START(some)},
     TOL_EXACT, NULL, 0},
    {"bf16 from a slice", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_BF16, 13, 66), {.ndim = 2, .shape = {9, 66}, .view = VIEW_SLICED}, START(some)},
     TOL_EXACT, NULL, 0},
    {"bf16", &dlm_op_store_rows, {{0}}, 3, {DST(DLM_DTYPE_BF16, 13, 66), X(9, 66), START(some)},
     TOL_EXACT, NULL, 0},
    {"wide bf16", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_BF16, 13, 514), X(13, 514), START(all)}, TOL_EXACT, NULL, 0},
    {"f16 out of range", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_F16, 13, 66),
      {.ndim = 2, .shape = {9, 66}, .fill = FILL_EXTREME}, START(some)}, TOL_EXACT, NULL, 0},
    {"no rows", &dlm_op_store_rows, {{0}}, 3, {DST(DLM_DTYPE_F32, 13, 67), X(9, 67), START(none)},
     TOL_EXACT, NULL, 0},
    {"fewer than none", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_F32, 13, 67), X(9, 67), START(negative)}, TOL_EXACT, NULL, 0},
    {"past the end", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_F32, 13, 67), X(9, 67), START(past_end)}, TOL_EXACT, NULL, 0},
    {"past the end, bf16", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_BF16, 13, 66), X(9, 66), START(past_end)}, TOL_EXACT, NULL, 0},
    {"outside", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_F32, 13, 67), X(9, 67), START(outside)}, TOL_EXACT, NULL, 0},
    {"before the start", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_F32, 13, 67), X(9, 67), START(before)}, TOL_EXACT, NULL, 0},
    {"the last row", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_F16, 13, 2), X(1, 2), START(last)}, TOL_EXACT, NULL, 0},
    {"many rows", &dlm_op_store_rows, {{0}}, 3,
     {DST(DLM_DTYPE_F32, 70001, 2), X(70000, 2), START(many)}, TOL_EXACT, NULL,
     0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
