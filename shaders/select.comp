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
//! select -DROW
//! select_max -DMAX
//! select_count -DCOUNT
//! select_sum -DSUM
//! select_token -DTOKEN
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_LANES 256u
#include "prelude.glsl"

layout(local_size_x = DLM_LANES) in;

DLM_IN_QUADS(0, x)
DLM_IN(1, float, sampling)
DLM_IN(2, uint, rng)
DLM_OUT(3, int, outs)
#ifndef ROW
DLM_OUT(4, uint, work)
#endif
DLM_PARAMS(dlm_select_params)

#define NO_TOKEN 0xffffffffu
#define INFINITE_BITS 0x7f800000u
#define HAS_TOP_P (sampling[1] > 0.0 && sampling[1] < 1.0)
#define LOWEST uintBitsToFloat(0xff800000u) /* minus infinity */
#define BINS DLM_SELECT_BINS
#define BINS_A_LANE (BINS / DLM_LANES)

shared float tree[DLM_LANES];
shared uint places[DLM_LANES], bins[2u * BINS], picked, found;
shared float rest;

/* Four of the lane's 16 logits of a slice, minus infinity past the row's end; and the probabilities
 * they stand for, but for a factor that all share: in [0, 1]. */
vec4 logits(uint row, uint slice, uint quad)
{
    const uint at = slice * DLM_SELECT_SLICE + 16u * DLM_LOCAL_ID() + 4u * quad;
    return at < p.vocab ? x_at(row * p.vocab, at, p.vocab, LOWEST) : vec4(LOWEST);
}

vec4 shares(uint row, uint slice, uint quad, float largest)
{
    return exp((logits(row, slice, quad) - largest) / sampling[0]);
}

/* The largest of the lanes' values and its place, the lowest of several, in tree[0] and
 * places[0]. */
void reduce_max(float best, uint at)
{
    const uint lane = DLM_LOCAL_ID();
    tree[lane] = best;
    places[lane] = at;
    for (uint half_len = DLM_LANES / 2u; half_len > 0u; half_len >>= 1) {
        barrier();
        if (lane < half_len) {
            const float other = tree[lane + half_len];
            const uint other_at = places[lane + half_len];
            if (other > tree[lane] || (other == tree[lane] && other_at < places[lane])) {
                tree[lane] = other;
                places[lane] = other_at;
            }
        }
    }
    barrier();
}

/* reduce_max() of the slice. NaN counts as infinite; bits tell it: isnan() need not. */
void find_max(uint row, uint slice)
{
    const uint first = slice * DLM_SELECT_SLICE + 16u * DLM_LOCAL_ID();
    float best = LOWEST;
    uint at = NO_TOKEN;
    for (uint i = 0u; i < 4u; i++) {
        const vec4 quad = logits(row, slice, i);
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            const bool is_nan = (floatBitsToUint(quad[j]) & 0x7fffffffu) > INFINITE_BITS;
            const float value = is_nan ? uintBitsToFloat(INFINITE_BITS) : quad[j];
            if (value > best) {
                best = value;
                at = first + 4u * i + j;
            }
        }
    }
    reduce_max(best, at);
}

/* tree becomes the running sums of the lanes' values. */
void scan(float own)
{
    const uint lane = DLM_LOCAL_ID();
    barrier();
    tree[lane] = own;
    for (uint step = 1u; step < DLM_LANES; step <<= 1) {
        barrier();
        const float before = lane >= step ? tree[lane - step] : 0.0;
        barrier();
        tree[lane] += before;
    }
    if (lane == 0u)
        picked = 0u;
    barrier();
}

/* The first lane at which the running sum is more than want, or with or_equal as much: in every
 * lane. Where none is: the last lane that has something. before: the running sum up to it. */
uint pick(float own, float want, bool or_equal, out float before)
{
    const uint lane = DLM_LOCAL_ID();
    const bool is_reached = tree[lane] > want || (or_equal && tree[lane] == want);
    atomicMax(picked, is_reached ? 2u * DLM_LANES - lane : own > 0.0 ? 1u + lane : 0u);
    barrier();
    const uint key = max(picked, 1u);
    const uint chosen = key > DLM_LANES ? 2u * DLM_LANES - key : key - 1u;
    before = chosen > 0u ? tree[chosen - 1u] : 0.0;
    return chosen;
}

/* --- the threshold of top-p: floats in [0, 1] are ordered as their bits are --- */

/* The slice's probabilities whose bits above those of the level are prefix go to bins. Denormals
 * are nothing beside the largest, which is 1. */
