/* store_rows: a work-group of 64 stores one row of x; 16-bit rows have an even length, and each
 * lane makes both halves of a word. */
//! store_rows_f32
//! store_rows_f16 -DPACK=DLM_PACK_F16
//! store_rows_bf16 -DPACK=DLM_PACK_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_IN(1, int, start)
#ifdef PACK
DLM_OUT(2, uint, dst)
#else
DLM_OUT(2, float, dst)
#endif
DLM_PARAMS(dlm_store_rows_params)

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows || start[1] <= 0 || row >= uint(start[1]))
        return;
    const uint to = uint(start[0]) + row; /* below 0: above any capacity */
    if (to >= p.capacity)
        return;
    const uint at = p.x_lead + row * p.x_stride;
#ifdef PACK
    for (uint c = 2u * DLM_LOCAL_ID(); c < p.cols; c += 128u)
        dst[(to * p.cols + c) >> 1] = PACK(x[at + c], x[at + c + 1u]);
#else
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dst[to * p.cols + c] = x[at + c];
#endif
}
