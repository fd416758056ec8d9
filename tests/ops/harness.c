/* The body of every op test. */
#include "harness.h"

#include <float.h>

#include "base/hash.h"
#include "base/rng.h"
#include "bench.h"
#include "call_counts.h"
#include "tests/quant_form.h"

#define GUARD 4096
#define GUARD_WORD 0x7fc07fc1u /* NaN in every type */
#define SLICE_BEFORE 3
#define SLICE_AFTER 2

static const struct {
    double rtol, atol;
    bool norm;
} tolerances[] = {
    [TOL_EXACT] = {0, 0, false},
    [TOL_ELEMENTWISE] = {4e-6, 1e-6, false},
    [TOL_REDUCTION] = {2e-5, 2e-6, false},
    [TOL_PRODUCT] = {2e-5, 0, true},
    [TOL_PRODUCT_16] = {5e-3, 0, true},
    [TOL_STORE_16] = {8e-3, 1e-6, false},
};

/* Everything a row needs on the host. */
struct host_row {
    const struct op_row *row;
    struct dlm_desc stored[DLM_MAX_INPUTS]; /* of the leaf in memory */
    struct dlm_desc seen[DLM_MAX_INPUTS];   /* of the view that the op gets */
    void *data[DLM_MAX_INPUTS];
    struct dlm_host_tensor outputs[DLM_MAX_OUTPUTS];
    int num_outputs;
    bool has_reference;   /* outputs are what is expected */
    uint32_t device_hash; /* of the bits that the device gave */
};

static void describe_input(const struct row_input *in, struct dlm_desc *stored)
{
    int64_t shape[DLM_MAX_DIMS];

    memcpy(shape, in->shape, sizeof(shape));
    if (in->view == VIEW_TRANSPOSED) {
        shape[in->ndim - 1] = in->shape[in->ndim - 2];
        shape[in->ndim - 2] = in->shape[in->ndim - 1];
    } else if (in->view == VIEW_REVERSED) {
        for (int i = 0; i < in->ndim; i++)
            shape[i] = in->shape[in->ndim - 1 - i];
    } else if (in->view == VIEW_SLICED) {
        shape[0] += SLICE_BEFORE + SLICE_AFTER;
        if (in->ndim > 1)
            shape[in->ndim - 1] += SLICE_BEFORE + SLICE_AFTER;
    } else if (in->view == VIEW_INNER) {
        shape[in->ndim - 2] += 2;
    }
    *stored = dlm_desc_make(in->dtype, in->ndim, shape);
}

static struct dlm_tensor *view_input(struct dlm_graph *g, const struct row_input *in,
                                     struct dlm_tensor *leaf)
{
    int order[DLM_MAX_DIMS];

    if (in->view == VIEW_TRANSPOSED)
        return dlm_view_transpose(g, leaf);
    if (in->view == VIEW_REVERSED) {
        for (int i = 0; i < in->ndim; i++)
            order[i] = in->ndim - 1 - i;
        return dlm_view_permute(g, leaf, order);
    }
    if (in->view == VIEW_SLICED) {
        leaf = dlm_view_slice(g, leaf, 0, SLICE_BEFORE, in->shape[0]);
        if (in->ndim > 1)
            leaf = dlm_view_slice(g, leaf, in->ndim - 1, SLICE_BEFORE, in->shape[in->ndim - 1]);
    }
    if (in->view == VIEW_INNER)
        leaf = dlm_view_slice(g, leaf, in->ndim - 2, 1, in->shape[in->ndim - 2]);
    return leaf;
}

/* Leaves and views of a row in a graph; inputs[i] NULL where absent. */
static void build_inputs(struct dlm_graph *g, const struct host_row *h, struct dlm_tensor **leaves,
                         struct dlm_tensor **inputs)
{
    for (int i = 0; i < h->row->num_inputs; i++) {
        leaves[i] = inputs[i] = NULL;
        if (!h->row->inputs[i].ndim)
            continue;
        leaves[i] = dlm_graph_leaf(g, DLM_ROLE_INPUT, "in", &h->stored[i]);
        inputs[i] = view_input(g, &h->row->inputs[i], leaves[i]);
    }
}