void count(uint row, uint slice, float largest, uint level, uint prefix)
{
    const uint shift = 20u - 10u * level;
    barrier();
    for (uint i = DLM_LOCAL_ID(); i < 2u * BINS; i += DLM_LANES)
        bins[i] = 0u;
    barrier();
    [[dont_unroll]] for (uint i = 0u; i < 4u; i++) {
        const uvec4 quad = floatBitsToUint(shares(row, slice, i, largest));
        [[dont_unroll]] for (uint j = 0u; j < 4u; j++) {
            const uint u = j == 0u ? quad.x : j == 1u ? quad.y : j == 2u ? quad.z : quad.w;
            if (u >= 0x00800000u && u >> shift >> 10 == prefix) {
                const uint bin = u >> shift & 1023u, mantissa = (u & 0x7fffffu) | 0x800000u;
                atomicAdd(bins[2u * bin], mantissa & 0xfffu);
                atomicAdd(bins[2u * bin + 1u], mantissa >> 12);
            }
        }
    }
    barrier();
}

/* The sum of a bin; bits: the upper ones of what is in it. */
float bin_sum(uint bin, uint bits)
{
    return (float(bins[2u * bin + 1u]) * 4096.0 + float(bins[2u * bin])) * (1.0 / 8388608.0) *
           uintBitsToFloat(bits & 0x7f800000u);
}

/* From the bins of a level the upper bits of the threshold: prefix with 10 more, and what is still
 * wanted of those that have them. Level 0 makes want from top_p. */
void narrow(uint level, inout uint prefix, inout float want)
{
    const uint shift = 20u - 10u * level, top = BINS - 1u - DLM_LOCAL_ID() * BINS_A_LANE;
    float own = 0.0, running;
    for (uint i = 0u; i < BINS_A_LANE; i++)
        own += bin_sum(top - i, (prefix << 10 | (top - i)) << shift);
    scan(own);
    if (level == 0u)
        want = sampling[1] * tree[DLM_LANES - 1u];
    if (pick(own, want, true, running) == DLM_LOCAL_ID()) {
        for (uint i = 0u, is_done = 0u; i < BINS_A_LANE && is_done == 0u; i++) {
            const float sum = bin_sum(top - i, (prefix << 10 | (top - i)) << shift);
            if (sum > 0.0) {
                found = prefix << 10 | (top - i);
                rest = want - running;
                running += sum;
                is_done = running >= want ? 1u : 0u;
            }
        }
    }
    barrier();
    prefix = found;
    want = rest;
}

/* --- the token --- */

/* The lane's sum of those that are at least t. */
float sum_from(uint row, uint slice, float largest, float t)
{
    float sum = 0.0;
    for (uint i = 0u; i < 4u; i++) {
        const vec4 e = shares(row, slice, i, largest);
        const vec4 kept = mix(vec4(0.0), e, greaterThanEqual(e, vec4(t)));
        sum += DLM_QUAD_SUM(kept);
    }
    return sum;
}

/* The first element of the slice, from t on, at which the running sum exceeds want; share: that
 * part of the slice's sum, want being ignored, where it is not negative. Result: `found`. */
void find_token(uint row, uint slice, float largest, float t, float want, float share)
{
    const float own = sum_from(row, slice, largest, t);
    float running;
    scan(own);
    if (share >= 0.0)
        want = share * tree[DLM_LANES - 1u];
    if (pick(own, want, false, running) == DLM_LOCAL_ID()) {
        uint at = slice * DLM_SELECT_SLICE + 16u * DLM_LOCAL_ID();
        bool is_done = false;
        [[dont_unroll]] for (uint i = 0u; i < 4u && !is_done; i++) {
            const vec4 quad = shares(row, slice, i, largest);
            [[unroll]] for (uint j = 0u; j < 4u; j++, at++)
                if (!is_done && quad[j] >= t) {
                    found = at;
                    running += quad[j];
                    is_done = running > want;
                }
        }
    }
    barrier();
}

float draw(uint row)
{
    return dlm_uniform(dlm_philox(row, 0u, DLM_SELECT_STREAM, rng[2], rng[0], rng[1]));
}

