/* matmul on GPUs: the table of tiles. A row says what it rests on: figures of the compiler for
 * chips of its class (docs/benchmarks.md), or what is known of its drivers. */
#include "ops/matmul_tiles.h"

#include <stdio.h>
#include <string.h>

#include "base/sha256.h"

#define ANY_CLASS DLM_CLASS_COUNT

/* The first row for the device that fits counts: the product has more rows and columns than m and
 * n, and there are `fill` tiles for each compute unit. */
struct row {
    enum dlm_device_class class;
    uint32_t needs; /* enum dlm_cap */
    enum dlm_matmul_tile tile;
    uint32_t m, n, fill;
};

static const struct row rows[] = {
    {ANY_CLASS, 0, DLM_MATMUL_TILE_VEC, 0, 0, 0}, /* b is read once */

    /* Other tiles are slower there, and wrong with some drivers (llama.cpp issue 5412). */
    {DLM_CLASS_APPLE, 0, DLM_MATMUL_TILE_MMA_64X64, 0, 0, 0},
    {DLM_CLASS_APPLE, 0, DLM_MATMUL_TILE_64X64, 0, 0, 0},

    /* 128x128: 16 wmma to 112 others (navi31, f16), 64x64: 8 to 92. The larger one pays as soon as
     * each unit has a tile of it; 32x32 is for ranks of adapters. */
    {ANY_CLASS, 0, DLM_MATMUL_TILE_MMA_128X128, 64, 64, 1},
    {ANY_CLASS, 0, DLM_MATMUL_TILE_MMA_64X64, 32, 32, 0},
    {ANY_CLASS, 0, DLM_MATMUL_TILE_MMA_32X32, 0, 0, 0},

    {ANY_CLASS, DLM_CAP_NO_LOCAL, DLM_MATMUL_TILE_NOLOCAL, 0, 0, 0},

    /* The 64 sums of a lane in the largest tile leave two waves to a SIMD (polaris10, 128
     * registers): it takes a second group on a unit to hide what the first one waits for. */
    {DLM_CLASS_GCN, 0, DLM_MATMUL_TILE_128X64, 64, 32, 2},
    {DLM_CLASS_GCN, 0, DLM_MATMUL_TILE_64X64, 32, 32, 0},
    /* 64 sums are all the registers that a lane has: 128 of 32 bytes for 16 lanes. */
    {DLM_CLASS_XE, 0, DLM_MATMUL_TILE_64X64, 32, 32, 0},
    /* The compiler fails on tiles that are unrolled further (llama.cpp issues 12421, 24877). */
    {DLM_CLASS_PHONE, 0, DLM_MATMUL_TILE_64X64, 32, 32, 0},
    /* 128x64: 256 fma of 311 instructions and eight waves to a SIMD (navi21, 128 registers); 64x64:
     * 128 of 175 and fourteen. */
    {ANY_CLASS, 0, DLM_MATMUL_TILE_128X64, 64, 32, 1},
    {ANY_CLASS, 0, DLM_MATMUL_TILE_64X64, 32, 32, 0},
    {ANY_CLASS, 0, DLM_MATMUL_TILE_32X32, 0, 0, 0},
};

/* Work-groups wanted for each compute unit, before sums stop to be cut in parts. */
static const uint32_t per_unit[DLM_CLASS_COUNT] = {
    [DLM_CLASS_OTHER] = 8,
    /* A thread each; so few that a merge costs little on two cores and so many that 16 are busy. */
    [DLM_CLASS_SOFTWARE] = 8,
    [DLM_CLASS_CUDA] = 4, /* of 4 warps: four for each scheduler */
    /* Of two waves: two for each of four SIMDs, which have room for three or four (polaris10). */
    [DLM_CLASS_GCN] = 4,
    [DLM_CLASS_RDNA] = 4, /* of two waves: four for each of two SIMDs; LDS has room for seven */
    [DLM_CLASS_XE] = 1, /* of eight threads of 16 lanes: all that an execution unit holds */
    [DLM_CLASS_PHONE] = 8,
    [DLM_CLASS_APPLE] = 8,
};

const uint32_t dlm_matmul_per_unit[DLM_MATMUL_NUM_PER_UNIT] = {0, 1, 2, 4, 8, 16};

