/* The gemm slot, filled by CLBlast. Our row-major product is asked for as the column-major product
 * of the transposes, C^T = op(B)^T op(A)^T: CLBlast rotates (copies) a row-major C on every call,
 * and a row-major operand, read as column-major, is already the transpose. */
#include "backend/opencl/opencl.h" /* first: it says which OpenCL version is meant */

#include <clblast_c.h>

#include "base/log.h"

/* Before 1.6.3 some register-only kernels gave wrong products (CLBlast changelog: "GEMMK=1 kernel
 * when MWG != NWG"), and which kernel a device gets is the library's choice. */
#define TRUSTED_VERSION (1 * 10000 + 6 * 100 + 3)
#define BUILT_VERSION                                                                              \
    (CLBLAST_VERSION_MAJOR * 10000 + CLBLAST_VERSION_MINOR * 100 + CLBLAST_VERSION_PATCH)

uint32_t dlm_ocl_gemm_version(void)
{
    return BUILT_VERSION;
}

bool dlm_ocl_gemm_is_trusted(void)
{
    return BUILT_VERSION >= TRUSTED_VERSION;
}

static CLBlastTranspose transpose(uint32_t flag)
{
    return flag ? CLBlastTransposeYes : CLBlastTransposeNo;
}

size_t dlm_ocl_gemm_scratch(const struct dlm_device *base, const struct dlm_gemm_params *p)
{
    cl_command_queue queue = ((const struct dlm_ocl_device *)base)->queue;
    size_t bytes = 0;

    CLBlastStatusCode rc = CLBlastSGemmTempBufferSize(
        CLBlastLayoutColMajor, transpose(p->trans_b), transpose(p->trans_a), p->n, p->m, p->k,
        p->b_offset, p->ldb, p->a_offset, p->lda, p->c_offset, p->ldc, &queue, &bytes);
    if (rc != CLBlastSuccess) {
        /* The library then allocates for itself, and reports what is wrong when it is called. */
        dlm_log(base->ctx, DLM_LOG_DEBUG, "clblast: no scratch size for %u x %u x %u (%d)", p->m,
                p->n, p->k, (int)rc);
        return 0;
    }
    return bytes;
}

enum dlm_status dlm_ocl_gemm_submit(struct dlm_ocl_device *device, const struct dlm_ocl_gemm *gemm,
                                    cl_command_queue queue, cl_event *event)
{
    const struct dlm_gemm_params *p = &gemm->params;

    device->used_gemm = true;
    CLBlastStatusCode rc = CLBlastSgemmWithTempBuffer(
        CLBlastLayoutColMajor, transpose(p->trans_b), transpose(p->trans_a), p->n, p->m, p->k,
        p->alpha, gemm->mem[1], p->b_offset, p->ldb, gemm->mem[0], p->a_offset, p->lda, p->beta,
        gemm->mem[2], p->c_offset, p->ldc, &queue, event, gemm->num_mem > 3 ? gemm->mem[3] : NULL);
    if (rc == CLBlastSuccess)
        return DLM_OK;
    return dlm_ocl_fail(device, (cl_int)rc, "cannot run kernel '%s' for %u x %u x %u",
                        DLM_OCL_GEMM_KERNEL, p->m, p->n, p->k);
}

void dlm_ocl_gemm_finish(void)
{
    /* Its programs hold on to the context; no memory comes back if this fails. */
    (void)CLBlastClearCache();
}
