/* Names for the tensors of a model's graph that no builder gave: by part, block and module of the
 * weight that a node reads, or that the node before it reads. */
#include <ctype.h>
#include <stdio.h>

#include "doctor/verify.h"
#include "ops/op_list.h"

#define MAX_STEPS 32 /* back to a node with a weight; a block has fewer between two */

static const struct dlm_weight *weight_of(const struct dlm_model *model, const struct dlm_tensor *t)
{
    const struct dlm_weights *list = model->weights;

    for (size_t i = 0; t && t->role == DLM_ROLE_WEIGHT && i < list->num; i++)
        if (!strcmp(list->list[i]->name, t->name))
            return list->list[i];
    return NULL;
}

static const struct dlm_weight *read_weight(const struct dlm_model *model,
                                            const struct dlm_node *node)
{
    const struct dlm_weight *w = NULL;

    for (int i = 0; !w && i < node->num_inputs; i++)
        w = weight_of(model, node->inputs[i]);
    return w;
}

/* The node that gave the first input which one gave. */
static const struct dlm_node *node_before(const struct dlm_node *node)
{
    for (int i = 0; i < node->num_inputs; i++) {
        const struct dlm_tensor *t = node->inputs[i];
        while (t && t->view == DLM_VIEW_JOIN)
            t = t->parts[0];
        if (t && t->producer && t->producer != node)
            return t->producer;
    }
    return NULL;
}

static const char *part_name(enum dlm_weight_group group)
{
    switch (group) {
    case DLM_WEIGHT_GROUP_TOWER: return "vision tower";
    case DLM_WEIGHT_GROUP_PROJECTOR: return "projector";
    case DLM_WEIGHT_GROUP_DECODER:
    case DLM_WEIGHT_GROUP_HEAD: return "decoder";
    }
    return "?";
}

/* The module of a weight's name: what stands behind its block's number, or else the last part; and
 * the number, or -1. */
static const char *module_of(const char *name, int *block)
{
    const char *module = name, *dot = strrchr(name, '.');

    *block = -1;
    for (const char *p = strchr(name, '.'); p; p = strchr(p + 1, '.')) {
        const size_t digits = strspn(p + 1, "0123456789");
        if (digits && digits < 6 && p[1 + digits] == '.' && *block < 0) {
            *block = atoi(p + 1);
            module = p + 2 + digits;
        }
        if (*block < 0 && p != dot)
            module = p + 1;
    }
    return module;
}

void dlm_verify_name(const struct dlm_model *model, const struct dlm_node *node, char *name,
                     size_t name_bytes)
{
    const struct dlm_node *from = node;
    const struct dlm_weight *w = read_weight(model, node);
    bool is_behind_attention = false;
    char op[32], where[24] = "";
    int block;

    for (int i = 0; !w && from && i < MAX_STEPS; i++) {
        is_behind_attention |= from != node && from->op == &dlm_op_attention;
        from = node_before(from);
        w = from ? read_weight(model, from) : NULL;
    }
    snprintf(op, sizeof(op), "%s", node->op->name);
    for (char *p = op; *p; p++)
        *p = *p == '_' ? ' ' : *p;
    if (!w) {
        snprintf(name, name_bytes, "input, %s", op);
        return;
    }
    const char *module = module_of(w->name, &block), *end = strrchr(module, '.');
    const int len = end ? (int)(end - module) : (int)strlen(module); /* names are short */
    if (block >= 0)
        snprintf(where, sizeof(where), "block %d, ", block);
    if (node->op == &dlm_op_attention)
        snprintf(name, name_bytes, "%s, %sattention output", part_name(w->group), where);
    else if (from == node && node->op == &dlm_op_matmul && w == model->decoder.head)
        snprintf(name, name_bytes, "%s, logits", part_name(w->group));
    else if (from == node)
        snprintf(name, name_bytes, "%s, %s%.*s output", part_name(w->group), where, len, module);
    else
        snprintf(name, name_bytes, "%s, %s%s of %.*s", part_name(w->group), where, op,
                 is_behind_attention ? 9 : len, is_behind_attention ? "attention" : module);
}
