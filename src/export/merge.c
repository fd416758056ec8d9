/* Folding an adapter into the weights of its base. */
#include "export/merge.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/pool.h"

#define PIECE_LEN ((int64_t)1 << 14) /* elements that are worth an item of the pool's */

static const char ending[] = ".weight";

/* --- which tensor gets which module --- */

/* Whether t tells of 4-bit codes that lie beside it. */
static bool is_part_of_codes(const struct dlm_checkpoint *base, const struct dlm_tensor_info *t)
{
    char name[512];

    for (const char *dot = strstr(t->name, ending); dot; dot = strstr(dot + 1, ending)) {
        const size_t len = (size_t)(dot - t->name) + sizeof(ending) - 1;
        if (len >= sizeof(name))
            return false;
        memcpy(name, t->name, len);
        name[len] = '\0';
        if (dlm_checkpoint_find(base, name) && dlm_bnb_is_part(t, name))
            return true;
    }
    return false;
}

static void set_plain(struct dlm_merge_tensor *out)
{
    const struct dlm_tensor_info *t = out->info;

    out->dtype = dlm_dtype_is_float(t->dtype) ? t->dtype : DLM_DTYPE_COUNT;
    out->ndim = t->ndim;
    memcpy(out->shape, t->shape, sizeof(out->shape));
    out->len = 1; /* the file's table was checked: no overflow */
    out->cols = 1;
    for (int i = 0; i < t->ndim; i++)
        out->len *= t->shape[i];
}

/* What bitsandbytes saved in 4 bits becomes bf16, which it computes in. */
static void set_dequantized(struct dlm_merge *merge, struct dlm_merge_tensor *out)
{
    merge->is_dequantized = true;
    out->dtype = DLM_DTYPE_BF16;
    out->ndim = 2;
    out->shape[0] = out->bnb->rows;
    out->shape[1] = out->bnb->cols;
    out->len = out->bnb->rows * out->bnb->cols;
    out->cols = 1;
}

/* The module of the tensor, if any. */
static enum dlm_status set_module(struct dlm_ctx *ctx, struct dlm_merge_tensor *out,
                                  const struct dlm_adapter *adapter,
                                  const struct dlm_name_map *map)
{
    char *path = dlm_name_canonical(ctx, map, out->info->name);
    const size_t len = path ? strlen(path) : 0, n = sizeof(ending) - 1;

    if (!path)
        return DLM_ERR_MEMORY;
    if (len > n && !strcmp(path + len - n, ending)) {
        path[len - n] = '\0';
        out->module = dlm_adapter_find(adapter, path);
    }
    dlm_free(path);
    const struct dlm_adapter_module *m = out->module;
    if (!m)
        return DLM_OK;
    out->cols = m->in;
    if (out->dtype != DLM_DTYPE_COUNT && out->ndim == 2 && out->shape[0] == m->out &&
        out->shape[1] == m->in)
        return DLM_OK;
    return dlm_fail(ctx, DLM_ERR_INVALID, "cannot merge: tensor '%.200s' of '%s' is no matrix of "
                    "%lld x %lld, as the adapter takes it to be", out->info->name, out->info->file,
                    (long long)m->out, (long long)m->in);
}

/* Every module has a tensor; two spellings of one would be found twice. */
static enum dlm_status check_modules(struct dlm_ctx *ctx, const struct dlm_merge *merge,
                                     const struct dlm_adapter *adapter)
{
    for (size_t i = 0; i < adapter->num_modules; i++) {
        size_t hits = 0;
        for (size_t k = 0; k < merge->num; k++)
            hits += merge->tensors[k].module == &adapter->modules[i];
        if (hits != 1)
            return dlm_fail(ctx, DLM_ERR_INVALID, "cannot merge: the base has %s of the module "
                            "'%s', which the adapter adapts", hits ? "two tensors" : "no tensor",
                            adapter->modules[i].path);
    }
    return DLM_OK;
}

enum dlm_status dlm_merge_init(struct dlm_ctx *ctx, struct dlm_merge *merge,
                               const struct dlm_checkpoint *base,
                               const struct dlm_adapter *adapter, const struct dlm_name_map *map)
{
    const size_t num = dlm_checkpoint_num_tensors(base);

    *merge = (struct dlm_merge){.base = base};
    merge->tensors = dlm_alloc_array(ctx, num, sizeof(*merge->tensors));
    enum dlm_status st = merge->tensors ? DLM_OK : DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < num; i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(base, i);
        struct dlm_merge_tensor *out = &merge->tensors[merge->num];
        if (is_part_of_codes(base, t))
            continue;
        *out = (struct dlm_merge_tensor){.info = t};
        merge->num++;
        st = dlm_bnb_open(ctx, base, t, &out->bnb);
        if (!st && out->bnb)
            set_dequantized(merge, out);
        else if (!st)
            set_plain(out);
        if (!st)
            st = set_module(ctx, out, adapter, map);
    }
    if (!st)
        st = check_modules(ctx, merge, adapter);
    if (st)
        dlm_merge_finish(merge);
    return st;
}

