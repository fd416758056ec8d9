/* What one core can do: loops of nothing but the instruction in question. */
#ifndef DLM_TESTS_BENCH_PEAK_PROBE_H
#define DLM_TESTS_BENCH_PEAK_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#define PEAK_ROUNDS 100000
#define PEAK_VDP_FLOPS (PEAK_ROUNDS * 16.0 * 64.0)
#define PEAK_FMA_FLOPS (PEAK_ROUNDS * 16.0 * 2.0 * peak_fma_lanes())

bool peak_has_vdp(void);
void peak_vdp_loop(void); /* PEAK_VDP_FLOPS floating point operations */
int peak_fma_lanes(void);
void peak_fma_loop(void); /* PEAK_FMA_FLOPS, with the widest vectors of this CPU */
void peak_read(const void *data, size_t bytes); /* bytes: a multiple of 256 */

#endif
