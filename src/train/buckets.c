/* Rounding shapes, and finding one that holds another. */
#include "train/buckets.h"

int64_t dlm_bucket_round(int64_t n, int64_t least)
{
    int64_t step = least;

    while (step * 16 < n)
        step *= 2;
    return (n + step - 1) / step * step;
}

static bool has_room(const struct dlm_pass_params *bucket, const struct dlm_pass_params *shape)
{
    return bucket->batch >= shape->batch && bucket->tokens >= shape->tokens &&
           bucket->labels >= shape->labels && bucket->room.slices >= shape->room.slices &&
           bucket->room.patches >= shape->room.patches;
}

static bool holds(const struct dlm_pass_params *bucket, const struct dlm_pass_params *shape)
{
    return bucket->backward == shape->backward && has_room(bucket, shape);
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

bool dlm_buckets_is_within(const struct dlm_buckets *b, size_t i)
{
    const struct dlm_pass_params *shape = &b->list[i];

    for (size_t k = 0; k < b->num; k++) {
        const struct dlm_pass_params *other = &b->list[k];
        if (k == i || other->backward < shape->backward || !has_room(other, shape))
            continue;
        if (k < i || other->backward > shape->backward || !has_room(shape, other))
            return true;
    }
    return false;
}