static void forget_module(struct dlm_merge *merge)
{
    dlm_free(merge->a);
    dlm_free(merge->b);
    dlm_free(merge->sum);
    merge->a = merge->b = NULL;
    merge->sum = NULL;
    merge->module = NULL;
}

void dlm_merge_finish(struct dlm_merge *merge)
{
    forget_module(merge);
    for (size_t i = 0; merge->tensors && i < merge->num; i++)
        dlm_bnb_close(&merge->tensors[i].bnb);
    dlm_free(merge->tensors);
    *merge = (struct dlm_merge){0};
}

/* --- reading --- */

/* A and B of a module as f32, and room for rows. */
static enum dlm_status take_module(struct dlm_ctx *ctx, struct dlm_merge *merge,
                                   const struct dlm_pool *pool, const struct dlm_adapter_module *m)
{
    if (merge->module == m)
        return DLM_OK;
    forget_module(merge);
    merge->a = dlm_alloc_array(ctx, (size_t)m->r * (size_t)m->in, sizeof(float));
    merge->b = dlm_alloc_array(ctx, (size_t)m->out * (size_t)m->r, sizeof(float));
    merge->sum = dlm_alloc_array(ctx, (size_t)m->in * (size_t)dlm_pool_num_workers(pool),
                                 sizeof(double));
    if (!merge->a || !merge->b || !merge->sum)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_tensor_to_f32(ctx, m->a, merge->a);
    if (!st)
        st = dlm_tensor_to_f32(ctx, m->b, merge->b);
    if (!st)
        merge->module = m;
    return st;
}

/* Elements of a tensor, [first, first + num), in pieces of whole rows. */
struct part {
    const struct dlm_merge *merge;
    const struct dlm_merge_tensor *t;
    int64_t first, num, step;
    float *out;
};

/* w [in] += scaling * b [r] . a [r, in]: what PEFT's get_delta_weight() adds. sum: room for a row,
 * which each pass over it adds four rows of a to. */
static void add_row(const struct dlm_merge *merge, int64_t row, double *sum, float *w)
{
    const struct dlm_adapter_module *m = merge->module;
    const float *b = merge->b + row * m->r;
    int64_t k = 0;

    memset(sum, 0, (size_t)m->in * sizeof(*sum));
    for (; k + 4 <= m->r; k += 4) {
        const float *a0 = merge->a + k * m->in, *a1 = a0 + m->in;
        const float *a2 = a1 + m->in, *a3 = a2 + m->in;
        const double b0 = b[k], b1 = b[k + 1], b2 = b[k + 2], b3 = b[k + 3];
        for (int64_t c = 0; c < m->in; c++)
            sum[c] = sum[c] + b0 * a0[c] + b1 * a1[c] + b2 * a2[c] + b3 * a3[c];
    }
    for (; k < m->r; k++) {
        const float *a0 = merge->a + k * m->in;
        const double b0 = b[k];
        for (int64_t c = 0; c < m->in; c++)
            sum[c] += b0 * a0[c];
    }
    for (int64_t c = 0; c < m->in; c++)
        w[c] = (float)(w[c] + m->scaling * sum[c]);
}

static void read_piece(void *user, int64_t item, int worker)
{
    const struct part *p = user;
    const struct dlm_merge_tensor *t = p->t;
    const int64_t at = item * p->step, num = DLM_MIN(p->step, p->num - at);
    const int64_t first = p->first + at;
    float *out = p->out + at;

    if (t->bnb)
        dlm_quant_view_to_f32(&t->bnb->view, first, num, out);
    else if (!dlm_dtype_to_f32(t->dtype, t->info->data + dlm_dtype_size(t->dtype, first), out,
                               (size_t)num))
        assert(false); /* the type is one of numbers */
    for (int64_t i = 0; t->module && i < num; i += t->cols)
        add_row(p->merge, (first + i) / t->cols, p->merge->sum + worker * t->cols, out + i);
}

enum dlm_status dlm_merge_read(struct dlm_ctx *ctx, struct dlm_merge *merge,
                               const struct dlm_merge_tensor *t, int64_t first, int64_t num,
                               float *out)
{
    struct part part = {merge, t, first, num, t->cols * DLM_MAX(1, PIECE_LEN / t->cols), out};
    struct dlm_pool *pool = dlm_ctx_pool(ctx);

    if (!pool)
        return DLM_ERR_MEMORY;
    if (t->dtype == DLM_DTYPE_COUNT)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot use '%s': tensor '%.200s' has type %s",
                        t->info->file, t->info->name, t->info->st_type);
    enum dlm_status st = t->module ? take_module(ctx, merge, pool, t->module) : DLM_OK;
    if (st)
        return st;
    dlm_pool_run(pool, read_piece, &part, (num + part.step - 1) / part.step);
    if (!t->bnb)
        dlm_checkpoint_drop_part(merge->base, t->info, dlm_dtype_size(t->dtype, first),
                                 dlm_dtype_size(t->dtype, num));
    return DLM_OK;
}
