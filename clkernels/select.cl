/* select: the token of a row. A lane has 16 consecutive logits, a work-group of 256 a slice of
 * 4096. `select` is for rows of one slice, a work-group each. Longer rows take the whole device, in
 * six dispatches whose groups have a slice each:
 *
 *     select_max    the largest element of the slice
 *     select_count  for top-p only: sums of the row's probabilities by their upper 10 bits; then of
 *                   those in the bin where the threshold lies by their middle 10 bits; then of
 *                   those in the bin there by their lower 10
 *     select_sum    the slice's sum of the probabilities that stay
 *     select_token  the token, a group a row
 *
 * What they leave for each other lies in work, DLM_SELECT_* of kernels/params.h. Sums by bits are
 * integers, 12 bits of each 24-bit mantissa apart: atomics make the same of them in any order. */
//! select select_row
//! select_max select_max
//! select_count select_count
//! select_sum select_sum
//! select_token select_token

#define LANES 256u
#define NO_TOKEN 0xffffffffu
#define BINS DLM_SELECT_BINS
#define HAS_TOP_P(sampling) ((sampling)[1] > 0.0f && (sampling)[1] < 1.0f)
#define BINS_A_LANE (BINS / LANES)

/* Local memory of a work-group. */
struct shared {
    float tree[LANES];
    uint places[LANES], bins[2u * BINS], picked, found;
    float rest;
};

/* The lane's logits of a slice. */
static float16 load(__global const float *x, uint len, uint slice)
{
    const uint first = slice * DLM_SELECT_SLICE + 16u * DLM_LOCAL_ID();
    float part[16];
    for (uint i = 0; i < 16u; i++)
        part[i] = -INFINITY;
    for (uint i = 0; i < 16u && first + i < len; i += 4u)
        vstore4(dlm_quad_at(x, first + i, len, -INFINITY), 0, part + i);
    return vload16(0, part);
}

/* The largest of the lanes' values and its place, the lowest of several, in s->tree[0] and
 * s->places[0]. */
