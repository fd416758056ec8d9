/* The tiles of products on GPUs: what the table gives for each class of device, none of which need
 * be there. */
#include "ops/matmul_tiles.h"
#include "tests/check.h"

#define GPU (DLM_CAP_SPECS | DLM_CAP_SUBGROUP)
#define MMA (GPU | DLM_CAP_MATRIX_BF16)
#define KIB(n) ((size_t)(n) << 10)
#define F32 DLM_DTYPE_F32
#define BF16 DLM_DTYPE_BF16
#define TILE(name) DLM_MATMUL_TILE_##name
#define CLASS(name) DLM_CLASS_##name

/* A product of x [m, k] and W^T, W [n, k], x rounded to W's type. */
struct tiles_case {
    const char *name;
    enum dlm_device_class class;
    uint32_t bits, units;
    size_t shared_bytes;
    int64_t m, n, k;
    enum dlm_dtype type;
    enum dlm_matmul_tile tile;
    uint32_t groups; /* wanted */
};

static const struct tiles_case cases[] = {
    {"one row", CLASS(OTHER), MMA, 16, KIB(64), 1, 2048, 2048, BF16, TILE(VEC), 128},
    {"more tiles than units", CLASS(RDNA), GPU, 80, KIB(64), 1024, 2048, 512, F32, TILE(128X64),
     320},
    {"fewer tiles than units", CLASS(RDNA), GPU, 300, KIB(64), 1024, 2048, 512, F32, TILE(64X64),
     1200},
    {"as many tiles as units", CLASS(RDNA), GPU, 256, KIB(64), 1024, 2048, 512, F32, TILE(128X64),
     1024},
    {"one tile less than units", CLASS(RDNA), GPU, 257, KIB(64), 1024, 2048, 512, F32, TILE(64X64),
     1028},
    {"two tiles a unit", CLASS(GCN), GPU, 128, KIB(64), 1024, 2048, 512, F32, TILE(128X64), 512},
    {"less than two tiles a unit", CLASS(GCN), GPU, 129, KIB(64), 1024, 2048, 512, F32, TILE(64X64),
     516},
    {"half a tile of rows", CLASS(RDNA), GPU, 1, KIB(64), 64, 2048, 512, F32, TILE(64X64), 4},
    {"more than half a tile of rows", CLASS(RDNA), GPU, 1, KIB(64), 65, 2048, 512, F32,
     TILE(128X64), 4},
    {"half a tile of columns", CLASS(RDNA), GPU, 1, KIB(64), 1024, 32, 512, F32, TILE(32X32), 4},
    {"more than half a tile of columns", CLASS(RDNA), GPU, 1, KIB(64), 1024, 33, 512, F32,
     TILE(128X64), 4},
    {"two waves to a SIMD", CLASS(GCN), GPU, 160, KIB(64), 1024, 2048, 512, F32, TILE(64X64), 640},
    {"two waves to a SIMD, many tiles", CLASS(GCN), GPU, 64, KIB(64), 1024, 2048, 512, F32,
     TILE(128X64), 256},
    {"few registers", CLASS(XE), GPU, 96, KIB(64), 1024, 2048, 512, F32, TILE(64X64), 96},
    {"a phone", CLASS(PHONE), GPU, 16, KIB(32), 1024, 2048, 512, F32, TILE(64X64), 128},
    {"rank of an adapter", CLASS(CUDA), GPU, 132, KIB(48), 256, 16, 2048, F32, TILE(32X32), 528},
    {"matrix units", CLASS(RDNA), MMA, 80, KIB(64), 2048, 2048, 512, BF16, TILE(MMA_128X128), 320},
    {"matrix units, few tiles", CLASS(RDNA), MMA, 80, KIB(64), 512, 2048, 512, BF16,
     TILE(MMA_64X64), 320},
    {"matrix units, a rank", CLASS(RDNA), MMA, 80, KIB(64), 512, 16, 512, BF16, TILE(MMA_32X32),
     320},
    {"matrix units, little room", CLASS(OTHER), MMA, 16, KIB(32), 2048, 2048, 512, BF16,
     TILE(MMA_64X64), 128},
    {"matrix units, next to no room", CLASS(OTHER), MMA, 16, KIB(16), 2048, 16, 512, BF16,
     TILE(MMA_32X32), 128},
    {"matrix units, one size of tile", CLASS(APPLE), MMA, 16, KIB(64), 2048, 16, 512, BF16,
     TILE(MMA_64X64), 128},
    {"matrix units, f32", CLASS(RDNA), MMA, 80, KIB(64), 1024, 2048, 512, F32, TILE(128X64), 320},
    {"kernels of fixed size", CLASS(CUDA), 0, 80, KIB(48), 1024, 2048, 512, F32, TILE(64X64), 320},
    {"kernels of fixed size, few columns", CLASS(CUDA), 0, 80, KIB(48), 1024, 16, 512, F32,
     TILE(32X32), 320},
    {"software", CLASS(SOFTWARE), GPU | DLM_CAP_NO_LOCAL, 2, KIB(32), 64, 16, 4096, F32,
     TILE(NOLOCAL), 128},
    {"software, more cores", CLASS(SOFTWARE), GPU | DLM_CAP_NO_LOCAL, 64, KIB(32), 64, 16, 4096,
     F32, TILE(NOLOCAL), 128},
};

