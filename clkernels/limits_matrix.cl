/* The limit of matrix units: each subgroup of a work-group does p.rounds times 16 products in 4
 * sums: 8 * 4 * 4096 multiply-adds a work-group and round, however many lanes a subgroup has. */
//! limit_matrix_bf16 limit_matrix -DDLM_MATRIX -DDLM_B=BF16 -DMAD=bf16_bf16 -DEMULATED=16
//! limit_matrix_f16 limit_matrix -DDLM_MATRIX -DDLM_B=F16 -DMAD=f16_f16 -DEMULATED=8
#include "matmul_mma_unit.cl"

#define ROUND                                                                                      \
    s0 = MULTIPLY(a, b, s0), s1 = MULTIPLY(a, b, s1), s2 = MULTIPLY(a, b, s2),                     \
    s3 = MULTIPLY(a, b, s3);

__attribute__((DLM_REQUIRE_SUBGROUP(SUBGROUP)))
__kernel DLM_LOCAL(64) void limit_matrix(__global const uint *x, __global float *y,
                                         const struct dlm_limit_params p)
{
    const FRAGMENT a = (FRAGMENT)(x[0] >> 16); /* positive */
    const int8 b = (int8)((int)x[0]);
    float8 s0 = (float8)(0.0f), s1 = s0 + 1.0f, s2 = s0 + 2.0f, s3 = s0 + 3.0f;

    for (uint n = 0; n < p.rounds; n++) {
        ROUND ROUND ROUND ROUND
    }
    const float8 sum = s0 + s1 + s2 + s3;
    if (sum.s0 + sum.s1 + sum.s2 + sum.s3 + sum.s4 + sum.s5 + sum.s6 + sum.s7 == -1.0f) /* never */
        y[0] = sum.s0;
}
