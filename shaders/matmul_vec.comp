/* matmul for few rows: matvec_<b> for up to 4 rows where a and b are contiguous along k. */
//! matvec_f32 -DDLM_B=F32 -DLANES=64
//! matvec_f16 -DDLM_B=F16 -DLANES=64
//! matvec_bf16 -DDLM_B=BF16 -DLANES=64
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "matmul_head.glsl"

const int ROWS = int(DLM_MATVEC_ROWS), COLS = int(DLM_MATVEC_COLS);

/* A work-group makes DLM_MATVEC_COLS columns of all rows; lanes run along k. */
void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS, lane = DLM_LOCAL_ID();
    float sum[ROWS][COLS];

    if (n0 >= p.n)
        return;
    for (int m = 0; m < ROWS; m++)
        for (int j = 0; j < COLS; j++)
            sum[m][j] = 0.0;
    uint b_row[COLS]; /* columns past the end repeat the last one */
    for (int j = 0; j < COLS; j++)
        b_row[j] = at.b + min(n0 + j, p.n - 1u) * p.b_stride[3];
    for (uint k = lane; k < at.k; k += 64u) {
        float y[COLS];
        [[unroll]] for (int j = 0; j < COLS; j++)
            y[j] = LOAD_B(b_row[j] + k);
        [[unroll]] for (int m = 0; m < ROWS; m++)
            if (m < p.m) {
                const float x = round_a(a[at.a + m * p.a_stride[2] + k]);
                [[unroll]] for (int j = 0; j < COLS; j++)
                    sum[m][j] += x * y[j];
            }
    }
    for (int m = 0; m < p.m; m++)
        for (int j = 0; j < COLS; j++) {
            const float total = dlm_group_sum(sum[m][j]);
            if (lane == 0u && n0 + j < p.n)
                put(at, total, m, n0 + j);
        }
}
