/* dropout: a work-group of 64 a row. */
//! dropout
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_IN(1, uint, rng)
DLM_IN(2, uint, row_ids)
DLM_OUT(3, float, y)
DLM_PARAMS(dlm_dropout_params)

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const uint id = row_ids[(p.first_row + row) / p.rows_per_batch];
    const uint first = (p.first_row + row) % p.rows_per_batch * p.cols;
    const float keep = 1.0 / (1.0 - p.p);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        const uint word = dlm_philox(first + c, id, p.module, rng[2], rng[0], rng[1]);
        const float kept = x[row * p.cols + c] * keep;
        y[row * p.cols + c] = dlm_uniform(word) >= p.p ? kept : 0.0;
    }
}