static void test_case(const struct tiles_case *c)
{
    const struct dlm_device_caps caps = {.bits = c->bits,
                                         .device_class = c->class,
                                         .num_units = c->units,
                                         .shared_bytes = c->shared_bytes};
    const union dlm_attrs attrs = {.matmul = {.round = c->type}};
    struct dlm_lowering l = {.caps = &caps, .attrs = &attrs, .num_inputs = 2, .num_outputs = 1};

    l.inputs[0] = dlm_desc_make(F32, 2, (int64_t[]){c->m, c->k});
    l.inputs[1] = dlm_desc_make(c->type, 2, (int64_t[]){c->k, c->n});
    l.inputs[1].stride[0] = 1;
    l.inputs[1].stride[1] = c->k;
    l.outputs[0] = dlm_desc_make(F32, 2, (int64_t[]){c->m, c->n});
    check_case(c->name);
    const struct dlm_matmul_params p = dlm_matmul_make_params(&l);
    const uint32_t possible = dlm_matmul_possible_tiles(&l, &p);
    CHECK_STR(dlm_matmul_tile_name(dlm_matmul_choose_tile(&caps, &p, c->type, possible)),
              dlm_matmul_tile_name(c->tile));
    CHECK_INT(dlm_matmul_wanted_groups(&caps, &p, c->type), c->groups);
}

/* A class of shapes is told by its ends. */
static void test_classes(void)
{
    static const uint32_t ends[][3] = {{8, 64, 64}, {32, 1024, 1024}, {128, 4096, 1024},
                                       {512, 4096, 1024}};
    char name[DLM_MATMUL_SHAPE_NAME_BYTES];

    check_case("classes of shapes");
    for (size_t i = 0; i < DLM_ARRAY_LEN(ends); i++) {
        const uint32_t m = ends[i][0], n = ends[i][1], k = ends[i][2];
        const uint32_t last = dlm_matmul_shape_class(m, n, k, F32);
        CHECK(last == dlm_matmul_shape_class(m - 1, n - 1, k - 1, F32));
        CHECK(last != dlm_matmul_shape_class(m + 1, n, k, F32));
        CHECK(last != dlm_matmul_shape_class(m, n + 1, k, F32));
        CHECK(last != dlm_matmul_shape_class(m, n, k + 1, F32));
        CHECK(last != dlm_matmul_shape_class(m, n, k, BF16));
    }
    dlm_matmul_shape_name(dlm_matmul_shape_class(8, 65, 1025, F32), name);
    CHECK_STR(name, "f32, m 1-8, n 65-1024, k over 1024");
}

/* The library is chosen where it was measured to win, for products that it takes, else nowhere. */
static void test_library(void)
{
    struct dlm_device_caps caps = {.bits = DLM_CAP_GEMM_F32, .device_class = CLASS(CUDA),
                                   .num_units = 80, .shared_bytes = KIB(48),
                                   .gemm_version = 10603};
    const struct dlm_matmul_params p = {.batch0 = 1, .batch1 = 1, .m = 512, .n = 512, .k = 512,
                                        .a_stride = {0, 0, 512, 1}, .b_stride = {0, 0, 512, 1}};
    const struct dlm_matmul_tuned tuned = {TILE(LIBRARY), 4};
    struct dlm_lowering l = {.caps = &caps, .attrs = &(union dlm_attrs){{0}}};
    char as_it_is[65], without[65], chosen[65], other[65];

    check_case("the library");
    for (int i = 0; i < 2; i++)
        l.inputs[i] = dlm_desc_make(F32, 2, (int64_t[]){512, 512});
    const uint32_t possible = dlm_matmul_possible_tiles(&l, &p);
    CHECK(possible >> TILE(LIBRARY) & 1);
    for (uint32_t class = 0; class < DLM_CLASS_COUNT; class++) {
        caps.device_class = (enum dlm_device_class)class;
        CHECK(dlm_matmul_choose_tile(&caps, &p, F32, possible) != TILE(LIBRARY));
    }
    dlm_matmul_tiles_hash(&caps, as_it_is);
    CHECK(dlm_matmul_pack_tuned(&tuned, &caps.tuned[dlm_matmul_shape_class(512, 512, 512, F32)]));
    CHECK(dlm_matmul_choose_tile(&caps, &p, F32, possible) == TILE(LIBRARY));
    dlm_matmul_tiles_hash(&caps, chosen);
    CHECK(strcmp(as_it_is, chosen));
    caps.gemm_version++;
    dlm_matmul_tiles_hash(&caps, other);
    CHECK(strcmp(chosen, other));
    caps.bits = 0;
    CHECK(!(dlm_matmul_possible_tiles(&l, &p) >> TILE(LIBRARY) & 1));
    dlm_matmul_tiles_hash(&caps, without);
    CHECK(strcmp(other, without));
    memset(caps.tuned, 0, sizeof(caps.tuned));
    dlm_matmul_tiles_hash(&caps, without); /* a build without it makes the same products */
    CHECK_STR(without, as_it_is);
}

int main(void)
{
    test_classes();
    test_library();
    for (size_t i = 0; i < DLM_ARRAY_LEN(cases); i++)
        test_case(&cases[i]);
    return check_summary();
}