DLM_INLINE void reduce_max(__local struct shared *s, float best, uint at)
{
    const uint lane = DLM_LOCAL_ID();
    s->tree[lane] = best;
    s->places[lane] = at;
    for (uint half_len = LANES / 2u; half_len > 0u; half_len >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_len) {
            const float other = s->tree[lane + half_len];
            const uint other_at = s->places[lane + half_len];
            if (other > s->tree[lane] ||
                (other == s->tree[lane] && other_at < s->places[lane])) {
                s->tree[lane] = other;
                s->places[lane] = other_at;
            }
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* The lane's largest logit, its place in *at. NaN counts as infinite. */
static float find_max(float16 logits, uint slice, uint *at)
{
    float part[16], best = -INFINITY;
    vstore16(logits, 0, part);
    *at = NO_TOKEN;
    for (uint i = 0; i < 16u; i++) {
        const float value = isnan(part[i]) ? INFINITY : part[i];
        if (value > best) {
            best = value;
            *at = slice * DLM_SELECT_SLICE + 16u * DLM_LOCAL_ID() + i;
        }
    }
    return best;
}

/* s->tree becomes the running sums of the lanes' values. */
DLM_INLINE void scan(__local struct shared *s, float own)
{
    const uint lane = DLM_LOCAL_ID();
    barrier(CLK_LOCAL_MEM_FENCE);
    s->tree[lane] = own;
    for (uint step = 1u; step < LANES; step <<= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        const float before = lane >= step ? s->tree[lane - step] : 0.0f;
        barrier(CLK_LOCAL_MEM_FENCE);
        s->tree[lane] += before;
    }
    if (lane == 0u)
        s->picked = 0u;
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* The first lane at which the running sum is more than want, or with or_equal as much: in every
 * lane. Where none is: the last lane that has something. before: the running sum up to it. */
DLM_INLINE uint pick(__local struct shared *s, float own, float want, int or_equal, float *before)
{
    const uint lane = DLM_LOCAL_ID();
    const int is_reached = s->tree[lane] > want || (or_equal && s->tree[lane] == want);
    atomic_max(&s->picked, is_reached ? 2u * LANES - lane : own > 0.0f ? 1u + lane : 0u);
    barrier(CLK_LOCAL_MEM_FENCE);
    const uint key = max(s->picked, 1u);
    const uint chosen = key > LANES ? 2u * LANES - key : key - 1u;
    *before = chosen > 0u ? s->tree[chosen - 1u] : 0.0f;
    return chosen;
}

/* --- the threshold of top-p: floats in [0, 1] are ordered as their bits are --- */

/* The lane's probabilities whose bits above those of the level are prefix go to s->bins. Denormals
 * are nothing beside the largest, which is 1. */
DLM_INLINE void count(__local struct shared *s, float16 shares, uint level, uint prefix)
{
    const uint shift = 20u - 10u * level;
    float part[16];
    vstore16(shares, 0, part);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = DLM_LOCAL_ID(); i < 2u * BINS; i += LANES)
        s->bins[i] = 0u;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = 0; i < 16u; i++) {
        const uint u = as_uint(part[i]);
        if (u >= 0x00800000u && u >> shift >> 10 == prefix) {
            const uint bin = u >> shift & 1023u, mantissa = (u & 0x7fffffu) | 0x800000u;
            atomic_add(&s->bins[2u * bin], mantissa & 0xfffu);
            atomic_add(&s->bins[2u * bin + 1u], mantissa >> 12);
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* The sum of a bin; bits: the upper ones of what is in it. */
static float bin_sum(__local const uint *bins, uint bin, uint bits)
{
    return ((float)bins[2u * bin + 1u] * 4096.0f + (float)bins[2u * bin]) * (1.0f / 8388608.0f) *
           as_float(bits & 0x7f800000u);
}

/* From the bins of a level the upper bits of the threshold: prefix with 10 more, and what is still
 * wanted of those that have them. Level 0 makes want from top_p. */
DLM_INLINE void narrow(__local struct shared *s, uint level, float top_p, uint *prefix, float *want)
{
    const uint shift = 20u - 10u * level, top = BINS - 1u - DLM_LOCAL_ID() * BINS_A_LANE;
    float own = 0.0f, running;
    for (uint i = 0; i < BINS_A_LANE; i++)
        own += bin_sum(s->bins, top - i, (*prefix << 10 | (top - i)) << shift);
    scan(s, own);
    if (level == 0u)
        *want = top_p * s->tree[LANES - 1u];
    if (pick(s, own, *want, 1, &running) == DLM_LOCAL_ID()) {
        for (uint i = 0, is_done = 0; i < BINS_A_LANE && !is_done; i++) {
            const float sum = bin_sum(s->bins, top - i, (*prefix << 10 | (top - i)) << shift);
            if (sum > 0.0f) {
                s->found = *prefix << 10 | (top - i);
                s->rest = *want - running;
                running += sum;
                is_done = running >= *want;
            }
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    *prefix = s->found;
    *want = s->rest;
}

/* --- the token --- */

static float sum_from(float16 shares, float t)
{
    const float16 kept = select((float16)(0.0f), shares, isgreaterequal(shares, (float16)(t)));
    const float8 by8 = kept.lo + kept.hi;
    const float4 by4 = by8.lo + by8.hi;
    return DLM_QUAD_SUM(by4);
}

/* The first element of the slice, from t on, at which the running sum exceeds want; share: that
 * part of the slice's sum, want being ignored, where it is not negative. In s->found. */
DLM_INLINE void find_token(__local struct shared *s, float16 shares, uint slice, float t,
                           float want, float share)
{
    const uint first = slice * DLM_SELECT_SLICE + 16u * DLM_LOCAL_ID();
    const float own = sum_from(shares, t);
    float running;
    scan(s, own);
    if (share >= 0.0f)
        want = share * s->tree[LANES - 1u];
    if (pick(s, own, want, 0, &running) == DLM_LOCAL_ID()) {
        float part[16];
        vstore16(shares, 0, part);
        for (uint i = 0, is_done = 0; i < 16u && !is_done; i++)
            if (part[i] >= t) {
                s->found = first + i;
                running += part[i];
                is_done = running > want;
            }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

static float draw(__global const uint *rng, uint row)
{
    return dlm_uniform(dlm_philox(row, 0u, DLM_SELECT_STREAM, rng[2], rng[0], rng[1]));
}

#define SELECT_ARGS                                                                                \
    __global const float *logits, __global const float *sampling, __global const uint *rng,        \
        __global int *out

__kernel DLM_LOCAL(LANES) void select_row(SELECT_ARGS, const struct dlm_select_params p)
{
    __local struct shared s;
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const float16 x = load(logits + row * p.vocab, p.vocab, 0u);
    uint at;
    const float best = find_max(x, 0u, &at);
    reduce_max(&s, best, at);
    const float largest = s.tree[0];
    uint token = largest == INFINITY ? NO_TOKEN : s.places[0];
    if (token != NO_TOKEN && sampling[0] > 0.0f) { /* the same in every lane */
        const float16 shares = exp((x - largest) / sampling[0]);
        uint prefix = 0u;
        float want = 0.0f;
        if (HAS_TOP_P(sampling))
            for (uint level = 0; level < 3u; level++) {
                count(&s, shares, level, prefix);
                narrow(&s, level, sampling[1], &prefix, &want);
            }
        find_token(&s, shares, 0u, as_float(prefix), 0.0f, draw(rng, row));
        token = s.found;
    }
    if (DLM_LOCAL_ID() == 0u)
        out[row] = (int)token;
}

/* What reduce_max() says of the row whose words are given. */
DLM_INLINE void reduce_slices(__local struct shared *s, __global const uint *words, uint slices)
{
    const uint lane = DLM_LOCAL_ID();
    const int has_slice = lane < slices;
    reduce_max(s, has_slice ? as_float(words[DLM_SELECT_MAXIMA + lane]) : -INFINITY,
               has_slice ? words[DLM_SELECT_MAXIMA + slices + lane] : NO_TOKEN);
}

/* Takes over what select_count left of a level, and gives the threshold's bits so far. The first
 * group of the row leaves them for the next dispatch. */
DLM_INLINE void resume(__local struct shared *s, __global uint *words, uint slice, uint level,
                       float top_p, uint *prefix, float *want)
{
    __global uint *state = words + 2u * level;
    *prefix = level > 0u ? state[0] : 0u;
    *want = level > 0u ? as_float(state[1]) : 0.0f;
    for (uint i = DLM_LOCAL_ID(); i < 2u * BINS; i += LANES)
        s->bins[i] = words[DLM_SELECT_BINS_OF(level) + i];
    barrier(CLK_LOCAL_MEM_FENCE);
    narrow(s, level, top_p, prefix, want);
    if (slice == 0u && DLM_LOCAL_ID() == 0u) {
        state[2] = *prefix;
        state[3] = as_uint(*want);
    }
}

__kernel DLM_LOCAL(LANES) void select_max(SELECT_ARGS, __global uint *work,
                                          const struct dlm_select_params p)
{
    __local struct shared s;
    const uint lane = DLM_LOCAL_ID(), row = DLM_GROUP_ID() / p.slices;
    const uint slice = DLM_GROUP_ID() % p.slices;
    if (row >= p.rows)
        return;
    __global uint *words = work + row * DLM_SELECT_ROW_WORDS(p.slices);
    if (HAS_TOP_P(sampling))
        for (uint i = slice * LANES + lane; i < 6u * BINS; i += p.slices * LANES)
            words[DLM_SELECT_BINS_OF(0u) + i] = 0u;
    uint at;
    const float best = find_max(load(logits + row * p.vocab, p.vocab, slice), slice, &at);
    reduce_max(&s, best, at);
    if (lane == 0u) {
        words[DLM_SELECT_MAXIMA + slice] = as_uint(s.tree[0]);
        words[DLM_SELECT_MAXIMA + p.slices + slice] = s.places[0];
    }
}

__kernel DLM_LOCAL(LANES) void select_count(SELECT_ARGS, __global uint *work,
                                            const struct dlm_select_params p)
{
    __local struct shared s;
    const uint row = DLM_GROUP_ID() / p.slices, slice = DLM_GROUP_ID() % p.slices;
    if (row >= p.rows || !(sampling[0] > 0.0f) || !HAS_TOP_P(sampling))
        return;
    __global uint *words = work + row * DLM_SELECT_ROW_WORDS(p.slices);
    uint prefix = 0u;
    float want;
    reduce_slices(&s, words, p.slices);
    const float largest = s.tree[0];
    if (p.level > 0u)
        resume(&s, words, slice, p.level - 1u, sampling[1], &prefix, &want);
    const float16 x = load(logits + row * p.vocab, p.vocab, slice);
    count(&s, exp((x - largest) / sampling[0]), p.level, prefix);
    for (uint i = DLM_LOCAL_ID(); i < 2u * BINS; i += LANES)
        if (s.bins[i] != 0u)
            atomic_add(&words[DLM_SELECT_BINS_OF(p.level) + i], s.bins[i]);
}

__kernel DLM_LOCAL(LANES) void select_sum(SELECT_ARGS, __global uint *work,
                                          const struct dlm_select_params p)
{
    __local struct shared s;
    const uint row = DLM_GROUP_ID() / p.slices, slice = DLM_GROUP_ID() % p.slices;
    if (row >= p.rows || !(sampling[0] > 0.0f))
        return;
    __global uint *words = work + row * DLM_SELECT_ROW_WORDS(p.slices);
    uint prefix = 0u;
    float want;
    reduce_slices(&s, words, p.slices);
    const float largest = s.tree[0];
    if (HAS_TOP_P(sampling))
        resume(&s, words, slice, 2u, sampling[1], &prefix, &want);
    const float16 x = load(logits + row * p.vocab, p.vocab, slice);
    scan(&s, sum_from(exp((x - largest) / sampling[0]), as_float(prefix)));
    if (DLM_LOCAL_ID() == 0u)
        words[DLM_SELECT_MAXIMA + 2u * p.slices + slice] = as_uint(s.tree[LANES - 1u]);
}

__kernel DLM_LOCAL(LANES) void select_token(SELECT_ARGS, __global uint *work,
                                            const struct dlm_select_params p)
{
    __local struct shared s;
    const uint row = DLM_GROUP_ID(), lane = DLM_LOCAL_ID();
    if (row >= p.rows)
        return;
    __global const uint *words = work + row * DLM_SELECT_ROW_WORDS(p.slices);
    reduce_slices(&s, words, p.slices);
    const float largest = s.tree[0];
    uint token = largest == INFINITY ? NO_TOKEN : s.places[0];
    if (token != NO_TOKEN && sampling[0] > 0.0f) { /* the same in every lane */
        const float t = HAS_TOP_P(sampling) ? as_float(words[6]) : 0.0f;
        const uint at = DLM_SELECT_MAXIMA + 2u * p.slices + lane;
        const float own = lane < p.slices ? as_float(words[at]) : 0.0f;
        float before;
        scan(&s, own);
        const float want = draw(rng, row) * s.tree[LANES - 1u];
        const uint slice = pick(&s, own, want, 0, &before);
        const float16 x = load(logits + row * p.vocab, p.vocab, slice);
        find_token(&s, exp((x - largest) / sampling[0]), slice, t, want - before, -1.0f);
        token = s.found;
    }
    if (lane == 0u)
        out[row] = (int)token;
}
