/* The next token of each row, chosen on the device.
 *
 * temperature <= 0: the largest logit, the lowest index among equals (torch.argmax).
 * Else p = softmax(logits / temperature); with 0 < top_p < 1 only the tokens stay whose probability
 * is at least the largest value t with sum of {p : p >= t} >= top_p (transformers'
 * TopPLogitsWarper; equal probabilities stay together); then the first token, in order of index,
 * at which the running sum of what stays exceeds u times its total. u is Philox of
 * (seed, step, row).
 * A row with NaN, or whose largest logit is infinite, has no next token: -1.
 * logits f32 [R, V] contiguous; sampling f32 [2]: temperature, top_p; rng u32 [4]: seed low, seed
 * high, step, unused; out i32 [R]. */
#include <math.h>
#include <stdlib.h>

#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status select_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                    const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "select", "logits", &in[0]);
    if (!st && in[0].ndim != 2)
        st = dlm_infer_fail(ctx, "select", "logits must be [R, V]", &in[0]);
    if (!st && (in[1].dtype != DLM_DTYPE_F32 || dlm_desc_len(&in[1]) != 2 ||
                !dlm_desc_is_contiguous(&in[1])))
        st = dlm_infer_fail(ctx, "select", "sampling must be f32 [2]", &in[1]);
    if (!st && (in[2].dtype != DLM_DTYPE_U32 || dlm_desc_len(&in[2]) != 4 ||
                !dlm_desc_is_contiguous(&in[2])))
        st = dlm_infer_fail(ctx, "select", "rng must be u32 [4]", &in[2]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_I32, 1, in[0].shape);
    return st;
}

static int compare_descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Smallest probability that stays under top_p. */
static double threshold(const double *p, int64_t n, double top_p)
{
    double *sorted = malloc((size_t)n * sizeof(*sorted)), sum = 0, t = 0;

    if (!sorted)
        return 0;
    memcpy(sorted, p, (size_t)n * sizeof(*sorted));
    qsort(sorted, (size_t)n, sizeof(*sorted), compare_descending);
    for (int64_t i = 0; i < n && sum < top_p; i++) {
        t = sorted[i];
        sum += t;
    }
    free(sorted);
    return t;
}

/* The first largest element, -1 where none can be chosen. */
static int64_t argmax(const struct dlm_host_tensor *logits, int64_t row, int64_t vocab)
{
    int64_t best = 0;

    for (int64_t v = 0; v < vocab; v++) {
        const double x = dlm_host_get_flat(logits, row * vocab + v);
        if (isnan(x))
            return -1;
        if (x > dlm_host_get_flat(logits, row * vocab + best))
            best = v;
    }
    return isinf(dlm_host_get_flat(logits, row * vocab + best)) ? -1 : best;
}

/* One of the row's tokens; `best` has the largest logit. */
static int64_t sample(const struct dlm_reference_call *call, int64_t row, int64_t vocab,
                      int64_t best)
{
    const double temperature = dlm_host_get_flat(&call->inputs[1], 0);
    const double top_p = dlm_host_get_flat(&call->inputs[1], 1);
    const double max = dlm_host_get_flat(&call->inputs[0], row * vocab + best);
    double *p = malloc((size_t)vocab * sizeof(*p)), sum = 0, stays = 0, running = 0, t = 0;
    int64_t token = 0;

    if (!p)
        return 0;
    for (int64_t v = 0; v < vocab; v++) {
        p[v] = exp((dlm_host_get_flat(&call->inputs[0], row * vocab + v) - max) / temperature);
        sum += p[v];
    }
    for (int64_t v = 0; v < vocab; v++)
        p[v] /= sum;
    if (top_p > 0 && top_p < 1)
        t = threshold(p, vocab, top_p);
    for (int64_t v = 0; v < vocab; v++)
        stays += p[v] >= t ? p[v] : 0;
    uint32_t word = dlm_philox((uint32_t)row, 0, DLM_SELECT_STREAM,
                               (uint32_t)dlm_host_get_flat(&call->inputs[2], 2),
                               (uint32_t)dlm_host_get_flat(&call->inputs[2], 0),
                               (uint32_t)dlm_host_get_flat(&call->inputs[2], 1));
    for (int64_t v = 0; v < vocab; v++) {
        if (p[v] < t)
            continue;
        token = v;
        running += p[v];
        if (running > dlm_uniform(word) * stays)
            break;
    }
    free(p);
    return token;
}