static size_t desc_bytes(const struct dlm_desc *d)
{
    size_t bytes = 0;
    if (d->layout == DLM_LAYOUT_PANEL)
        return dlm_panel_bytes(d->dtype, d->shape[0], d->shape[1]);
    return dlm_dtype_bytes(d->dtype, dlm_desc_len(d), &bytes) ? bytes : 0;
}

/* Shapes, inputs and, with_reference, expected outputs. False when the op refuses the row. */
static bool make_host_row(struct dlm_ctx *ctx, struct host_row *h, const struct op_row *row,
                          const union dlm_attrs *attrs, uint64_t seed, bool with_reference)
{
    const struct dlm_op *op = row->op;
    struct dlm_tensor *leaves[DLM_MAX_INPUTS], *inputs[DLM_MAX_INPUTS];
    struct dlm_host_tensor in[DLM_MAX_INPUTS];
    struct dlm_desc descs[DLM_MAX_INPUTS], outs[DLM_MAX_OUTPUTS];
    struct dlm_graph *g = NULL;

    *h = (struct host_row){.row = row, .has_reference = with_reference};
    for (int i = 0; i < row->num_inputs; i++)
        if (row->inputs[i].ndim)
            describe_input(&row->inputs[i], &h->stored[i]);
    if (dlm_graph_create(ctx, &g))
        return false;
    build_inputs(g, h, leaves, inputs);
    for (int i = 0; i < DLM_MAX_INPUTS; i++) {
        descs[i] = (struct dlm_desc){.dtype = DLM_DTYPE_COUNT, .ndim = 1};
        in[i] = (struct dlm_host_tensor){.desc = descs[i]};
        if (i >= row->num_inputs || !inputs[i])
            continue;
        descs[i] = inputs[i]->desc;
        h->data[i] = calloc(1, desc_bytes(&h->stored[i]) + 16);
        row_fill_host(&row->inputs[i], &h->stored[i], h->data[i], seed * 100 + (uint64_t)i);
        h->seen[i] = descs[i];
        /* the reference gets the whole storage: its lead is the full offset */
        in[i] = (struct dlm_host_tensor){descs[i], h->data[i]};
        in[i].desc.lead = inputs[i]->offset;
    }
    bool ok = !op->infer(ctx, attrs, descs, outs);
    for (int i = 0; ok && i < op->num_outputs && !dlm_desc_is_absent(&outs[i]); i++) {
        h->num_outputs++;
        h->outputs[i] = (struct dlm_host_tensor){outs[i], calloc(1, desc_bytes(&outs[i]) + 16)};
        if (op->alias[i]) {
            const struct dlm_host_tensor *from = &in[op->alias[i] - 1];
            for (int64_t k = 0; k < dlm_desc_len(&outs[i]); k++)
                dlm_host_set_flat(&h->outputs[i], k, dlm_host_get_flat(from, k));
        }
    }
    struct dlm_reference_call call = {attrs, row->num_inputs, h->num_outputs, in, h->outputs};
    if (ok && with_reference)
        op->reference(&call);
    dlm_graph_destroy(&g);
    return ok;
}

static void free_host_row(struct host_row *h)
{
    for (int i = 0; i < DLM_MAX_INPUTS; i++)
        free(h->data[i]);
    for (int i = 0; i < DLM_MAX_OUTPUTS; i++)
        free(h->outputs[i].data);
}

