/* The skeleton of the broadcasting shaders: define DLM_EXPRESSION in x and y, then include. */
#define DLM_LANES 256u
#include "prelude.glsl"

layout(local_size_x = DLM_LANES) in;

DLM_IN_QUADS(0, xs)
DLM_IN_QUADS(1, ys)
DLM_OUT_QUADS(2, outs)
DLM_PARAMS(dlm_broadcast_params)

/* Where element i of the walk lies in a tensor. */
uint walk(uint i, uint stride[4], uint lead)
{
    if (i < p.shape[3]) /* all of it when there is one dimension */
        return lead + i * stride[3];
    for (int d = 3; d >= 0; d--) {
        lead += i % p.shape[d] * stride[d];
        i /= p.shape[d];
    }
    return lead;
}

/* True when four neighbours of the walk, from a multiple of 4 on, are aligned neighbours in memory,
 * or all the same element. */
bool is_in_quads(uint stride[4], uint lead)
{
    const uint row = p.shape[3] == p.total ? 0u : p.shape[3];
    const uint places = stride[3] != 0u ? lead | stride[0] | stride[1] | stride[2] : 0u;
    return stride[3] <= 1u && ((row | places) & 3u) == 0u;
}

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    const uint end = min(begin + DLM_GROUP_ELEMS, p.total);
    if (is_in_quads(p.x_stride, p.x_lead) && is_in_quads(p.y_stride, p.y_lead) &&
        is_in_quads(p.out_stride, p.out_lead)) {
        DLM_FOR_QUADS(i, p.total) {
            const uint num = min(4u, p.total - i);
            const uint ix = walk(i, p.x_stride, p.x_lead), iy = walk(i, p.y_stride, p.y_lead);
            const vec4 x = p.x_stride[3] != 0u ? xs_at(ix, 0u, num, 0.0) : vec4(xs[ix]);
            const vec4 y = p.y_stride[3] != 0u ? ys_at(iy, 0u, num, 0.0) : vec4(ys[iy]);
            outs_put(walk(i, p.out_stride, p.out_lead), 0u, num, DLM_EXPRESSION);
        }
        return;
    }
    for (uint i = begin + DLM_LOCAL_ID(); i < end; i += DLM_LANES) {
        const float x = xs[walk(i, p.x_stride, p.x_lead)], y = ys[walk(i, p.y_stride, p.y_lead)];
        outs[walk(i, p.out_stride, p.out_lead)] = DLM_EXPRESSION;
    }
}