/* Not how many cores this machine has today, so that sums stay the same. */
#define SOFTWARE_UNITS 16u

static const struct {
    const char *name;
    uint32_t m, n;
} tiles[DLM_MATMUL_TILE_COUNT] = {
    [DLM_MATMUL_TILE_OPEN] = {"open", 1, 1},
    [DLM_MATMUL_TILE_VEC] = {"vector", DLM_MATVEC_ROWS, DLM_MATVEC_COLS},
    [DLM_MATMUL_TILE_NOLOCAL] = {"registers", 1, 1},
    [DLM_MATMUL_TILE_32X32] = {"32x32", 32, 32},
    [DLM_MATMUL_TILE_64X64] = {"64x64", 64, 64},
    [DLM_MATMUL_TILE_128X64] = {"128x64", 128, 64},
    [DLM_MATMUL_TILE_MMA_32X32] = {"matrix 32x32", 32, 32},
    [DLM_MATMUL_TILE_MMA_64X64] = {"matrix 64x64", 64, 64},
    [DLM_MATMUL_TILE_MMA_128X128] = {"matrix 128x128", 128, 128},
    [DLM_MATMUL_TILE_LIBRARY] = {"library", 1, 1},
};

const char *dlm_matmul_tile_name(enum dlm_matmul_tile tile)
{
    return (unsigned)tile < DLM_MATMUL_TILE_COUNT ? tiles[tile].name : "?";
}

static uint32_t num_units(const struct dlm_device_caps *caps)
{
    return caps->device_class == DLM_CLASS_SOFTWARE ? SOFTWARE_UNITS : caps->num_units;
}

static bool is_filled(const struct dlm_matmul_params *p, const struct row *row, uint32_t units)
{
    const uint32_t m = tiles[row->tile].m, n = tiles[row->tile].n;
    const uint64_t num = ((uint64_t)p->m + m - 1) / m * (((uint64_t)p->n + n - 1) / n) *
                         p->batch0 * p->batch1;

    return num >= (uint64_t)row->fill * units;
}

/* The last rows of classes, the first ones being 1 and on; what is above is the last class. */
static const uint32_t m_ends[] = {8, 32, 128, 512}, n_ends[] = {64, 1024, 4096},
                      k_ends[] = {64, 1024};

#define NUM_M (DLM_ARRAY_LEN(m_ends) + 1)
#define NUM_N (DLM_ARRAY_LEN(n_ends) + 1)
#define NUM_K (DLM_ARRAY_LEN(k_ends) + 1)

_Static_assert(2 * NUM_M * NUM_N * NUM_K == DLM_NUM_TUNED, "a choice for each class of shapes");

static uint32_t class_of(uint32_t len, const uint32_t *ends, size_t num)
{
    uint32_t i = 0;

    while (i < num && len > ends[i])
        i++;
    return i;
}

uint32_t dlm_matmul_shape_class(uint32_t m, uint32_t n, uint32_t k, enum dlm_dtype b)
{
    const uint32_t is_16 = b != DLM_DTYPE_F32;

    return ((is_16 * NUM_M + class_of(m, m_ends, NUM_M - 1)) * NUM_N +
            class_of(n, n_ends, NUM_N - 1)) * NUM_K + class_of(k, k_ends, NUM_K - 1);
}

static void name_range(char *name, size_t cap, const char *letter, const uint32_t *ends, size_t num,
                       size_t class)
{
    const uint32_t first = class ? ends[class - 1] + 1 : 1;
    const size_t len = strlen(name);

    if (class < num)
        snprintf(name + len, cap - len, ", %s %u-%u", letter, first, ends[class]);
    else
        snprintf(name + len, cap - len, ", %s over %u", letter, ends[class - 1]);
}

void dlm_matmul_shape_name(uint32_t shape_class, char name[DLM_MATMUL_SHAPE_NAME_BYTES])
{
    const size_t cap = DLM_MATMUL_SHAPE_NAME_BYTES;
    const size_t k = shape_class % NUM_K, n = shape_class / NUM_K % NUM_N;
    const size_t m = shape_class / NUM_K / NUM_N % NUM_M;

    snprintf(name, cap, "%s", shape_class / NUM_K / NUM_N / NUM_M ? "16 bit" : "f32");
    name_range(name, cap, "m", m_ends, NUM_M - 1, m);
    name_range(name, cap, "n", n_ends, NUM_N - 1, n);
    name_range(name, cap, "k", k_ends, NUM_K - 1, k);
}

