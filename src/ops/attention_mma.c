/* attention by matrix units (DLM_CAP_MATRIX_F16): operands in f16, packed beforehand with zeros to
 * whole tiles, along and across as products read them; sums f32. */
#include "ops/attention_lower.h"

enum { Q = DLM_ATTENTION_Q, K = DLM_ATTENTION_K, V = DLM_ATTENTION_V, DOUT = DLM_ATTENTION_DOUT };

enum { NUM_KEYS = 1, NUM_QUERIES = 3 }; /* in the input rows, always the last one */

enum { PAD_ROWS = 64, PAD_COLS = 16, PACK_ROWS = 32 };

/* Rows or keys that a work-group keeps: sums of all of a head's elements, spread over its lanes. */
static uint32_t own_rows(const struct dlm_lowering *l)
{
    return l->caps->subgroup < 16 ? 16 : 32;
}


static uint32_t round_up(uint32_t n, uint32_t unit)
{
    return dlm_attention_blocks(n, unit) * unit;
}

/* Under a 16-bit policy, where there are tiles to fill. Of one query after the other, the parts of
 * its keys matter more: attention_split. */
bool dlm_attention_is_for_mma(const struct dlm_lowering *l, const struct dlm_attention_params *p)
{
    const uint32_t needed = DLM_CAP_MATRIX_F16 | DLM_CAP_MATRIX_ATTENTION;

    return l->attrs->attention.round != DLM_DTYPE_F32 && (l->caps->bits & needed) == needed &&
           l->caps->shared_bytes >= DLM_ATTENTION_MMA_SHARED && p->dim <= DLM_ATTENTION_MAX_DIM &&
           p->queries > DLM_ATTENTION_SPLIT_QUERIES;
}

/* Rows of q or dout by group heads, or of k or v (group 1). */
static struct dlm_attention_pack_params pack_params(const struct dlm_attention_params *p,
                                                    uint32_t heads, uint32_t group, uint32_t num)
{
    return (struct dlm_attention_pack_params){
        .planes = p->batch * heads / group,
        .heads = heads,
        .group = group,
        .num = num * group,
        .rows = round_up(num * group, PAD_ROWS),
        .dim = p->dim,
        .cols = round_up(p->dim, PAD_COLS),
        .num_at = NUM_QUERIES,
        .factor = 1,
    };
}

/* The packed operand, a temporary. scales: what gets the rows' powers of two; NULL: none. */
static enum dlm_status lower_pack(struct dlm_lowering *l, int input,
                                  const struct dlm_attention_pack_params *p,
                                  const struct dlm_operand *scales, struct dlm_operand *packed)
{
    const uint64_t len = (uint64_t)p->planes * p->rows * p->cols * (p->has_across ? 2 : 1);
    if (len > UINT32_MAX)
        return dlm_lower_unsupported(l, "packed operand of that size");
    *packed = dlm_lower_temp(l, (size_t)len * 2);
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(input), DLM_INPUT(l->num_inputs - 1), *packed},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {p->planes * (p->rows / PACK_ROWS)},
    };
    dlm_kernel_for(&call, scales ? "attention_mma_pack_dout" : "attention_mma_pack_*",
                   &l->inputs[input].dtype);
    if (scales) {
        call.args[call.num_args++] = *scales;
        call.writes |= 1u << 3;
    }
    return dlm_lower_call(l, &call, p, sizeof(*p));
}

/* q times the scale, by splits of each kv head's query heads. */
static enum dlm_status pack_q(struct dlm_lowering *l, const struct dlm_attention_params *p,
                              bool has_across, struct dlm_operand *packed)
{
    struct dlm_attention_pack_params pack =
        pack_params(p, p->heads, p->heads / p->kv_heads / p->splits, p->queries);

    pack.lead = p->q_lead;
    memcpy(pack.stride, p->q_stride, sizeof(pack.stride));
    pack.factor = p->scale;
    pack.has_across = has_across;
    return lower_pack(l, Q, &pack, NULL, packed);
}

static enum dlm_status pack_keys(struct dlm_lowering *l, const struct dlm_attention_params *p,
                                 int input, bool has_across, struct dlm_operand *packed)
{
    struct dlm_attention_pack_params pack = pack_params(p, p->kv_heads, 1, p->keys);

    pack.num_at = NUM_KEYS;
    pack.lead = input == K ? p->k_lead : p->v_lead;
    memcpy(pack.stride, p->kv_stride, sizeof(pack.stride));
    pack.has_across = has_across;
    return lower_pack(l, input, &pack, NULL, packed);
}

