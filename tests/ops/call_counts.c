/* Kernel calls, told apart by name and constants. */
#include "call_counts.h"

#include <stdio.h>
#include <string.h>

#include "backend/backend_impl.h"
#include "graph/cost.h"
#include "tests/check.h"

/* Kernels that ran on a device, and whether they came in parts. */
static struct {
    char name[64];
    bool is_cut;
} seen[256];
static size_t num_seen;

/* Kernels that need not come in parts here. */
static const char *const short_kernels[] = {
    "grad_norm_final", /* adds as many numbers as grad_norm_partial has groups */
    "gemm_f32",        /* a library's: lowering gives it fewer rows at a time */
    "copy_f32_f32",    /* in rows of matmul a bias; in those of copy it does come in parts */
};

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

static size_t find_seen(const char *kernel)
{
    for (size_t i = 0; i < num_seen; i++)
        if (!strcmp(seen[i].name, kernel))
            return i;
    return num_seen;
}

static bool comes_in_parts(const struct dlm_kernel_call *c, const struct dlm_device_caps *caps)
{
    struct dlm_dispatch d = {.units = c->units, .work = c->work};

    memcpy(d.groups, c->groups, sizeof(d.groups));
    return dlm_dispatch_count_parts(&d, caps->max_work) > 1;
}

static void note_kernel(const struct dlm_kernel_call *c, bool is_cut)
{
    const size_t at = find_seen(c->kernel);

    if (at == DLM_ARRAY_LEN(seen)) {
        CHECK(at < DLM_ARRAY_LEN(seen)); /* else make it longer */
        return;
    }
    if (at == num_seen) {
        snprintf(seen[at].name, sizeof(seen[at].name), "%s", c->kernel);
        seen[at].is_cut = false;
        num_seen++;
    }
    seen[at].is_cut |= is_cut;
}

/* Of products and attention for operands in 16 bits: the source is that of a kernel for f32, which
 * came in parts. Where a device only pretends to have local memory, compiling both takes long, and
 * the harness leaves one out. */
static bool is_like_one_in_parts(const char *kernel)
{
    static const char *const types[] = {"_bf16", "_f16"};
    char name[64];

    if (strncmp(kernel, "attention_", 10) && strncmp(kernel, "matvec_", 7) &&
        strncmp(kernel, "matmul_", 7))
        return false;
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++) {
        const char *at = strstr(kernel, types[i]);
        if (!at)
            continue;
        snprintf(name, sizeof(name), "%.*s_f32%s", (int)(at - kernel), kernel,
                 at + strlen(types[i]));
        const size_t like = find_seen(name);
        return like < num_seen && seen[like].is_cut;
    }
    return false;
}

static bool is_short(const char *kernel)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(short_kernels); i++)
        if (!strcmp(short_kernels[i], kernel))
            return true;
    return false;
}

void call_counts_check_parts(void)
{
    check_case("every kernel came in parts");
    for (size_t i = 0; i < num_seen; i++)
        if (!CHECK(seen[i].is_cut || is_short(seen[i].name) || is_like_one_in_parts(seen[i].name)))
            printf("     '%s' never did\n", seen[i].name);
    num_seen = 0;
}

/* A call's work is what parts are cut by: a node's is at least its products, or else a multiply-add
 * for each word of its tensors. */
static void check_work(const struct dlm_plan *plan)
{
    const struct dlm_cost cost = dlm_node_cost(plan->graph->nodes[0]);
    double work = 0;

    for (size_t i = 0; i < plan->num_calls; i++)
        work += (double)plan->calls[i].call.work;
    CHECK(work >= (cost.flops > 0 ? cost.flops / 2 : (cost.read + cost.written) / 4));
}

void call_counts_add(struct call_counts *counts, const struct dlm_plan *plan,
                     const struct dlm_device_caps *caps)
{
    if (!(caps->bits & DLM_CAP_BLOCK_ITEMS))
        check_work(plan);
    for (size_t i = 0; i < plan->num_calls; i++) {
        const struct dlm_kernel_call *c = &plan->calls[i].call;
        const bool is_cut = comes_in_parts(c, caps);
        counts->by_library += !strcmp(c->kernel, "gemm_f32");
        counts->matrix += strstr(c->kernel, "_mma_") != NULL;
        counts->tiled += is_in_tiles(c, dlm_matmul_unpack_tuned(caps->tuned[0]).tile);
        counts->slices += strstr(c->kernel, "_dequant_") != NULL;
        counts->cut += is_cut;
        if (!(caps->bits & DLM_CAP_BLOCK_ITEMS))
            note_kernel(c, is_cut);
    }
}
