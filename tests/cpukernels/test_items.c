/* How the work of two models is shared out among many cores that no machine need have: prints items
 * a core, and what part of the time the cores are busy if all items of a row or column take equally
 * long. Then attention in items of different sizes: the same bits. */
#include <math.h>

#include "backend/backend.h"
#include "kernels/attention_cpu.h"
#include "kernels/matmul_general.h"
#include "tests/check.h"

#define CORES 48u

/* y [rows, n] = x [rows, k] W^T of a training step, and what its backward makes of it. */
static const struct product {
    const char *name;
    uint32_t rows, n, k;
} products[] = {
    {"PaliGemma-3B q|k|v", 320, 2560, 2048},     {"PaliGemma-3B o", 320, 2048, 2048},
    {"PaliGemma-3B gate|up", 320, 32768, 2048},  {"PaliGemma-3B down", 320, 2048, 16384},
    {"Qwen2-VL-2B q|k|v", 640, 2048, 1536},      {"Qwen2-VL-2B o", 640, 1536, 1536},
    {"Qwen2-VL-2B gate|up", 640, 17920, 1536},   {"Qwen2-VL-2B down", 640, 1536, 8960},
    {"Qwen2-VL-2B vision qkv", 2304, 3840, 1280}, {"Qwen2-VL-2B vision fc1", 2304, 5120, 1280},
};

/* The part of the time that units are busy in a grid of row_items x col_items. */
static double busy(uint32_t rows, uint32_t tiles, uint32_t row_items, uint32_t col_items)
{
    const uint32_t rounds = dlm_matmul_div_up_(row_items * col_items, CORES);
    const double longest = (double)dlm_matmul_div_up_(rows, row_items) *
                           dlm_matmul_div_up_(tiles, col_items);

    return (double)rows * tiles / CORES / (rounds * longest);
}

static void check_product(const struct product *x, bool is_bwd)
{
    const uint32_t tiles = dlm_matmul_div_up_(is_bwd ? x->k : x->n, DLM_MATMUL_TILE_COLS);
    struct dlm_matmul_panel_params p = {.m = x->rows, .n = x->n, .k = x->k};

    dlm_matmul_share(&p, is_bwd, CORES);
    const uint32_t items = dlm_matmul_panel_items(&p);
    const double part = busy(x->rows, tiles, p.row_items, p.col_items);
    printf("     %-24s %s: %4u items, %4.1f a core, busy %.2f\n", x->name, is_bwd ? "dX" : "y ",
           items, (double)items / CORES, part);
    CHECK(items >= 4 * CORES);
    CHECK(part >= 0.9);
}

/* Adapters of rank 8: h = x A^T is the one whose columns give no items. */
static void check_adapter(void)
{
    struct dlm_matmul_general_params h = {
        .m = 320, .n = 8, .k = 2048, .a_m = 2048, .a_k = 1, .batch = {1, 1},
    };
    struct dlm_matmul_general_params y = {
        .m = 320, .n = 2048, .k = 8, .a_m = 8, .a_k = 1, .batch = {1, 1},
    };

    dlm_matmul_general_share(&h, CORES);
    dlm_matmul_general_share(&y, CORES);
    printf("     adapters: h = x A^T %u items, y += h B^T %u\n",
           (unsigned)dlm_matmul_general_items(&h), (unsigned)dlm_matmul_general_items(&y));
    CHECK(dlm_matmul_general_items(&h) >= CORES * 3 / 4);
    CHECK(dlm_matmul_general_items(&y) >= 4 * CORES);
}

static void check_attention(const char *name, uint32_t tokens, uint32_t heads, uint32_t kv_heads,
                            uint32_t dim)
{
    const struct dlm_attention_params p = {
        .batch = 1, .queries = tokens, .keys = tokens, .heads = heads, .kv_heads = kv_heads,
        .dim = dim,
    };
    const uint32_t rows = tokens * (heads / kv_heads);
    const uint32_t row_block =
        dlm_attention_cpu_rows(&p, rows, DLM_ATTENTION_CPU_FORWARD_KEYS, CORES);
    const uint32_t key_block =
        dlm_attention_cpu_rows(&p, tokens, DLM_ATTENTION_CPU_MANY_KEYS, CORES);
    const uint32_t row_items = dlm_matmul_div_up_(rows, row_block) * kv_heads;
    const uint32_t key_items = dlm_matmul_div_up_(tokens, key_block) * kv_heads;

    printf("     %-24s attention: %u items of %u rows, dK and dV %u of %u keys\n", name, row_items,
           row_block, key_items, key_block);
    CHECK(row_items >= CORES * 3 / 4);
    CHECK(key_items >= CORES / 2); /* one kv head has no more */
}

/* Attention of one row: causal behind a prefix, with a window or without. */
enum { TOKENS = 150, HEADS = 4, KV_HEADS = 2, DIM = 24, LEN = TOKENS * HEADS * DIM };

static struct dlm_binding make(struct dlm_device *device, const void *data, size_t bytes)
{
    struct dlm_binding b = {.bytes = bytes};

    if (dlm_buffer_create(device, &b.buffer, bytes) || dlm_buffer_write(b.buffer, 0, data, bytes))
        exit(1);
    return b;
}

/* Numbers that differ, with sums that round. */
static struct dlm_binding make_numbers(struct dlm_device *device, float seed)
{
    static float x[LEN];

