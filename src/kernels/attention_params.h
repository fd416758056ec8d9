/* Parameters of attention's kernels, apart from the others as those of matmul are
 * (kernels/matmul_params.h). */
#ifndef DLM_KERNELS_ATTENTION_PARAMS_H
#define DLM_KERNELS_ATTENTION_PARAMS_H

#include "base/words.h"

/* q, out, dq [B, T, H, D]; k, v, dk, dv [B, S, Hkv, D]; rows [B, 4]; lse, delta [B, H, T]. Strides:
 * of a batch row, a query or key, a head; elements of a head are neighbours. dout is contiguous,
 * and so is out where attention_delta reads it. */
struct dlm_attention_params {
    DLM_U32 batch;
    DLM_U32 queries; /* T */
    DLM_U32 keys;    /* S */
    DLM_U32 heads;
    DLM_U32 kv_heads;
    DLM_U32 dim;
    DLM_U32 mode; /* enum dlm_attention_mode */
    DLM_F32 scale;
    DLM_F32 softcap; /* 0: none */
    DLM_U32 window;  /* 0: none; at most DLM_ATTENTION_MAX_WINDOW */
    DLM_U32 block;   /* CPU: rows or keys of an item */
    DLM_U32 q_lead;
    DLM_U32 q_stride[3];
    DLM_U32 k_lead;
    DLM_U32 v_lead;
    DLM_U32 kv_stride[3];
    DLM_U32 out_lead;  /* of out, dq or dk */
    DLM_U32 out2_lead; /* of dv */
    DLM_U32 out_stride[3];
    DLM_U32 splits;       /* GPU, dkv: parts of a kv head's query heads, summed apart; else 1 */
    DLM_U32 parts;        /* GPU, few rows: of the keys, summed apart */
    DLM_U32 split_stride; /* elements between the results of parts or splits */
};

/* x [B, T, H, D] as planes of rows of `group` heads: attention_mma_pack_* */
struct dlm_attention_pack_params {
    DLM_U32 planes; /* B * heads / group */
    DLM_U32 heads;
    DLM_U32 group;
    DLM_U32 num;  /* rows of a plane, T * group, */
    DLM_U32 rows; /* and with those of zeros: a multiple of 64 */
    DLM_U32 dim;
    DLM_U32 cols; /* with those of zeros: a multiple of 16 */
    DLM_U32 lead;
    DLM_U32 stride[3]; /* of a batch row, a query or key, a head */
    DLM_U32 num_at; /* in a row of `rows`, how many of its queries or keys there are: 1 or 3 */
    DLM_U32 has_across;
    DLM_F32 factor;
};

#define DLM_ATTENTION_QUERIES 16u /* of a head that an item of attention_delta takes */
#define DLM_ATTENTION_PREFIX_MODE 1u /* DLM_ATTENTION_PREFIX */
#define DLM_ATTENTION_MAX_WINDOW 0x20000000u /* sums of it and a position fit 31 bits */
#define DLM_ATTENTION_MAX_DIM 256u /* GPU: of the kernels with local memory, and on the CPU */
#define DLM_ATTENTION_SMALL_DIM 128u /* GPU: of attention_128_<kv> */
#define DLM_ATTENTION_MMA_OTHER 64u /* keys or rows of a tile of attention_mma_* */
#define DLM_ATTENTION_MMA_SHARED 32768u /* bytes of shared memory, at most */
#define DLM_ATTENTION_SPLIT_ROWS 8u    /* GPU: of a work-group of attention_split */
#define DLM_ATTENTION_SPLIT_KEYS 64u   /* at least as many in a part */
#define DLM_ATTENTION_SPLIT_QUERIES 8u /* most queries for it */

#endif
