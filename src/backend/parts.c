/* Dispatches that would hold a device for too long, in parts. A part does a box of the grid: whole
 * in the inner dimensions, one index in the outer ones, so that parts in order do the grid in
 * order. Every group does what it did in the whole grid: how a dispatch is cut changes no bit. */
#include "backend/backend_impl.h"

#include "base/mem.h"

/* Sizes of a part: the whole grid unless its work is over the limit. */
static void choose_size(const struct dlm_dispatch *d, uint64_t max_work, uint32_t size[3])
{
    const uint64_t row = d->groups[0], plane = row * d->groups[1], all = plane * d->groups[2];
    const uint64_t group_work = d->work / all + (d->work % all > 0);
    const bool is_folded = d->units && d->groups[1] > 1; /* a part must have whole rows of it */
    const uint64_t fit = max_work && d->work > max_work ? DLM_MAX(max_work / group_work, 1) : all;
    const int cut = fit >= plane ? 2 : fit >= row || is_folded ? 1 : 0;
    const uint64_t inside = cut == 2 ? plane : cut == 1 ? row : 1;
    const uint64_t most = DLM_MAX(fit / inside, 1);
    const uint64_t num = (d->groups[cut] + most - 1) / most;
    for (int i = 0; i < 3; i++)
        size[i] = i < cut ? d->groups[i] : 1;
    size[cut] = (uint32_t)((d->groups[cut] + num - 1) / num); /* at most the groups */
}

static uint32_t count(uint32_t groups, uint32_t size)
{
    return (groups + size - 1) / size;
}

size_t dlm_dispatch_count_parts(const struct dlm_dispatch *d, uint64_t max_work)
{
    uint32_t size[3];

    choose_size(d, max_work, size);
    return (size_t)count(d->groups[0], size[0]) * count(d->groups[1], size[1]) *
           count(d->groups[2], size[2]);
}

void dlm_dispatch_cut(const struct dlm_dispatch *d, uint64_t max_work, struct dlm_dispatch *parts)
{
    uint32_t size[3], at[3];
    size_t num = 0;

    choose_size(d, max_work, size);
    for (at[2] = 0; at[2] < d->groups[2]; at[2] += size[2])
        for (at[1] = 0; at[1] < d->groups[1]; at[1] += size[1])
            for (at[0] = 0; at[0] < d->groups[0]; at[0] += size[0]) {
                struct dlm_dispatch *part = &parts[num++];
                *part = *d;
                part->barrier = d->barrier && num == 1;
                for (int i = 0; i < 3; i++) {
                    part->base[i] = at[i];
                    part->whole[i] = d->groups[i];
                    part->groups[i] = DLM_MIN(size[i], d->groups[i] - at[i]);
                }
            }
    for (size_t i = 0; i < num; i++)
        parts[i].work = d->work / num;
}