/* Error of got against want in units of the tolerance: <= 1 passes. NaN counts as infinite. */
static double compare(enum row_tolerance kind, const struct dlm_host_tensor *got,
                      const struct dlm_host_tensor *want, int64_t *where)
{
    double worst = 0, diff2 = 0, want2 = 0;

    *where = -1;
    for (int64_t i = 0; i < dlm_desc_len(&want->desc); i++) {
        double a = dlm_host_get_flat(got, i), b = dlm_host_get_flat(want, i);
        if (a == b || (isnan(a) && isnan(b)))
            continue;
        double limit = tolerances[kind].atol + tolerances[kind].rtol * fabs(b);
        double error = isfinite(a) && isfinite(b) ? fabs(a - b) / (limit > 0 ? limit : DBL_MIN)
                                                  : INFINITY;
        diff2 += isfinite(error) ? (a - b) * (a - b) : INFINITY;
        want2 += b * b;
        if (!(error <= worst)) {
            worst = error;
            *where = i;
        }
    }
    if (!tolerances[kind].norm)
        return worst;
    for (int64_t i = want2 = 0; i < dlm_desc_len(&want->desc); i++)
        want2 += pow(dlm_host_get_flat(want, i), 2);
    return sqrt(diff2) / (tolerances[kind].rtol * sqrt(want2) + DBL_MIN);
}

/* A buffer of its own for a leaf, NaN around the data. */
static enum dlm_status upload(struct dlm_device *device, const struct dlm_desc *d, const void *data,
                              struct dlm_storage *out)
{
    size_t bytes = desc_bytes(d), body = (bytes + 3) / 4 * 4;

    out->offset = GUARD;
    enum dlm_status st = dlm_buffer_create(device, &out->buffer, body + 2 * GUARD);
    if (!st)
        st = dlm_buffer_fill(out->buffer, 0, body + 2 * GUARD, GUARD_WORD);
    return st ? st : dlm_buffer_write(out->buffer, GUARD, data, bytes);
}

/* Nothing around a leaf was written, nor the leaf itself unless the op works in place. */
static void check_leaf(const struct host_row *h, int i, const struct dlm_storage *place)
{
    const struct dlm_op *op = h->row->op;
    const size_t bytes = desc_bytes(&h->stored[i]), all = dlm_buffer_bytes(place->buffer);
    const size_t after = all - GUARD;
    uint8_t *got = malloc(all);
    bool in_place = false, is_whole = true;

    for (int k = 0; k < h->num_outputs; k++)
        in_place |= op->alias[k] == i + 1;
    if (CHECK(got && !dlm_buffer_read(place->buffer, 0, got, all))) {
        for (size_t at = 0; at < GUARD; at += 4) {
            const uint32_t word = GUARD_WORD;
            is_whole &= !memcmp(got + at, &word, 4) && !memcmp(got + after + at, &word, 4);
        }
        if (!CHECK(is_whole) || !CHECK(in_place || !memcmp(got + GUARD, h->data[i], bytes)))
            printf("     input %d was written\n", i);
    }
    free(got);
}

static void compare_outputs(struct dlm_program *program, const struct dlm_node *node,
                            struct host_row *h)
{
    h->device_hash = DLM_HASH_START;
    for (int i = 0; i < h->num_outputs; i++) {
        const struct dlm_host_tensor *want = &h->outputs[i];
        struct dlm_host_tensor got = {want->desc, calloc(1, desc_bytes(&want->desc) + 16)};
        int64_t where;
        if (CHECK(!dlm_program_read(program, node->outputs[i], got.data,
                                    desc_bytes(&want->desc))) &&
            !(h->row->skip_outputs >> i & 1)) {
            h->device_hash = dlm_hash(h->device_hash, got.data, desc_bytes(&want->desc));
            double error =
                h->has_reference ? compare(h->row->tolerance, &got, want, &where) : 0;
            if (!CHECK(error <= 1))
                printf("     output %d: %.3g times the tolerance; element %lld: got %.9g, want "
                       "%.9g\n", i, error, (long long)where,
                       where < 0 ? 0 : dlm_host_get_flat(&got, where),
                       where < 0 ? 0 : dlm_host_get_flat(want, where));
        }
        free(got.data);
    }
}

