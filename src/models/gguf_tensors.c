/* The rules of a family read backwards. What they do to rows is undone as rows are read, by
 * models/weights_part.c; only the two time steps of a convolution are put together here. */
#include "models/gguf_tensors.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gguf/blocks.h"
#include "models/gguf_names.h"

struct adding {
    struct dlm_ctx *ctx;
    struct dlm_checkpoint *ckpt;
    size_t file;
    const struct dlm_gguf *gguf;
    const struct dlm_gguf_rules *old, *rules; /* old NULL: none */
    struct dlm_gguf_roots roots;
    int64_t heads, kv_heads;
    bool keeps_heads;
};

static enum dlm_status bad_tensor(const struct adding *a, const struct dlm_gguf_tensor *t,
                                  const char *what)
{
    return dlm_fail(a->ctx, DLM_ERR_PARSE, "cannot read '%s': tensor '%s' %s",
                    dlm_gguf_path(a->gguf), t->name, what);
}

/* Rows of a head in t, of which the converter interleaved the halves; 0: it did not. */
static enum dlm_status find_heads(const struct adding *a, const struct dlm_gguf_tensor *t,
                                  enum dlm_gguf_move move, int64_t *head_rows)
{
    const bool is_kv = move == DLM_GGUF_MOVE_KV_HEADS;
    const int64_t heads = is_kv ? a->kv_heads : a->heads, rows = t->ne[t->ndim - 1];

    *head_rows = 0;
    if ((move != DLM_GGUF_MOVE_HEADS && !is_kv) || a->keeps_heads)
        return DLM_OK;
    if (heads < 1 || rows % (2 * heads))
        return bad_tensor(a, t, "has no whole heads");
    *head_rows = rows / heads;
    return DLM_OK;
}

static enum dlm_status add(const struct adding *a, const struct dlm_gguf_tensor *t,
                           struct dlm_tensor_info *info, const char *canonical,
                           struct dlm_tensor_form *form)
{
    form->canonical = canonical;
    info->name = t->name;
    info->st_type = dlm_ggml_type_name(t->type);
    info->dtype = dlm_ggml_operand(t->type);
    info->form = form;
    return dlm_checkpoint_add(a->ctx, a->ckpt, a->file, info);
}

/* One time step of patches' convolution as [O, C, 1, h, w], or two as [O, C, 2, h, w] in memory of
 * the checkpoint: a few MB, and the only numbers that are read before weights are. */
static enum dlm_status add_frames(const struct adding *a, const struct dlm_gguf_tensor *t,
                                  const char *canonical)
{
    struct dlm_tensor_form form = {.num_parts = 1, .block_type = -1};
    struct dlm_tensor_info info = {.ndim = 5, .data = t->data, .bytes = t->bytes};
    char name[DLM_GGUF_MAX_NAME + 3];

    snprintf(name, sizeof(name), "%s.1", t->name);
    const struct dlm_gguf_tensor *next = dlm_gguf_find_tensor(a->gguf, name);
    if (t->ndim != 4 || (next && (next->type != t->type || next->ndim != 4 ||
                                  memcmp(next->ne, t->ne, sizeof(t->ne)))))
        return bad_tensor(a, t, "is no time step of a convolution, or not like the next one");
    const int64_t shape[5] = {t->ne[3], t->ne[2], next ? 2 : 1, t->ne[1], t->ne[0]};
    memcpy(info.shape, shape, sizeof(shape));
    if (next) {
        const size_t planes = (size_t)(t->ne[2] * t->ne[3]), step = t->bytes / planes;
        if (dlm_ggml_type_info(t->type)->block_len > 1)
            return bad_tensor(a, t, "is in blocks, which patches' convolutions are not read from");
        uint8_t *data = dlm_checkpoint_alloc(a->ctx, a->ckpt, 2 * t->bytes);
        if (!data)
            return DLM_ERR_MEMORY;
        for (size_t i = 0; i < planes; i++) {
            memcpy(data + 2 * i * step, t->data + i * step, step);
            memcpy(data + (2 * i + 1) * step, next->data + i * step, step);
        }
        info.data = data;
        info.bytes *= 2;
    }
    return add(a, t, &info, canonical, &form);
}

