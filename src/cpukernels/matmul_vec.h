/* What the matrix-vector kernels share: an item of some panels, the rows of x, where it writes. */
#ifndef DLM_CPUKERNELS_MATMUL_VEC_H
#define DLM_CPUKERNELS_MATMUL_VEC_H

#include "cpukernels/cpukernels.h"
#include "cpukernels/matmul_widen.h"

/* X(row) */
#define DLM_VEC_ROWS_1(X) X(0)
#define DLM_VEC_ROWS_2(X) DLM_VEC_ROWS_1(X) X(1)
#define DLM_VEC_ROWS_3(X) DLM_VEC_ROWS_2(X) X(2)
#define DLM_VEC_ROWS_4(X) DLM_VEC_ROWS_3(X) X(3)

struct dlm_vec_item {
    const struct dlm_matmul_panel_params *p;
    float *x; /* [m][stride], rounded once a worker, zeros after k */
    size_t stride;
    uint32_t panel0, panel1;
    struct dlm_tile_out out;
    float tile[DLM_MATMUL_VEC_ROWS * DLM_MATMUL_TILE_COLS] DLM_ALIGNED(64); /* of one panel */
};

DLM_INLINE void dlm_vec_start(struct dlm_vec_item *v, const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_matmul_panel_params *p = call->params;
    const uint32_t panels = (uint32_t)(dlm_panel_padded_n(p->n) / DLM_PANEL_COLS);
    uint32_t next = 3;

    v->p = p;
    v->x = call->scratch;
    v->stride = (size_t)dlm_panel_padded_k(p->k);
    v->panel0 = dlm_matmul_part(panels, p->col_items, (uint32_t)item); /* fewer than 2^32 */
    v->panel1 = dlm_matmul_part(panels, p->col_items, (uint32_t)item + 1);
    v->out = (struct dlm_tile_out){
        .y = call->buffers[2], .y_stride = p->y_stride, .alpha = p->alpha,
    };
    if (p->flags & DLM_MATMUL_HAS_C) {
        v->out.c = call->buffers[next++];
        v->out.c_stride = p->c_stride;
    }
    if (p->flags & DLM_MATMUL_HAS_BIAS)
        v->out.bias = call->buffers[next];
    for (uint32_t r = 0; call->is_first && r < p->m; r++) {
        const float *row = (const float *)call->buffers[0] + (size_t)r * p->x_stride;
        dlm_round_row(v->x + r * v->stride, row, p->k, v->stride, p->round_x);
    }
}

/* The tile of a panel to y. */
DLM_INLINE void dlm_vec_write(const struct dlm_vec_item *v, uint32_t panel)
{
    const uint32_t col = panel * DLM_PANEL_COLS;

    dlm_tile_write(&v->out, v->tile, 0, v->p->m, col,
                   DLM_MIN(v->p->n - col, (uint32_t)DLM_PANEL_COLS), true);
}

#endif