#ifdef ROW
void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    find_max(row, 0u);
    const float largest = tree[0];
    uint token = floatBitsToUint(largest) == INFINITE_BITS ? NO_TOKEN : places[0];
    if (token != NO_TOKEN && sampling[0] > 0.0) { /* the same in every lane */
        uint prefix = 0u;
        float want = 0.0;
        if (HAS_TOP_P)
            for (uint level = 0u; level < 3u; level++) {
                count(row, 0u, largest, level, prefix);
                narrow(level, prefix, want);
            }
        find_token(row, 0u, largest, uintBitsToFloat(prefix), 0.0, draw(row));
        token = found;
    }
    if (DLM_LOCAL_ID() == 0u)
        outs[row] = int(token);
}
#else
/* What reduce_max() says of the row whose words begin at base. */
void reduce_slices(uint base)
{
    const uint lane = DLM_LOCAL_ID(), at = base + DLM_SELECT_MAXIMA + lane;
    const bool has_slice = lane < p.slices;
    reduce_max(has_slice ? uintBitsToFloat(work[at]) : LOWEST,
               has_slice ? work[at + p.slices] : NO_TOKEN);
}

/* Takes over what select_count left of a level, and gives the threshold's bits so far. The first
 * group of the row leaves them for the next dispatch. */
void resume(uint base, uint slice, uint level, out uint prefix, out float want)
{
    const uint state = base + 2u * level;
    prefix = level > 0u ? work[state] : 0u;
    want = level > 0u ? uintBitsToFloat(work[state + 1u]) : 0.0;
    for (uint i = DLM_LOCAL_ID(); i < 2u * BINS; i += DLM_LANES)
        bins[i] = work[base + DLM_SELECT_BINS_OF(level) + i];
    barrier();
    narrow(level, prefix, want);
    if (slice == 0u && DLM_LOCAL_ID() == 0u) {
        work[state + 2u] = prefix;
        work[state + 3u] = floatBitsToUint(want);
    }
}

#ifdef TOKEN
void main()
{
    const uint row = DLM_GROUP_ID(), lane = DLM_LOCAL_ID();
    const uint base = row * DLM_SELECT_ROW_WORDS(p.slices);
    if (row >= p.rows)
        return;
    reduce_slices(base);
    const float largest = tree[0];
    uint token = floatBitsToUint(largest) == INFINITE_BITS ? NO_TOKEN : places[0];
    if (token != NO_TOKEN && sampling[0] > 0.0) { /* the same in every lane */
        const uint at = base + DLM_SELECT_MAXIMA + 2u * p.slices + lane;
        const float t = HAS_TOP_P ? uintBitsToFloat(work[base + 6u]) : 0.0;
        const float own = lane < p.slices ? uintBitsToFloat(work[at]) : 0.0;
        float before;
        scan(own);
        const float want = draw(row) * tree[DLM_LANES - 1u];
        const uint slice = pick(own, want, false, before);
        find_token(row, slice, largest, t, want - before, -1.0);
        token = found;
    }
    if (lane == 0u)
        outs[row] = int(token);
}
#else
void main()
{
    const uint lane = DLM_LOCAL_ID(), row = DLM_GROUP_ID() / p.slices;
    const uint slice = DLM_GROUP_ID() % p.slices, base = row * DLM_SELECT_ROW_WORDS(p.slices);
    const uint result = base + DLM_SELECT_MAXIMA + slice;
    uint prefix = 0u;
    float want = 0.0;
    if (row >= p.rows)
        return;
#ifdef MAX
    for (uint i = slice * DLM_LANES + lane; HAS_TOP_P && i < 6u * BINS; i += p.slices * DLM_LANES)
        work[base + DLM_SELECT_BINS_OF(0u) + i] = 0u;
    find_max(row, slice);
    if (lane == 0u) {
        work[result] = floatBitsToUint(tree[0]);
        work[result + p.slices] = places[0];
    }
#else
    if (!(sampling[0] > 0.0))
        return;
    reduce_slices(base);
    const float largest = tree[0];
#ifdef COUNT
    if (!HAS_TOP_P)
        return;
    if (p.level > 0u)
        resume(base, slice, p.level - 1u, prefix, want);
    count(row, slice, largest, p.level, prefix);
    for (uint i = lane; i < 2u * BINS; i += DLM_LANES)
        if (bins[i] != 0u)
            atomicAdd(work[base + DLM_SELECT_BINS_OF(p.level) + i], bins[i]);
#else
    if (HAS_TOP_P)
        resume(base, slice, 2u, prefix, want);
    scan(sum_from(row, slice, largest, uintBitsToFloat(prefix)));
    if (lane == 0u)
        work[result + 2u * p.slices] = floatBitsToUint(tree[DLM_LANES - 1u]);
#endif
#endif
}
#endif
#endif
