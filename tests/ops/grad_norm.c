/* Rows of grad_norm. */
#include "harness.h"

#define G(n) {.ndim = 1, .shape = {n}}

static const union dlm_attrs no_clip = {.grad_norm = {0}};
static const union dlm_attrs one = {.grad_norm = {1}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_grad_norm, {.grad_norm = {0.01f}}, 1, {G(1)}, TOL_REDUCTION, &no_clip,
     0},
    {"fewer than partial sums", &dlm_op_grad_norm, {.grad_norm = {1}}, 1, {G(200)}, TOL_REDUCTION,
     &no_clip, 0},
    {"odd size", &dlm_op_grad_norm, {.grad_norm = {0.5f}}, 1, {G(10007)}, TOL_REDUCTION, &one, 0},
    {"no clipping", &dlm_op_grad_norm, {.grad_norm = {0}}, 1, {G(10007)}, TOL_REDUCTION, &one, 0},
    {"below the limit", &dlm_op_grad_norm, {.grad_norm = {1e6f}}, 1, {G(3000)}, TOL_REDUCTION, &one,
     0},
    {"a small norm", &dlm_op_grad_norm, {.grad_norm = {1e-6f}}, 1,
     {{.ndim = 1, .shape = {100}, .scale = 1e-6}}, TOL_REDUCTION, &no_clip, 0},
    {"zeros", &dlm_op_grad_norm, {.grad_norm = {1}}, 1,
     {{.ndim = 1, .shape = {600}, .fill = FILL_CONST}}, TOL_REDUCTION, NULL, 0},
    {"large", &dlm_op_grad_norm, {.grad_norm = {1}}, 1,
     {{.ndim = 1, .shape = {3000}, .scale = 1e15}}, TOL_REDUCTION, NULL, 0},
    {"many", &dlm_op_grad_norm, {.grad_norm = {1}}, 1, {{.ndim = 2, .shape = {1000, 1500}}},
     TOL_REDUCTION, &no_clip, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