static struct call_counts counts; /* of a variant */
/* A graph of the row's one node, its leaves in memory of the device. */
struct device_row {
    struct dlm_graph *g;
    struct dlm_tensor *leaves[DLM_MAX_INPUTS];
    struct dlm_storage places[DLM_MAX_INPUTS];
};

static bool make_device_row(struct dlm_ctx *ctx, struct dlm_device *device,
                            struct host_row *h, struct device_row *d)
{
    struct dlm_tensor *inputs[DLM_MAX_INPUTS] = {0};

    *d = (struct device_row){0};
    for (int i = 0; i < h->row->num_inputs; i++)
        if (dlm_device_get_caps(device)->bits & DLM_CAP_PANELS)
            pack_quant_form(&h->stored[i], &h->data[i]);
    if (!CHECK(!dlm_graph_create(ctx, &d->g)))
        return false;
    build_inputs(d->g, h, d->leaves, inputs);
    for (int i = 0; i < h->row->num_inputs; i++)
        if (d->leaves[i] && CHECK(!upload(device, &h->stored[i], h->data[i], &d->places[i])))
            dlm_tensor_bind(d->leaves[i], &d->places[i]);
    return CHECK(dlm_graph_emit(d->g, h->row->op, &h->row->attrs, inputs, h->row->num_inputs,
                                NULL));
}

static void free_device_row(struct device_row *d)
{
    dlm_graph_destroy(&d->g);
    for (int i = 0; i < DLM_MAX_INPUTS; i++)
        dlm_buffer_destroy(&d->places[i].buffer);
}

static void run_on_device(struct dlm_ctx *ctx, struct dlm_device *device, struct host_row *h)
{
    struct device_row d;
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;
    char what[128] = "";

    if (!make_device_row(ctx, device, h, &d))
        goto done;
    struct dlm_node *node = d.g->nodes[0];
    for (int i = 0; i < node->num_outputs; i++)
        node->outputs[i]->base->is_output = true;
    if (CHECK(!dlm_plan_create(ctx, &plan, d.g, device)) &&
        CHECK(!dlm_program_create(ctx, &program, device, plan, NULL)) &&
        CHECK(!dlm_program_run(program)) && CHECK(!dlm_device_wait(device))) {
        call_counts_add(&counts, plan, dlm_device_get_caps(device));
        compare_outputs(program, node, h);
        if (!CHECK(dlm_program_check_guards(program, what, sizeof(what))))
            printf("     %s\n", what);
        for (int i = 0; i < h->row->num_inputs; i++)
            if (d.leaves[i])
                check_leaf(h, i, &d.places[i]);
    }
done:
    dlm_program_destroy(&program);
    dlm_plan_destroy(&plan);
    free_device_row(&d);
}

static void check_unlike(struct dlm_ctx *ctx, const struct host_row *h, uint64_t seed)
{
    struct host_row other;
    double most = 0;
    int64_t where;

    if (!h->row->unlike || !h->has_reference)
        return;
    if (CHECK(make_host_row(ctx, &other, h->row, h->row->unlike, seed, true))) {
        for (int i = 0; i < h->num_outputs; i++) {
            double error = compare(h->row->tolerance, &other.outputs[i], &h->outputs[i], &where);
            most = error > most ? error : most;
        }
        CHECK(most > 10); /* else the row cannot see its parameter */
    }
    free_host_row(&other);
}

static void print_log(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level <= DLM_LOG_WARNING)
        printf("     log: %s\n", text);
}

static bool is_wanted(const struct dlm_device_info *info)
{
    const char *only = getenv("DLM_TEST_BACKENDS");
    return !only || strstr(only, dlm_backend_name(info->kind));
}

