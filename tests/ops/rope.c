/* Rows of rope. */
#include "harness.h"

#define X(...) {.ndim = 3, .shape = {__VA_ARGS__}}
#define T(...) {.ndim = 2, .shape = {__VA_ARGS__}}

#define SLICE(...) {.ndim = 3, .shape = {__VA_ARGS__}, .view = VIEW_SLICED}

static const union dlm_attrs forward = {.rope = {false, 0}};
static const union dlm_attrs inverse = {.rope = {true, 0}};

static const struct op_row rows[] = {
    {"one pair", &dlm_op_rope, {.rope = {false, 0}}, 3, {X(1, 1, 2), T(1, 1), T(1, 1)},
     TOL_ELEMENTWISE, &inverse, 0},
    {"odd sizes", &dlm_op_rope, {.rope = {false, 0}}, 3, {X(7, 3, 10), T(7, 5), T(7, 5)},
     TOL_ELEMENTWISE, &inverse, 0},
    {"heads of 256", &dlm_op_rope, {.rope = {false, 0}}, 3, {X(9, 2, 256), T(9, 128), T(9, 128)},
     TOL_ELEMENTWISE, &inverse, 0},
    {"inverse", &dlm_op_rope, {.rope = {true, 0}}, 3, {X(7, 5, 18), T(7, 9), T(7, 9)},
     TOL_ELEMENTWISE, &forward, 0},
    {"zeros", &dlm_op_rope, {.rope = {false, 0}}, 3,
     {{.ndim = 3, .shape = {2, 2, 6}, .fill = FILL_CONST}, T(2, 3), T(2, 3)}, TOL_EXACT, NULL, 0},
    {"large", &dlm_op_rope, {.rope = {false, 0}}, 3,
     {{.ndim = 3, .shape = {4, 2, 64}, .scale = 1e30}, T(4, 32), T(4, 32)}, TOL_PRODUCT, &inverse,
     0},
    {"many rows", &dlm_op_rope, {.rope = {false, 0}}, 3, {X(70000, 1, 2), T(70000, 1), T(70000, 1)},
     TOL_ELEMENTWISE, &inverse, 0},
    {"slices", &dlm_op_rope, {.rope = {false, 0}}, 3, {SLICE(7, 3, 10), T(7, 5), T(7, 5)},
     TOL_ELEMENTWISE, &inverse, 0},
    {"some heads", &dlm_op_rope, {.rope = {false, 3}}, 3, {X(9, 5, 18), T(9, 9), T(9, 9)},
     TOL_ELEMENTWISE, &forward, 0},
    {"some heads of slices, inverse", &dlm_op_rope, {.rope = {true, 4}}, 3,
     {SLICE(9, 5, 72), T(9, 36), T(9, 36)}, TOL_ELEMENTWISE, &inverse, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
