/* What the files of matmul share. Each lowering takes nodes that matmul_infer() has accepted and
 * dlm_lower_check_sizes() too.
 *
 * matmul.c is the definition; matmul_cpu.c lowers to the CPU; matmul_gpu.c to GPUs, by the engine
 * that matmul_tiles.c chooses. */
#ifndef DLM_OPS_MATMUL_IMPL_H
#define DLM_OPS_MATMUL_IMPL_H

#include "ops/op.h"

/* matmul_params.c */

/* d seen as [batch0, batch1, rows, cols]. */
void dlm_matmul_as_4d(const struct dlm_desc *d, int64_t shape[4], uint32_t stride[4]);
double dlm_matmul_alpha(const union dlm_attrs *attrs);
bool dlm_matmul_has_c(const struct dlm_lowering *l);
bool dlm_matmul_has_bias(const struct dlm_lowering *l);
uint32_t dlm_matmul_addend_flags(const struct dlm_lowering *l);
/* DLM_MATMUL_A_*, or 0 where operands stay f32. */
uint32_t dlm_matmul_round_flag(const struct dlm_lowering *l);

/* Strides of the operands for the kernels with any strides. */
struct dlm_matmul_params dlm_matmul_make_params(const struct dlm_lowering *l);
/* Multiply-adds of a product. */
uint64_t dlm_matmul_work(const struct dlm_matmul_params *p);

/* Neighbours along k (n) are neighbours in memory. */
bool dlm_matmul_is_a_along_k(const struct dlm_matmul_params *p);
bool dlm_matmul_is_b_along_k(const struct dlm_matmul_params *p);
bool dlm_matmul_is_b_along_n(const struct dlm_matmul_params *p);

/* matmul_cpu.c */

/* b in panel form. */
enum dlm_status dlm_matmul_lower_panel(struct dlm_lowering *l) DLM_CHECK_RESULT;
/* Operands with any strides. */
enum dlm_status dlm_matmul_lower_general(struct dlm_lowering *l) DLM_CHECK_RESULT;

/* How a product is made: the engine, and a work-group's rows x columns of the result. */
enum dlm_matmul_tile {
    DLM_MATMUL_TILE_OPEN,
    DLM_MATMUL_TILE_VEC,     /* few rows: matmul_vec.c */
    DLM_MATMUL_TILE_NOLOCAL, /* no shared memory: matmul_nolocal.c, which knows its own tiles */
    DLM_MATMUL_TILE_32X32,   /* in shared memory: matmul_tile.c, matmul_gpu.c */
    DLM_MATMUL_TILE_64X64,
    DLM_MATMUL_TILE_128X64,
    DLM_MATMUL_TILE_MMA_32X32, /* in matrix units: matmul_mma.c */
    DLM_MATMUL_TILE_MMA_64X64,
    DLM_MATMUL_TILE_MMA_128X128,
    DLM_MATMUL_TILE_LIBRARY, /* the device's: matmul_library.c; only where it was tuned to */
    DLM_MATMUL_TILE_COUNT
};

/* matmul_split.c */

/* A kernel for operands with any strides on GPUs: bindings a, b, c, bias (a where they are absent),
 * out; params struct dlm_matmul_params; a work-group makes a tile of out. */
struct dlm_matmul_tiling {
    const char *kernel; /* pattern, by b's type */
    uint32_t tile_m, tile_n;
    bool can_fold; /* the kernel knows a one-dimensional grid that was folded */
    uint32_t split_unit; /* parts of k are multiples of it; 0: any length */
    uint32_t specs[DLM_MAX_SPECS]; /* of struct dlm_kernel_call, as the next two */
    uint32_t num_specs;
    uint32_t subgroups;
    struct dlm_operand more[2]; /* bindings after out, which the kernel reads */
    uint32_t num_more;
};

/* Appends the product p of `a` (input A, or what it was packed to) and the other inputs by the
 * kernel of t, in parts along k where there are few tiles. */
enum dlm_status dlm_matmul_lower_tiles(struct dlm_lowering *l, const struct dlm_matmul_tiling *t,
                                       struct dlm_matmul_params *p,
                                       struct dlm_operand a) DLM_CHECK_RESULT;

/* matmul_vec.c */

/* Few rows, as of one decoded token: the kernels that read b once and as fast as they can. */
bool dlm_matmul_is_for_vec(const struct dlm_lowering *l, const struct dlm_matmul_params *p);
enum dlm_status dlm_matmul_lower_vec(struct dlm_lowering *l,
                                     struct dlm_matmul_params *p) DLM_CHECK_RESULT;

/* matmul_mma.c */

/* Products whose operands a device's matrix units take, and for whose tiles there is room. */
bool dlm_matmul_is_for_mma(const struct dlm_lowering *l, const struct dlm_matmul_params *p,
                           enum dlm_matmul_tile tile);
enum dlm_status dlm_matmul_lower_mma(struct dlm_lowering *l, struct dlm_matmul_params *p,
                                     enum dlm_matmul_tile tile) DLM_CHECK_RESULT;

/* matmul_tile.c */

/* Tiles in shared memory whose size is a constant of the kernel (DLM_CAP_SPECS). */
enum dlm_status dlm_matmul_lower_tile(struct dlm_lowering *l, struct dlm_matmul_params *p,
                                      enum dlm_matmul_tile tile) DLM_CHECK_RESULT;

/* matmul_nolocal.c */

/* a, rounded, as a contiguous temporary, which p then describes: for the kernels that read every
 * element of a often. */
enum dlm_status dlm_matmul_pack_a(struct dlm_lowering *l, struct dlm_matmul_params *p,
                                  struct dlm_operand *packed) DLM_CHECK_RESULT;

/* Devices without local memory (DLM_CAP_NO_LOCAL). */
enum dlm_status dlm_matmul_lower_nolocal(struct dlm_lowering *l,
                                         struct dlm_matmul_params *p) DLM_CHECK_RESULT;

/* matmul_quant.c: b in 4 to 8 bits (base/quant.h). */

/* On GPUs W becomes numbers of the type that a is rounded to, as bitsandbytes does, in a temporary
 * that then is b; in slices where it would be large. */
enum dlm_status dlm_matmul_lower_quant_gpu(struct dlm_lowering *l) DLM_CHECK_RESULT;

/* matmul_gpu.c */

/* Bit t: the device, and how the operands lie, allow tile t. */
uint32_t dlm_matmul_possible_tiles(const struct dlm_lowering *l,
                                   const struct dlm_matmul_params *p);

enum dlm_status dlm_matmul_lower_gpu(struct dlm_lowering *l) DLM_CHECK_RESULT;

#endif
