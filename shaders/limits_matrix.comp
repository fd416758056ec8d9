/* The limit of matrix units: a subgroup does p.rounds times 4 * 4096 multiply-adds in 4 sums,
 * whatever the shape. */
//! limit_matrix_f16 needs=matrix_f16 subgroups=8 -DOPERAND=float16_t
//! limit_matrix_bf16 needs=matrix_bf16 subgroups=8 -DOPERAND=bfloat16_t -DIS_BF16
#version 450
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#ifdef IS_BF16
#extension GL_EXT_bfloat16 : require
#endif
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 1) in;

layout(std430, set = 0, binding = 0) readonly buffer BufferX { float x[]; };
layout(std430, set = 0, binding = 1) buffer BufferY { float y[]; };
layout(push_constant) uniform Push { uint rounds; } p; /* struct dlm_limit_params */

#define SUM coopmat<float, gl_ScopeSubgroup, MAT_M, MAT_N, gl_MatrixUseAccumulator>

void main()
{
    const OPERAND one = OPERAND(x[0]);
    const coopmat<OPERAND, gl_ScopeSubgroup, MAT_M, MAT_K, gl_MatrixUseA> a =
        coopmat<OPERAND, gl_ScopeSubgroup, MAT_M, MAT_K, gl_MatrixUseA>(one);
    const coopmat<OPERAND, gl_ScopeSubgroup, MAT_K, MAT_N, gl_MatrixUseB> b =
        coopmat<OPERAND, gl_ScopeSubgroup, MAT_K, MAT_N, gl_MatrixUseB>(one);
    SUM s0 = SUM(0.0), s1 = SUM(1.0), s2 = SUM(2.0), s3 = SUM(3.0);

    [[dont_unroll]] for (uint n = 0u; n < p.rounds; n++) {
        [[unroll]] for (uint i = 0u; i < 4096u / (MAT_M * MAT_N * MAT_K); i++) {
            s0 = coopMatMulAdd(a, b, s0);
            s1 = coopMatMulAdd(a, b, s1);
            s2 = coopMatMulAdd(a, b, s2);
            s3 = coopMatMulAdd(a, b, s3);
        }
    }
    const SUM sum = s0 + s1 + s2 + s3;
    if (sum[0] == -1.0) /* never */
        y[0] = sum[0];
}
