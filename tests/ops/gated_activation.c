/* Rows of gated_activation and its backward. */
#include "harness.h"

#define G(...) {.ndim = 2, .shape = {__VA_ARGS__}, .scale = 2}
#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}}
#define HALF(type, ...) {.dtype = type, .ndim = 2, .shape = {__VA_ARGS__}, .scale = 2}
#define SLICED(type, ...)                                                                          \
    {.dtype = type, .ndim = 2, .shape = {__VA_ARGS__}, .scale = 2, .view = VIEW_SLICED}
#define EXTREME(...) {.ndim = 2, .shape = {__VA_ARGS__}, .fill = FILL_EXTREME}

static const union dlm_attrs gelu_tanh = {.activation = {DLM_ACT_GELU_TANH}};
static const union dlm_attrs gelu_erf = {.activation = {DLM_ACT_GELU_ERF}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_gated_activation, {.activation = {DLM_ACT_GELU_TANH}}, 2,
     {G(1, 1), X(1, 1)}, TOL_ELEMENTWISE, NULL, 0},
    {"gelu tanh", &dlm_op_gated_activation, {.activation = {DLM_ACT_GELU_TANH}}, 2,
     {G(65, 67), X(65, 67)}, TOL_ELEMENTWISE, &gelu_erf, 0},
    {"gelu erf", &dlm_op_gated_activation, {.activation = {DLM_ACT_GELU_ERF}}, 2,
     {G(65, 67), X(65, 67)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"silu", &dlm_op_gated_activation, {.activation = {DLM_ACT_SILU}}, 2, {G(65, 67), X(65, 67)},
     TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"quick gelu", &dlm_op_gated_activation, {.activation = {DLM_ACT_QUICK_GELU}}, 2,
     {G(65, 67), X(65, 67)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"tanh", &dlm_op_gated_activation, {.activation = {DLM_ACT_TANH}}, 2, {G(65, 67), X(65, 67)},
     TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"extreme gate", &dlm_op_gated_activation, {.activation = {DLM_ACT_GELU_TANH}}, 2,
     {EXTREME(10, 100), X(10, 100)}, TOL_ELEMENTWISE, NULL, 0},
    {"slices", &dlm_op_gated_activation, {.activation = {DLM_ACT_SILU}}, 2,
     {SLICED(DLM_DTYPE_F32, 9, 35), SLICED(DLM_DTYPE_F32, 9, 35)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"a slice of whole fours", &dlm_op_gated_activation, {.activation = {DLM_ACT_SILU}}, 2,
     {G(5, 64), SLICED(DLM_DTYPE_F32, 5, 64)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"rows longer than a group's", &dlm_op_gated_activation, {.activation = {DLM_ACT_SILU}}, 2,
     {G(3, 4160), X(3, 4160)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"zeros", &dlm_op_gated_activation, {.activation = {DLM_ACT_SILU}}, 2,
     {{.ndim = 1, .shape = {70}, .fill = FILL_CONST}, {.ndim = 1, .shape = {70}}}, TOL_EXACT, NULL,
     0},

    {"one element", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_GELU_TANH}}, 3,
     {G(1, 1), X(1, 1), X(1, 1)}, TOL_ELEMENTWISE, NULL, 0},
    {"gelu tanh", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_GELU_TANH}}, 3,
     {G(65, 67), X(65, 67), X(65, 67)}, TOL_ELEMENTWISE, &gelu_erf, 0},
    {"gelu erf", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_GELU_ERF}}, 3,
     {G(65, 67), X(65, 67), X(65, 67)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"silu", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_SILU}}, 3,
     {G(65, 67), X(65, 67), X(65, 67)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"quick gelu", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_QUICK_GELU}}, 3,
     {G(65, 67), X(65, 67), X(65, 67)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"bf16, tanh", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_TANH}}, 3,
     {HALF(DLM_DTYPE_BF16, 65, 67), HALF(DLM_DTYPE_BF16, 65, 67), X(65, 67)}, TOL_ELEMENTWISE,
     &gelu_tanh, 0},
    {"extreme gate", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_GELU_TANH}}, 3,
     {EXTREME(10, 100), X(10, 100), X(10, 100)}, TOL_ELEMENTWISE, NULL, 0},
    {"f16, gelu tanh", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_GELU_TANH}}, 3,
     {HALF(DLM_DTYPE_F16, 65, 67), HALF(DLM_DTYPE_F16, 65, 67), X(65, 67)}, TOL_ELEMENTWISE,
     &gelu_erf, 0},
    {"bf16, gelu erf", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_GELU_ERF}}, 3,
     {HALF(DLM_DTYPE_BF16, 65, 67), HALF(DLM_DTYPE_BF16, 65, 67), X(65, 67)}, TOL_ELEMENTWISE,
     &gelu_tanh, 0},
    {"bf16, silu", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_SILU}}, 3,
     {HALF(DLM_DTYPE_BF16, 64, 66), HALF(DLM_DTYPE_BF16, 64, 66), X(64, 66)}, TOL_ELEMENTWISE,
     &gelu_tanh, 0},
    {"slices", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_SILU}}, 3,
     {SLICED(DLM_DTYPE_F32, 9, 35), SLICED(DLM_DTYPE_F32, 9, 35), X(9, 35)}, TOL_ELEMENTWISE,
     &gelu_tanh, 0},
    {"bf16, slices", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_SILU}}, 3,
     {SLICED(DLM_DTYPE_BF16, 9, 35), SLICED(DLM_DTYPE_BF16, 9, 35), X(9, 35)}, TOL_ELEMENTWISE,
     &gelu_tanh, 0},
    {"rows longer than a group's", &dlm_op_gated_activation_backward,
     {.activation = {DLM_ACT_SILU}}, 3, {G(2, 4160), X(2, 4160), X(2, 4160)}, TOL_ELEMENTWISE,
     &gelu_tanh, 0},
    {"bf16, one element", &dlm_op_gated_activation_backward, {.activation = {DLM_ACT_SILU}}, 3,
     {HALF(DLM_DTYPE_BF16, 1, 1), HALF(DLM_DTYPE_BF16, 1, 1), X(1, 1)}, TOL_ELEMENTWISE, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
