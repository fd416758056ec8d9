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

/* Work-groups that a GPU should have at least: of the shape alone, so that sums have one order on
 * every device. */
#define DLM_ATTENTION_WANTED_GROUPS 256u

static inline uint32_t dlm_attention_blocks(uint32_t n, uint32_t block)
{
    return (n + block - 1) / block;
}

/* Rows of a kv head: its query heads side by side, one query behind the other. */
static inline uint32_t dlm_attention_rows(const struct dlm_attention_params *p)
{
    return p->queries * (p->heads / p->kv_heads);
}

/* Multiply-adds of so many products of all queries with all keys: what a full mask takes. */
uint64_t dlm_attention_work(const struct dlm_attention_params *p, uint32_t products);

/* The calls. Bindings of attention_*: q, k, v, rows, out, lse; of attention_delta: dout, out,
 * delta; of attention_dq_*: q, k, v, dout, lse, delta, rows, dq; of attention_dkv_* the same with
 * dk, dv. Groups: {blocks of rows (dkv: keys), kv heads, batch}. */
enum dlm_status dlm_attention_lower_cpu(struct dlm_lowering *l) DLM_CHECK_RESULT;
enum dlm_status dlm_attention_lower_gpu(struct dlm_lowering *l) DLM_CHECK_RESULT;
enum dlm_status dlm_attention_backward_lower_cpu(struct dlm_lowering *l) DLM_CHECK_RESULT;
enum dlm_status dlm_attention_backward_lower_gpu(struct dlm_lowering *l) DLM_CHECK_RESULT;

/* The grid of a GPU's call: {blocks, heads, batch}. */
enum dlm_status dlm_attention_set_groups(const struct dlm_lowering *l,
                                         const struct dlm_attention_params *p,
                                         uint32_t num_blocks, uint32_t num_heads,
                                         struct dlm_kernel_call *call) DLM_CHECK_RESULT;

/* Parts of a kv head's query heads that work-groups of keys take apart, so that there are enough of
 * them: a divisor of the heads. */
uint32_t dlm_attention_splits(const struct dlm_attention_params *p, uint32_t key_blocks);

/* dk and dv by `call`, whose grid is set: where p->splits is more than one, of each part of the
 * query heads, then their sum. p: with dlm_attention_write_keys(). */
enum dlm_status dlm_attention_lower_dkv(struct dlm_lowering *l, struct dlm_kernel_call *call,
                                        const struct dlm_attention_params *p) DLM_CHECK_RESULT;

/* Appends attention_delta over the grid; *delta is its result, [B, H, T]. */
enum dlm_status dlm_attention_lower_delta(struct dlm_lowering *l,
                                          const struct dlm_attention_params *p,
                                          const uint32_t groups[3],
                                          struct dlm_operand *delta) DLM_CHECK_RESULT;

/* Matrix units: true where attention, and so its backward, goes through them. */
bool dlm_attention_is_for_mma(const struct dlm_lowering *l, const struct dlm_attention_params *p);
enum dlm_status dlm_attention_lower_mma(struct dlm_lowering *l,
                                        struct dlm_attention_params *p) DLM_CHECK_RESULT;
enum dlm_status dlm_attention_backward_lower_mma(struct dlm_lowering *l, struct dlm_operand delta,
                                                 struct dlm_attention_params *p) DLM_CHECK_RESULT;

/* The calls of attention_dq_* and attention_dkv_*, but for groups and places. delta: [B, H, T]. */
struct dlm_kernel_call dlm_attention_dq_call(const struct dlm_lowering *l, struct dlm_operand delta,
                                             const struct dlm_attention_params *p);
struct dlm_kernel_call dlm_attention_dkv_call(const struct dlm_lowering *l,
                                              struct dlm_operand delta,
                                              const struct dlm_attention_params *p);

#endif
