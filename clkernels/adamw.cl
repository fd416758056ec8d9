/* adamw, in place; a work-group does 4096 elements. */
//! adamw adamw

__kernel DLM_LOCAL(64) void adamw(__global float *param, __global const float *grad,
                                  __global float *m, __global float *v, __global const float *coef,
                                  __global const float *hyper, const struct dlm_adamw_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    const float decay = 1.0f - hyper[0] * hyper[1], b1 = hyper[2], b2 = hyper[3], eps = hyper[4];
    const float rate = hyper[0] / hyper[5], root2 = hyper[6];
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        const float g = grad[at] * coef[1];
        const float mean = b1 * m[at] + (1.0f - b1) * g;
        const float square = b2 * v[at] + (1.0f - b2) * g * g;
        m[at] = mean;
        v[at] = square;
        param[at] = param[at] * decay - rate * mean / (sqrt(square) / root2 + eps);
    }
}
