/* fill: a work-group does 4096 words. */
//! fill
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_OUT(0, uint, outs)
DLM_PARAMS(dlm_fill_params)

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        if (begin + k >= p.total)
            return;
        outs[p.lead + begin + k] = p.word;
    }
}
