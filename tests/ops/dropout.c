/* Rows of dropout. */
#include "harness.h"

#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}}
#define RNG(words) {.dtype = DLM_DTYPE_U32, .ndim = 1, .shape = {4}, .fill = FILL_DATA_I32,        \
                    .data = words, .data_len = 4}
#define ROW_IDS(n) {.dtype = DLM_DTYPE_U32, .ndim = 1, .shape = {n}, .fill = FILL_DATA_I32,        \
                    .data = row_ids, .data_len = 5}

static const int32_t seed_a[4] = {1234567, 891011, 3, 0};
static const int32_t seed_b[4] = {1234567, 891011, 4, 0}; /* another step */
static const int32_t seed_c[4] = {7, 0, 3, 0};
static const int32_t row_ids[5] = {17, 2, 2000000000, 0, 5};

static const union dlm_attrs half = {.dropout = {0.5f, 77, 5}};
static const union dlm_attrs other_module = {.dropout = {0.5f, 78, 5}};
static const union dlm_attrs from_start = {.dropout = {0.5f, 77, 10, 0}};
static const union dlm_attrs other_rows = {.dropout = {0.5f, 77, 25}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_dropout, {.dropout = {0.5f, 77, 1}}, 3,
     {X(1, 1), RNG(seed_a), ROW_IDS(1)}, TOL_ELEMENTWISE, NULL, 0},
    {"p of 0", &dlm_op_dropout, {.dropout = {0.0f, 77, 5}}, 3, {X(25, 67), RNG(seed_a), ROW_IDS(5)},
     TOL_ELEMENTWISE, &half, 0},
    {"p of 0.5", &dlm_op_dropout, {.dropout = {0.5f, 77, 5}}, 3,
     {X(25, 67), RNG(seed_a), ROW_IDS(5)}, TOL_ELEMENTWISE, &other_module, 0},
    {"p of 0.05", &dlm_op_dropout, {.dropout = {0.05f, 0xfedcba98u, 5}}, 3,
     {X(25, 67), RNG(seed_a), ROW_IDS(5)}, TOL_ELEMENTWISE, &half, 0},
    {"another step", &dlm_op_dropout, {.dropout = {0.5f, 77, 5}}, 3,
     {X(25, 67), RNG(seed_b), ROW_IDS(5)}, TOL_ELEMENTWISE, &other_rows, 0},
    {"another seed", &dlm_op_dropout, {.dropout = {0.9f, 77, 5}}, 3,
     {X(25, 67), RNG(seed_c), ROW_IDS(5)}, TOL_ELEMENTWISE, &half, 0},
    {"a batch row cut short", &dlm_op_dropout, {.dropout = {0.5f, 77, 10}}, 3,
     {X(25, 33), RNG(seed_a), ROW_IDS(3)}, TOL_ELEMENTWISE, NULL, 0},
    {"later rows", &dlm_op_dropout, {.dropout = {0.5f, 77, 10, 13}}, 3,
     {X(12, 33), RNG(seed_a), ROW_IDS(3)}, TOL_ELEMENTWISE, &from_start, 0},
    {"many rows", &dlm_op_dropout, {.dropout = {0.5f, 77, 14000}}, 3,
     {X(70000, 2), RNG(seed_a), ROW_IDS(5)}, TOL_ELEMENTWISE, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
