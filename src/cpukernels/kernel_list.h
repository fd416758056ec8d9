/* The CPU kernels, one row each: X(name) is built for every instruction set; X_AVX512BF16(name),
 * X_AVX512VNNI(name) and X_AMX(name) once, with those instructions, and stand in the v4 table. The
 * name of such a variant ends in _avx512bf16, _avx512vnni or _amx: the device offers it only with
 * that capability.
 *
 * No guard: included once for each use, after defining X (the others default to nothing). */
#ifndef X_AVX512BF16
#define X_AVX512BF16(name)
#endif
#ifndef X_AVX512VNNI
#define X_AVX512VNNI(name)
#endif
#ifndef X_AMX
#define X_AMX(name)
#endif

X(activation)
X(activation_backward)
X(adamw)
X(add)
X(attention_bf16)
X(attention_delta)
X(attention_dkv_bf16)
X(attention_dkv_f16)
X(attention_dkv_f32)
X(attention_dq_bf16)
X(attention_dq_f16)
X(attention_dq_f32)
X(attention_f16)
X(attention_f32)
X(copy_bf16_bf16)
X(copy_bf16_f16)
X(copy_bf16_f32)
X(copy_f16_bf16)
X(copy_f16_f16)
X(copy_f16_f32)
X(copy_f32_bf16)
X(copy_f32_f16)
X(copy_f32_f32)
X(cross_entropy)
X(dropout)
X(embedding_bf16)
X(embedding_f16)
X(embedding_f32)
X(embedding_panel_bf16)
X(embedding_panel_f16)
X(embedding_panel_f32)
X(fill)
X(gated_activation)
X(gated_activation_backward_f32)
X(gated_activation_backward_f16)
X(gated_activation_backward_bf16)
X(gather_rows)
X(grad_norm_final)
X(grad_norm_partial)
X(layer_norm)
X(layer_norm_backward)
X(limit_copy)
X(limit_f32)
X(limit_read)
X(mul)
X(rms_norm)
X(rms_norm_backward)
X(rope)
X(scale)
X(select)
X(store_rows_bf16)
X(store_rows_f16)
X(store_rows_f32)
X(sum)
X(sum_columns)

X(matmul_general)
X(matmul_panel_round)
X(matmul_panel_fwd_f32)
X(matmul_panel_fwd_bf16)
X(matmul_panel_fwd_f16)
X(matmul_panel_bwd_f32)
X(matmul_panel_bwd_bf16)
X(matmul_panel_bwd_f16)
X(matmul_panel_vec_f32)
X(matmul_panel_vec_bf16)
X(matmul_panel_vec_f16)
X_AVX512BF16(matmul_panel_fwd_bf16_avx512bf16)
X_AVX512BF16(matmul_panel_bwd_bf16_avx512bf16)
X_AVX512BF16(limit_bf16_avx512bf16)
X_AVX512VNNI(limit_int8_avx512vnni)
X_AMX(limit_bf16_amx)
X_AMX(matmul_panel_fwd_bf16_amx)
X_AMX(matmul_panel_bwd_bf16_amx)

#undef X
#undef X_AVX512BF16
#undef X_AVX512VNNI
#undef X_AMX
