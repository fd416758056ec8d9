/* Parameters of matmul's kernels, apart from the others because shaders for matrix units include
 * nothing else: those are also kept compiled (shaders/prebuilt), and few changes should make them
 * stale. */
#ifndef DLM_KERNELS_MATMUL_PARAMS_H
#define DLM_KERNELS_MATMUL_PARAMS_H

#include "base/words.h"

/* out[b0,b1,m,n] = alpha sum_k a[b0,b1,m,k] b[b0,b1,k,n] (+ c) (+ bias[n]) */
struct dlm_matmul_params {
    DLM_U32 m;
    DLM_U32 n;
    DLM_U32 k;
    DLM_U32 batch0;
    DLM_U32 batch1;
    DLM_U32 a_lead;
    DLM_U32 a_stride[4]; /* batch0, batch1, row m, column k */
    DLM_U32 b_lead;
    DLM_U32 b_stride[4]; /* batch0, batch1, row k, column n */
    DLM_U32 c_lead;
    DLM_U32 c_stride[4]; /* batch0, batch1, row m, column n */
    DLM_U32 out_lead;
    DLM_U32 out_stride[3]; /* batch0, batch1, row m; columns are contiguous */
    DLM_U32 flags;         /* DLM_MATMUL_* */
    DLM_F32 alpha;
    DLM_U32 splits;        /* parts of k that are summed apart, at least 1 */
    DLM_U32 split_k;       /* length of a part */
    DLM_U32 split_stride;  /* between the parts' results: elements that matmul_finish makes */
};

/* Rows and columns of out that a work-group makes. */
#define DLM_MATMUL_TILE 64u       /* matmul_<b> */
#define DLM_MATMUL_SMALL_TILE 32u /* matmul_small_<b> */
#define DLM_MATMUL_TILE_K 32u     /* matmul_k_<b>_nolocal */
#define DLM_MATMUL_TILE_NM 64u    /* matmul_n_<b>_nolocal: rows */
#define DLM_MATMUL_TILE_NN 128u   /* matmul_n_<b>_nolocal: columns */
/* matmul_<b>_nolocal: a lane makes 8 x 8 results; lanes of 64 along n */
#define DLM_MATMUL_ANY_PER 8u
#define DLM_MATMUL_ANY_LANES_N(m, n) ((n) <= 8u ? 1u : (m) <= 8u ? 64u : 8u)
#define DLM_MATMUL_PACK_RUN 64u /* matmul_pack: elements of a row that a lane does */
#define DLM_MATVEC_ROWS 8u        /* at most */
#define DLM_MATVEC_COLS 16u

/* matmul_tile_<b>: of k at a time, and along what chunks of 8 elements are contiguous: k, or rows
 * of a and columns of b */
#define DLM_MATMUL_TILE_SLICE 16u
#define DLM_MATMUL_ALONG_NONE 0u
#define DLM_MATMUL_ALONG_K 1u
#define DLM_MATMUL_ALONG_ROWS 2u

#define DLM_MATMUL_MMA_SLICE 32u /* matmul_mma_<b>: of k at a time */
#define DLM_MATMUL_MMA_MAXIMA 128u /* that matmul_mma_max finds, of which the largest counts */

#define DLM_MATMUL_HAS_C 1u
#define DLM_MATMUL_HAS_BIAS 2u
#define DLM_MATMUL_A_BF16 4u /* round a to bf16 before the product */
#define DLM_MATMUL_A_F16 8u
#define DLM_MATMUL_ROUND_F32 16u /* matmul_panel_round: write f32, for the f32 engines */

#endif
