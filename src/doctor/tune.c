/* Each class of shapes that models have is measured with every tile that the device can make of it,
 * its library among them, and several numbers of work-groups; candidates that come to the same
 * kernel calls count once. */
#include "doctor/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "doctor/timing.h"
#include "ops/build.h"
#include "ops/matmul_tiles.h"

#define MIN_GAIN 0.95 /* of the table's seconds: what is closer may be noise */

/* How operands lie: those of x W^T, of dy W, of dy^T x. */
enum layout { FORWARD = 1 << 0, DX = 1 << 1, GRADIENT = 1 << 2, NUM_LAYOUTS = 3 };

/* Of Gemma, Qwen2 and their towers; no two of one class, also where all are f32. 16 stands for
 * ranks. */
static const struct shape {
    const char *use;
    uint32_t m, n, k;
    bool is_base; /* a weight of the base; else f32 of an adapter */
    int layouts;
} shapes[] = {
    {"decode, A", 1, 16, 2048, false, FORWARD},
    {"decode, B", 1, 2048, 16, false, FORWARD},
    {"decode, k and v", 1, 512, 2048, true, FORWARD},
    {"decode, attention", 1, 2560, 2048, true, FORWARD},
    {"decode, MLP", 1, 16384, 2048, true, FORWARD},
    {"A", 320, 16, 2048, false, FORWARD},
    {"B", 320, 2048, 16, false, FORWARD},
    {"gradient of A or B", 16, 2048, 320, false, GRADIENT},
    {"A, long rows", 1280, 16, 2048, false, FORWARD},
    {"B, long rows", 1280, 2048, 16, false, FORWARD},
    {"gradient, long rows", 16, 2048, 1280, false, GRADIENT},
    {"attention, short rows", 96, 2560, 2048, true, FORWARD | DX},
    {"attention", 320, 2560, 2048, true, FORWARD | DX},
    {"head", 32, 16384, 2048, true, FORWARD | DX},
    {"MLP, short rows", 96, 16384, 2048, true, FORWARD | DX},
    {"MLP", 320, 16384, 2048, true, FORWARD | DX},
    {"attention, long rows", 1280, 2560, 2048, true, FORWARD | DX},
    {"MLP, long rows", 1280, 16384, 2048, true, FORWARD | DX},
};

/* A product of one layout. */
struct product {
    struct dlm_graph *g;
    struct dlm_storage operands[2];
};

struct tuner {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    enum dlm_dtype type; /* of the base's weights */
    double end; /* of the time that there is */
    uint8_t tuned[DLM_NUM_TUNED]; /* what was found so far */
    /* of the shape at work */
    const struct shape *shape;
    struct product products[NUM_LAYOUTS];
    uint32_t possible; /* tiles, of any of them */
    struct dlm_matmul_tuned table; /* the table's choice */
    uint32_t seen[DLM_MATMUL_TILE_COUNT * DLM_MATMUL_NUM_PER_UNIT]; /* hashes of kernel calls */
    size_t num_seen;
};

static enum dlm_dtype type_of(const struct tuner *t, const struct shape *s)
{
    return s->is_base ? t->type : DLM_DTYPE_F32;
}

static uint32_t class_of(const struct tuner *t, const struct shape *s)
{
    return dlm_matmul_shape_class(s->m, s->n, s->k, type_of(t, s));
}

/* [rows, cols], or stored as its transpose. */
static struct dlm_tensor *make_operand(struct tuner *t, struct product *p, int i,
                                       enum dlm_dtype type, int64_t rows, int64_t cols,
                                       bool is_transposed, enum dlm_status *st)
{
    const int64_t shape[2] = {is_transposed ? cols : rows, is_transposed ? rows : cols};
    const struct dlm_desc desc = dlm_desc_make(type, 2, shape);
    const size_t bytes = dlm_dtype_size(type, rows * cols);
    const uint32_t small = type == DLM_DTYPE_F32 ? 0x3c800000u : 0x2c002c00u; /* and positive */

    struct dlm_tensor *leaf = dlm_graph_leaf(p->g, DLM_ROLE_INPUT, i ? "b" : "a", &desc);
    if (!*st)
        *st = dlm_buffer_create(t->device, &p->operands[i].buffer, bytes);
    if (!*st)
        *st = dlm_buffer_fill(p->operands[i].buffer, 0, bytes, small);
    if (!leaf || *st)
        return NULL;
    dlm_tensor_bind(leaf, &p->operands[i]);
    return is_transposed ? dlm_view_transpose(p->g, leaf) : leaf;
}

static enum dlm_status make_product(struct tuner *t, struct product *p, int layout)
{
    const struct shape *s = t->shape;
    const enum dlm_dtype type = type_of(t, s);
    const struct dlm_matmul_attrs attrs = {.round = type};

