/* Which kernel makes a product on a GPU, in what tiles, and in how many parts along k: one table by
 * class of device and by shape. What is chosen depends on capabilities, the class, its compute
 * units, and the product's shape alone. */
#ifndef DLM_OPS_MATMUL_TILES_H
#define DLM_OPS_MATMUL_TILES_H

#include "ops/matmul_impl.h"

/* "64x64", "matrix 64x64", "vector"; "?" outside the list. */
const char *dlm_matmul_tile_name(enum dlm_matmul_tile tile);

/* One of those that are possible (bit of enum dlm_matmul_tile): 32X32 must be. */
enum dlm_matmul_tile dlm_matmul_choose_tile(const struct dlm_device_caps *caps,
                                            const struct dlm_matmul_params *p, uint32_t possible);

/* Work-groups that are to be busy: long sums are cut in parts until there are as many. */
uint32_t dlm_matmul_wanted_groups(const struct dlm_device_caps *caps);

#endif
