/* Comparing a device's tensors with a reference's: what a node reads is copied to the host before
 * it runs, what it wrote behind it; the reference computes the same node from the same inputs, with
 * weights as the checkpoint has them; of 4 or 8 bits in f32, as a kernel may take them or not. */
#include "doctor/verify.h"

#include <float.h>
#include <stdio.h>

#include "base/log.h"
#include "base/quant.h"
#include "base/scalar.h"
#include "ops/op_list.h"
#include "ops/reference.h"

/* Largest differences over the largest value of a row. Sums in another order and exponentials that
 * round otherwise differ by some 1e-6, and grow by the root of the length of a sum; what is stored
 * in 16 bits may be the next number. A wrong kernel differs by the size of its values. */
#define TOLERANCE 1e-4
#define TOLERANCE_16 1e-2

#define PLAIN_WORK 2000000 /* multiply-adds or elements: a tenth of a second in plain C */

/* --- host copies --- */

/* Elements from the first to the last of a tensor. */
static int64_t span_of(const struct dlm_desc *d)
{
    int64_t span = d->lead + 1;

    for (int i = 0; i < d->ndim; i++)
        span += (d->shape[i] - 1) * d->stride[i];
    return span;
}

/* Room for the elements of desc; data owned. */
static enum dlm_status alloc_host(struct dlm_ctx *ctx, const struct dlm_desc *desc,
                                  struct dlm_host_tensor *h)
{
    h->desc = *desc;
    h->data = dlm_alloc(ctx, dlm_dtype_size(desc->dtype, span_of(desc)) + 16);
    return h->data ? DLM_OK : DLM_ERR_MEMORY;
}

static void free_all(struct dlm_host_tensor *list, int num)
{
    for (int i = 0; list && i < num; i++) {
        dlm_free(list[i].data);
        list[i] = (struct dlm_host_tensor){.desc = {.dtype = DLM_DTYPE_COUNT, .ndim = 1}};
    }
}

static enum dlm_status read_device(struct dlm_verify *v, struct dlm_program *program,
                                   const struct dlm_tensor *t, struct dlm_host_tensor *h)
{
    struct dlm_desc desc = t->desc;

    desc.lead = 0;
    enum dlm_status st = alloc_host(v->ctx, &desc, h);
    return st ? st : dlm_program_read(program, t, h->data,
                                      dlm_dtype_size(desc.dtype, span_of(&desc)));
}

/* The slab that the tensor is, or is a view of; NULL for what is no weight of the model's. */
static const struct dlm_weight_slab *find_slab(const struct dlm_model *m,
                                               const struct dlm_tensor *t,
                                               const struct dlm_weight **weight)
{
    for (size_t i = 0; i < m->weights->num; i++) {
        const struct dlm_weight *w = m->weights->list[i];
        for (int s = 0; s < w->num_slabs; s++)
            if (t->base->storage == &w->slabs[s].storage) {
                *weight = w;
                return &w->slabs[s];
            }
    }
    return NULL;
}

/* Rows of a slab as the checkpoint has them; in f32 where they are of 4 or 8 bits, which the CPU
 * multiplies in panels alone. */
static enum dlm_status read_weight(struct dlm_verify *v, const struct dlm_weight *w,
                                   const struct dlm_weight_slab *slab, struct dlm_host_tensor *h)
{
    const int64_t len = slab->rows * w->cols;
    void *form = dlm_alloc(v->ctx, dlm_dtype_size(w->dtype, len) + 16);
    enum dlm_status st = form ? dlm_weight_read(v->ctx, w, slab->row0, slab->rows, form)
                              : DLM_ERR_MEMORY;

    if (st || !dlm_dtype_is_quant(w->dtype)) {
        h->data = form;
        return st;
    }
    h->desc.dtype = DLM_DTYPE_F32;
    h->data = dlm_alloc_array(v->ctx, (size_t)len + 4, sizeof(float));
    if (h->data)
        dlm_dequantize(w->dtype, form, len, 0, len, h->data);
    dlm_free(form);
    return h->data ? DLM_OK : DLM_ERR_MEMORY;
}