/* How a device is opened. */
struct variant {
    const char *label; /* "": as it is */
    uint32_t hide_caps;
    uint64_t max_work; /* dispatches with more come in parts; 0: the device's own limit */
    uint32_t show_caps;
    size_t max_alloc_bytes; /* of a buffer: weights in 4 and 8 bits become numbers in slices */
    struct dlm_matmul_tuned tiles; /* of all products whose operands lie so; rows run twice */
};

#define PARTS_WORK 4000 /* parts of one group and of several */
static const struct variant as_it_is = {.label = ""};
static const struct variant local_memory = {", local", .hide_caps = DLM_CAP_NO_LOCAL};
static const struct variant no_subgroups = {", no subgroups", .hide_caps = DLM_CAP_SUBGROUP};
static const struct variant library = {", library", .show_caps = DLM_CAP_GEMM_F32,
                                       .tiles = {DLM_MATMUL_TILE_LIBRARY, 8}};
static const struct variant matrix_units = {", matrix units", .hide_caps = DLM_CAP_NO_LOCAL,
                                            .show_caps = DLM_CAPS_MATRIX};
static const struct variant slices = {", slices", .max_alloc_bytes = (size_t)88 << 10};

static bool is_for_library(const struct variant *v)
{
    return v->tiles.tile == DLM_MATMUL_TILE_LIBRARY;
}

/* A product whose weight becomes numbers in several slices when a buffer has 88 KiB. */
static bool comes_in_slices(const struct op_row *row)
{
    return row->op == &dlm_op_matmul && dlm_dtype_is_quant(row->inputs[1].dtype) &&
           row->inputs[0].shape[0] > DLM_MATVEC_ROWS &&
           row->inputs[1].shape[0] * row->inputs[1].shape[1] >= 50000;
}

/* A variant runs the rows that may take another kernel. */
static bool is_for(const struct variant *v, const struct op_row *row)
{
    if (is_for_library(v))
        return true;
    if (v->tiles.tile)
        return row_is_small(row) && dlm_dtype_is_float(row->inputs[1].dtype) &&
               (!v->show_caps || row->inputs[1].dtype != DLM_DTYPE_F32);
    if (v->max_alloc_bytes)
        return comes_in_slices(row);
    if (v->max_work && !row_is_small(row))
        return false;
    if (v->show_caps && row->op == &dlm_op_matmul && row->inputs[1].dtype == DLM_DTYPE_F32)
        return false; /* no engine for it */
    if (v->max_work && v->hide_caps && !v->show_caps &&
        dlm_dtype_is_float(row->inputs[1].dtype) && row->inputs[1].dtype != DLM_DTYPE_F32)
        return false; /* the same source: compiling it takes long */
    return !*v->label || (row_has_local_variant(row) && row_is_small(row));
}

/* The rows reached the kernels that the variant is for. */
static void check_counts(const struct variant *v, int num_run)
{
    check_case("kernels that were meant");
    CHECK(is_for_library(v) == (counts.by_library > 0));
    CHECK(!(v->show_caps & DLM_CAPS_MATRIX) || counts.matrix >= 8);
    CHECK(!v->tiles.tile || counts.tiled >= 8);
    CHECK(!v->max_alloc_bytes || (num_run >= 4 && counts.slices >= 2 * num_run));
    CHECK(!v->max_work || counts.cut > 0);
}

