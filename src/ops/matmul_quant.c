/* matmul on GPUs with a weight in 4 to 8 bits. Few rows have kernels of their own, which read the
 * codes. For more it is made numbers first, in a temporary, and multiplied by the kernels that
 * there are for those: a pass over W more, which many rows make up for. */
#include "ops/broadcast.h"
#include "ops/copy.h"
#include "ops/matmul_impl.h"

enum { A, B, C, BIAS };

#define SLICE_BYTES ((size_t)64 << 20)

/* [n, k] of the weight; the product is with W^T or, backward, with W. */
struct shape {
    int64_t n, k;
    bool is_backward;
};

static struct shape shape_of(const struct dlm_desc *b)
{
    const bool is_backward = b->stride[1] == 1 && b->stride[0] != 1;

    return (struct shape){b->shape[is_backward ? 0 : 1], b->shape[is_backward ? 1 : 0],
                          is_backward};
}

/* b as W or W^T, of `rows` rows and the type that a is rounded to. */
static struct dlm_desc plain_desc(const struct dlm_lowering *l, const struct shape *s, int64_t rows)
{
    struct dlm_desc d =
        dlm_desc_make(l->attrs->matmul.round, 2, (int64_t[]){s->is_backward ? rows : s->k,
                                                             s->is_backward ? s->k : rows});

    d.stride[0] = s->is_backward ? s->k : 1;
    d.stride[1] = s->is_backward ? 1 : s->k;
    return d;
}

/* Rows [row, row + rows) of W into temp. */
static enum dlm_status dequantize(struct dlm_lowering *l, const struct shape *s, int64_t row,
                                  int64_t rows, struct dlm_operand temp)
{
    const struct dlm_matmul_dequant_params p = {.len = (uint32_t)(s->n * s->k),
                                                .first = (uint32_t)(row * s->k),
                                                .num = (uint32_t)(rows * s->k),
                                                .round = dlm_matmul_round_flag(l)};
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(B), temp},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {dlm_elem_groups(rows * s->k)},
        .work = 8 * (uint64_t)p.num,
    };

    dlm_kernel_for(&call, "matmul_dequant_*", &l->inputs[B].dtype);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

/* Elements [row, row + rows) of the bias are it from now on: in a temporary, as kernels know no
 * bias that begins elsewhere than its binding. */
static enum dlm_status slice_bias(struct dlm_lowering *l, int64_t row, int64_t rows)
{
    const struct dlm_desc slice = dlm_desc_make(DLM_DTYPE_F32, 1, &rows);
    const struct dlm_operand temp = dlm_lower_temp(l, sizeof(float) * (size_t)rows);
    struct dlm_desc from = slice;

    from.lead = l->inputs[BIAS].lead + row;
    enum dlm_status st = dlm_lower_copy(l, &from, DLM_INPUT(BIAS), &slice, temp);
    dlm_lower_replace(l, BIAS, &slice, temp);
    return st;
}

/* The node with rows [row, row + rows) of W, which temp holds. Forward those give columns of the
 * result, backward a part of its sum. */
static enum dlm_status lower_slice(const struct dlm_lowering *whole, struct dlm_lowering *l,
                                   const struct shape *s, int64_t row, int64_t rows,
                                   struct dlm_operand temp)
{
    const struct dlm_desc plain = plain_desc(whole, s, rows);
    const bool has_c = dlm_matmul_has_c(whole);
    enum dlm_status st = DLM_OK;

    l->inputs[A] = whole->inputs[A];
    l->inputs[C] = whole->inputs[C];
    l->inputs[BIAS] = whole->inputs[BIAS];
    l->outputs[0] = whole->outputs[0];
    l->replaced = whole->replaced;
    dlm_lower_replace(l, B, &plain, temp);
    if (s->is_backward) {
        l->inputs[A].shape[1] = rows;
        l->inputs[A].lead += row * l->inputs[A].stride[1];
        if (row) {
            dlm_lower_replace(l, C, &l->outputs[0], DLM_OUTPUT(0));
            l->inputs[BIAS].dtype = DLM_DTYPE_COUNT; /* added already */
        }
    } else {
        l->outputs[0].shape[1] = rows;
        l->outputs[0].lead += row;
        if (has_c) {
            l->inputs[C].shape[1] = rows;
            l->inputs[C].lead += row;
        }
        if (dlm_matmul_has_bias(whole) && rows < s->n)
            st = slice_bias(l, row, rows);
    }
    return st ? st : dlm_matmul_lower_gpu(l);
}

