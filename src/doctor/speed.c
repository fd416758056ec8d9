/* Three small graphs: a product of many rows, one of one row, and a chain of sums. */
#include "doctor/speed.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "doctor/timing.h"
#include "graph/cost.h"
#include "kernels/panel.h"
#include "ops/build.h"

#define FORMAT_TEXT "dlm device speed 1\n"

/* A layer of a model of 2 B parameters, and a small one for devices on which that would take long;
 * a weight that is in no cache. */
enum { ROWS = 256, SIDE = 2048, FEW_ROWS = 64, SMALL_SIDE = 512, READ_DEPTH = 2048 };
#define READ_BYTES ((size_t)128 << 20)
#define LONG_SECONDS 0.05 /* of the large product */
enum { CHAIN = 64, CHAIN_LEN = 256 };
enum { NUM_BATCHES = 3 };

struct small_graph {
    struct dlm_graph *g;
    struct dlm_storage operands[2];
};

static void finish(struct small_graph *s)
{
    dlm_graph_destroy(&s->g);
    dlm_buffer_destroy(&s->operands[0].buffer);
    dlm_buffer_destroy(&s->operands[1].buffer);
}

static struct dlm_tensor *make_leaf(struct dlm_device *device, struct small_graph *s, int i,
                                    const struct dlm_desc *desc, size_t bytes,
                                    enum dlm_status *st)
{
    const uint32_t small = desc->dtype == DLM_DTYPE_F32 ? 0x3c800000u : 0x2c002c00u;

    struct dlm_tensor *leaf = dlm_graph_leaf(s->g, DLM_ROLE_INPUT, i ? "b" : "a", desc);
    if (!*st)
        *st = dlm_buffer_create(device, &s->operands[i].buffer, bytes);
    if (!*st)
        *st = dlm_buffer_fill(s->operands[i].buffer, 0, bytes, small);
    if (!leaf || *st)
        return NULL;
    dlm_tensor_bind(leaf, &s->operands[i]);
    return leaf;
}

static enum dlm_status time_graph(struct dlm_ctx *ctx, struct dlm_device *device,
                                  struct small_graph *s, struct dlm_tensor *y, enum dlm_status st,
                                  double *seconds)
{
    struct dlm_plan *plan = NULL;

    if (y)
        y->is_output = true;
    if (!st)
        st = dlm_graph_status(s->g);
    if (!st)
        st = dlm_plan_create(ctx, &plan, s->g, device);
    if (!st)
        st = dlm_plan_time(ctx, device, plan, NUM_BATCHES, seconds);
    dlm_plan_destroy(&plan);
    return st;
}

/* y [m, n] = x [m, k] w^T, w [n, k] as resident weights lie */
static enum dlm_status time_product(struct dlm_ctx *ctx, struct dlm_device *device,
                                    enum dlm_dtype type, int64_t m, int64_t n, int64_t k,
                                    double *seconds)
{
    const bool has_panels = dlm_device_get_caps(device)->bits & DLM_CAP_PANELS;
    const int64_t x_shape[2] = {m, k}, w_shape[2] = {n, k};
    const struct dlm_desc x_desc = dlm_desc_make(DLM_DTYPE_F32, 2, x_shape);
    struct dlm_desc w_desc = dlm_desc_make(type, 2, w_shape);
    const struct dlm_matmul_attrs attrs = {.round = type};
    struct small_graph s = {0};

    if (has_panels)
        w_desc.layout = DLM_LAYOUT_PANEL;
    enum dlm_status st = dlm_graph_create(ctx, &s.g);
    if (st)
        return st;
    struct dlm_tensor *x = make_leaf(device, &s, 0, &x_desc,
                                     dlm_dtype_size(DLM_DTYPE_F32, m * k), &st);
    struct dlm_tensor *w =
        make_leaf(device, &s, 1, &w_desc,
                  has_panels ? dlm_panel_bytes(type, n, k) : dlm_dtype_size(type, n * k), &st);
    struct dlm_tensor *wt = w ? dlm_view_transpose(s.g, w) : NULL;
    st = time_graph(ctx, device, &s, x && wt ? dlm_matmul(s.g, x, wt, NULL, NULL, &attrs) : NULL,
                    st, seconds);
    finish(&s);
    return st;
}

static enum dlm_status time_chain(struct dlm_ctx *ctx, struct dlm_device *device, double *seconds)
{
    const int64_t shape[1] = {CHAIN_LEN};
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 1, shape);
    struct small_graph s = {0};

    enum dlm_status st = dlm_graph_create(ctx, &s.g);
    if (st)
        return st;
    struct dlm_tensor *x = make_leaf(device, &s, 0, &desc,
                                     dlm_dtype_size(DLM_DTYPE_F32, CHAIN_LEN), &st);
    for (int i = 0; x && i < CHAIN; i++)
        x = dlm_add(s.g, x, x);
    st = time_graph(ctx, device, &s, x, st, seconds);
    finish(&s);
    return st;
}

/* The small product says whether the large one would take too long. */
static enum dlm_status measure_product(struct dlm_ctx *ctx, struct dlm_device *device,
                                       enum dlm_dtype type, double *rate)
{
    const double small = 2.0 * FEW_ROWS * SMALL_SIDE * SMALL_SIDE, large = 2.0 * ROWS * SIDE * SIDE;
    double seconds;

