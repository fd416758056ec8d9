/* select where barriers are slow, for rows of one slice: a work-group of 64 chooses the token. */
//! select_nolocal
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_IN(1, float, sampling)
DLM_IN(2, uint, rng)
DLM_OUT(3, int, outs)
DLM_PARAMS(dlm_select_params)

shared uint places[64];

#define NO_TOKEN 0xffffffffu
#define INFINITE uintBitsToFloat(0x7f800000u)

/* The index of the first largest element of the group's row, in every lane; NO_TOKEN when there is
 * NaN, which counts as infinite here, or it is infinite. Bits tell NaN: isnan() need not. */
uint argmax(uint row)
{
    const uint lane = DLM_LOCAL_ID();
    float best = uintBitsToFloat(0xff800000u); /* minus infinity */
    uint at = NO_TOKEN;
    for (uint v = lane; v < p.vocab; v += 64u) {
        const bool is_nan = (floatBitsToUint(x[row + v]) & 0x7fffffffu) > 0x7f800000u;
        const float value = is_nan ? INFINITE : x[row + v];
        if (value > best) {
            best = value;
            at = v;
        }
    }
    dlm_tree[lane] = best;
    places[lane] = at;
    for (uint half_len = 32u; half_len > 0u; half_len >>= 1) {
        barrier();
        if (lane < half_len) {
            const float other = dlm_tree[lane + half_len];
            const uint other_at = places[lane + half_len];
            if (other > dlm_tree[lane] || (other == dlm_tree[lane] && other_at < places[lane])) {
                dlm_tree[lane] = other;
                places[lane] = other_at;
            }
        }
    }
    barrier();
    return floatBitsToUint(dlm_tree[0]) == 0x7f800000u ? NO_TOKEN : places[0];
}

/* The probability of an element, but for a factor that all share: in [0, 1]. */
#define SHARE(v) exp((x[row + (v)] - largest) / temperature)

/* The largest t for which the elements from t on sum up to at least want. Floats in [0, 1] are
 * ordered as their bits are; each pass reads the row once and tests three places. */
float find_threshold(uint row, float largest, float temperature, float want)
{
    uint low = 0u, high = 0x3f800001u; /* the sum from low is enough, from high is not */
    while (high - low > 1u) {
        const uint pace = (high - low + 3u) / 4u;
        const uint t1 = low + pace, t2 = min(t1 + pace, high), t3 = min(t2 + pace, high);
        float s1 = 0.0, s2 = 0.0, s3 = 0.0;
        for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u) {
            const float e = SHARE(v);
            s1 += e >= uintBitsToFloat(t1) ? e : 0.0;
            s2 += e >= uintBitsToFloat(t2) ? e : 0.0;
            s3 += e >= uintBitsToFloat(t3) ? e : 0.0;
        }
        s1 = dlm_group_sum(s1);
        s2 = dlm_group_sum(s2);
        s3 = dlm_group_sum(s3);
        if (t3 < high && s3 >= want) {
            low = t3;
        } else if (t2 < high && s2 >= want) {
            low = t2;
            high = t3;
        } else if (t1 < high && s1 >= want) {
            low = t1;
            high = t2;
        } else {
            high = t1;
        }
    }
    return uintBitsToFloat(low);
}

/* The first element from t on at which the running sum, in order of index, exceeds u times the
 * whole: each lane sums a contiguous share, the shares are added in order, and the lane in whose
 * share the place lies looks for it. */
uint find_token(uint row, float largest, float temperature, float t, float u)
{
    const uint lane = DLM_LOCAL_ID(), share = (p.vocab + 63u) / 64u;
    const uint begin = min(lane * share, p.vocab), end = min(begin + share, p.vocab);
    float sum = 0.0;
    for (uint v = begin; v < end; v++) {
        const float e = SHARE(v);
        sum += e >= t ? e : 0.0;
    }
    barrier();
    dlm_tree[lane] = sum;
    barrier();
    float whole = 0.0, before = 0.0, running = 0.0;
    for (uint i = 0u; i < 64u; i++)
        whole += dlm_tree[i];
    const float want = u * whole;
    uint chosen = 64u, last = 0u;
    for (uint i = 0u; i < 64u && chosen == 64u; i++) {
        if (dlm_tree[i] > 0.0) {
            last = i;
            before = running;
        }
        running += dlm_tree[i];
        if (running > want)
            chosen = i;
    }
    if (chosen == 64u)
        chosen = last;
    if (lane == chosen) {
        uint token = begin;
        bool found = false;
        for (uint v = begin; v < end && !found; v++) {
            const float e = SHARE(v);
            if (e >= t) {
                token = v;
                before += e;
                found = before > want;
            }
        }
        places[0] = token;
    }
    barrier();
    return places[0];
}

void main()
{
    const uint group = DLM_GROUP_ID();
    if (group >= p.rows)
        return;
    const uint row = group * p.vocab;
    const float temperature = sampling[0], top_p = sampling[1];
    uint token = argmax(row);
    if (token != NO_TOKEN && temperature > 0.0) { /* the same in every lane */
        const float largest = x[row + token];
        float t = 0.0;
        if (top_p > 0.0 && top_p < 1.0) {
            float sum = 0.0;
            for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u)
                sum += SHARE(v);
            sum = dlm_group_sum(sum);
            t = find_threshold(row, largest, temperature, top_p * sum);
        }
        const uint word = dlm_philox(group, 0u, DLM_SELECT_STREAM, rng[2], rng[0], rng[1]);
        token = find_token(row, largest, temperature, t, dlm_uniform(word));
    }
    if (DLM_LOCAL_ID() == 0u)
        outs[group] = int(token);
}
