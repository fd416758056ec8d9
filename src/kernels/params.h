/* Parameter structs of the kernels, once for C, OpenCL C and GLSL: 32-bit fields only, at most
 * DLM_MAX_PARAMS_BYTES. Strides and leads are in elements. */
#ifndef DLM_KERNELS_PARAMS_H
#define DLM_KERNELS_PARAMS_H

#include "base/dialect.h"
#include "kernels/attention_params.h"
#include "kernels/matmul_params.h"

/* Elements that one work-group (64 lanes) or CPU work item of an elementwise kernel handles. */
#define DLM_GROUP_ELEMS 4096u

/* out[i] = f(x[i], y[i]) over a 4-d shape; a stride of 0 broadcasts (add, mul). */
struct dlm_broadcast_params {
    DLM_U32 total; /* elements of out */
    DLM_U32 shape[4];
    DLM_U32 x_stride[4];
    DLM_U32 y_stride[4];
    DLM_U32 out_stride[4];
    DLM_U32 x_lead;
    DLM_U32 y_lead;
    DLM_U32 out_lead;
};

/* out[i] = x[i] between two strided tensors (copy). */
struct dlm_copy_params {
    DLM_U32 total;
    DLM_U32 shape[4];
    DLM_U32 x_stride[4];
    DLM_U32 out_stride[4];
    DLM_U32 x_lead;
    DLM_U32 out_lead;
};

/* matmul's a, rounded and padded with zeros: [batch0, batch1, rows, cols] (matmul_mma_pack) */
struct dlm_matmul_pack_params {
    DLM_U32 m;
    DLM_U32 k;
    DLM_U32 batch0;
    DLM_U32 batch1;
    DLM_U32 a_lead;
    DLM_U32 a_stride[4];
    DLM_U32 rows; /* at least m */
    DLM_U32 cols; /* at least k, a multiple of 8 */
};

/* matvec_<b>_nolocal: columns that a work-group makes */
#define DLM_MATVEC_COLS_NOLOCAL 64u

/* num elements of a quantised weight that has len, from `first` on, as numbers, 4096 a work-group
 * (matmul_dequant_*). */
struct dlm_matmul_dequant_params {
    DLM_U32 len;
    DLM_U32 first;
    DLM_U32 num;
    DLM_U32 round; /* DLM_MATMUL_A_*: the type of the numbers, else f32 */
};

/* matmul's b, rows of contiguous chunks of 8 elements (matmul_mma_max) */
struct dlm_matmul_max_params {
    DLM_U32 batch0;
    DLM_U32 batch1;
    DLM_U32 rows;
    DLM_U32 chunks; /* of a row */
    DLM_U32 b_lead;
    DLM_U32 b_stride[3]; /* batch0, batch1, row */
};

/* The loops that reach a device's limits: how often a group turns. */
struct dlm_limit_params {
    DLM_U32 rounds;
};

/* Elementwise over contiguous arrays: scale (factor), activations (kind). */
struct dlm_map_params {
    DLM_U32 total;
    DLM_U32 kind;
    DLM_F32 factor;
};

/* matmul_*_subgroup: rows of a subgroup's tile; rows and columns of a work-group's, 16 x 256 or
 * 64 x 64 */
#define DLM_MATMUL_SUBGROUP_ROWS 16u
#define DLM_MATMUL_SUBGROUP_TILE_M(m) ((m) <= 16u ? 16u : 64u)
#define DLM_MATMUL_SUBGROUP_TILE_N(m) (4096u / DLM_MATMUL_SUBGROUP_TILE_M(m))

/* gated_activation: rows of gate, up and their gradients a stride apart; y and dy contiguous. A
 * work-group or CPU work item does up to DLM_GROUP_ELEMS elements of one row. */
struct dlm_gated_params {
    DLM_U32 rows;
    DLM_U32 cols;
    DLM_U32 kind;
    DLM_U32 gate_lead;
    DLM_U32 gate_stride;
    DLM_U32 up_lead;
    DLM_U32 up_stride;
    DLM_U32 dgate_lead;
    DLM_U32 dgate_stride;
    DLM_U32 dup_lead;
    DLM_U32 dup_stride;
};
/* Pieces of a row that work-groups do. */
#define DLM_ROW_PIECES(cols) (((cols) + DLM_GROUP_ELEMS - 1u) / DLM_GROUP_ELEMS)

