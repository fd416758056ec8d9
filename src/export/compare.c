/* Comparing an export's numbers with those that were to be written. */
#include "export/compare.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "base/pool.h"
#include "export/merge.h"
#include "gguf/types.h"
#include "models/weights_impl.h"

#define BLOCK_LEN ((int64_t)1 << 19) /* elements that are folded at once */
#define PIECE_LEN ((int64_t)1 << 14) /* elements that are worth an item of the pool's */

struct compare {
    struct dlm_ctx *ctx;
    const struct dlm_compare_params *params;
    struct dlm_pool *pool;
    struct dlm_checkpoint *base;
    struct dlm_adapter *adapter;
    struct dlm_merge merge;
    char **names; /* canonical, of merge's tensors */
    float *want;    /* a block */
    float *scratch; /* for each worker: two pieces, and one of 16 bits */
    int64_t want_len, scratch_len;
};

/* A part of a weight of the files, and the tensor of the base that it was made of. */
struct subject {
    struct compare *c;
    const struct dlm_weight *weight;
    const struct dlm_weight_part *part;
    const struct dlm_merge_tensor *tensor;
    int64_t offset; /* in the tensor, of the part's first element */
    int64_t row;    /* elements that are read together */
    struct dlm_compare_limit limit;
    /* the block in work, elements of the part: */
    int64_t at, num, step;
    atomic_bool is_wrong;
};

/* --- what rounding explains --- */

/* q8_0, q5_0 and q4_0 divide by 127, 16 and 8, the last two cutting off one end; q5_1 has 31 steps;
 * the K kinds look for the steps that are best for all of a block, where a number may be two of
 * them away. Scales are rounded to f16, which is the rest, and what tiny ones lose. */
static const struct {
    int type; /* enum dlm_ggml_type */
    struct dlm_compare_limit limit;
} block_limits[] = {
    {DLM_GGML_TYPE_Q8_0, {32, 1 / 254.0f + 0x1p-11f, 0x1p-17f}},
    {DLM_GGML_TYPE_Q5_1, {32, 1 / 31.0f + 0x1p-9f, 0x1p-19f}},
    {DLM_GGML_TYPE_Q5_0, {32, 1 / 16.0f + 0x1p-10f, 0x1p-20f}},
    {DLM_GGML_TYPE_Q4_0, {32, 1 / 8.0f + 0x1p-10f, 0x1p-21f}},
    {DLM_GGML_TYPE_Q6_K, {256, 2 / 32.0f, 0x1p-12f}},
    {DLM_GGML_TYPE_Q5_K, {256, 4 / 31.0f, 0x1p-13f}},
    {DLM_GGML_TYPE_Q4_K, {256, 4 / 15.0f, 0x1p-14f}},
};

struct dlm_compare_limit dlm_compare_limit_of(const struct dlm_tensor_info *t)
{
    for (size_t i = 0; t->form && i < DLM_ARRAY_LEN(block_limits); i++)
        if (block_limits[i].type == t->form->block_type)
            return block_limits[i].limit;
    return (struct dlm_compare_limit){1, 0, 0};
}

/* What is no number stays none. */
static bool is_near(float want, float got, float most)
{
    return fabsf(got - want) <= most || got == want || (isnan(got) && isnan(want));
}

int64_t dlm_compare_find(const struct dlm_compare_limit *limit, const float *want,
                         const float *got, int64_t num)
{
    if (!memcmp(want, got, (size_t)num * sizeof(*want)))
        return -1;
    for (int64_t i = 0; i < num; i += limit->len) {
        const int64_t end = DLM_MIN(i + limit->len, num);
        float most = 0;
        for (int64_t k = i; k < end; k++)
            most = fmaxf(most, fabsf(want[k]));
        most = most * limit->part + limit->least;
        for (int64_t k = i; k < end; k++)
            if (!is_near(want[k], got[k], most))
                return k;
    }
    return -1;
}

