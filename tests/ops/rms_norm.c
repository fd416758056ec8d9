/* Rows of rms_norm. */
#include "harness.h"

#define X(...) {.ndim = 2, .shape = {__VA_ARGS__}}
#define ROW_VECTOR(n) {.ndim = 1, .shape = {n}}

static const union dlm_attrs no_eps = {.norm = {.eps = 0, .plus_one = true}};
static const union dlm_attrs no_one = {.norm = {.eps = 1e-6f}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_rms_norm, {.norm = {1e-6f, true}}, 2, {X(1, 1), ROW_VECTOR(1)},
     TOL_REDUCTION, NULL, 0},
    {"odd sizes", &dlm_op_rms_norm, {.norm = {1e-6f, true}}, 2, {X(7, 67), ROW_VECTOR(67)},
     TOL_REDUCTION, &no_one, 0},
    {"wide", &dlm_op_rms_norm, {.norm = {1e-6f, false}}, 2, {X(3, 2048), ROW_VECTOR(2048)},
     TOL_REDUCTION, NULL, 0},
    {"eps matters", &dlm_op_rms_norm, {.norm = {0.5f, true}}, 2, {X(5, 33), ROW_VECTOR(33)},
     TOL_REDUCTION, &no_eps, 0},
    {"zeros", &dlm_op_rms_norm, {.norm = {1e-6f, true}}, 2,
     {{.ndim = 2, .shape = {2, 65}, .fill = FILL_CONST}, ROW_VECTOR(65)}, TOL_REDUCTION, NULL, 0},
    {"large and small", &dlm_op_rms_norm, {.norm = {1e-6f, true}}, 2,
     {{.ndim = 2, .shape = {4, 130}, .scale = 1e15}, ROW_VECTOR(130)}, TOL_REDUCTION, NULL, 0},
    {"many rows", &dlm_op_rms_norm, {.norm = {1e-6f, true}}, 2, {X(70000, 2), ROW_VECTOR(2)},
     TOL_REDUCTION, NULL, 0},

    {"odd sizes", &dlm_op_rms_norm_backward, {.norm = {1e-6f, true}}, 3,
     {X(7, 67), ROW_VECTOR(67), X(7, 67)}, TOL_REDUCTION, &no_one, 0},
    {"eps matters", &dlm_op_rms_norm_backward, {.norm = {0.5f, true}}, 3,
     {X(5, 33), ROW_VECTOR(33), X(5, 33)}, TOL_REDUCTION, &no_eps, 0},
    {"wide", &dlm_op_rms_norm_backward, {.norm = {1e-6f, false}}, 3,
     {X(3, 2048), ROW_VECTOR(2048), X(3, 2048)}, TOL_PRODUCT, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
