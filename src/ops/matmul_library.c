/* Products that go to the device's library: what it takes, and its calls. */
#include "ops/matmul_library.h"

#include "ops/copy.h"

enum { A, B, C, BIAS };

/* b must be as the backward of a linear layer has it, contiguous along n: of a transposed one the
 * library (CLBlast, xgemm.hpp) makes a copy on every call. */
bool dlm_matmul_is_for_library(const struct dlm_lowering *l, const struct dlm_matmul_params *p)
{
    enum { MIN_SIZE = 64 };
    const uint32_t both = DLM_MATMUL_HAS_C | DLM_MATMUL_HAS_BIAS;

    return l->caps->bits & DLM_CAP_GEMM_F32 && l->inputs[B].dtype == DLM_DTYPE_F32 &&
           !(p->flags & (DLM_MATMUL_A_BF16 | DLM_MATMUL_A_F16)) && (p->flags & both) != both &&
           p->batch0 == 1 && p->batch1 == 1 && p->m >= MIN_SIZE && p->n >= MIN_SIZE &&
           p->k >= MIN_SIZE && (p->a_stride[2] == 1 || p->a_stride[3] == 1) &&
           p->b_stride[3] == 1;
}

/* Rows [at, at + num) of the product. */
static struct dlm_gemm_params library_rows(const struct dlm_gemm_params *all, uint32_t at,
                                           uint32_t num)
{
    struct dlm_gemm_params part = *all;

    part.m = DLM_MIN(num, all->m - at);
    part.a_offset += at * (all->trans_a ? 1 : all->lda);
    part.c_offset += at * all->ldc;
    return part;
}

/* The library's kernels cannot be cut in parts from outside: a product that is too long for the
 * device is one of some rows after the other. */
static enum dlm_status lower_library_calls(struct dlm_lowering *l,
                                           const struct dlm_gemm_params *gemm)
{
    enum { ROWS = 64 }; /* a part has a multiple */
    const uint64_t rows_work = (uint64_t)ROWS * gemm->n * gemm->k, max_work = l->caps->max_work;
    const uint64_t fit = max_work ? ROWS * DLM_MAX(max_work / rows_work, 1) : gemm->m;
    const uint32_t num = (uint32_t)DLM_MIN(fit, gemm->m);
    struct dlm_kernel_call call = {
        .kernel = "gemm_f32",
        .args = {DLM_INPUT(A), DLM_INPUT(B), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {1},
    };
    enum dlm_status st = DLM_OK;
    size_t scratch = 0;

    for (uint32_t at = 0; at < gemm->m; at += num) {
        const struct dlm_gemm_params part = library_rows(gemm, at, num);
        scratch = DLM_MAX(scratch, dlm_device_gemm_scratch(l->device, &part));
    }
    if (scratch) {
        call.args[call.num_args] = dlm_lower_temp(l, scratch);
        call.writes |= 1u << call.num_args++;
    }
    for (uint32_t at = 0; !st && at < gemm->m; at += num) {
        const struct dlm_gemm_params part = library_rows(gemm, at, num);
        call.work = (uint64_t)part.m * part.n * part.k;
        st = dlm_lower_call(l, &call, &part, sizeof(part));
    }
    return st;
}

enum dlm_status dlm_matmul_lower_library(struct dlm_lowering *l,
                                         const struct dlm_matmul_params *p)
{
    const struct dlm_desc *out = &l->outputs[0];
    const int addend = p->flags & DLM_MATMUL_HAS_C ? C : BIAS;
    const bool has_addend = p->flags & (DLM_MATMUL_HAS_C | DLM_MATMUL_HAS_BIAS);
    const bool a_is_t = p->a_stride[3] != 1;
    const struct dlm_gemm_params gemm = {
        .m = p->m, .n = p->n, .k = p->k,
        .lda = p->a_stride[a_is_t ? 3 : 2],
        .ldb = p->b_stride[2],
        .ldc = p->out_stride[2],
        .a_offset = p->a_lead, .b_offset = p->b_lead, .c_offset = p->out_lead,
        .trans_a = a_is_t,
        .alpha = p->alpha,
        .beta = has_addend ? 1.0f : 0.0f,
    };
    if (has_addend) {
        enum dlm_status st =
            dlm_lower_copy(l, &l->inputs[addend], DLM_INPUT(addend), out, DLM_OUTPUT(0));
        if (st)
            return st;
    }
    return lower_library_calls(l, &gemm);
}