/* --- a part --- */

/* Of numbers that are rounded by themselves, what they are then. */
static const float *round_to(enum dlm_dtype dtype, const float *want, int64_t num, float *rounded,
                             uint16_t *halves)
{
    if (dtype != DLM_DTYPE_F16 && dtype != DLM_DTYPE_BF16)
        return want;
    const bool is_rounded = dlm_dtype_from_f32(dtype, want, halves, (size_t)num) &&
                            dlm_dtype_to_f32(dtype, halves, rounded, (size_t)num);
    return is_rounded ? rounded : want;
}

/* The first number of a piece of the block that is wrong, its place in the block; -1: none is.
 * scratch: the worker's. */
static int64_t find_in_piece(const struct subject *s, int64_t item, float *scratch)
{
    const int64_t first = item * s->step, num = DLM_MIN(s->step, s->num - first);
    float *got = scratch, *rounded = got + s->step;
    const bool has_numbers = dlm_weight_part_to_f32(s->weight, s->part,
                                                    s->part->begin + s->at + first, num, got);
    const float *want = round_to(s->part->source->dtype, s->c->want + first, num, rounded,
                                 (uint16_t *)(void *)(rounded + s->step));
    const int64_t wrong = !has_numbers ? 0 : dlm_compare_find(&s->limit, want, got, num);

    return wrong < 0 ? -1 : first + wrong;
}

static void compare_piece(void *user, int64_t item, int worker)
{
    struct subject *s = user;

    if (find_in_piece(s, item, s->c->scratch + worker * s->c->scratch_len) >= 0)
        atomic_store(&s->is_wrong, true);
}

/* Names the first number of the block that is wrong. */
static enum dlm_status fail_wrong(struct subject *s)
{
    const struct dlm_tensor_info *t = s->part->source;
    int64_t wrong = -1;

    for (int64_t i = 0; wrong < 0; i++)
        wrong = find_in_piece(s, i, s->c->scratch);
    const float got = s->c->scratch[wrong % s->step], want = s->c->want[wrong];
    return dlm_fail(s->c->ctx, DLM_ERR_INVALID, "the files do not hold what was to be written: "
                    "number %lld of tensor '%.200s' of '%s' is %.6g instead of %.6g, more than "
                    "rounding to %s explains", (long long)(s->at + wrong + 1), t->name, t->file,
                    (double)got, (double)want, t->st_type);
}

static enum dlm_status compare_block(struct subject *s)
{
    struct compare *c = s->c;

    if (dlm_ctx_is_cancelled(c->ctx))
        return dlm_fail(c->ctx, DLM_ERR_CANCELLED, "interrupted");
    enum dlm_status st =
        dlm_merge_read(c->ctx, &c->merge, s->tensor, s->offset + s->at, s->num, c->want);
    if (st)
        return st;
    dlm_pool_run(c->pool, compare_piece, s, (s->num + s->step - 1) / s->step);
    return atomic_load(&s->is_wrong) ? fail_wrong(s) : DLM_OK;
}

static int64_t row_of(const struct subject *s)
{
    const struct dlm_tensor_info *t = s->part->source;

    return t->form ? s->part->len / t->shape[0] : s->tensor->cols;
}

