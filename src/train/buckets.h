/* Buckets: the shapes for which programs are made. Rows are padded to a bucket, so that a corpus of
 * any lengths runs in tens of programs.
 *
 * A run knows before it starts which micro-batches it will take, and its buckets are the rounded
 * shapes of the first hundred steps. A later micro-batch runs in the cheapest of these that holds
 * it: once the buckets' programs are made, none is made again, and which one runs a micro-batch is
 * a function of the data and the seed alone. */
#ifndef DLM_TRAIN_BUCKETS_H
#define DLM_TRAIN_BUCKETS_H

#include "models/pass.h"

#define DLM_MAX_BUCKETS 96
#define DLM_BUCKET_STEPS 100 /* that decide the buckets of a run */

struct dlm_buckets {
    struct dlm_pass_params list[DLM_MAX_BUCKETS];
    size_t num;
};

/* n rounded up to an eighth of the power of two below it, or to a multiple of `least`: at most
 * 12.5 % more from 8 * least on. */
int64_t dlm_bucket_round(int64_t n, int64_t least);

/* Adds a shape unless it is there. A full list stays as it is. */
void dlm_buckets_add(struct dlm_buckets *b, const struct dlm_pass_params *shape);

/* The index of the cheapest bucket with room for everything in shape, of its direction (backward or
 * not); -1: none. */
int dlm_buckets_find(const struct dlm_buckets *b, const struct dlm_pass_params *shape);

/* Whether another bucket's pass does all that bucket i's does: it has room for as much, and goes
 * backward if that one does. Of equal ones the first is within none. */
bool dlm_buckets_is_within(const struct dlm_buckets *b, size_t i);

#endif
