/* What the kernels of attention share: their arguments, the place of a work-group, the mask. The
 * queries of a kv head are rows r = t * G + g, G query heads to a kv head. */
#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)
#define TYPE_KV PASTE(DLM_T_, DLM_KV)
#define LOAD_KV(p, i) PASTE(DLM_LOAD_, DLM_KV)(p, i)

#define LOWEST (-1.701411733e38f) /* half of the lowest float: differences stay finite */
#define NONE 0xffffffffu

#define FORWARD_ARGS                                                                               \
    __global const float *q, __global const TYPE_KV *k, __global const TYPE_KV *v,                 \
        __global const int *rows, __global float *out, __global float *lse,                        \
        const struct dlm_attention_params p
#define BACKWARD_ARGS                                                                              \
    __global const float *q, __global const TYPE_KV *k, __global const TYPE_KV *v,                 \
        __global const float *dout, __global const float *lse, __global const float *delta,        \
        __global const int *rows

/* The kv head of a work-group, the query heads that it handles, the mask of its batch row. */
struct head {
    uint batch, kv_head;
    uint first, group; /* query heads [first, first + group) */
    uint num_rows;     /* those that are computed, T * group at most */
    struct dlm_attention_mask mask;
};

/* part: of p->splits parts of the kv head's query heads. */
static struct head find_part(const struct dlm_attention_params *p, __global const int *rows,
                             uint part)
{
    struct head h;

    h.batch = DLM_GROUP(2);
    h.kv_head = DLM_GROUP(1);
    h.group = p->heads / (p->kv_heads * p->splits);
    h.first = (h.kv_head * p->splits + part) * h.group;
    h.mask.q_start = rows[4u * h.batch];
    h.mask.kv_len = dlm_attention_clamp(rows[4u * h.batch + 1u], p->keys);
    h.mask.prefix = rows[4u * h.batch + 2u];
    h.mask.num_q = dlm_attention_clamp(rows[4u * h.batch + 3u], p->queries);
    h.mask.is_causal = p->mode == DLM_ATTENTION_PREFIX_MODE;
    h.mask.window = p->window;
    h.num_rows = h.mask.num_q * h.group;
    return h;
}

static struct head find_head(const struct dlm_attention_params *p, __global const int *rows)
{
    return find_part(p, rows, 0);
}

/* The keys [begin, limit) of row r. */
static uint find_begin(const struct head *h, uint r)
{
    return dlm_attention_begin(h->mask, r / h->group);
}

static uint find_limit(const struct head *h, uint r)
{
    return dlm_attention_limit(h->mask, r / h->group);
}

/* The first row that sees key s; the row from which on none sees a key up to s. */
static uint find_first_row(const struct head *h, uint s)
{
    return dlm_attention_first_query(h->mask, s) * h->group;
}

static uint find_end_row(const struct head *h, uint s)
{
    return dlm_attention_end_query(h->mask, s) * h->group;
}

/* Element 0 of row r in q, dout, and out or dq; of key s in k and v, and in dk and dv, but for
 * their leads; and r in lse, delta. */
static uint find_q(const struct dlm_attention_params *p, const struct head *h, uint r)
{
    return p->q_lead + h->batch * p->q_stride[0] + r / h->group * p->q_stride[1] +
           (h->first + r % h->group) * p->q_stride[2];
}

static uint find_dout(const struct dlm_attention_params *p, const struct head *h, uint r)
{
    const uint t = h->batch * p->queries + r / h->group;
    return (t * p->heads + h->first + r % h->group) * p->dim;
}

static uint find_out(const struct dlm_attention_params *p, const struct head *h, uint r)
{
    return p->out_lead + h->batch * p->out_stride[0] + r / h->group * p->out_stride[1] +
           (h->first + r % h->group) * p->out_stride[2];
}

static uint find_key(const struct dlm_attention_params *p, const struct head *h, uint s)
{
    return h->batch * p->kv_stride[0] + s * p->kv_stride[1] + h->kv_head * p->kv_stride[2];
}

static uint find_dkey(const struct dlm_attention_params *p, const struct head *h, uint s)
{
    return h->batch * p->out_stride[0] + s * p->out_stride[1] + h->kv_head * p->out_stride[2];
}

static uint find_stat(const struct dlm_attention_params *p, const struct head *h, uint r)
{
    const uint head = h->batch * p->heads + h->first + r % h->group;
    return head * p->queries + r / h->group;
}