bool dlm_matmul_pack_tuned(const struct dlm_matmul_tuned *tuned, uint8_t *packed)
{
    for (uint32_t i = 0; i < DLM_MATMUL_NUM_PER_UNIT; i++) {
        if (dlm_matmul_per_unit[i] != tuned->per_unit)
            continue;
        *packed = (uint8_t)(tuned->tile | i << 4); /* both below 16 */
        return (unsigned)tuned->tile < DLM_MATMUL_TILE_COUNT;
    }
    return false;
}

struct dlm_matmul_tuned dlm_matmul_unpack_tuned(uint8_t packed)
{
    return (struct dlm_matmul_tuned){(enum dlm_matmul_tile)(packed & 15),
                                     dlm_matmul_per_unit[packed >> 4]};
}

static struct dlm_matmul_tuned find_tuned(const struct dlm_device_caps *caps,
                                          const struct dlm_matmul_params *p, enum dlm_dtype b)
{
    return dlm_matmul_unpack_tuned(caps->tuned[dlm_matmul_shape_class(p->m, p->n, p->k, b)]);
}

enum dlm_matmul_tile dlm_matmul_choose_tile(const struct dlm_device_caps *caps,
                                            const struct dlm_matmul_params *p, enum dlm_dtype b,
                                            uint32_t possible)
{
    const enum dlm_matmul_tile tuned = find_tuned(caps, p, b).tile;

    if (tuned && possible >> tuned & 1)
        return tuned;
    for (const struct row *row = rows;; row++) { /* the last one fits whatever comes */
        if ((row->class == ANY_CLASS || row->class == caps->device_class) &&
            (caps->bits & row->needs) == row->needs && possible >> row->tile & 1 &&
            p->m > row->m && p->n > row->n && is_filled(p, row, num_units(caps)))
            return row->tile;
    }
}

uint32_t dlm_matmul_table_per_unit(const struct dlm_device_caps *caps)
{
    return per_unit[caps->device_class];
}

uint32_t dlm_matmul_wanted_groups(const struct dlm_device_caps *caps,
                                  const struct dlm_matmul_params *p, enum dlm_dtype b)
{
    const struct dlm_matmul_tuned tuned = find_tuned(caps, p, b);

    return (tuned.tile ? tuned.per_unit : per_unit[caps->device_class]) * num_units(caps);
}

static bool is_tuned_to_library(const struct dlm_device_caps *caps)
{
    for (size_t i = 0; i < DLM_NUM_TUNED; i++)
        if (dlm_matmul_unpack_tuned(caps->tuned[i]).tile == DLM_MATMUL_TILE_LIBRARY)
            return true;
    return false;
}

/* A library that is not chosen counts for nothing; of one that is, the version does. */
void dlm_matmul_tiles_hash(const struct dlm_device_caps *caps, char hex[65])
{
    const bool is_cpu = caps->bits & DLM_CAP_BLOCK_ITEMS;
    const uint32_t library[] = {caps->bits & DLM_CAP_GEMM_F32, caps->gemm_version};
    const uint32_t device[] = {caps->bits & ~library[0], caps->device_class, num_units(caps),
                               per_unit[caps->device_class], (uint32_t)caps->shared_bytes};
    struct dlm_sha256 sha;
    uint8_t digest[32];

    dlm_sha256_init(&sha);
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows) && !is_cpu; i++) {
        const struct row *r = &rows[i];
        const uint32_t fields[] = {r->class, r->needs, r->tile, r->m, r->n, r->fill};
        if (r->class == ANY_CLASS || r->class == caps->device_class)
            dlm_sha256_update(&sha, fields, sizeof(fields));
    }
    if (!is_cpu) {
        dlm_sha256_update(&sha, device, sizeof(device));
        dlm_sha256_update(&sha, caps->tuned, sizeof(caps->tuned));
        if (is_tuned_to_library(caps))
            dlm_sha256_update(&sha, library, sizeof(library));
    }
    dlm_sha256_finish(&sha, digest);
    dlm_sha256_hex(digest, hex);
}
