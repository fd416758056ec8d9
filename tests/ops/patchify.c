/* Rows of patchify. */
#include "harness.h"

#define X(...) {.ndim = 4, .shape = {__VA_ARGS__}}

static const union dlm_attrs patches_of_two = {.patchify = {2}};

static const struct op_row rows[] = {
    {"one pixel", &dlm_op_patchify, {.patchify = {1}}, 1, {X(1, 1, 1, 1)}, TOL_EXACT, NULL, 0},
    {"patches of one pixel", &dlm_op_patchify, {.patchify = {1}}, 1, {X(2, 3, 5, 7)}, TOL_EXACT,
     NULL, 0},
    {"odd sizes", &dlm_op_patchify, {.patchify = {3}}, 1, {X(2, 3, 9, 15)}, TOL_EXACT, NULL, 0},
    {"pixels left over", &dlm_op_patchify, {.patchify = {4}}, 1, {X(2, 3, 11, 14)}, TOL_EXACT, NULL,
     0},
    {"patch matters", &dlm_op_patchify, {.patchify = {4}}, 1, {X(2, 3, 8, 16)}, TOL_EXACT,
     &patches_of_two, 0},
    {"one patch an image", &dlm_op_patchify, {.patchify = {8}}, 1, {X(3, 2, 8, 8)}, TOL_EXACT, NULL,
     0},
    {"patches of 14", &dlm_op_patchify, {.patchify = {14}}, 1, {X(1, 3, 56, 70)}, TOL_EXACT, NULL,
     0},
    {"many patches", &dlm_op_patchify, {.patchify = {2}}, 1, {X(1, 1, 500, 600)}, TOL_EXACT, NULL,
     0},
};

int main(void)
{
    return op_rows_main(rows, DLM_ARRAY_LEN(rows));
}