    enum dlm_status st =
        time_product(ctx, device, type, FEW_ROWS, SMALL_SIDE, SMALL_SIDE, &seconds);
    if (st)
        return st;
    *rate = small / seconds;
    if (large / *rate > LONG_SECONDS)
        return DLM_OK;
    st = time_product(ctx, device, type, ROWS, SIDE, SIDE, &seconds);
    if (!st)
        *rate = large / seconds;
    return st;
}

static enum dlm_status measure_read(struct dlm_ctx *ctx, struct dlm_device *device,
                                    enum dlm_dtype type, double product, double *rate)
{
    const size_t row = dlm_dtype_size(type, READ_DEPTH);
    const size_t room = DLM_MIN(READ_BYTES, dlm_device_max_tensor(device));
    /* no more than takes a moment where arithmetic is slow, too */
    const size_t slow = (size_t)(product * LONG_SECONDS / 2 / READ_DEPTH) * row;
    const int64_t n = (int64_t)(DLM_MIN(room, DLM_MAX(slow, 64 * row)) / row / 16 * 16);
    double seconds;

    enum dlm_status st = time_product(ctx, device, type, 1, n, READ_DEPTH, &seconds);
    if (!st)
        *rate = (double)n * (double)row / seconds;
    return st;
}

enum dlm_status dlm_speed_measure(struct dlm_ctx *ctx, struct dlm_device *device,
                                  enum dlm_dtype type, struct dlm_speed *speed)
{
    const double begin = dlm_now();
    double chain;

    *speed = (struct dlm_speed){0};
    enum dlm_status st = measure_product(ctx, device, type, &speed->product);
    if (!st)
        st = measure_read(ctx, device, type, speed->product, &speed->read);
    if (!st)
        st = time_chain(ctx, device, &chain);
    if (!st)
        speed->dispatch = chain / CHAIN;
    speed->seconds = dlm_now() - begin;
    return st;
}

double dlm_speed_plan_seconds(const struct dlm_speed *speed, const struct dlm_plan *plan)
{
    double seconds = (double)plan->num_calls * speed->dispatch;

    for (size_t i = 0; i < plan->graph->num_nodes; i++) {
        const struct dlm_cost cost = dlm_node_cost(plan->graph->nodes[i]);
        const double memory = (cost.read + cost.written) / speed->read;
        const double products = cost.flops / speed->product;
        seconds += DLM_MAX(memory, products);
    }
    return seconds;
}

/* --- what is kept --- */

/* Path of the file, named by all that it depends on; owned by the caller, NULL: no memory. */
static char *file_path(struct dlm_ctx *ctx, const struct dlm_device *device, enum dlm_dtype type,
                       const char *cache_dir)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);
    char hex[65], *path = NULL;

    char *key = dlm_strf(ctx, FORMAT_TEXT "%s %d\n%s\n%s\n%s\n%u\n%s",
                         dlm_backend_name(caps->info.kind), caps->info.index, caps->info.name,
                         caps->info.driver, dlm_dtype_name(type), caps->num_units,
                         caps->no_matrix ? "no matrix units\n" : "");
    if (key) {
        dlm_sha256_of(key, strlen(key), hex);
        path = dlm_strf(ctx, "%s/%s.speed", cache_dir, hex);
    }
    dlm_free(key);
    return path;
}

enum dlm_status dlm_speed_keep(struct dlm_ctx *ctx, const struct dlm_device *device,
                               enum dlm_dtype type, const char *cache_dir,
                               const struct dlm_speed *speed)
{
    char text[160];

    if (!cache_dir)
        return DLM_OK;
    char *path = file_path(ctx, device, type, cache_dir);
    if (!path)
        return DLM_ERR_MEMORY;
    const int len = snprintf(text, sizeof(text), FORMAT_TEXT "%.6g %.6g %.6g %.6g\n",
                             speed->product, speed->read, speed->dispatch, speed->seconds);
    if (dlm_dir_make(NULL, cache_dir) || dlm_file_replace(NULL, path, text, (size_t)len))
        dlm_log(ctx, DLM_LOG_DEBUG, "cannot keep the device's speed in '%s'", path);
    dlm_free(path);
    return DLM_OK;
}

enum dlm_status dlm_speed_find(struct dlm_ctx *ctx, const struct dlm_device *device,
                               enum dlm_dtype type, const char *cache_dir,
                               struct dlm_speed *speed, bool *is_found)
{
    struct dlm_map map = {0};
    char text[160] = "";
    double v[4];

    *is_found = false;
    if (!cache_dir)
        return DLM_OK;
    char *path = file_path(ctx, device, type, cache_dir);
    if (!path)
        return DLM_ERR_MEMORY;
    if (dlm_path_is_file(path) && !dlm_map_open(NULL, &map, path)) {
        if (map.bytes)
            memcpy(text, map.data, DLM_MIN(map.bytes, sizeof(text) - 1));
        *is_found = sscanf(text, FORMAT_TEXT "%lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3]) == 4 &&
                    v[0] > 0 && v[1] > 0 && v[2] >= 0;
    }
    if (*is_found)
        *speed = (struct dlm_speed){v[0], v[1], v[2], v[3]};
    dlm_map_close(&map);
    dlm_free(path);
    return DLM_OK;
}
