/* Rows of copy. */
#include "harness.h"

#define F32(...) {.dtype = DLM_DTYPE_F32, .ndim = 3, .shape = {__VA_ARGS__}}
#define F16(...) {.dtype = DLM_DTYPE_F16, .ndim = 3, .shape = {__VA_ARGS__}}
#define BF16(...) {.dtype = DLM_DTYPE_BF16, .ndim = 3, .shape = {__VA_ARGS__}}
#define TO_F32 {.copy_dtype = DLM_DTYPE_F32}
#define TO_F16 {.copy_dtype = DLM_DTYPE_F16}
#define TO_BF16 {.copy_dtype = DLM_DTYPE_BF16}
#define SLICED(type) {.dtype = type, .ndim = 3, .shape = {3, 17, 11}, .view = VIEW_SLICED}
#define REVERSED(type, n, ...)                                                                     \
    {.dtype = DLM_DTYPE_##type, .ndim = n, .shape = {__VA_ARGS__}, .view = VIEW_REVERSED}
#define TURNED(type) {.dtype = type, .ndim = 3, .shape = {3, 17, 11}, .view = VIEW_TRANSPOSED}
#define DATA(values) {.ndim = 2, .shape = {5, 30}, .fill = FILL_DATA_F32, .data = values, \
                      .data_len = DLM_ARRAY_LEN(values)}

static const union dlm_attrs as_f32 = TO_F32;

/* Halves of the last place of f16 and bf16, the edges of their ranges, denormals, zeros. */
static const float edges[] = {0.0f,        -0.0f,       1.0f,        1.00048828125f, 1.00146484375f,
                              1.00390625f, 1.01171875f, 65504.0f,    65519.99f,      65520.0f,
                              -65536.0f,   6.1e-5f,     6.09e-5f,    5.96e-8f,       2.98e-8f,
                              2.981e-8f,   8.94e-8f,    -1.1e-7f,    1e-40f,         1e-45f,
                              3.38e38f,    -3.4e38f,    1.17549e-38f};

static const struct op_row rows[] = {
    {"one element", &dlm_op_copy, TO_F32, 1, {F32(1, 1, 1)}, TOL_EXACT, NULL, 0},
    {"f32 to f32", &dlm_op_copy, TO_F32, 1, {F32(5, 13, 67)}, TOL_EXACT, NULL, 0},
    {"f32 to f16", &dlm_op_copy, TO_F16, 1, {F32(5, 13, 67)}, TOL_EXACT, NULL, 0},
    {"f32 to bf16", &dlm_op_copy, TO_BF16, 1, {F32(5, 13, 67)}, TOL_EXACT, NULL, 0},
    {"f16 to f32", &dlm_op_copy, TO_F32, 1, {F16(5, 13, 67)}, TOL_EXACT, NULL, 0},
    {"f16 to f16", &dlm_op_copy, TO_F16, 1, {F16(5, 13, 67)}, TOL_EXACT, NULL, 0},
    {"f16 to bf16", &dlm_op_copy, TO_BF16, 1, {F16(5, 13, 67)}, TOL_EXACT, NULL, 0},
    {"bf16 to f32", &dlm_op_copy, TO_F32, 1, {BF16(5, 13, 67)}, TOL_EXACT, NULL, 0},
    {"bf16 to f16", &dlm_op_copy, TO_F16, 1, {BF16(5, 13, 67)}, TOL_EXACT, NULL, 0},
    {"bf16 to bf16", &dlm_op_copy, TO_BF16, 1, {BF16(5, 13, 67)}, TOL_EXACT, NULL, 0},

    {"one element to f16", &dlm_op_copy, TO_F16, 1, {F32(1, 1, 1)}, TOL_EXACT, NULL, 0},
    {"one element to bf16", &dlm_op_copy, TO_BF16, 1, {F32(1, 1, 1)}, TOL_EXACT, NULL, 0},
    {"two groups to bf16", &dlm_op_copy, TO_BF16, 1, {F32(1, 17, 257)}, TOL_EXACT, NULL, 0},

    {"sliced f32", &dlm_op_copy, TO_F32, 1, {SLICED(DLM_DTYPE_F32)}, TOL_EXACT, NULL, 0},
    {"sliced f16", &dlm_op_copy, TO_F32, 1, {SLICED(DLM_DTYPE_F16)}, TOL_EXACT, NULL, 0},
    {"sliced bf16 to f16", &dlm_op_copy, TO_F16, 1, {SLICED(DLM_DTYPE_BF16)}, TOL_EXACT, NULL, 0},
    {"sliced bf16 to bf16", &dlm_op_copy, TO_BF16, 1, {SLICED(DLM_DTYPE_BF16)}, TOL_EXACT, NULL, 0},
    {"transposed f32", &dlm_op_copy, TO_F32, 1, {TURNED(DLM_DTYPE_F32)}, TOL_EXACT, NULL, 0},
    {"transposed f32 to bf16", &dlm_op_copy, TO_BF16, 1, {TURNED(DLM_DTYPE_F32)}, TOL_EXACT, NULL,
     0},
    {"transposed f16 to f32", &dlm_op_copy, TO_F32, 1, {TURNED(DLM_DTYPE_F16)}, TOL_EXACT, NULL, 0},
    {"four dimensions", &dlm_op_copy, TO_F32, 1,
     {{.ndim = 4, .shape = {2, 3, 5, 7}, .view = VIEW_TRANSPOSED}}, TOL_EXACT, NULL, 0},

    {"reversed, three dimensions", &dlm_op_copy, TO_F32, 1, {REVERSED(F32, 3, 3, 17, 11)},
     TOL_EXACT, NULL, 0},
    {"reversed, four dimensions", &dlm_op_copy, TO_BF16, 1, {REVERSED(F32, 4, 3, 5, 7, 9)},
     TOL_EXACT, NULL, 0},
    {"reversed, five dimensions", &dlm_op_copy, TO_F32, 1, {REVERSED(BF16, 5, 2, 3, 5, 7, 9)},
     TOL_EXACT, NULL, 0},
    {"reversed, six dimensions", &dlm_op_copy, TO_F32, 1, {REVERSED(F32, 6, 3, 2, 5, 3, 7, 4)},
     TOL_EXACT, NULL, 0},
    {"reversed, six dimensions to f16", &dlm_op_copy, TO_F16, 1,
     {REVERSED(F32, 6, 3, 2, 5, 3, 7, 4)}, TOL_EXACT, NULL, 0},
    {"rounding to f16", &dlm_op_copy, TO_F16, 1, {DATA(edges)}, TOL_EXACT, &as_f32, 0},
    {"rounding to bf16", &dlm_op_copy, TO_BF16, 1, {DATA(edges)}, TOL_EXACT, &as_f32, 0},
    {"exact as f32", &dlm_op_copy, TO_F32, 1, {DATA(edges)}, TOL_EXACT, NULL, 0},
    {"extremes to bf16", &dlm_op_copy, TO_BF16, 1,
     {{.ndim = 2, .shape = {9, 100}, .fill = FILL_EXTREME}}, TOL_EXACT, &as_f32, 0},
    {"many groups", &dlm_op_copy, TO_F32, 1, {F32(7, 101, 999)}, TOL_EXACT, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