static void select_reference(const struct dlm_reference_call *call)
{
    const int64_t rows = call->inputs[0].desc.shape[0], vocab = call->inputs[0].desc.shape[1];

    const bool is_greedy = dlm_host_get_flat(&call->inputs[1], 0) <= 0;

    for (int64_t r = 0; r < rows; r++) {
        const int64_t best = argmax(&call->inputs[0], r, vocab);
        dlm_host_set_flat(&call->outputs[0], r,
                          (double)(is_greedy || best < 0 ? best : sample(call, r, vocab, best)));
    }
}

/* Rows of several slices on GPUs: a chain of kernels over all slices, with `work` between them. */
static enum dlm_status lower_slices(struct dlm_lowering *l, struct dlm_select_params *p)
{
    static const struct {
        const char *kernel;
        uint32_t level;
    } chain[] = {{"select_max", 0},   {"select_count", 0}, {"select_count", 1},
                 {"select_count", 2}, {"select_sum", 0},   {"select_token", 0}};
    enum { OUT = 3, WORK, LAST = DLM_ARRAY_LEN(chain) - 1 };
    enum dlm_status st = DLM_OK;

    if (p->vocab > DLM_SELECT_MAX_VOCAB)
        return dlm_lower_unsupported(l, "way to choose from so many tokens");
    p->slices = (p->vocab + DLM_SELECT_SLICE - 1) / DLM_SELECT_SLICE;
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(0), DLM_INPUT(1), DLM_INPUT(2), DLM_OUTPUT(0),
                 dlm_lower_temp(l, sizeof(uint32_t) * DLM_SELECT_ROW_WORDS(p->slices) *
                                       (size_t)p->rows)},
        .num_args = 5,
        .work = 8 * (uint64_t)p->rows * p->vocab,
    };
    for (int i = 0; !st && i <= LAST; i++) {
        p->level = chain[i].level;
        call.writes = i < LAST ? 1u << WORK : 1u << OUT;
        call.groups[0] = i < LAST ? p->rows * p->slices : p->rows;
        dlm_kernel_for(&call, chain[i].kernel, NULL);
        st = dlm_lower_call(l, &call, p, sizeof(*p));
    }
    return st;
}

/* Bindings logits, sampling, rng, out: an item, or a work-group, has a row. */
static enum dlm_status select_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_select_params p = {
        .rows = (uint32_t)l->inputs[0].shape[0],
        .vocab = (uint32_t)l->inputs[0].shape[1],
    };
    if (!(l->caps->bits & DLM_CAP_BLOCK_ITEMS) && p.vocab > DLM_SELECT_SLICE)
        return lower_slices(l, &p);
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(0), DLM_INPUT(1), DLM_INPUT(2), DLM_OUTPUT(0)},
        .num_args = 4,
        .writes = 1u << 3,
        .groups = {p.rows},
        .scratch_bytes = p.vocab * sizeof(float),
    };
    dlm_row_kernel(l, &call, "select");
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

const struct dlm_op dlm_op_select = {
    .name = "select",
    .num_inputs = 3,
    .num_outputs = 1,
    .infer = select_infer,
    .reference = select_reference,
    .lower = select_lower,
};

struct dlm_tensor *dlm_select(struct dlm_graph *g, struct dlm_tensor *logits,
                              struct dlm_tensor *sampling, struct dlm_tensor *rng)
{
    if (!logits || !sampling || !rng)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_select, NULL,
                          (struct dlm_tensor *[]){logits, sampling, rng}, 3, NULL);
}
