/* Lowering of attention and its backward: what the CPU's calls and the GPUs' share. ops/attention.c
 * is the definition. */
#ifndef DLM_OPS_ATTENTION_LOWER_H
#define DLM_OPS_ATTENTION_LOWER_H

#include "ops/op.h"

/* Inputs of attention: q, k, v, rows; of its backward: q, k, v, out, lse, dout, rows. */
enum {
    DLM_ATTENTION_Q,
    DLM_ATTENTION_K,
    DLM_ATTENTION_V,
    DLM_ATTENTION_ROWS,
    DLM_ATTENTION_OUT = 3,
    DLM_ATTENTION_LSE,
    DLM_ATTENTION_DOUT,
    DLM_ATTENTION_BACKWARD_ROWS
};

/* Sizes, mask and places of the inputs; those of the results come from the functions below. */
struct dlm_attention_params dlm_attention_params_of(const struct dlm_lowering *l);

/* The same with the result in output 0 (out, dq), or in outputs 1 and 2 (dk, dv). */
void dlm_attention_write_rows(struct dlm_attention_params *p, const struct dlm_lowering *l);
void dlm_attention_write_keys(struct dlm_attention_params *p, const struct dlm_lowering *l);

/* Multiply-adds of so many products of all queries with all keys: what a full mask takes. */
uint64_t dlm_attention_work(const struct dlm_attention_params *p, uint32_t products);

/* The calls. Bindings of attention_*: q, k, v, rows, out, lse; of attention_delta: dout, out,
 * delta; of attention_dq_*: q, k, v, dout, lse, delta, rows, dq; of attention_dkv_* the same with
 * dk, dv. Groups: {blocks of rows (dkv: keys), kv heads, batch}. */
enum dlm_status dlm_attention_lower_cpu(struct dlm_lowering *l) DLM_CHECK_RESULT;
enum dlm_status dlm_attention_lower_gpu(struct dlm_lowering *l) DLM_CHECK_RESULT;
enum dlm_status dlm_attention_backward_lower_cpu(struct dlm_lowering *l) DLM_CHECK_RESULT;
enum dlm_status dlm_attention_backward_lower_gpu(struct dlm_lowering *l) DLM_CHECK_RESULT;

/* The calls of attention_dq_* and attention_dkv_*, but for groups and places. delta: [B, H, T]. */
struct dlm_kernel_call dlm_attention_dq_call(const struct dlm_lowering *l, struct dlm_operand delta,
                                             const struct dlm_attention_params *p);
struct dlm_kernel_call dlm_attention_dkv_call(const struct dlm_lowering *l,
                                              struct dlm_operand delta,
                                              const struct dlm_attention_params *p);

#endif