static enum dlm_status make_room(struct compare *c, int64_t want_len, int64_t scratch_len)
{
    if (want_len > c->want_len) {
        dlm_free(c->want);
        c->want_len = want_len;
        c->want = dlm_alloc_array(c->ctx, (size_t)want_len, sizeof(float));
    }
    if (scratch_len > c->scratch_len) {
        const size_t num = (size_t)dlm_pool_num_workers(c->pool);
        dlm_free(c->scratch);
        c->scratch_len = scratch_len;
        c->scratch = dlm_alloc_array(c->ctx, num * (size_t)scratch_len, sizeof(float));
    }
    return c->want && c->scratch ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status compare_part(struct subject *s)
{
    struct compare *c = s->c;
    const struct dlm_tensor_info *t = s->part->source;
    const int64_t len = s->part->len, row = row_of(s);
    const int64_t block = row * DLM_MAX(BLOCK_LEN / row, 1);

    s->limit = dlm_compare_limit_of(t);
    s->step = row * DLM_MAX(PIECE_LEN / row, 1);
    enum dlm_status st = make_room(c, block, 3 * s->step);
    for (s->at = 0; !st && s->at < len; s->at += block) {
        s->num = DLM_MIN(block, len - s->at);
        st = compare_block(s);
        if (!st && c->params->progress)
            c->params->progress(c->params->user,
                                (uint64_t)((double)t->bytes * ((double)s->num / (double)len)));
    }
    dlm_checkpoint_drop(c->params->written->checkpoint, t);
    return st;
}

/* --- all of them --- */

static const struct dlm_merge_tensor *find_tensor(const struct compare *c, const char *name)
{
    for (size_t i = 0; i < c->merge.num; i++)
        if (!strcmp(c->names[i], name))
            return &c->merge.tensors[i];
    return NULL;
}

/* A tensor that the files have in several, one below the other, has its name in each of them. */
static enum dlm_status compare_weight(struct compare *c, const struct dlm_weight *w,
                                      size_t *num_tensors)
{
    enum dlm_status st = DLM_OK;
    int64_t begin = 0;

    for (int i = 0; !st && i < w->num_parts; i++) {
        struct subject s = {.c = c, .weight = w, .part = &w->parts[i]};
        if (!i || strcmp(s.part->name, w->parts[i - 1].name))
            begin = s.part->begin;
        s.tensor = find_tensor(c, s.part->name);
        s.offset = s.part->begin - begin;
        if (!s.tensor || s.offset + s.part->len > s.tensor->len)
            return dlm_fail(c->ctx, DLM_ERR_INVALID, "the files do not hold what was to be "
                            "written: tensor '%.200s' of '%s' is none of the base's",
                            s.part->source->name, s.part->source->file);
        st = compare_part(&s);
        *num_tensors += !st;
    }
    return st;
}

static enum dlm_status open_base(struct compare *c)
{
    const struct dlm_compare_params *p = c->params;

    c->pool = dlm_ctx_pool(c->ctx);
    enum dlm_status st = c->pool ? dlm_checkpoint_open(c->ctx, &c->base, p->base) : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_adapter_open(c->ctx, &c->adapter, p->adapter, p->names);
    if (!st)
        st = dlm_merge_init(c->ctx, &c->merge, c->base, c->adapter, p->names);
    if (st)
        return st;
    c->names = dlm_alloc_array(c->ctx, c->merge.num, sizeof(*c->names));
    for (size_t i = 0; c->names && i < c->merge.num; i++) {
        c->names[i] = dlm_name_canonical(c->ctx, p->names, c->merge.tensors[i].info->name);
        if (!c->names[i])
            return DLM_ERR_MEMORY;
    }
    return c->names ? DLM_OK : DLM_ERR_MEMORY;
}

enum dlm_status dlm_export_compare(struct dlm_ctx *ctx, const struct dlm_compare_params *params,
                                   size_t *num_tensors)
{
    struct compare c = {.ctx = ctx, .params = params};

    *num_tensors = 0;
    enum dlm_status st = open_base(&c);
    for (size_t i = 0; !st && i < params->written->num; i++)
        st = compare_weight(&c, params->written->list[i], num_tensors);
    for (size_t i = 0; c.names && i < c.merge.num; i++)
        dlm_free(c.names[i]);
    dlm_free(c.names);
    dlm_free(c.want);
    dlm_free(c.scratch);
    dlm_merge_finish(&c.merge);
    dlm_adapter_destroy(&c.adapter);
    dlm_checkpoint_destroy(&c.base);
    return st;
}