    enum dlm_status st = dlm_graph_create(t->ctx, &p->g);
    if (st)
        return st;
    struct dlm_tensor *a =
        make_operand(t, p, 0, DLM_DTYPE_F32, s->m, s->k, layout == GRADIENT, &st);
    struct dlm_tensor *b = make_operand(t, p, 1, type, s->k, s->n, layout == FORWARD, &st);
    struct dlm_tensor *y = dlm_matmul(p->g, a, b, NULL, NULL, &attrs);
    if (y)
        y->is_output = true;
    return st ? st : dlm_graph_status(p->g);
}

/* Which tiles the product may have, and which one the table gives it. */
static void look_up(struct tuner *t, const struct product *p)
{
    const struct dlm_node *node = p->g->nodes[0];
    struct dlm_lowering l = {.ctx = t->ctx, .device = t->device,
                             .caps = dlm_device_get_caps(t->device), .op = node->op,
                             .attrs = &node->attrs, .num_inputs = 2, .num_outputs = 1};

    for (int i = 0; i < node->op->num_inputs; i++)
        l.inputs[i] = i < 2 ? node->inputs[i]->desc : (struct dlm_desc){.dtype = DLM_DTYPE_COUNT};
    l.outputs[0] = node->outputs[0]->desc;
    const struct dlm_matmul_params params = dlm_matmul_make_params(&l);
    const uint32_t possible = dlm_matmul_possible_tiles(&l, &params);
    t->possible |= possible;
    t->table.tile = dlm_matmul_choose_tile(l.caps, &params, l.inputs[1].dtype, possible);
    t->table.per_unit = dlm_matmul_table_per_unit(l.caps);
}

static void finish_shape(struct tuner *t)
{
    for (int i = 0; i < NUM_LAYOUTS; i++) {
        struct product *p = &t->products[i];
        dlm_graph_destroy(&p->g);
        dlm_buffer_destroy(&p->operands[0].buffer);
        dlm_buffer_destroy(&p->operands[1].buffer);
    }
    t->num_seen = 0;
    t->possible = 0;
}

static enum dlm_status make_shape(struct tuner *t, const struct shape *shape)
{
    enum dlm_status st = DLM_OK;

    t->shape = shape;
    for (int i = 0; !st && i < NUM_LAYOUTS; i++) {
        if (!(shape->layouts >> i & 1))
            continue;
        st = make_product(t, &t->products[i], 1 << i);
        if (!st)
            look_up(t, &t->products[i]);
    }
    return st;
}

/* The device chooses as found so far, but for the shape at work. */
static void choose(struct tuner *t, const struct dlm_matmul_tuned *choice)
{
    const uint32_t class = class_of(t, t->shape);

    if (!dlm_matmul_pack_tuned(choice, &t->tuned[class]))
        t->tuned[class] = 0;
    dlm_device_tune(t->device, t->tuned);
}

static uint32_t hash_calls(uint32_t hash, const struct dlm_plan *plan)
{
    for (size_t i = 0; i < plan->num_calls; i++) {
        const struct dlm_kernel_call *c = &plan->calls[i].call;
        hash = dlm_hash(hash, c->kernel, strlen(c->kernel));
        hash = dlm_hash(hash, c->groups, sizeof(c->groups));
        hash = dlm_hash(hash, c->specs, sizeof(c->specs));
        hash = dlm_hash(hash, c->params, c->params_bytes);
    }
    return hash;
}

static enum dlm_status time_plan(struct tuner *t, struct dlm_plan *plan, double *seconds)
{
    double once = 0;

    enum dlm_status st = dlm_plan_time(t->ctx, t->device, plan, DLM_MAX_BATCHES, &once);
    *seconds += once;
    return st;
}

/* Seconds of the shape's products with a choice; 0: as another one that was measured. */
static enum dlm_status measure(struct tuner *t, const struct dlm_matmul_tuned *choice,
                               bool again, double *seconds)
{
    struct dlm_plan *plans[NUM_LAYOUTS] = {NULL};
    uint32_t hash = DLM_HASH_START;
    enum dlm_status st = DLM_OK;
    bool is_seen = false;

    *seconds = 0;
    choose(t, choice);
    for (int i = 0; !st && i < NUM_LAYOUTS; i++) {
        if (!t->products[i].g)
            continue;
        st = dlm_plan_create(t->ctx, &plans[i], t->products[i].g, t->device);
        hash = st ? hash : hash_calls(hash, plans[i]);
    }
    for (size_t i = 0; i < t->num_seen; i++)
        is_seen |= t->seen[i] == hash;
    if (!st && !is_seen)
        t->seen[t->num_seen++] = hash;
    for (int i = 0; !st && (!is_seen || again) && i < NUM_LAYOUTS; i++)
        if (plans[i])
            st = time_plan(t, plans[i], seconds);
    for (int i = 0; i < NUM_LAYOUTS; i++)
        dlm_plan_destroy(&plans[i]);
    return st;
}

/* What a driver makes nothing of is left out; what ends everything ends this. */
static bool is_fatal(enum dlm_status st)
{
    return st && st != DLM_ERR_DEVICE && st != DLM_ERR_UNSUPPORTED;
}

