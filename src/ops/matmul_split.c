/* matmul on GPUs: the grid of a kernel, and long sums of few tiles cut in parts along k that are
 * then summed in order. */
#include "ops/broadcast.h"
#include "ops/matmul_tiles.h"

enum { A, B, C, BIAS };

/* Long sums of few tiles leave most of a GPU idle: those are cut into parts until there are as many
 * work-groups as are wanted. */
static void choose_splits(struct dlm_matmul_params *p, uint64_t tiles, uint32_t wanted,
                          uint32_t unit)
{
    enum { MIN_K = 1024, MIN_PART = 256, MAX_SPLITS = 16 };

    p->splits = 1;
    if (p->k >= MIN_K && tiles <= wanted / 2) {
        const uint64_t splits = DLM_MIN(wanted / tiles, (uint64_t)(p->k / MIN_PART));
        p->splits = (uint32_t)DLM_MIN(splits, (uint64_t)MAX_SPLITS);
    }
    p->split_k = (p->k + p->splits - 1) / p->splits;
    if (unit)
        p->split_k = (p->split_k + unit - 1) / unit * unit;
    p->splits = (p->k + p->split_k - 1) / p->split_k;
}

/* The product in parts, each a slice of the call's grid, then their sum. */
static enum dlm_status lower_split(struct dlm_lowering *l, struct dlm_kernel_call *call,
                                   const struct dlm_matmul_params *p)
{
    enum { ARG_A, ARG_C = 2, ARG_BIAS, ARG_OUT };
    const uint32_t len = p->batch0 * p->batch1 * p->m * p->n; /* the result's: fits */
    const struct dlm_operand partial =
        dlm_lower_temp(l, sizeof(float) * (size_t)len * p->splits);
    struct dlm_matmul_params part = *p, finish = *p;

    part.flags &= ~(DLM_MATMUL_HAS_C | DLM_MATMUL_HAS_BIAS);
    part.alpha = 1;
    part.out_lead = 0;
    part.out_stride[0] = p->batch1 * p->m * p->n;
    part.out_stride[1] = p->m * p->n;
    part.out_stride[2] = p->n;
    part.split_stride = finish.split_stride = len;
    finish.flags &= DLM_MATMUL_HAS_C | DLM_MATMUL_HAS_BIAS;
    struct dlm_kernel_call sum = {
        .kernel = "matmul_finish",
        .args = {partial, call->args[ARG_C], call->args[ARG_BIAS], call->args[ARG_OUT]},
        .num_args = 4,
        .writes = 1u << 3,
        .groups = {dlm_elem_groups(len)},
    };
    call->args[ARG_C] = call->args[ARG_BIAS] = call->args[ARG_A];
    call->args[ARG_OUT] = partial;
    call->groups[2] *= p->splits;
    enum dlm_status st = dlm_lower_call(l, call, &part, sizeof(part));
    return st ? st : dlm_lower_call(l, &sum, &finish, sizeof(finish));
}

enum dlm_status dlm_matmul_lower_tiles(struct dlm_lowering *l, const struct dlm_matmul_tiling *t,
                                       struct dlm_matmul_params *p, struct dlm_operand a)
{
    struct dlm_kernel_call call = {
        .args = {a, DLM_INPUT(B), dlm_matmul_has_c(l) ? DLM_INPUT(C) : a,
                 dlm_matmul_has_bias(l) ? DLM_INPUT(BIAS) : a, DLM_OUTPUT(0)},
        .num_args = 5,
        .writes = 1u << 4,
        .groups = {(p->n + t->tile_n - 1) / t->tile_n, (p->m + t->tile_m - 1) / t->tile_m,
                   p->batch0 * p->batch1},
        .work = dlm_matmul_work(p),
        .num_specs = t->num_specs,
        .subgroups = t->subgroups,
    };

    memcpy(call.specs, t->specs, sizeof(call.specs));
    for (uint32_t i = 0; i < t->num_more; i++)
        call.args[call.num_args++] = t->more[i];
    dlm_kernel_for(&call, t->kernel, &l->inputs[B].dtype);
    choose_splits(p, (uint64_t)call.groups[0] * call.groups[1] * call.groups[2],
                  dlm_matmul_wanted_groups(l->caps, p, l->inputs[B].dtype), t->split_unit);
    const uint32_t most = l->caps->max_groups; /* beyond, one dimension would be folded into two */
    if ((call.groups[0] > most && !(t->can_fold && call.groups[2] == 1)) ||
        call.groups[1] > most || (uint64_t)call.groups[2] * p->splits > most)
        return dlm_lower_unsupported(l, "grid of that size");
    if (p->splits > 1)
        return lower_split(l, &call, p);
    return dlm_lower_call(l, &call, p, sizeof(*p));
}