/* A tensor of any role as the node sees it. */
static enum dlm_status read_input(struct dlm_verify *v, struct dlm_program *program,
                                  const struct dlm_tensor *t, struct dlm_host_tensor *h)
{
    const struct dlm_weight *w = NULL;
    const struct dlm_weight_slab *slab =
        t->role == DLM_ROLE_WEIGHT ? find_slab(v->model, t, &w) : NULL;

    if (!slab)
        return read_device(v, program, t, h);
    h->desc = t->desc;
    h->desc.layout = DLM_LAYOUT_STRIDED;
    h->desc.lead = t->offset;
    return read_weight(v, w, slab, h);
}

/* --- the reference --- */

static int64_t work_of(const struct dlm_plan *plan, const struct dlm_node *node)
{
    int64_t work = 0;

    for (int i = 0; i < node->num_outputs; i++)
        work += dlm_desc_len(&node->outputs[i]->desc);
    for (size_t i = 0; i < plan->num_calls; i++)
        if (plan->calls[i].node == node)
            work += (int64_t)plan->calls[i].call.work; /* far below 2^63 */
    return work;
}

/* A host tensor as the input of a graph on the CPU. */
static enum dlm_status upload(struct dlm_graph *g, struct dlm_device *cpu,
                              const struct dlm_host_tensor *h, struct dlm_storage *place,
                              struct dlm_tensor **out)
{
    struct dlm_desc view = h->desc;
    const int64_t span = span_of(&view), offset = view.lead;
    const struct dlm_desc flat = dlm_desc_make(view.dtype, 1, &span);
    const size_t bytes = dlm_dtype_size(view.dtype, span);

    enum dlm_status st = dlm_buffer_create(cpu, &place->buffer, (bytes + 3) / 4 * 4);
    if (!st)
        st = dlm_buffer_write(place->buffer, 0, h->data, bytes);
    if (st)
        return st;
    struct dlm_tensor *leaf = dlm_graph_leaf(g, DLM_ROLE_INPUT, "input", &flat);
    if (!leaf)
        return dlm_graph_status(g);
    dlm_tensor_bind(leaf, place);
    view.lead = 0;
    *out = dlm_graph_view(g, leaf, DLM_VIEW_RESHAPE, &view, offset);
    return dlm_graph_status(g);
}

static bool is_attention(const struct dlm_node *node)
{
    return node->op == &dlm_op_attention || node->op == &dlm_op_attention_backward;
}

/* The node as a program of its own on the CPU, whose attention rounds nothing here: what a device
 * may round is rounded before. */
static enum dlm_status run_on_cpu(struct dlm_verify *v, const struct dlm_node *node,
                                  struct dlm_host_tensor *outputs)
{
    struct dlm_storage places[DLM_MAX_INPUTS] = {{0}};
    struct dlm_tensor *inputs[DLM_MAX_INPUTS] = {NULL};
    struct dlm_graph *g = NULL;
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;
    struct dlm_workspace workspace = {{0}};
    union dlm_attrs attrs = node->attrs;

    if (is_attention(node))
        attrs.attention.round = DLM_DTYPE_F32;
    enum dlm_status st = dlm_graph_create(v->ctx, &g);
    for (int i = 0; !st && i < node->num_inputs; i++)
        if (node->inputs[i])
            st = upload(g, v->cpu, &v->inputs[i], &places[i], &inputs[i]);
    if (!st && !dlm_graph_emit(g, node->op, &attrs, inputs, node->num_inputs, NULL))
        st = dlm_graph_status(g);
    for (int i = 0; !st && i < node->num_outputs; i++)
        g->nodes[0]->outputs[i]->base->is_output = true;
    if (!st)
        st = dlm_plan_create(v->ctx, &plan, g, v->cpu);
    if (!st)
        st = dlm_workspace_init(&workspace, v->cpu, &plan, 1);
    if (!st)
        st = dlm_program_create(v->ctx, &program, v->cpu, plan, &workspace);
    if (!st)
        st = dlm_program_run(program);
    for (int i = 0; !st && i < node->num_outputs; i++)
        st = read_device(v, program, g->nodes[0]->outputs[i], &outputs[i]);
    dlm_program_destroy(&program);
    dlm_workspace_finish(&workspace);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&g);
    for (int i = 0; i < node->num_inputs; i++)
        dlm_buffer_destroy(&places[i].buffer);
    return st;
}