/* hashes: of each row's bits, written, or, where the variant has parts, compared. */
static void run_variant(struct dlm_ctx *ctx, const struct dlm_device_info *info,
                        const struct variant *v, const struct op_row *rows, size_t num,
                        uint32_t *hashes)
{
    static char names[4096][96];
    static size_t num_names;
    struct dlm_device *device = NULL;
    struct dlm_device_params params = {.kind = info->kind, .index = info->index,
                                       .cache_dir = getenv("DLM_TEST_KERNEL_CACHE"),
                                       .hide_caps = v->hide_caps, .max_work = v->max_work,
                                       .show_caps = v->show_caps,
                                       .max_alloc_bytes = v->max_alloc_bytes};
    const char *parts = v->max_work ? ", parts" : "";
    uint8_t tuned[DLM_NUM_TUNED];
    int num_run = 0;

    check_case("device opens");
    if (!CHECK(!dlm_device_open(ctx, &device, &params)))
        return;
    printf("device %s %d: %s (%s)%s%s\n", dlm_backend_name(info->kind), info->index, info->name,
           info->driver, v->label, parts);
    if (v->tiles.tile && CHECK(dlm_matmul_pack_tuned(&v->tiles, &tuned[0]))) {
        memset(tuned, tuned[0], sizeof(tuned));
        dlm_device_tune(device, tuned);
    }
    counts = (struct call_counts){0};
    for (size_t i = 0; i < num; i++) {
        struct host_row h;
        const struct op_row row =
            v->show_caps & DLM_CAPS_MATRIX ? row_for_matrix_units(rows[i]) : rows[i];
        if (!is_for(v, &row))
            continue;
        char *name = names[num_names++ % DLM_ARRAY_LEN(names)];
        snprintf(name, sizeof(names[0]), "%s/%s on %s %d%s%s", row.op->name, row.name,
                 dlm_backend_name(info->kind), info->index, v->label, parts);
        check_case(name);
        num_run++;
        if (CHECK(make_host_row(ctx, &h, &row, &row.attrs, i + 1, !v->max_work))) {
            run_on_device(ctx, device, &h);
            check_unlike(ctx, &h, i + 1);
            CHECK(!v->max_work || h.device_hash == hashes[i]);
            hashes[i] = h.device_hash;
            if (v->tiles.tile)
                run_on_device(ctx, device, &h);
            CHECK(h.device_hash == hashes[i]);
        }
        free_host_row(&h);
    }
    dlm_device_destroy(&device);
    check_counts(v, num_run);
}

/* A variant, then the same with dispatches in parts: no bit is another one. */
static void run_whole_and_parts(struct dlm_ctx *ctx, const struct dlm_device_info *info,
                                const struct variant *v, const struct op_row *rows, size_t num)
{
    struct variant parts = *v;
    uint32_t *hashes = calloc(num + 1, sizeof(*hashes));

    parts.max_work = PARTS_WORK;
    if (CHECK(hashes)) {
        run_variant(ctx, info, v, rows, num, hashes);
        const int num_whole = counts.by_library;
        run_variant(ctx, info, &parts, rows, num, hashes);
        CHECK(!is_for_library(v) || counts.by_library > num_whole);
    }
    free(hashes);
}

/* Every tile that products may have, with long sums in many parts or in one. */
static void run_tiles(struct dlm_ctx *ctx, const struct dlm_device_info *info,
                      const struct dlm_device_caps *caps, const struct op_row *rows, size_t num)
{
    uint32_t *hashes = calloc(num + 1, sizeof(*hashes));
    char label[64];

    for (uint32_t t = DLM_MATMUL_TILE_NOLOCAL; CHECK(hashes) && t < DLM_MATMUL_TILE_LIBRARY; t++) {
        const uint32_t per_unit = t == DLM_MATMUL_TILE_64X64 ? 0 : 16;
        const uint32_t units = t >= DLM_MATMUL_TILE_MMA_32X32 ? DLM_CAPS_MATRIX : 0;
        const struct variant v = {.label = label, .show_caps = units,
                                  .tiles = {(enum dlm_matmul_tile)t, per_unit}};
        snprintf(label, sizeof(label), ", %s", dlm_matmul_tile_name(v.tiles.tile));
        if (row_has_tile(caps, v.tiles.tile))
            run_variant(ctx, info, &v, rows, num, hashes);
    }
    free(hashes);
}

