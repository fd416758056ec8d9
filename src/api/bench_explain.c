/* Nodes of one op and the same shapes are one row. */
#include "api/bench_explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "doctor/limits.h"
#include "graph/cost.h"

struct dlm_explain_row {
    struct dlm_bench_op op;
    double slowest; /* seconds of the dispatch whose kernel is named */
};

static void describe(const struct dlm_node *node, struct dlm_bench_op *op)
{
    char in[2][30] = {"", ""}, out[30] = "";

    for (int i = 0; i < 2 && i < node->num_inputs; i++)
        if (node->inputs[i])
            dlm_desc_text(&node->inputs[i]->desc, in[i], sizeof(in[i]));
    if (node->num_outputs)
        dlm_desc_text(&node->outputs[0]->desc, out, sizeof(out));
    snprintf(op->op, sizeof(op->op), "%s", node->op->name);
    snprintf(op->shapes, sizeof(op->shapes), "%s%s%s -> %s", in[0], *in[1] ? " " : "", in[1], out);
}

static enum dlm_status find_row(struct dlm_explain *e, const struct dlm_node *node)
{
    struct dlm_explain_row new = {0};
    size_t at = 0;

    describe(node, &new.op);
    while (at < e->num && (strcmp(e->rows[at].op.op, new.op.op) ||
                           strcmp(e->rows[at].op.shapes, new.op.shapes)))
        at++;
    if (at == e->num) {
        if (!dlm_grow(e->ctx, &e->rows, &e->cap, e->num, sizeof(*e->rows)))
            return DLM_ERR_MEMORY;
        e->rows[e->num++] = new;
    }
    e->node = node;
    e->row = at;
    return DLM_OK;
}

static enum dlm_status add(void *user, const struct dlm_node *node, const char *kernel,
                           double seconds)
{
    struct dlm_explain *e = user;

    if (node != e->node) {
        const struct dlm_cost cost = dlm_node_cost(node);
        enum dlm_status st = find_row(e, node);
        if (st)
            return st;
        struct dlm_bench_op *op = &e->rows[e->row].op;
        op->nodes += e->times;
        op->bytes += e->times * (cost.read + cost.written);
        op->flops += e->times * cost.flops;
        op->limit_seconds += e->times * dlm_limits_seconds(e->limits, &cost);
    }
    struct dlm_explain_row *row = &e->rows[e->row];
    row->op.seconds += e->times * seconds;
    if (!*row->op.kernel || seconds > row->slowest) {
        row->slowest = seconds;
        snprintf(row->op.kernel, sizeof(row->op.kernel), "%s", kernel);
    }
    return DLM_OK;
}

enum dlm_status dlm_explain_program(struct dlm_explain *e, struct dlm_program *program)
{
    e->node = NULL;
    return dlm_program_profile(program, add, e);
}

static int compare(const void *a, const void *b)
{
    const struct dlm_explain_row *x = a, *y = b;

    return (x->op.seconds < y->op.seconds) - (x->op.seconds > y->op.seconds);
}

enum dlm_status dlm_explain_give(struct dlm_explain *e, struct dlm_bench_part *part)
{
    part->ops = dlm_alloc_array(e->ctx, e->num + 1, sizeof(*part->ops));
    if (!part->ops)
        return DLM_ERR_MEMORY;
    qsort(e->rows, e->num, sizeof(*e->rows), compare);
    for (size_t i = 0; i < e->num; i++) {
        part->ops[i] = e->rows[i].op;
        part->kernel_seconds += e->rows[i].op.seconds;
    }
    part->num_ops = e->num;
    return DLM_OK;
}

void dlm_explain_finish(struct dlm_explain *e)
{
    dlm_free(e->rows);
}