static enum dlm_status run_plain(struct dlm_verify *v, const struct dlm_node *node,
                                 struct dlm_host_tensor *outputs)
{
    const struct dlm_reference_call call = {&node->attrs, node->num_inputs, node->num_outputs,
                                            v->inputs, outputs};

    for (int i = 0; i < node->num_outputs; i++) {
        const struct dlm_desc *d = &node->outputs[i]->desc;
        const struct dlm_desc own = dlm_desc_make(d->dtype, d->ndim, d->shape);
        enum dlm_status st = alloc_host(v->ctx, &own, &outputs[i]);
        if (st)
            return st;
        const int from = node->op->alias[i] - 1; /* written in place */
        for (int64_t k = 0; from >= 0 && k < dlm_desc_len(&own); k++)
            dlm_host_set_flat(&outputs[i], k, dlm_host_get_flat(&v->inputs[from], k));
    }
    node->op->reference(&call);
    return DLM_OK;
}

static enum dlm_status run_reference(struct dlm_verify *v, const struct dlm_node *node, bool plain,
                                     struct dlm_host_tensor *outputs)
{
    free_all(outputs, DLM_MAX_OUTPUTS);
    return plain ? run_plain(v, node, outputs) : run_on_cpu(v, node, outputs);
}

/* --- comparing --- */

/* Where row r of a tensor begins, in elements. */
static int64_t row_start(const struct dlm_desc *d, int64_t r)
{
    int64_t at = d->lead;

    for (int i = d->ndim - 2; i >= 0; i--) {
        at += r % d->shape[i] * d->stride[i];
        r /= d->shape[i];
    }
    return at;
}

/* Row r, widened. */
static void get_row(const struct dlm_host_tensor *t, int64_t r, double *out)
{
    const struct dlm_desc *d = &t->desc;
    const int64_t cols = dlm_desc_cols(d), step = d->stride[d->ndim - 1];
    const float *wide = (const float *)t->data + row_start(d, r);

    for (int64_t i = 0; i < cols; i++)
        out[i] = d->dtype == DLM_DTYPE_F32 ? wide[i * step]
                                           : dlm_host_get_flat(t, r * cols + i);
}

static double largest_of(const double *row, int64_t cols)
{
    double largest = 0;

    for (int64_t i = 0; i < cols; i++)
        if (isfinite(row[i]))
            largest = DLM_MAX(largest, fabs(row[i]));
    return largest;
}

static void index_text(const struct dlm_desc *d, int64_t flat, char *text, size_t bytes)
{
    int64_t index[DLM_MAX_DIMS];
    size_t len = 0;

    for (int i = d->ndim - 1; i >= 0; i--) {
        index[i] = flat % d->shape[i];
        flat /= d->shape[i];
    }
    for (int i = 0; i < d->ndim && len < bytes; i++)
        len += (size_t)snprintf(text + len, bytes - len, "%s%lld%s", i ? ", " : "[",
                                (long long)index[i], i + 1 < d->ndim ? "" : "]");
}

/* The worst element of got. A value that neither has as a number is no difference. */
static enum dlm_status find_worst(struct dlm_verify *v, const struct dlm_host_tensor *got,
                                  const struct dlm_host_tensor *want,
                                  struct dlm_verify_finding *f)
{
    const int64_t rows = dlm_desc_rows(&want->desc), cols = dlm_desc_cols(&want->desc);
    double *a = dlm_alloc_array(v->ctx, (size_t)cols, 2 * sizeof(*a));
    int64_t worst = -1;

    for (int64_t r = 0; a && r < rows; r++) {
        double *b = a + cols;
        get_row(got, r, a);
        get_row(want, r, b);
        const double scale = largest_of(b, cols) + FLT_MIN;
        for (int64_t i = 0; i < cols; i++) {
            const bool both = isfinite(a[i]) && isfinite(b[i]);
            const double d = both ? fabs(a[i] - b[i]) / scale
                             : isfinite(a[i]) || isfinite(b[i]) ? INFINITY : 0;
            if (worst >= 0 && d <= f->difference)
                continue;
            f->difference = d;
            f->got = a[i];
            f->want = b[i];
            worst = r * cols + i;
        }
    }
    dlm_free(a);
    if (!a)
        return DLM_ERR_MEMORY;
    index_text(&want->desc, worst, f->index, sizeof(f->index));
    return DLM_OK;
}

