/* What the matvec shaders share: rows of a staged in shared memory, and the end of their sums.
 *
 * The lanes of a group are teams of TEAM, of which each makes PER columns, its lanes running along
 * k: EACH neighbours of a lane, then those of the next. The rows of a, rounded, lie in shared
 * memory, CHUNK of k, or STEPS steps of a team, at a time. The file that includes this has defined
 * LANES, ROWS, TEAM, EACH and STEPS. */
#include "matmul_head.glsl"

const uint PER = DLM_MATVEC_COLS / (LANES / TEAM); /* columns of a team of lanes */
const uint BLOCK = EACH * TEAM, CHUNK = STEPS * BLOCK;

/* A block of a row of a: elements 0..3 of each lane, then elements 4..7 and so on, so that
 * neighbouring lanes read neighbouring 16 bytes. */
shared vec4 a_chunk[ROWS * CHUNK / 4u];
#define QUAD(m, step, part, lane)                                                                  \
    a_chunk[(((m) * STEPS + (step)) * (EACH / 4u) + (part)) * TEAM + (lane)]

void stage(place at, uint k0)
{
    [[dont_unroll]] for (uint m = 0u; m < min(ROWS, p.m); m++)
        for (uint e = DLM_LOCAL_ID(); e < CHUNK; e += LANES) {
            float x = 0.0;
            if (k0 + e < at.k)
                x = round_a(a[at.a + m * p.a_stride[2] + k0 + e]);
            QUAD(m, e / BLOCK, e % EACH / 4u, e % BLOCK / EACH)[e & 3u] = x;
        }
}

float sum[ROWS][PER];

/* The lanes' parts of a row's sums, added in three stages; a_chunk holds them. */
#define PART(i) a_chunk[(i) >> 2][(i) & 3u]
void finish(place at, uint m, uint n0)
{
    const uint share = LANES / DLM_MATVEC_COLS; /* lanes of a column in the second stage */
    const uint lane = DLM_LOCAL_ID(), first = lane / share * TEAM + lane % share;

    barrier();
    [[unroll]] for (uint j = 0u; j < PER; j++)
        PART((lane / TEAM * PER + j) * TEAM + lane % TEAM) = sum[m][j];
    barrier();
    float part = 0.0;
    [[unroll]] for (uint i = 0u; i < TEAM; i += share)
        part += PART(first + i);
    barrier();
    PART(lane) = part;
    barrier();
    if (lane < DLM_MATVEC_COLS && n0 + lane < p.n) {
        float total = 0.0;
        for (uint i = 0u; i < share; i++)
            total += PART(lane * share + i);
        put(at, total, m, n0 + lane);
    }
}