static void run_variants(struct dlm_ctx *ctx, const struct dlm_device_info *info,
                         const struct op_row *rows, size_t num)
{
    const struct dlm_device_params params = {.kind = info->kind, .index = info->index,
                                             .show_caps = DLM_CAPS_MATRIX | DLM_CAP_GEMM_F32};
    struct dlm_device *device = NULL;

    run_whole_and_parts(ctx, info, &as_it_is, rows, num);
    if (!num || !row_has_local_variant(&rows[0]))
        return;
    check_case("device opens");
    if (!CHECK(!dlm_device_open(ctx, &device, &params)))
        return;
    const struct dlm_device_caps all = *dlm_device_get_caps(device);
    const uint32_t caps = all.bits;
    dlm_device_destroy(&device);
    if (caps & DLM_CAP_NO_LOCAL)
        run_whole_and_parts(ctx, info, &local_memory, rows, num);
    if (caps & DLM_CAP_NO_LOCAL && caps & DLM_CAP_SUBGROUP)
        run_whole_and_parts(ctx, info, &no_subgroups, rows, num);
    if (row_has_matrix_units(&rows[0], caps))
        run_whole_and_parts(ctx, info, &matrix_units, rows, num);
    if (!(caps & DLM_CAP_BLOCK_ITEMS) && rows[0].op == &dlm_op_matmul) {
        run_whole_and_parts(ctx, info, &slices, rows, num);
        run_tiles(ctx, info, &all, rows, num);
    }
    if (caps & DLM_CAP_GEMM_F32 && rows[0].op == &dlm_op_matmul)
        run_whole_and_parts(ctx, info, &library, rows, num);
}

static void run_rows(struct dlm_ctx *ctx, const struct dlm_device_info *info,
                     const struct op_row *rows, size_t num)
{
    run_variants(ctx, info, rows, num);
    call_counts_check_parts();
}

static void bench_rows(struct dlm_ctx *ctx, const struct dlm_device_info *info,
                       const struct op_row *rows, size_t num)
{
    const struct dlm_device_params params = {.kind = info->kind, .index = info->index,
                                             .cache_dir = getenv("DLM_TEST_KERNEL_CACHE")};
    struct dlm_device *device = NULL;
    struct dlm_limits limits;

    check_case("device opens");
    if (!CHECK(!dlm_device_open(ctx, &device, &params)))
        return;
    bool is_measured = CHECK(!dlm_limits_measure(device, &limits));
    if (is_measured)
        bench_print_head(info, &limits);
    for (size_t i = 0; is_measured && i < num; i++) {
        struct host_row h;
        struct device_row d = {0};
        char name[96];
        snprintf(name, sizeof(name), "%s/%s", rows[i].op->name, rows[i].name);
        if (CHECK(make_host_row(ctx, &h, &rows[i], &rows[i].attrs, i + 1, false)) &&
            make_device_row(ctx, device, &h, &d))
            bench_print(&limits, d.g->nodes[0], name, bench_node(ctx, device, d.g));
        free_device_row(&d);
        free_host_row(&h);
    }
    dlm_device_destroy(&device);
}

int op_rows_main(int argc, char **argv, const struct op_row *rows, size_t num)
{
    const bool is_bench = argc > 1 && !strcmp(argv[1], "--bench");

    if (argc > 1 + is_bench) {
        fprintf(stderr, "usage: %s [--bench]\n", argv[0]);
        return 2;
    }
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = print_log});
    struct dlm_device_info *list = NULL;
    int num_devices = 0;
    bool seen[DLM_BACKEND_COUNT] = {0};

    if (!ctx || dlm_device_list(ctx, &list, &num_devices))
        return 1;
    for (int d = 0; d < num_devices; d++) {
        if (!is_wanted(&list[d]))
            continue;
        seen[list[d].kind] = true;
        if (is_bench)
            bench_rows(ctx, &list[d], rows, num);
        else
            run_rows(ctx, &list[d], rows, num);
    }
    for (int k = DLM_BACKEND_CPU; k < DLM_BACKEND_COUNT && !is_bench; k++)
        if (!seen[k])
            check_skip(dlm_backend_name((enum dlm_backend_kind)k), "no such device here");
    dlm_device_list_free(list);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