    for (int i = 0; i < LEN; i++)
        x[i] = sinf(seed * (float)(i + 1));
    return make(device, x, sizeof(x));
}

static void run(struct dlm_device *device, struct dlm_dispatch *call,
                struct dlm_attention_params *p, uint32_t total, uint32_t block)
{
    struct dlm_recording *recording = NULL;

    p->block = block;
    memcpy(call->params, p, sizeof(*p));
    call->params_bytes = sizeof(*p);
    call->groups[0] = (total + block - 1) / block;
    call->groups[1] = KV_HEADS;
    call->groups[2] = 1;
    call->scratch_bytes = DLM_MAX(dlm_attention_rows_scratch(p, 2, 2),
                                  dlm_attention_keys_scratch(p));
    CHECK(!dlm_recording_create(device, &recording, call, 1) && !dlm_recording_run(recording));
    dlm_recording_destroy(&recording);
}

/* Output `at` of the call in items of every size equals that in the largest. */
static void check_blocks(struct dlm_device *device, struct dlm_dispatch *call,
                         struct dlm_attention_params *p, uint32_t total, uint32_t at)
{
    static float want[LEN], got[LEN];
    const size_t bytes = sizeof(float) * TOKENS * DIM * (total == TOKENS ? KV_HEADS : HEADS);

    run(device, call, p, total, DLM_ATTENTION_CPU_BLOCK);
    CHECK(!dlm_buffer_read(call->bindings[at].buffer, 0, want, bytes));
    for (uint32_t block = DLM_ATTENTION_CPU_TILE; block < DLM_ATTENTION_CPU_BLOCK;
         block += DLM_ATTENTION_CPU_TILE) {
        CHECK(!dlm_buffer_fill(call->bindings[at].buffer, 0, bytes, 0x7fc00000u)); /* NaN */
        run(device, call, p, total, block);
        CHECK(!dlm_buffer_read(call->bindings[at].buffer, 0, got, bytes));
        CHECK(!memcmp(got, want, bytes));
    }
}

static void check_bits(struct dlm_device *device, uint32_t window)
{
    const int32_t rows[] = {0, TOKENS - 3, 40, TOKENS - 5};
    struct dlm_attention_params p = {
        .batch = 1, .queries = TOKENS, .keys = TOKENS, .heads = HEADS, .kv_heads = KV_HEADS,
        .dim = DIM, .mode = DLM_ATTENTION_PREFIX_MODE, .scale = 0.2f, .window = window,
        .q_stride = {LEN, HEADS * DIM, DIM}, .out_stride = {LEN, HEADS * DIM, DIM},
        .kv_stride = {LEN, KV_HEADS * DIM, DIM}, .splits = 1, .parts = 1,
    };
    const struct dlm_binding q = make_numbers(device, 0.7f), k = make_numbers(device, 1.3f);
    const struct dlm_binding v = make_numbers(device, 2.1f), dout = make_numbers(device, 0.9f);
    const struct dlm_binding lse = make_numbers(device, 0.3f), delta = make_numbers(device, 1.9f);
    const struct dlm_binding mask = make(device, rows, sizeof(rows));
    const struct dlm_binding out = make_numbers(device, 0), out2 = make_numbers(device, 0);
    struct dlm_dispatch forward = {.kernel = "attention_f32", .num_bindings = 6,
                                   .bindings = {q, k, v, mask, out, lse}};
    struct dlm_dispatch dq = {.kernel = "attention_dq_f32", .num_bindings = 8,
                              .bindings = {q, k, v, dout, lse, delta, mask, out}};
    struct dlm_dispatch dkv = {.kernel = "attention_dkv_f32", .num_bindings = 9,
                               .bindings = {q, k, v, dout, lse, delta, mask, out, out2}};
    const struct dlm_binding all[] = {q, k, v, dout, lse, delta, mask, out, out2};

    check_blocks(device, &forward, &p, TOKENS * HEADS / KV_HEADS, 4);
    check_blocks(device, &dq, &p, TOKENS * HEADS / KV_HEADS, 7);
    memcpy(p.out_stride, p.kv_stride, sizeof(p.out_stride));
    check_blocks(device, &dkv, &p, TOKENS, 7);
    check_blocks(device, &dkv, &p, TOKENS, 8);
    for (size_t i = 0; i < DLM_ARRAY_LEN(all); i++) {
        struct dlm_buffer *buffer = all[i].buffer;
        dlm_buffer_destroy(&buffer);
    }
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_device *device = NULL;

    check_case("48 cores have work");
    for (size_t i = 0; i < 2 * DLM_ARRAY_LEN(products); i++)
        check_product(&products[i / 2], i % 2);
    check_adapter();
    check_attention("PaliGemma-3B", 320, 8, 1, 256);
    check_attention("PaliGemma-3B vision", 256, 16, 16, 72);
    check_attention("Qwen2-VL-2B", 640, 12, 2, 128);
    check_attention("Qwen2-VL-2B vision", 2304, 16, 16, 80);

    check_case("items of attention do not show in its bits");
    if (CHECK(!dlm_device_open(ctx, &device,
                               &(struct dlm_device_params){.kind = DLM_BACKEND_CPU}))) {
        check_bits(device, 0);
        check_bits(device, 70);
    }
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