static void take(struct dlm_verify *v, const struct dlm_verify_finding *f)
{
    v->num_tensors++;
    if (f->difference > f->tolerance && !v->num_wrong++)
        v->first = *f;
    if (!v->largest.name[0] || f->difference > v->largest.difference)
        v->largest = *f;
}

/* Stored in 16 bits, or made of what a device may round to that. */
static bool has_16_bits(const struct dlm_node *node, const struct dlm_host_tensor *t)
{
    if (is_attention(node) && node->attrs.attention.round != DLM_DTYPE_F32)
        return true;
    return dlm_dtype_is_float(t->desc.dtype) && t->desc.dtype != DLM_DTYPE_F32;
}

/* A finding for each output; true when none is over its tolerance. */
static enum dlm_status compare(struct dlm_verify *v, const struct dlm_node *node,
                               const struct dlm_host_tensor *got,
                               const struct dlm_host_tensor *want, struct dlm_verify_finding *f,
                               bool *agrees)
{
    enum dlm_status st = DLM_OK;

    *agrees = true;
    for (int i = 0; !st && i < node->num_outputs; i++) {
        f[i].tolerance = has_16_bits(node, &want[i]) ? TOLERANCE_16 : TOLERANCE;
        st = find_worst(v, &got[i], &want[i], &f[i]);
        *agrees = *agrees && f[i].difference <= f[i].tolerance;
    }
    return st;
}

static void round_input(struct dlm_verify *v, int input, enum dlm_dtype round)
{
    float *values = v->inputs[input].data;

    for (int64_t i = 0; i < span_of(&v->inputs[input].desc); i++)
        values[i] = round == DLM_DTYPE_BF16 ? dlm_bf16_to_f32(dlm_f32_to_bf16(values[i]))
                                            : dlm_f16_to_f32(dlm_f32_to_f16(values[i]));
}

/* Whether the node multiplies f32 numbers that a kernel may round: a weight's of 4 or 8 bits, or
 * attention's q, k and v. Then they are, in v->inputs. ops/matmul.c and ops/attention.c say that
 * either is right. */
static bool round_operands(struct dlm_verify *v, const struct dlm_node *node)
{
    enum { B = 1, QKV = 3 };
    const bool is_forward = node->op == &dlm_op_attention;
    const enum dlm_dtype round =
        is_forward ? node->attrs.attention.round : node->attrs.matmul.round;

    if ((!is_forward && node->op != &dlm_op_matmul) || round == DLM_DTYPE_F32 ||
        (!is_forward && !dlm_dtype_is_quant(node->inputs[B]->desc.dtype)))
        return false;
    if (!is_forward)
        round_input(v, B, round);
    for (int i = 0; is_forward && i < QKV; i++)
        if (v->inputs[i].desc.dtype == DLM_DTYPE_F32)
            round_input(v, i, round);
    return true;
}

static enum dlm_status check_node(struct dlm_verify *v, const struct dlm_program *program,
                                  const struct dlm_node *node, const struct dlm_host_tensor *got,
                                  struct dlm_host_tensor *want)
{
    struct dlm_verify_finding f[DLM_MAX_OUTPUTS] = {{.difference = 0}};
    const int64_t most = v->plain_work ? v->plain_work : PLAIN_WORK;
    const bool plain = work_of(dlm_program_plan(program), node) <= most;
    bool agrees = false;

    enum dlm_status st = run_reference(v, node, plain, want);
    if (!st)
        st = compare(v, node, got, want, f, &agrees);
    if (!st && !agrees && round_operands(v, node)) {
        st = run_reference(v, node, plain, want);
        if (!st)
            st = compare(v, node, got, want, f, &agrees);
    }
    for (int i = 0; !st && i < node->num_outputs; i++) {
        dlm_verify_name(v->model, node, f[i].name, sizeof(f[i].name));
        if (v->prompt && program != v->prompt)
            strncat(f[i].name, ", next token", sizeof(f[i].name) - strlen(f[i].name) - 1);
        take(v, &f[i]);
        v->num_plain += plain;
    }
    return st;
}

