/* What every OpenCL kernel starts with; base/dialect.h, base/scalar.h and kernels/params.h are put
 * before it. A kernel file names its kernels in lines `//! NAME ENTRY [-Dname=value ...]`. */

/* Work-group size of a kernel: one dimension, known at compile time. */
#define DLM_LOCAL(n) __attribute__((reqd_work_group_size(n, 1, 1)))

/* Begins a function that has a barrier, or that calls one that has: rusticl (Mesa 26.1) crashes on
 * a barrier two calls below the kernel when the function between them branches, and PoCL 3.1 when
 * it has to inline a barrier twice. */
#define DLM_INLINE __attribute__((always_inline)) static

/* Index of the work-group along a dimension of the grid, of which this launch may be a part. */
#define DLM_GROUP(dim) ((uint)(get_group_id(dim) + get_global_offset(dim) / get_local_size(dim)))

/* Linear index of the work-group: the host folds large grids into two dimensions. */
#define DLM_GROUP_ID() (DLM_GROUP(0) + DLM_GROUP(1) * (uint)get_num_groups(0))
#define DLM_LOCAL_ID() ((uint)get_local_id(0))

/* Element i of an array stored as f32, bf16 or f16, widened to f32. DLM_T_<X> is the type that the
 * pointer has. */
#define DLM_T_F32 float
#define DLM_T_BF16 ushort
#define DLM_T_F16 ushort
#define DLM_LOAD_F32(p, i) ((p)[i])
#define DLM_LOAD_BF16(p, i) dlm_bf16_to_f32((p)[i])
#define DLM_LOAD_F16(p, i) vload_half(i, (__global const half *)(p))
#define DLM_STORE_F32(p, i, v) ((p)[i] = (v))
#define DLM_STORE_BF16(p, i, v) ((p)[i] = (ushort)dlm_f32_to_bf16(v))
#define DLM_STORE_F16(p, i, v) vstore_half_rte(v, i, (__global half *)(p))

/* Sum (maximum) of v over the 64 lanes of a work-group, in every lane; the order is fixed. tree:
 * 64 floats of local memory. Every lane must come here. */
DLM_INLINE float dlm_group_sum(float v, __local float *tree)
{
    const uint lane = DLM_LOCAL_ID();
    barrier(CLK_LOCAL_MEM_FENCE);
    tree[lane] = v;
    for (uint half_len = 32u; half_len > 0u; half_len >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_len)
            tree[lane] += tree[lane + half_len];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return tree[0];
}

DLM_INLINE float dlm_group_max(float v, __local float *tree)
{
    const uint lane = DLM_LOCAL_ID();
    barrier(CLK_LOCAL_MEM_FENCE);
    tree[lane] = v;
    for (uint half_len = 32u; half_len > 0u; half_len >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_len)
            tree[lane] = fmax(tree[lane], tree[lane + half_len]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return tree[0];
}

/* The broadcasting kernel `name`: out = expression in x and y. */
#define DLM_BROADCAST_KERNEL(name, expression)                                                     \
    __kernel DLM_LOCAL(64) void name(__global const float *xs, __global const float *ys,           \
                                     __global float *out, const struct dlm_broadcast_params p)     \
    {                                                                                              \
        const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;                                       \
        for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {                             \
            const uint at = begin + k;                                                             \
            if (at >= p.total)                                                                     \
                return;                                                                            \
            uint rest = at, ix = p.x_lead, iy = p.y_lead, io = p.out_lead;                         \
            for (int d = 3; d >= 0; d--) {                                                         \
                const uint i = rest % p.shape[d];                                                  \
                rest /= p.shape[d];                                                                \
                ix += i * p.x_stride[d];                                                           \
                iy += i * p.y_stride[d];                                                           \
                io += i * p.out_stride[d];                                                         \
            }                                                                                      \
            const float x = xs[ix], y = ys[iy];                                                    \
            out[io] = expression;                                                                  \
        }                                                                                          \
    }

/* The elementwise kernel `name` of one input over contiguous arrays: out = expression in x, p. */
#define DLM_MAP_KERNEL(name, expression)                                                           \
    __kernel DLM_LOCAL(64) void name(__global const float *xs, __global float *out,                \
                                     const struct dlm_map_params p)                                \
    {                                                                                              \
        const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;                                       \
        for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {                             \
            const uint at = begin + k;                                                             \
            if (at >= p.total)                                                                     \
                return;                                                                            \
            const float x = xs[at];                                                                \
            out[at] = expression;                                                                  \
        }                                                                                          \
    }
