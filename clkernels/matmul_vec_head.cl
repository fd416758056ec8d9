/* What the matvec kernels share: the end of their sums. The lanes of a group, LANES, are teams of
 * TEAM, of which each makes PER columns. */
#ifndef LANES
#define LANES 256u
#endif
#define PER (DLM_MATVEC_COLS / (LANES / TEAM))
#define SHARE (LANES / DLM_MATVEC_COLS) /* lanes of a column in the second stage of a sum */

/* The lanes' parts of a row's sums, added in three stages; lane j below DLM_MATVEC_COLS returns the
 * sum of column j. */
DLM_INLINE float add_lanes(const float *sum, __local float *part)
{
    const uint lane = DLM_LOCAL_ID(), first = lane / SHARE * TEAM + lane % SHARE;
    float total = 0.0f;

    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint j = 0; j < PER; j++)
        part[(lane / TEAM * PER + j) * TEAM + lane % TEAM] = sum[j];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = 0; i < TEAM; i += SHARE)
        total += part[first + i];
    barrier(CLK_LOCAL_MEM_FENCE);
    part[lane] = total;
    barrier(CLK_LOCAL_MEM_FENCE);
    total = 0.0f;
    for (uint i = 0; lane < DLM_MATVEC_COLS && i < SHARE; i++)
        total += part[lane * SHARE + i];
    return total;
}