/* --- the watch --- */

static const struct dlm_node *last_node(const struct dlm_program *program)
{
    const struct dlm_graph *g = dlm_program_plan(program)->graph;

    return g->nodes[g->num_nodes - 1];
}

static enum dlm_status before_node(void *user, struct dlm_program *program,
                                   const struct dlm_node *node)
{
    struct dlm_verify *v = user;
    enum dlm_status st = DLM_OK;

    if (!v->prompt && last_node(program)->op == &dlm_op_select)
        v->prompt = program;
    if (dlm_ctx_is_cancelled(v->ctx))
        return dlm_fail(v->ctx, DLM_ERR_CANCELLED, "interrupted");
    if (!v->inputs)
        v->inputs = dlm_alloc_array(v->ctx, DLM_MAX_INPUTS, sizeof(*v->inputs));
    if (!v->inputs)
        return DLM_ERR_MEMORY;
    free_all(v->inputs, DLM_MAX_INPUTS);
    for (int i = 0; !st && i < node->num_inputs; i++)
        if (node->inputs[i])
            st = read_input(v, program, node->inputs[i], &v->inputs[i]);
    return st;
}

static enum dlm_status after_node(void *user, struct dlm_program *program,
                                  const struct dlm_node *node)
{
    struct dlm_verify *v = user;
    struct dlm_host_tensor got[DLM_MAX_OUTPUTS], want[DLM_MAX_OUTPUTS];

    memset(got, 0, sizeof(got));
    memset(want, 0, sizeof(want));
    enum dlm_status st = v->fault ? v->fault(v->user, program, node) : DLM_OK;
    for (int i = 0; !st && i < node->num_outputs; i++)
        st = read_device(v, program, node->outputs[i], &got[i]);
    if (!st)
        st = check_node(v, program, node, got, want);
    free_all(got, DLM_MAX_OUTPUTS);
    free_all(want, DLM_MAX_OUTPUTS);
    return st;
}

/* What a run ends with: the tower's features, or the logits of which a token was chosen. */
static const struct dlm_tensor *end_of(const struct dlm_program *program)
{
    const struct dlm_node *last = last_node(program);

    return last->op == &dlm_op_select ? last->inputs[0] : last->outputs[0];
}

static enum dlm_status keep_end(void *user, struct dlm_program *program)
{
    struct dlm_verify *v = user;

    if (!dlm_grow(v->ctx, &v->ends, &v->cap_ends, v->num_ends, sizeof(*v->ends)))
        return DLM_ERR_MEMORY;
    v->ends[v->num_ends] = (struct dlm_host_tensor){.data = NULL};
    return read_device(v, program, end_of(program), &v->ends[v->num_ends++]);
}

static enum dlm_status compare_end(void *user, struct dlm_program *program)
{
    struct dlm_verify *v = user;
    struct dlm_verify_finding f = {.tolerance = TOLERANCE};
    struct dlm_host_tensor got = {.data = NULL};

    if (v->at_end >= v->num_ends) /* another token was chosen, which its logits have told of */
        return DLM_OK;
    snprintf(f.name, sizeof(f.name), "%s of the program as a whole, whose nodes are right alone",
             last_node(program)->op == &dlm_op_select ? "decoder, logits"
                                                      : "vision tower, features");
    enum dlm_status st = read_device(v, program, end_of(program), &got);
    if (!st)
        st = find_worst(v, &got, &v->ends[v->at_end++], &f);
    if (!st && f.difference > f.tolerance)
        take(v, &f);
    free_all(&got, 1);
    return st;
}

struct dlm_program_watch dlm_verify_nodes(struct dlm_verify *v)
{
    return (struct dlm_program_watch){
        .before = before_node, .after = after_node, .done = keep_end, .user = v};
}

struct dlm_program_watch dlm_verify_whole(struct dlm_verify *v)
{
    v->at_end = 0;
    return (struct dlm_program_watch){.done = compare_end, .user = v};
}

void dlm_verify_finish(struct dlm_verify *v)
{
    free_all(v->inputs, DLM_MAX_INPUTS);
    dlm_free(v->inputs);
    free_all(v->ends, (int)v->num_ends); /* a handful */
    dlm_free(v->ends);
    v->inputs = v->ends = NULL;
}