static enum dlm_status try_all(struct tuner *t, struct dlm_matmul_tuned *best,
                               double *best_seconds)
{
    enum dlm_status st = DLM_OK;
    double seconds;

    for (uint32_t tile = DLM_MATMUL_TILE_OPEN + 1; tile < DLM_MATMUL_TILE_COUNT; tile++) {
        for (uint32_t i = 0; t->possible >> tile & 1 && i < DLM_MATMUL_NUM_PER_UNIT; i++) {
            const struct dlm_matmul_tuned choice = {(enum dlm_matmul_tile)tile,
                                                    dlm_matmul_per_unit[i]};
            st = measure(t, &choice, false, &seconds);
            if (is_fatal(st))
                return st;
            if (seconds > 0)
                dlm_log(t->ctx, DLM_LOG_DEBUG, "%s, %u groups a unit: %.3f ms",
                        dlm_matmul_tile_name(choice.tile), choice.per_unit, seconds * 1e3);
            if (st)
                dlm_log(t->ctx, DLM_LOG_WARNING, "%s: left out", dlm_matmul_tile_name(choice.tile));
            else if (seconds > 0 && seconds < *best_seconds) {
                *best_seconds = seconds;
                *best = choice;
            }
        }
    }
    return DLM_OK;
}

static void set_choice(struct dlm_tune_choice *to, const struct dlm_matmul_tuned *choice,
                       double seconds)
{
    snprintf(to->tile, sizeof(to->tile), "%s", dlm_matmul_tile_name(choice->tile));
    to->groups_per_unit = (int)choice->per_unit;
    to->seconds = seconds;
}

/* The table's choice is measured first and last, and the better time counts. */
static enum dlm_status tune_shape(struct tuner *t, struct dlm_tune_row *row)
{
    static const struct dlm_matmul_tuned open = {DLM_MATMUL_TILE_OPEN, 0};
    struct dlm_matmul_tuned best = t->table;
    double before, after, again, candidates = 0;

    const double begin = dlm_now();
    enum dlm_status st = measure(t, &open, false, &before);
    for (uint32_t tile = 0; tile < DLM_MATMUL_TILE_COUNT; tile++)
        candidates += 2 * (t->possible >> tile & 1); /* about: more come to the same */
    row->is_measured = !st && dlm_now() + candidates * (dlm_now() - begin) < t->end;
    if (st || !row->is_measured)
        return st;
    after = before;
    st = try_all(t, &best, &after);
    if (!st)
        st = measure(t, &open, true, &again);
    if (st)
        return st;
    before = DLM_MIN(before, again);
    if (after > MIN_GAIN * before) {
        best = t->table;
        after = before;
    } else {
        choose(t, &best);
    }
    set_choice(&row->before, &t->table, before);
    set_choice(&row->after, &best, after);
    return DLM_OK;
}

static void say(const struct tuner *t, const struct dlm_tune_row *row, size_t done)
{
    if (row->is_measured)
        dlm_log(t->ctx, DLM_LOG_INFO, "%zu of %zu, %s: %s, %.3f ms; was %s, %.3f ms", done,
                DLM_ARRAY_LEN(shapes), row->use, row->after.tile, row->after.seconds * 1e3,
                row->before.tile, row->before.seconds * 1e3);
    else
        dlm_log(t->ctx, DLM_LOG_INFO, "%zu of %zu, %s: no time left for it", done,
                DLM_ARRAY_LEN(shapes), row->use);
}

static enum dlm_status run(struct tuner *t, struct dlm_tune_result *result)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(shapes); i++) {
        const struct shape *s = &shapes[i];
        struct dlm_tune_row *row = &result->rows[result->num_rows++];
        char *name = row->shape;
        *row = (struct dlm_tune_row){.m = s->m, .n = s->n, .k = s->k};
        snprintf(row->use, sizeof(row->use), "%s", s->use);
        dlm_matmul_shape_name(class_of(t, s), name);
        if (dlm_now() < t->end) {
            st = make_shape(t, s);
            if (!st)
                st = tune_shape(t, row);
            finish_shape(t);
        }
        if (!is_fatal(st))
            st = DLM_OK; /* it has been said what the device does not run */
        if (!st)
            say(t, row, i + 1);
    }
    return st;
}

enum dlm_status dlm_tune(struct dlm_ctx *ctx, struct dlm_device *device, enum dlm_dtype type,
                         double seconds, struct dlm_tune_result *result)
{
    static const uint8_t none[DLM_NUM_TUNED];
    struct tuner t = {.ctx = ctx, .device = device, .type = type, .end = dlm_now() + seconds};

    memcpy(t.tuned, dlm_device_get_caps(device)->tuned, sizeof(t.tuned));
    for (size_t i = 0; i < DLM_ARRAY_LEN(shapes); i++)
        t.tuned[class_of(&t, &shapes[i])] = 0;
    dlm_device_tune(device, t.tuned);
    result->rows = dlm_alloc_array(ctx, DLM_ARRAY_LEN(shapes), sizeof(*result->rows));
    enum dlm_status st = result->rows ? run(&t, result) : DLM_ERR_MEMORY;
    dlm_device_tune(device, st ? none : t.tuned);
    return st;
}