/* Rows of W that are made numbers at a time: even ones where the type has 16 bits. */
static int64_t slice_rows(const struct dlm_lowering *l, const struct shape *s)
{
    const size_t most = DLM_MIN(SLICE_BYTES, dlm_device_max_tensor(l->device));
    const size_t row_bytes = dlm_dtype_size(l->attrs->matmul.round, s->k);

    return DLM_MIN(DLM_MAX((int64_t)(most / row_bytes / 16), 1) * 16, s->n);
}

/* In slices of W where it would be large. */
static enum dlm_status lower_as_numbers(struct dlm_lowering *l)
{
    const struct shape s = shape_of(&l->inputs[B]);
    const int64_t step = slice_rows(l, &s);
    const struct dlm_operand temp =
        dlm_lower_temp(l, dlm_dtype_size(l->attrs->matmul.round, step * s.k));
    const struct dlm_lowering whole = *l;
    size_t most[DLM_MAX_TEMPS] = {0}; /* of a slice's temporaries, which the next one has again */
    enum dlm_status st = DLM_OK;

    if (l->inputs[A].ndim != 2)
        return dlm_lower_unsupported(l, "product of a batch with a quantised weight");
    for (int64_t row = 0; !st && row < s.n; row += step) {
        const int64_t rows = DLM_MIN(step, s.n - row);
        l->inputs[B] = whole.inputs[B];
        l->replaced = whole.replaced;
        l->num_temps = whole.num_temps;
        st = dequantize(l, &s, row, rows, temp);
        if (!st)
            st = lower_slice(&whole, l, &s, row, rows, temp);
        for (int i = whole.num_temps; i < l->num_temps; i++)
            most[i] = l->temp_bytes[i] = DLM_MAX(l->temp_bytes[i], most[i]);
    }
    return st;
}

/* Few rows, as of one decoded token: the kernel's name, and whether there is one. */
static bool name_vec(const struct dlm_lowering *l, const struct dlm_matmul_params *p,
                     struct dlm_kernel_call *named)
{
    const bool has_local = !(l->caps->bits & DLM_CAP_NO_LOCAL), is_row = p->m == 1;

    if (p->m > DLM_MATVEC_ROWS || (has_local && !dlm_matmul_is_a_along_k(p)) ||
        shape_of(&l->inputs[B]).is_backward)
        return false;
    dlm_kernel_for(named,
                   has_local ? (is_row ? "matvec_*" : "matvec_8_*")
                             : (is_row ? "matvec_*_nolocal" : "matvec_8_*_nolocal"),
                   &l->inputs[B].dtype);
    return dlm_device_has_kernel(l->device, named->kernel);
}

static enum dlm_status lower_vec(struct dlm_lowering *l, struct dlm_matmul_params *p,
                                 const char *kernel)
{
    const bool has_local = !(l->caps->bits & DLM_CAP_NO_LOCAL);
    const struct dlm_matmul_tiling t = {
        .kernel = kernel,
        .tile_m = DLM_MATVEC_ROWS,
        .tile_n = has_local ? DLM_MATVEC_COLS : DLM_MATVEC_COLS_NOLOCAL,
        .split_unit = 512, /* a step of the kernels for several rows */
        .can_fold = true,
    };
    struct dlm_operand a = DLM_INPUT(A);
    const enum dlm_status st = has_local ? DLM_OK : dlm_matmul_pack_a(l, p, &a);

    return st ? st : dlm_matmul_lower_tiles(l, &t, p, a);
}

enum dlm_status dlm_matmul_lower_quant_gpu(struct dlm_lowering *l)
{
    struct dlm_matmul_params p = dlm_matmul_make_params(l);
    struct dlm_kernel_call named;

    return name_vec(l, &p, &named) ? lower_vec(l, &p, named.kernel) : lower_as_numbers(l);
}