/* dout and its rows' powers of two. */
static enum dlm_status pack_dout(struct dlm_lowering *l, const struct dlm_attention_params *p,
                                 struct dlm_operand *packed, struct dlm_operand *scales)
{
    struct dlm_attention_pack_params pack =
        pack_params(p, p->heads, p->heads / p->kv_heads / p->splits, p->queries);

    pack.stride[2] = p->dim;
    pack.stride[1] = p->heads * p->dim;
    pack.stride[0] = p->queries * pack.stride[1];
    pack.has_across = true;
    *scales = dlm_lower_temp(l, (size_t)p->batch * p->heads * p->queries * sizeof(float));
    return lower_pack(l, DOUT, &pack, scales, packed);
}

/* What the three kernels have in common. rows: blocks of rows or keys. */
static enum dlm_status set_call(const struct dlm_lowering *l, const struct dlm_attention_params *p,
                                const char *kernel, uint32_t num, struct dlm_kernel_call *call)
{
    dlm_kernel_for(call, kernel, NULL);
    call->specs[0] = round_up(p->dim, PAD_COLS);
    call->specs[1] = own_rows(l);
    call->num_specs = 2;
    call->subgroups = DLM_ATTENTION_MMA_OTHER / l->caps->matrix_cols;
    return dlm_attention_set_groups(l, p, dlm_attention_blocks(num, own_rows(l)),
                                    p->kv_heads * p->splits, call);
}

enum dlm_status dlm_attention_lower_mma(struct dlm_lowering *l, struct dlm_attention_params *p)
{
    struct dlm_operand q, k, v;
    enum dlm_status st = pack_q(l, p, false, &q);

    if (!st)
        st = pack_keys(l, p, K, false, &k);
    if (!st)
        st = pack_keys(l, p, V, true, &v);
    if (st)
        return st;
    struct dlm_kernel_call call = {
        .args = {q, k, v, DLM_INPUT(DLM_ATTENTION_ROWS), DLM_OUTPUT(0), DLM_OUTPUT(1)},
        .num_args = 6,
        .writes = 1u << 4 | 1u << 5,
        .work = dlm_attention_work(p, 2),
    };
    st = set_call(l, p, "attention_mma_fwd", dlm_attention_rows(p), &call);
    return st ? st : dlm_lower_call(l, &call, p, sizeof(*p));
}

/* Operands as they were packed; the scales of dout as the last argument. */
static void use_packed(struct dlm_kernel_call *call, const struct dlm_operand packed[4],
                       struct dlm_operand scales)
{
    memcpy(call->args, packed, 4 * sizeof(*packed));
    call->args[call->num_args++] = scales;
}

/* dq has the planes of dkv's splits, too. */
enum dlm_status dlm_attention_backward_lower_mma(struct dlm_lowering *l, struct dlm_operand delta,
                                                 struct dlm_attention_params *p)
{
    struct dlm_operand packed[4], scales; /* q, k, v, dout */

    p->splits = dlm_attention_splits(p, dlm_attention_blocks(p->keys, own_rows(l)));
    enum dlm_status st = pack_q(l, p, true, &packed[0]);
    if (!st)
        st = pack_keys(l, p, K, true, &packed[1]);
    if (!st)
        st = pack_keys(l, p, V, false, &packed[2]);
    if (!st)
        st = pack_dout(l, p, &packed[3], &scales);
    if (st)
        return st;
    struct dlm_kernel_call dq = dlm_attention_dq_call(l, delta, p);
    use_packed(&dq, packed, scales);
    dlm_attention_write_rows(p, l);
    st = set_call(l, p, "attention_mma_dq", dlm_attention_rows(p) / p->splits, &dq);
    if (!st)
        st = dlm_lower_call(l, &dq, p, sizeof(*p));
    if (st)
        return st;
    struct dlm_kernel_call dkv = dlm_attention_dkv_call(l, delta, p);
    use_packed(&dkv, packed, scales);
    dlm_attention_write_keys(p, l);
    st = set_call(l, p, "attention_mma_dkv", p->keys, &dkv);
    return st ? st : dlm_attention_lower_dkv(l, &dkv, p);
}