/* The rule that made a tensor; NULL: none. */
static const struct dlm_gguf_rule *find_rule(const struct adding *a, const char *name,
                                             struct dlm_gguf_match *m)
{
    const struct dlm_gguf_rules *const lists[] = {a->old, a->rules};

    for (size_t k = 0; k < DLM_ARRAY_LEN(lists); k++)
        for (size_t i = 0; lists[k] && i < lists[k]->num; i++)
            if (dlm_gguf_name_matches(&a->roots, lists[k]->rules[i].to, name, m))
                return &lists[k]->rules[i];
    return NULL;
}

static enum dlm_status add_tensor(const struct adding *a, const struct dlm_gguf_tensor *t)
{
    struct dlm_gguf_match m = {0};
    const struct dlm_gguf_rule *rule = find_rule(a, t->name, &m);
    const enum dlm_gguf_move move = rule ? rule->move : DLM_GGUF_MOVE_NONE;
    struct dlm_tensor_form form = {
        .num_parts = move == DLM_GGUF_MOVE_PART ? 3 : 1,
        .part = move == DLM_GGUF_MOVE_PART ? rule->part : 0,
        .block_type = dlm_ggml_type_info(t->type)->block_len > 1 ? (int)t->type : -1};
    struct dlm_tensor_info info = {.ndim = t->ndim, .data = t->data, .bytes = t->bytes};
    char canonical[DLM_GGUF_NAME_BYTES];

    /* beside nothing, a row that the embedding has as well, and what is read with the time step
     * before */
    if (move == DLM_GGUF_MOVE_AWAY || move == DLM_GGUF_MOVE_ROW ||
        (move == DLM_GGUF_MOVE_FRAME && rule->part))
        return DLM_OK;
    if (rule)
        dlm_gguf_name_expand(&a->roots, rule->from, &m, canonical);
    if (move == DLM_GGUF_MOVE_FRAME)
        return add_frames(a, t, canonical);
    for (int i = 0; i < t->ndim; i++)
        info.shape[i] = t->ne[t->ndim - 1 - i];
    enum dlm_status st = find_heads(a, t, move, &form.head_rows);
    return st ? st : add(a, t, &info, rule ? canonical : t->name, &form);
}

/* What comes before the first tensor's bytes tells of all of them. */
static size_t header_bytes(const struct adding *a)
{
    size_t len;
    const uint8_t *data = dlm_checkpoint_bytes(a->ckpt, a->file, &len);

    for (size_t i = 0; i < dlm_gguf_num_tensors(a->gguf); i++) {
        const struct dlm_gguf_tensor *t = dlm_gguf_tensor(a->gguf, i);
        len = t->bytes ? DLM_MIN(len, (size_t)(t->data - data)) : len;
    }
    return len;
}

enum dlm_status dlm_gguf_add_tensors(struct dlm_ctx *ctx, struct dlm_checkpoint *ckpt, size_t file,
                                     const struct dlm_gguf *gguf, bool is_tower,
                                     const struct dlm_gguf_layout *layout)
{
    const struct dlm_gguf_family *f = layout->family;
    const struct adding a = {
        .ctx = ctx,
        .ckpt = ckpt,
        .file = file,
        .gguf = gguf,
        .old = is_tower && layout->is_old ? f->old_vision : NULL,
        .rules = is_tower ? f->vision : f->text,
        .roots = {layout->language, f->head},
        .heads = is_tower ? layout->tower_heads : layout->heads,
        .kv_heads = is_tower ? layout->tower_heads : layout->kv_heads,
        .keeps_heads = !is_tower && !f->interleaves_heads,
    };
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < dlm_gguf_num_tensors(gguf); i++)
        st = add_tensor(&a, dlm_gguf_tensor(gguf, i));
    if (!st)
        dlm_checkpoint_set_header(ckpt, file, header_bytes(&a));
    return st;
}
