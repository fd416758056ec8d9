/* Rows of adamw. */
#include "harness.h"

#define X(n) {.ndim = 1, .shape = {n}}
#define V(n) {.ndim = 1, .shape = {n}, .fill = FILL_UNIFORM, .scale = 0.01}
#define ZERO(n) {.ndim = 1, .shape = {n}, .fill = FILL_CONST}
#define PAIR(values) {.ndim = 1, .shape = {2}, .fill = FILL_DATA_F32, .data = values, .data_len = 2}
#define HYPER(values) {.ndim = 1, .shape = {8}, .fill = FILL_DATA_F32, .data = values,             \
                       .data_len = 8}

static const float clipped[2] = {7, 0.25f}, whole[2] = {0.1f, 1};
/* lr, wd, b1, b2, eps, 1 - b1^t, sqrt(1 - b2^t) at steps 1 and 100, and with large values of all */
static const float first[8] = {1e-3f, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.0316227766f, 0};
static const float later[8] = {2e-4f, 0.1f, 0.9f, 0.999f, 1e-8f, 0.99997344f, 0.30864f, 0};
static const float coarse[8] = {0.5f, 0.5f, 0.5f, 0.75f, 0.5f, 0.5f, 0.5f, 0};

static const struct op_row rows[] = {
    {"one element", &dlm_op_adamw, {{0}}, 6, {X(1), X(1), X(1), V(1), PAIR(whole), HYPER(first)},
     TOL_ELEMENTWISE, NULL, 0},
    {"first step", &dlm_op_adamw, {{0}}, 6,
     {X(5003), X(5003), ZERO(5003), ZERO(5003), PAIR(whole), HYPER(first)}, TOL_ELEMENTWISE, NULL,
     0},
    {"later, clipped", &dlm_op_adamw, {{0}}, 6,
     {X(5003), X(5003), X(5003), V(5003), PAIR(clipped), HYPER(later)}, TOL_ELEMENTWISE, NULL, 0},
    {"coarse", &dlm_op_adamw, {{0}}, 6,
     {X(777), X(777), X(777), V(777), PAIR(clipped), HYPER(coarse)}, TOL_ELEMENTWISE, NULL, 0},
    {"no gradient at all", &dlm_op_adamw, {{0}}, 6,
     {X(100), ZERO(100), ZERO(100), ZERO(100), PAIR(whole), HYPER(first)}, TOL_ELEMENTWISE, NULL,
     0},
    {"small and large gradients", &dlm_op_adamw, {{0}}, 6,
     {X(300),
      {.ndim = 1, .shape = {300}, .fill = FILL_EXTREME, .scale = 1e-12},
      X(300), V(300), PAIR(whole), HYPER(later)}, TOL_PRODUCT, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
