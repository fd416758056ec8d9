/* Rows of layer_norm and its backward. */
#include "harness.h"

#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}}
#define V(n) {.ndim = 1, .shape = {n}}

static const union dlm_attrs no_eps = {.norm = {.eps = 0}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_layer_norm, {.norm = {1e-6f, false}}, 3, {X(1, 1), V(1), V(1)},
     TOL_REDUCTION, NULL, 0},
    {"odd sizes", &dlm_op_layer_norm, {.norm = {1e-6f, false}}, 3, {X(7, 67), V(67), V(67)},
     TOL_REDUCTION, NULL, 0},
    {"three dimensions", &dlm_op_layer_norm, {.norm = {1e-6f, false}}, 3,
     {{.ndim = 3, .shape = {2, 3, 65}}, V(65), V(65)}, TOL_REDUCTION, NULL, 0},
    {"wide", &dlm_op_layer_norm, {.norm = {1e-6f, false}}, 3, {X(3, 1152), V(1152), V(1152)},
     TOL_REDUCTION, NULL, 0},
    {"eps matters", &dlm_op_layer_norm, {.norm = {0.5f, false}}, 3, {X(5, 33), V(33), V(33)},
     TOL_REDUCTION, &no_eps, 0},
    {"constant rows", &dlm_op_layer_norm, {.norm = {1e-6f, false}}, 3,
     {{.ndim = 2, .shape = {2, 64}, .fill = FILL_CONST, .scale = 2}, V(64), V(64)}, TOL_REDUCTION,
     NULL, 0},
    {"large", &dlm_op_layer_norm, {.norm = {1e-6f, false}}, 3,
     {{.ndim = 2, .shape = {4, 130}, .scale = 1e15}, V(130), V(130)}, TOL_REDUCTION, NULL, 0},
    {"many rows", &dlm_op_layer_norm, {.norm = {0.1f, false}}, 3, {X(70000, 3), V(3), V(3)},
     TOL_REDUCTION, NULL, 0},

    {"one element", &dlm_op_layer_norm_backward, {.norm = {0.5f, false}}, 3,
     {X(1, 1), V(1), X(1, 1)}, TOL_REDUCTION, NULL, 0},
    {"odd sizes", &dlm_op_layer_norm_backward, {.norm = {1e-6f, false}}, 3,
     {X(7, 67), V(67), X(7, 67)}, TOL_REDUCTION, NULL, 0},
    {"eps matters", &dlm_op_layer_norm_backward, {.norm = {0.5f, false}}, 3,
     {X(5, 33), V(33), X(5, 33)}, TOL_REDUCTION, &no_eps, 0},
    {"wide", &dlm_op_layer_norm_backward, {.norm = {1e-6f, false}}, 3,
     {X(3, 1152), V(1152), X(3, 1152)}, TOL_PRODUCT, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
