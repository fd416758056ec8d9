/* fill: a work-group does 4096 words. */
//! fill fill

__kernel DLM_LOCAL(64) void fill(__global uint *out, const struct dlm_fill_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        if (begin + k >= p.total)
            return;
        out[p.lead + begin + k] = p.word;
    }
}
