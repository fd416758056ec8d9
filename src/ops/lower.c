/* What every lowering does: calls with folded grids, temporaries, the error that names what a
 * device lacks. */
#include "ops/lower.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* Two dimensions for a grid of one that is too long for the device, with fewer groups to spare than
 * there are in the second. */
static void fold_grid(struct dlm_kernel_call *c, uint32_t max_groups)
{
    const uint32_t num = c->groups[0];

    if (num <= max_groups || c->groups[1] != 1 || c->groups[2] != 1)
        return;
    c->units = num;
    c->groups[1] = num / max_groups + (num % max_groups > 0);
    c->groups[0] = num / c->groups[1] + (num % c->groups[1] > 0);
}

/* Kernels that do little with each element, memory being what takes their time. */
static uint64_t guess_work(const struct dlm_lowering *l, const struct dlm_kernel_call *c)
{
    enum { PER_ELEMENT = 8 };
    uint64_t elements = 0;

    for (uint32_t i = 0; i < c->num_args; i++) {
        const struct dlm_operand a = c->args[i];
        if (a.kind == DLM_OPERAND_TEMP)
            elements += l->temp_bytes[a.index] / sizeof(float);
        else
            elements += (uint64_t)dlm_desc_len(a.kind == DLM_OPERAND_INPUT ? &l->inputs[a.index]
                                                                           : &l->outputs[a.index]);
    }
    return PER_ELEMENT * elements;
}

enum dlm_status dlm_lower_call(struct dlm_lowering *l, const struct dlm_kernel_call *call,
                               const void *params, size_t params_bytes)
{
    if (!dlm_device_has_kernel(l->device, call->kernel))
        return dlm_lower_unsupported(l, call->kernel);
    if (!dlm_grow(l->ctx, &l->calls, &l->cap_calls, l->num_calls, sizeof(*l->calls)))
        return DLM_ERR_MEMORY;
    struct dlm_kernel_call *c = &l->calls[l->num_calls++];
    *c = *call;
    for (uint32_t i = 0; i < c->num_args; i++)
        if (c->args[i].kind == DLM_OPERAND_INPUT && l->replaced >> c->args[i].index & 1)
            c->args[i] = l->stand_ins[c->args[i].index];
    for (int i = 0; i < 3; i++)
        if (!c->groups[i])
            c->groups[i] = 1;
    fold_grid(c, l->caps->max_groups);
    if (!c->work)
        c->work = guess_work(l, c);
    if (params_bytes)
        memcpy(c->params, params, params_bytes);
    c->params_bytes = (uint32_t)params_bytes; /* at most DLM_MAX_PARAMS_BYTES */
    return DLM_OK;
}

void dlm_kernel_for(struct dlm_kernel_call *call, const char *pattern,
                    const enum dlm_dtype *dtypes)
{
    size_t len = 0;

    for (const char *p = pattern; *p; p++) {
        const char *text = *p == '*' ? dlm_dtype_name(*dtypes++) : p;
        const size_t n = *p == '*' ? strlen(text) : 1;
        assert(len + n < sizeof(call->kernel));
        memcpy(call->kernel + len, text, n);
        len += n;
    }
    call->kernel[len] = 0;
}

struct dlm_operand dlm_lower_temp(struct dlm_lowering *l, size_t bytes)
{
    struct dlm_operand operand = {DLM_OPERAND_TEMP, l->num_temps};

    l->temp_bytes[l->num_temps++] = bytes;
    return operand;
}

void dlm_lower_replace(struct dlm_lowering *l, int i, const struct dlm_desc *desc,
                       struct dlm_operand by)
{
    l->inputs[i] = *desc;
    l->stand_ins[i] = by;
    l->replaced |= 1u << i;
}

enum dlm_status dlm_lower_unsupported(const struct dlm_lowering *l, const char *missing)
{
    char text[96];

    dlm_desc_text(&l->inputs[0], text, sizeof(text));
    return dlm_fail(l->ctx, DLM_ERR_UNSUPPORTED,
                    "op '%s' on %s cannot run on device '%s' (%s): it has no '%s'",
                    l->op->name, text, l->caps->info.name,
                    dlm_backend_name(l->caps->info.kind), missing);
}

enum dlm_status dlm_lower_check_sizes(const struct dlm_lowering *l)
{
    for (int i = 0; i < l->num_inputs + l->num_outputs; i++) {
        const struct dlm_desc *d =
            i < l->num_inputs ? &l->inputs[i] : &l->outputs[i - l->num_inputs];
        int64_t last = d->lead;
        if (dlm_desc_is_absent(d))
            continue;
        for (int k = 0; k < d->ndim; k++)
            last += (d->shape[k] - 1) * d->stride[k];
        if (last > UINT32_MAX)
            return dlm_lower_unsupported(l, "64-bit index");
    }
    return DLM_OK;
}

enum dlm_status dlm_lower_check_plain(const struct dlm_lowering *l)
{
    for (int i = 0; i < l->num_outputs; i++)
        if (!dlm_desc_is_contiguous(&l->outputs[i]))
            return dlm_lower_unsupported(l, "way to write this result into another tensor");
    return dlm_lower_check_sizes(l);
}
