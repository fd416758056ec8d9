/* Kernel calls, told apart by name and constants. */
#include "call_counts.h"

#include <stdio.h>
#include <string.h>

/* The call makes a product in tiles of this kind. */
static bool is_in_tiles(const struct dlm_kernel_call *c, enum dlm_matmul_tile tile)
{
    const bool is_matrix = strstr(c->kernel, "_mma_") && !strstr(c->kernel, "_pack");
    const int at = is_matrix ? 0 : 1; /* of the tile's sides in a kernel's constants */
    char size[32];

    if (tile == DLM_MATMUL_TILE_LIBRARY)
        return !strcmp(c->kernel, "gemm_f32");
    if (tile == DLM_MATMUL_TILE_NOLOCAL)
        return strstr(c->kernel, "_nolocal") || strstr(c->kernel, "_subgroup");
    if (!c->num_specs && tile == DLM_MATMUL_TILE_32X32)
        return !strncmp(c->kernel, "matmul_small_", 13);
    if (!c->num_specs) /* matmul_f32 */
        return tile == DLM_MATMUL_TILE_64X64 && !strncmp(c->kernel, "matmul_", 7) &&
               !strchr(c->kernel + 7, '_');
    snprintf(size, sizeof(size), "%s%ux%u", is_matrix ? "matrix " : "", (unsigned)c->specs[at],
             (unsigned)c->specs[at + 1]);
    return !strcmp(size, dlm_matmul_tile_name(tile));
}

void call_counts_add(struct call_counts *counts, const struct dlm_plan *plan,
                     const struct dlm_device_caps *caps)
{
    for (size_t i = 0; i < plan->num_calls; i++) {
        const struct dlm_kernel_call *c = &plan->calls[i].call;
        counts->by_library += !strcmp(c->kernel, "gemm_f32");
        counts->matrix += strstr(c->kernel, "_mma_") != NULL;
        counts->tiled += is_in_tiles(c, dlm_matmul_unpack_tuned(caps->tuned[0]).tile);
        counts->slices += strstr(c->kernel, "_dequant_") != NULL;
        counts->cut += caps->max_work && c->work > caps->max_work &&
                       (uint64_t)c->groups[0] * c->groups[1] * c->groups[2] > 1;
    }
}
