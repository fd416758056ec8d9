/* What every OpenCL kernel starts with; base/dialect.h, base/scalar.h and kernels/params.h are put
 * before it, and after it base/activation.h once more, of vectors. A kernel file names its kernels
 * in lines `//! NAME ENTRY [-Dname=value ...]`. */

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
/* Eight neighbours at an index i that is a multiple of 8, widened, by 16 bytes: a float8. */
#define DLM_LOAD8_F32(p, i) (*(__global const float8 *)((p) + (i)))
#define DLM_LOAD8_BF16(p, i) dlm_widen8_bf16(*(__global const uint4 *)((p) + (i)))
#define DLM_LOAD8_F16(p, i) vloada_half8(0, (__global const half *)((p) + (i)))
#define DLM_STORE_F32(p, i, v) ((p)[i] = (v))
#define DLM_STORE_BF16(p, i, v) ((p)[i] = (ushort)dlm_f32_to_bf16(v))
#define DLM_STORE_F16(p, i, v) vstore_half_rte(v, i, (__global half *)(p))

static float8 dlm_widen8_bf16(uint4 words)
{
    const float4 low = as_float4(words << 16), high = as_float4(words & 0xffff0000u);
    return (float8)(low.x, high.x, low.y, high.y, low.z, high.z, low.w, high.w);
}

/* Elements i..i+3 (i a multiple of 4) of the len of x, `rest` for those past the end; and written.
 * A row whose length and start are multiples of 4 takes 16 bytes at a time. */
#define DLM_HAS_QUADS(x, len) ((((uintptr_t)(x) >> 2 | (len)) & 3u) == 0u)
DLM_INLINE float4 dlm_quad_at(__global const float *x, uint i, uint len, float rest)
{
    if (DLM_HAS_QUADS(x, len))
        return *(__global const float4 *)(x + i);
    return (float4)(x[i], i + 1u < len ? x[i + 1u] : rest, i + 2u < len ? x[i + 2u] : rest,
                    i + 3u < len ? x[i + 3u] : rest);
}

DLM_INLINE void dlm_quad_put(__global float *x, uint i, uint len, float4 v)
{
    if (DLM_HAS_QUADS(x, len)) {
        *(__global float4 *)(x + i) = v;
        return;
    }
    x[i] = v.x;
    if (i + 1u < len)
        x[i + 1u] = v.y;
    if (i + 2u < len)
        x[i + 2u] = v.z;
    if (i + 3u < len)
        x[i + 3u] = v.w;
}

#define DLM_QUAD_SUM(v) ((v.x + v.y) + (v.z + v.w))
#define DLM_QUAD_MAX(v) fmax(fmax(v.x, v.y), fmax(v.z, v.w))

/* Sum (maximum) of v over the lanes of a work-group, a power of two, in every lane; the order is
 * fixed. tree: as many floats of local memory. Every lane must come here. With subgroups, each adds
 * up what its lanes have, and every lane those sums: two barriers, where a tree of 256 has ten. */
#ifdef cl_khr_subgroups
DLM_INLINE float dlm_lanes_sum(float v, __local float *tree, uint lanes)
{
    const float part = sub_group_reduce_add(v);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (get_sub_group_local_id() == 0u)
        tree[get_sub_group_id()] = part;
    barrier(CLK_LOCAL_MEM_FENCE);
    float sum = tree[0];
    for (uint i = 1u; i < get_num_sub_groups(); i++)
        sum += tree[i];
    return sum;
}

DLM_INLINE float dlm_lanes_max(float v, __local float *tree, uint lanes)
{
    const float part = sub_group_reduce_max(v);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (get_sub_group_local_id() == 0u)
        tree[get_sub_group_id()] = part;
    barrier(CLK_LOCAL_MEM_FENCE);
    float most = tree[0];
    for (uint i = 1u; i < get_num_sub_groups(); i++)
        most = fmax(most, tree[i]);
    return most;
}
#else
DLM_INLINE float dlm_lanes_sum(float v, __local float *tree, uint lanes)
{
    const uint lane = DLM_LOCAL_ID();
    barrier(CLK_LOCAL_MEM_FENCE);
    tree[lane] = v;
    for (uint half_len = lanes / 2u; half_len > 0u; half_len >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_len)
            tree[lane] += tree[lane + half_len];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return tree[0];
}

