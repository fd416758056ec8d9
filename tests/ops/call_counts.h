/* What the kernel calls of plans do, for rows that are to reach certain kernels. */
#ifndef DLM_TESTS_OPS_CALL_COUNTS_H
#define DLM_TESTS_OPS_CALL_COUNTS_H

#include "graph/plan.h"
#include "ops/matmul_tiles.h"

struct call_counts {
    int by_library; /* products that the device's library did */
    int matrix;  /* calls for matrix units */
    int tiled;   /* products in the tiles that the device is tuned to */
    int slices;  /* of weights in 4 and 8 bits that become numbers */
    int cut;     /* that come in parts */
};

void call_counts_add(struct call_counts *counts, const struct dlm_plan *plan,
                     const struct dlm_device_caps *caps);

/* Checks that every kernel that ran since the last call of this came in parts at least once, where
 * the device's max_work was small, but for those that are known to be short; and forgets them. */
void call_counts_check_parts(void);

#endif
