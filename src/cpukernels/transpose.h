/* Four by four transposed in registers, for packing: of a loop over columns compilers make gathers
 * or scalar loads. In vectors of 16 bytes, which every instruction set has. */
#ifndef DLM_CPUKERNELS_TRANSPOSE_H
#define DLM_CPUKERNELS_TRANSPOSE_H

#include <stddef.h>
#include <string.h>

#include "base/attr.h"

typedef float dlm_vec4 DLM_VECTOR(16);

DLM_INLINE dlm_vec4 dlm_vec4_load(const float *p)
{
    dlm_vec4 v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* to [4 rows, 16 apart][4] is the transpose of from [4 rows, `stride` apart][4]. */
DLM_INLINE void dlm_transpose4(float *to, const float *from, size_t stride)
{
    const dlm_vec4 a = dlm_vec4_load(from), b = dlm_vec4_load(from + stride);
    const dlm_vec4 c = dlm_vec4_load(from + 2 * stride), d = dlm_vec4_load(from + 3 * stride);
    const dlm_vec4 ab_low = DLM_SHUFFLE(a, b, 0, 4, 1, 5), ab_high = DLM_SHUFFLE(a, b, 2, 6, 3, 7);
    const dlm_vec4 cd_low = DLM_SHUFFLE(c, d, 0, 4, 1, 5), cd_high = DLM_SHUFFLE(c, d, 2, 6, 3, 7);
    const dlm_vec4 out[4] = {
        DLM_SHUFFLE(ab_low, cd_low, 0, 1, 4, 5), DLM_SHUFFLE(ab_low, cd_low, 2, 3, 6, 7),
        DLM_SHUFFLE(ab_high, cd_high, 0, 1, 4, 5), DLM_SHUFFLE(ab_high, cd_high, 2, 3, 6, 7)};

    for (int i = 0; i < 4; i++)
        memcpy(to + 16 * i, &out[i], sizeof(out[i]));
}

#endif
