/* Rows of activation and its backward. */
#include "harness.h"

#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}, .scale = 3}
#define DY(...) {.ndim = 2, .shape = {__VA_ARGS__}}
#define EXTREME(...) {.ndim = 2, .shape = {__VA_ARGS__}, .fill = FILL_EXTREME}

static const union dlm_attrs gelu_tanh = {.activation = {DLM_ACT_GELU_TANH}};
static const union dlm_attrs gelu_erf = {.activation = {DLM_ACT_GELU_ERF}};
static const union dlm_attrs silu = {.activation = {DLM_ACT_SILU}};

/* Rows of a kind in both directions; `other` gives another answer. */
#define BOTH(kind, name, other)                                                                    \
    {name, &dlm_op_activation, {.activation = {kind}}, 1, {X(65, 67)}, TOL_ELEMENTWISE, other, 0}, \
        {name ", extremes", &dlm_op_activation, {.activation = {kind}}, 1, {EXTREME(10, 100)},     \
         TOL_ELEMENTWISE, NULL, 0},                                                                \
        {name, &dlm_op_activation_backward, {.activation = {kind}}, 2, {X(65, 67), DY(65, 67)},    \
         TOL_ELEMENTWISE, other, 0},                                                               \
        {name ", extremes", &dlm_op_activation_backward, {.activation = {kind}}, 2,                \
         {EXTREME(10, 100), DY(10, 100)}, TOL_ELEMENTWISE, NULL, 0}

static const struct op_row rows[] = {
    {"one element", &dlm_op_activation, {.activation = {DLM_ACT_SILU}}, 1, {X(1, 1)},
     TOL_ELEMENTWISE, NULL, 0},
    {"gelu tanh", &dlm_op_activation, {.activation = {DLM_ACT_GELU_TANH}}, 1, {X(65, 67)},
     TOL_ELEMENTWISE, &gelu_erf, 0},
    {"gelu erf", &dlm_op_activation, {.activation = {DLM_ACT_GELU_ERF}}, 1, {X(65, 67)},
     TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"silu", &dlm_op_activation, {.activation = {DLM_ACT_SILU}}, 1, {X(65, 67)}, TOL_ELEMENTWISE,
     &gelu_tanh, 0},
    {"gelu tanh, extremes", &dlm_op_activation, {.activation = {DLM_ACT_GELU_TANH}}, 1,
     {EXTREME(10, 100)}, TOL_ELEMENTWISE, NULL, 0},
    {"gelu erf, extremes", &dlm_op_activation, {.activation = {DLM_ACT_GELU_ERF}}, 1,
     {EXTREME(10, 100)}, TOL_ELEMENTWISE, NULL, 0},
    {"silu, extremes", &dlm_op_activation, {.activation = {DLM_ACT_SILU}}, 1, {EXTREME(10, 100)},
     TOL_ELEMENTWISE, &gelu_erf, 0},
    {"many groups", &dlm_op_activation, {.activation = {DLM_ACT_GELU_TANH}}, 1, {X(130, 1153)},
     TOL_ELEMENTWISE, &silu, 0},

    {"one element", &dlm_op_activation_backward, {.activation = {DLM_ACT_GELU_TANH}}, 2,
     {X(1, 1), DY(1, 1)}, TOL_ELEMENTWISE, NULL, 0},
    {"gelu tanh", &dlm_op_activation_backward, {.activation = {DLM_ACT_GELU_TANH}}, 2,
     {X(65, 67), DY(65, 67)}, TOL_ELEMENTWISE, &gelu_erf, 0},
    {"gelu erf", &dlm_op_activation_backward, {.activation = {DLM_ACT_GELU_ERF}}, 2,
     {X(65, 67), DY(65, 67)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"silu", &dlm_op_activation_backward, {.activation = {DLM_ACT_SILU}}, 2,
     {X(65, 67), DY(65, 67)}, TOL_ELEMENTWISE, &gelu_tanh, 0},
    {"gelu tanh, extremes", &dlm_op_activation_backward, {.activation = {DLM_ACT_GELU_TANH}}, 2,
     {EXTREME(10, 100), DY(10, 100)}, TOL_ELEMENTWISE, NULL, 0},
    {"gelu erf, extremes", &dlm_op_activation_backward, {.activation = {DLM_ACT_GELU_ERF}}, 2,
     {EXTREME(10, 100), DY(10, 100)}, TOL_ELEMENTWISE, NULL, 0},
    {"silu, extremes", &dlm_op_activation_backward, {.activation = {DLM_ACT_SILU}}, 2,
     {EXTREME(10, 100), DY(10, 100)}, TOL_ELEMENTWISE, NULL, 0},

    BOTH(DLM_ACT_QUICK_GELU, "quick gelu", &gelu_tanh),
    BOTH(DLM_ACT_TANH, "tanh", &silu),
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