DLM_INLINE float dlm_lanes_max(float v, __local float *tree, uint lanes)
{
    const uint lane = DLM_LOCAL_ID();
    barrier(CLK_LOCAL_MEM_FENCE);
    tree[lane] = v;
    for (uint half_len = lanes / 2u; half_len > 0u; half_len >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_len)
            tree[lane] = fmax(tree[lane], tree[lane + half_len]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return tree[0];
}
#endif

#define dlm_group_sum(v, tree) dlm_lanes_sum(v, tree, 64u)
#define dlm_group_max(v, tree) dlm_lanes_max(v, tree, 64u)

/* What a lane of an elementwise kernel takes at once: DLM_WIDTH floats, which the host sets: 4 (16
 * bytes) where lanes share a vector unit, as many as fit a register where each has one. */
#define DLM_PASTE_(x, y) x##y
#define DLM_PASTE(x, y) DLM_PASTE_(x, y)
typedef DLM_PASTE(float, DLM_WIDTH) dlm_vec;
typedef DLM_PASTE(uint, DLM_WIDTH) dlm_uvec;
typedef DLM_PASTE(ushort, DLM_WIDTH) dlm_hvec;
#define DLM_TO_UVEC DLM_PASTE(convert_uint, DLM_WIDTH)
#define DLM_TO_HVEC DLM_PASTE(convert_ushort, DLM_WIDTH)
#define DLM_AS_VEC DLM_PASTE(as_float, DLM_WIDTH)
#define DLM_AS_UVEC DLM_PASTE(as_uint, DLM_WIDTH)
#define DLM_VLOAD DLM_PASTE(vload, DLM_WIDTH)
#define DLM_VSTORE DLM_PASTE(vstore, DLM_WIDTH)

/* DLM_WIDTH elements from element i on, a multiple of DLM_WIDTH from where memory is aligned. */
#define DLM_LOADV_F32(p, i) (*(__global const dlm_vec *)((p) + (i)))
#define DLM_LOADV_BF16(p, i) DLM_AS_VEC(DLM_TO_UVEC(*(__global const dlm_hvec *)((p) + (i))) << 16)
#define DLM_LOADV_F16(p, i) DLM_PASTE(vloada_half, DLM_WIDTH)(0, (__global const half *)((p) + (i)))
#define DLM_STOREV_F32(p, i, v) (*(__global dlm_vec *)((p) + (i)) = (v))
#define DLM_STOREV_BF16(p, i, v) (*(__global dlm_hvec *)((p) + (i)) = dlm_vec_to_bf16(v))
#define DLM_STOREV_F16(p, i, v)                                                                    \
    DLM_PASTE(DLM_PASTE(vstorea_half, DLM_WIDTH), _rte)(v, 0, (__global half *)((p) + (i)))

/* dlm_f32_to_bf16 of each. */
static dlm_hvec dlm_vec_to_bf16(dlm_vec v)
{
    const dlm_uvec u = DLM_AS_UVEC(v);
    const dlm_uvec rounded = u + 0x7fffu + ((u >> 16) & 1u), quiet = u | 0x400000u;
    return DLM_TO_HVEC(((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}

/* `num` <= DLM_WIDTH elements of a contiguous array from `at` on, zeros behind; and their store. */
#define DLM_RUN_FUNCTIONS(load_name, store_name, T, LOAD, LOADV, STORE, STOREV)                    \
    static dlm_vec load_name(__global const T *p, uint at, uint num)                               \
    {                                                                                              \
        float part[DLM_WIDTH];                                                                     \
        if (num == DLM_WIDTH)                                                                      \
            return LOADV(p, at);                                                                   \
        for (uint i = 0; i < DLM_WIDTH; i++)                                                       \
            part[i] = i < num ? LOAD(p, at + i) : 0.0f;                                            \
        return DLM_VLOAD(0, part);                                                                 \
    }                                                                                              \
    static void store_name(__global T *p, uint at, uint num, dlm_vec v)                            \
    {                                                                                              \
        float part[DLM_WIDTH];                                                                     \
        if (num == DLM_WIDTH) {                                                                    \
            STOREV(p, at, v);                                                                      \
            return;                                                                                \
        }                                                                                          \
        DLM_VSTORE(v, 0, part);                                                                    \
        for (uint i = 0; i < num; i++)                                                             \
            STORE(p, at + i, part[i]);                                                             \
    }
DLM_RUN_FUNCTIONS(dlm_load_run_f32, dlm_store_run_f32, float, DLM_LOAD_F32, DLM_LOADV_F32,
                  DLM_STORE_F32, DLM_STOREV_F32)
DLM_RUN_FUNCTIONS(dlm_load_run_f16, dlm_store_run_f16, ushort, DLM_LOAD_F16, DLM_LOADV_F16,
                  DLM_STORE_F16, DLM_STOREV_F16)
DLM_RUN_FUNCTIONS(dlm_load_run_bf16, dlm_store_run_bf16, ushort, DLM_LOAD_BF16, DLM_LOADV_BF16,
                  DLM_STORE_BF16, DLM_STOREV_BF16)

/* The loop of an elementwise kernel over contiguous arrays: `num` elements from `at` on, of which
 * there are DLM_WIDTH but at the end of all `total`. */
#define DLM_FOR_RUNS(at, total)                                                                    \
    for (uint at = DLM_GROUP_ID() * DLM_GROUP_ELEMS + DLM_LOCAL_ID() * DLM_WIDTH;                  \
         at < min(DLM_GROUP_ID() * DLM_GROUP_ELEMS + DLM_GROUP_ELEMS, total);                      \
         at += 64u * DLM_WIDTH)
#define DLM_RUN_LEN(at, total) min((uint)DLM_WIDTH, (total) - (at))

/* Where element `at` of a walk of four dimensions lies. */
static uint dlm_walk(uint at, const uint *shape, const uint *stride, uint lead)
{
    if (at < shape[3]) /* all of it when there is one dimension */
        return lead + at * stride[3];
    for (int d = 3; d >= 0; d--) {
        lead += at % shape[d] * stride[d];
        at /= shape[d];
    }
    return lead;
}

/* True when DLM_WIDTH neighbours of such a walk, from a multiple of DLM_WIDTH on, are aligned
 * neighbours in memory, or all the same element. */
static bool dlm_walks_in_runs(uint total, const uint *shape, const uint *stride, uint lead)
{
    const uint row = shape[3] == total ? 0u : shape[3];
    const uint places = stride[3] ? lead | stride[0] | stride[1] | stride[2] : 0u;
    return stride[3] <= 1u && (row | places) % DLM_WIDTH == 0u;
}

static dlm_vec dlm_load_walked(__global const float *x, uint at, uint num, uint stride)
{
    return stride ? dlm_load_run_f32(x, at, num) : (dlm_vec)(x[at]);
}

/* The broadcasting kernel `name`: out = expression in x and y. */
#define DLM_BROADCAST_KERNEL(name, expression)                                                     \
    __kernel DLM_LOCAL(64) void name(__global const float *xs, __global const float *ys,           \
                                     __global float *out, const struct dlm_broadcast_params p)     \
    {                                                                                              \
        if (dlm_walks_in_runs(p.total, p.shape, p.x_stride, p.x_lead) &&                           \
            dlm_walks_in_runs(p.total, p.shape, p.y_stride, p.y_lead) &&                           \
            dlm_walks_in_runs(p.total, p.shape, p.out_stride, p.out_lead)) {                       \
            DLM_FOR_RUNS(at, p.total) {                                                            \
                const uint num = DLM_RUN_LEN(at, p.total);                                         \
                const dlm_vec x = dlm_load_walked(                                                 \
                    xs, dlm_walk(at, p.shape, p.x_stride, p.x_lead), num, p.x_stride[3]);          \
                const dlm_vec y = dlm_load_walked(                                                 \
                    ys, dlm_walk(at, p.shape, p.y_stride, p.y_lead), num, p.y_stride[3]);          \
                dlm_store_run_f32(out, dlm_walk(at, p.shape, p.out_stride, p.out_lead), num,       \
                                  expression);                                                     \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;                                       \
        for (uint at = begin + DLM_LOCAL_ID(); at < min(begin + DLM_GROUP_ELEMS, p.total);         \
             at += 64u) {                                                                          \
            const float x = xs[dlm_walk(at, p.shape, p.x_stride, p.x_lead)];                       \
            const float y = ys[dlm_walk(at, p.shape, p.y_stride, p.y_lead)];                       \
            out[dlm_walk(at, p.shape, p.out_stride, p.out_lead)] = expression;                     \
        }                                                                                          \
    }

/* The elementwise kernel `name` of one input over contiguous arrays: out = expression in x, p. */
#define DLM_MAP_KERNEL(name, expression)                                                           \
    __kernel DLM_LOCAL(64) void name(__global const float *xs, __global float *out,                \
                                     const struct dlm_map_params p)                                \
    {                                                                                              \
        DLM_FOR_RUNS(at, p.total) {                                                                \
            const uint num = DLM_RUN_LEN(at, p.total);                                             \
            const dlm_vec x = dlm_load_run_f32(xs, at, num);                                       \
            dlm_store_run_f32(out, at, num, expression);                                           \
        }                                                                                          \
    }
