/* Rounding shapes, and finding one that holds another. */
#include "train/buckets.h"

int64_t dlm_bucket_round(int64_t n, int64_t least)
{
    int64_t step = least;

    while (step * 16 < n)
        step *= 2;
    return (n + step - 1) / step * step;
}

static bool holds(const struct dlm_pass_params *bucket, const struct dlm_pass_params *shape)
{
    return bucket->backward == shape->backward && bucket->batch >= shape->batch &&
           bucket->tokens >= shape->tokens && bucket->labels >= shape->labels &&
           bucket->room.slices >= shape->room.slices && bucket->room.patches >= shape->room.patches;
}

/* Rows of the decoder, of the head, and of the projector or the tower. */
static int64_t cost(const struct dlm_pass_params *p)
{
    return p->batch * p->tokens + p->labels + p->room.slices * p->room.patches;
}

int dlm_buckets_find(const struct dlm_buckets *b, const struct dlm_pass_params *shape)
{
    int best = -1;

    for (size_t i = 0; i < b->num; i++)
        if (holds(&b->list[i], shape) && (best < 0 || cost(&b->list[i]) < cost(&b->list[best])))
            best = (int)i; /* below DLM_MAX_BUCKETS */
    return best;
}

void dlm_buckets_add(struct dlm_buckets *b, const struct dlm_pass_params *shape)
{
    for (size_t i = 0; i < b->num; i++)
        if (holds(&b->list[i], shape) && holds(shape, &b->list[i]))
            return;
    if (b->num < DLM_MAX_BUCKETS)
        b->list[b->num++] = *shape;
}
