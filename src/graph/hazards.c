/* Hazards between dispatches: where barriers must stand, and a checker that does not share code
 * with the finder. */
#include "graph/program.h"

static bool overlaps(const struct dlm_binding *a, const struct dlm_binding *b)
{
    return a->buffer == b->buffer && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

/* True when d cannot run beside e (e earlier): one writes what the other touches. */
static bool conflicts(const struct dlm_dispatch *d, uint32_t d_writes,
                      const struct dlm_dispatch *e, uint32_t e_writes)
{
    for (uint32_t i = 0; i < d->num_bindings; i++)
        for (uint32_t k = 0; k < e->num_bindings; k++) {
            bool any_write = (d_writes >> i & 1) || (e_writes >> k & 1);
            if (any_write && overlaps(&d->bindings[i], &e->bindings[k]))
                return true;
        }
    return false;
}

void dlm_program_find_hazards(struct dlm_dispatch *list, const uint32_t *writes, size_t num)
{
    size_t since = 0; /* first dispatch after the last barrier */

    for (size_t i = 0; i < num; i++) {
        list[i].barrier = i == 0; /* the run before may still be writing */
        for (size_t k = i; !list[i].barrier && k > since; k--)
            list[i].barrier = conflicts(&list[i], writes[i], &list[k - 1], writes[k - 1]);
        if (list[i].barrier)
            since = i;
    }
}

int64_t dlm_program_check_hazards(const struct dlm_dispatch *list, const uint32_t *writes,
                                  size_t num)
{
    for (size_t late = 0; late < num; late++) {
        bool fenced = list[late].barrier;
        for (size_t early = late; early-- > 0 && !fenced;) {
            for (uint32_t a = 0; a < list[late].num_bindings; a++) {
                const struct dlm_binding *x = &list[late].bindings[a];
                for (uint32_t b = 0; b < list[early].num_bindings; b++) {
                    const struct dlm_binding *y = &list[early].bindings[b];
                    bool apart = x->buffer != y->buffer || x->offset + x->bytes <= y->offset ||
                                 y->offset + y->bytes <= x->offset;
                    bool reads_only = !(writes[late] & 1u << a) && !(writes[early] & 1u << b);
                    if (!apart && !reads_only)
                        return (int64_t)late;
                }
            }
            fenced = list[early].barrier;
        }
    }
    return -1;
}
