/* select where barriers are slow, for rows of one slice: a work-group of 64 chooses the token. */
//! select_nolocal select_token

#define NO_TOKEN 0xffffffffu

/* The first largest element of the group's row, in every lane; NO_TOKEN when there is NaN, which
 * counts as infinite here, or it is infinite. */
DLM_INLINE uint argmax(__global const float *x, uint len, __local float *tree, __local uint *where)
{
    const uint lane = DLM_LOCAL_ID();
    float best = -INFINITY;
    uint at = NO_TOKEN;
    for (uint v = lane; v < len; v += 64u) {
        const float value = isnan(x[v]) ? INFINITY : x[v];
        if (value > best) {
            best = value;
            at = v;
        }
    }
    tree[lane] = best;
    where[lane] = at;
    for (uint half_len = 32u; half_len > 0u; half_len >>= 1) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_len) {
            const float other = tree[lane + half_len];
            const uint other_at = where[lane + half_len];
            if (other > tree[lane] || (other == tree[lane] && other_at < where[lane])) {
                tree[lane] = other;
                where[lane] = other_at;
            }
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return tree[0] == INFINITY ? NO_TOKEN : where[0];
}

/* The probability of an element, but for a factor that all share: in [0, 1]. */
#define SHARE(v) exp((x[v] - largest) / temperature)

/* The largest t for which the elements from t on sum up to at least want. Floats in [0, 1] are
 * ordered as their bits are; each pass reads the row once and tests three places. */
DLM_INLINE float find_threshold(__global const float *x, uint len, float largest,
                                float temperature, float want, __local float *tree)
{
    uint low = 0u, high = 0x3f800001u; /* the sum from low is enough, from high is not */
    while (high - low > 1u) {
        const uint step = (high - low + 3u) / 4u;
        const uint t1 = low + step, t2 = min(t1 + step, high), t3 = min(t2 + step, high);
        float s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        for (uint v = DLM_LOCAL_ID(); v < len; v += 64u) {
            const float e = SHARE(v);
            s1 += e >= as_float(t1) ? e : 0.0f;
            s2 += e >= as_float(t2) ? e : 0.0f;
            s3 += e >= as_float(t3) ? e : 0.0f;
        }
        s1 = dlm_group_sum(s1, tree);
        s2 = dlm_group_sum(s2, tree);
        s3 = dlm_group_sum(s3, tree);
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
    return as_float(low);
}

/* The first element from t on at which the running sum, in order of index, exceeds u times the
 * whole: each lane sums a contiguous share, the shares are added in order, and the lane in whose
 * share the place lies looks for it. */
DLM_INLINE uint find_token(__global const float *x, uint len, float largest, float temperature,
                           float t, float u, __local float *tree, __local uint *where)
{
    const uint lane = DLM_LOCAL_ID(), share = (len + 63u) / 64u;
    const uint begin = min(lane * share, len), end = min(begin + share, len);
    float sum = 0.0f;
    for (uint v = begin; v < end; v++) {
        const float e = SHARE(v);
        sum += e >= t ? e : 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    tree[lane] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    float whole = 0.0f, before = 0.0f;
    for (uint i = 0u; i < 64u; i++)
        whole += tree[i];
    const float want = u * whole;
    uint chosen = 64u, last = 0u;
    float running = 0.0f;
    for (uint i = 0u; i < 64u && chosen == 64u; i++) {
        if (tree[i] > 0.0f) {
            last = i;
            before = running;
        }
        running += tree[i];
        if (running > want)
            chosen = i;
    }
    if (chosen == 64u)
        chosen = last;
    if (lane == chosen) {
        uint token = begin;
        int found = 0;
        for (uint v = begin; v < end && !found; v++) {
            const float e = SHARE(v);
            if (e >= t) {
                token = v;
                before += e;
                found = before > want;
            }
        }
        where[0] = token;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return where[0];
}

__kernel DLM_LOCAL(64) void select_token(__global const float *logits,
                                         __global const float *sampling, __global const uint *rng,
                                         __global int *out, const struct dlm_select_params p)
{
    __local float tree[64];
    __local uint where[64];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    __global const float *x = logits + row * p.vocab;
    const float temperature = sampling[0], top_p = sampling[1];
    uint token = argmax(x, p.vocab, tree, where);
    if (token != NO_TOKEN && temperature > 0.0f) { /* the same in every lane */
        const float largest = x[token];
        float t = 0.0f;
        if (top_p > 0.0f && top_p < 1.0f) {
            float sum = 0.0f;
            for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u)
                sum += SHARE(v);
            sum = dlm_group_sum(sum, tree);
            t = find_threshold(x, p.vocab, largest, temperature, top_p * sum, tree);
        }
        const uint word = dlm_philox(row, 0u, DLM_SELECT_STREAM, rng[2], rng[0], rng[1]);
        token = find_token(x, p.vocab, largest, temperature, t, dlm_uniform(word), tree, where);
    }
    if (DLM_LOCAL_ID() == 0u)
        out[row] = (int)token;
}
