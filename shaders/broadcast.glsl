/* The skeleton of the broadcasting shaders: define DLM_EXPRESSION in x and y, then include. */
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, xs)
DLM_IN(1, float, ys)
DLM_OUT(2, float, outs)
DLM_PARAMS(dlm_broadcast_params)

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        uint rest = at, ix = p.x_lead, iy = p.y_lead, io = p.out_lead;
        for (int d = 3; d >= 0; d--) {
            const uint i = rest % p.shape[d];
            rest /= p.shape[d];
            ix += i * p.x_stride[d];
            iy += i * p.y_stride[d];
            io += i * p.out_stride[d];
        }
        const float x = xs[ix], y = ys[iy];
        outs[io] = DLM_EXPRESSION;
    }
}