/* Row-wise ops over contiguous [rows, cols]: norms. */
struct dlm_rows_params {
    DLM_U32 rows;
    DLM_U32 cols;
    DLM_F32 eps;
    DLM_U32 plus_one;
};

struct dlm_cross_entropy_params {
    DLM_U32 rows;
    DLM_U32 vocab;
    DLM_U32 label_lead;
    DLM_U32 weight_lead;
    DLM_U32 logprob_lead;
};

/* x, y [rows, heads, 2 * half_dim]; cos, sin [rows, half_dim]. Strides: of a row, a head. */
struct dlm_rope_params {
    DLM_U32 rows;
    DLM_U32 heads;
    DLM_U32 turned; /* heads that are turned, the first ones; the others are copied */
    DLM_U32 half_dim;
    DLM_U32 inverse;
    DLM_U32 x_lead;
    DLM_U32 x_stride[2];
    DLM_U32 y_lead;
    DLM_U32 y_stride[2];
};

struct dlm_embedding_params {
    DLM_U32 rows;
    DLM_U32 cols;
    DLM_U32 first_row; /* id of the table's first row */
    DLM_U32 table_rows;
    DLM_U32 num_features;
    DLM_U32 has_base;
    DLM_F32 scale;
};

/* out[o] = sum over the reduced dimensions: `reduced` elements for each of `total` outputs. Shapes
 * and strides with the kept dimensions in keep_*, the summed ones in sum_* (1 and 0 elsewhere). */
struct dlm_sum_params {
    DLM_U32 total;
    DLM_U32 reduced;
    DLM_U32 keep_shape[4];
    DLM_U32 keep_stride[4];
    DLM_U32 sum_shape[4];
    DLM_U32 sum_stride[4];
    DLM_U32 x_lead;
};

#define DLM_SUM_COLUMNS 64u /* results that a work-group of sum_columns makes */

struct dlm_dropout_params {
    DLM_U32 rows;
    DLM_U32 cols;
    DLM_U32 rows_per_batch;
    DLM_U32 first_row;
    DLM_U32 module;
    DLM_F32 p;
};

struct dlm_adamw_params {
    DLM_U32 total;
};

struct dlm_grad_norm_params {
    DLM_U32 total;
    DLM_U32 partials; /* sums of squares that the first kernel leaves for the second */
    DLM_F32 max_norm;
};

#define DLM_SELECT_STREAM 0x73656c65u /* names select's random numbers beside dropout's */
struct dlm_select_params {
    DLM_U32 rows;
    DLM_U32 vocab;
    DLM_U32 slices; /* of a row */
    DLM_U32 level;  /* of select_count */
};

#define DLM_SELECT_SLICE 4096u /* elements that a work-group of select takes */
#define DLM_SELECT_BINS 1024u
/* The longest row: sums of 12 bits of its elements fit 32 bits, and a lane has a slice. */
#define DLM_SELECT_MAX_VOCAB 0x100000u
/* Words of a row between the dispatches of select: 4 pairs of upper bits of the threshold and what
 * is still wanted, before each level and after the last; of each level the bins, two words each;
 * then the largest element of each slice, its index, and the sum of what stays of each slice. */
#define DLM_SELECT_BINS_OF(level) (8u + (level) * 2u * DLM_SELECT_BINS)
#define DLM_SELECT_MAXIMA DLM_SELECT_BINS_OF(3u)
#define DLM_SELECT_ROW_WORDS(slices) (DLM_SELECT_MAXIMA + 3u * (slices))

struct dlm_gather_params {
    DLM_U32 rows_out;
    DLM_U32 rows_in;
    DLM_U32 cols;
};

struct dlm_fill_params {
    DLM_U32 total; /* 32-bit words */
    DLM_U32 lead;
    DLM_U32 word;
};

struct dlm_store_rows_params {
    DLM_U32 rows; /* of x */
    DLM_U32 cols;
    DLM_U32 capacity; /* rows of dst */
    DLM_U32 x_lead;
    DLM_U32 x_stride; /* of a row */
};

#endif
