/* Which kernel makes a product on a GPU, in what tiles, and in how many parts along k: one table by
 * class of device and by shape, and what was measured on a device in place of its rows
 * (`dlm bench --tune`). What is chosen depends on capabilities, class, compute units, what was
 * measured, and the product's shape alone. */
#ifndef DLM_OPS_MATMUL_TILES_H
#define DLM_OPS_MATMUL_TILES_H

#include "ops/matmul_impl.h"

/* "64x64", "matrix 64x64", "vector"; "?" outside the list. */
const char *dlm_matmul_tile_name(enum dlm_matmul_tile tile);

/* One of those that are possible (bit of enum dlm_matmul_tile): 32X32 must be. b: its type. */
enum dlm_matmul_tile dlm_matmul_choose_tile(const struct dlm_device_caps *caps,
                                            const struct dlm_matmul_params *p, enum dlm_dtype b,
                                            uint32_t possible);

/* Work-groups that are to be busy: long sums are cut in parts until there are as many. */
uint32_t dlm_matmul_wanted_groups(const struct dlm_device_caps *caps,
                                  const struct dlm_matmul_params *p, enum dlm_dtype b);

/* What is measured: for each class of shapes, below DLM_NUM_TUNED, a tile and the work-groups
 * wanted for each compute unit. */
struct dlm_matmul_tuned {
    enum dlm_matmul_tile tile; /* OPEN: the table's row */
    uint32_t per_unit;
};

/* Of dlm_device_caps.tuned an element, and back. False: no such tile, or number. */
bool dlm_matmul_pack_tuned(const struct dlm_matmul_tuned *tuned, uint8_t *packed);
struct dlm_matmul_tuned dlm_matmul_unpack_tuned(uint8_t packed);

/* By the table. */
uint32_t dlm_matmul_table_per_unit(const struct dlm_device_caps *caps);

/* The numbers that per_unit may have. */
#define DLM_MATMUL_NUM_PER_UNIT 6u
extern const uint32_t dlm_matmul_per_unit[DLM_MATMUL_NUM_PER_UNIT];

/* The class of a shape, and what it is called: "16 bit, m 129-512, n 65-1024, k over 1024". */
uint32_t dlm_matmul_shape_class(uint32_t m, uint32_t n, uint32_t k, enum dlm_dtype b);
#define DLM_MATMUL_SHAPE_NAME_BYTES 64
void dlm_matmul_shape_name(uint32_t shape_class, char name[DLM_MATMUL_SHAPE_NAME_BYTES]);

/* 64 hex digits of all that choices depend on beside shapes: two devices, or one with other tiles,
 * may differ in the order of sums where these differ. The same for all CPUs. */
void dlm_matmul_tiles_hash(const struct dlm_device_caps *caps, char hex[65]);

#endif
