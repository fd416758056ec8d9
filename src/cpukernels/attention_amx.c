/* attention with AMX: as attention_avx512bf16.c, the products by hardware tiles. */
#include "cpukernels/attention_bf16.h"

#include "cpukernels/matmul_tile_amx.h"

enum { DEPTH = 32 };

/* Rows past the last of `a` are read, and what they give dropped: kernels/attention_cpu.h has
 * room for them. */
static void multiply(float *out, size_t out_stride, const void *a, size_t a_stride, uint32_t rows,
                     const void *panels, size_t depth, size_t num_panels, bool is_sum)
{
    const size_t panel_bytes = depth * 16 * 2;
    float tile[DLM_AMX_TILE_ROWS * DLM_MATMUL_TILE_COLS] DLM_ALIGNED(64);
    struct dlm_tile_ahead ahead = {0};

    for (size_t j = 0; j < num_panels; j += 2) {
        const char *b0 = (const char *)panels + j * panel_bytes;
        const size_t cols = DLM_MIN(num_panels - j, (size_t)2) * 16;
        for (uint32_t r0 = 0; r0 < rows; r0 += DLM_AMX_TILE_ROWS) {
            const uint32_t num = DLM_MIN(rows - r0, (uint32_t)DLM_AMX_TILE_ROWS);
            dlm_tile_amx(num, (const char *)a + r0 * a_stride, a_stride, b0,
                         cols > 16 ? b0 + panel_bytes : b0, depth, &ahead, tile);
            for (uint32_t r = 0; r < num; r++) {
                float *to = out + (r0 + r) * out_stride + j * 16;
                const float *from = tile + r * DLM_MATMUL_TILE_COLS;
                for (size_t c = 0; is_sum && c < cols; c++)
                    to[c] += from[c];
                if (!is_sum)
                    memcpy(to, from, cols * sizeof(*to));
            }
        }
    }
}

static void run_item(attention_fn run, const struct dlm_cpu_call *call, int64_t item,
                     enum dlm_dtype dtype)
{
    static const struct attention_engine engine = {
        .elem_bytes = 2, .depth = DEPTH, .rounds = true, .copy_row = copy_row,
        .copy_stored = copy_stored, .narrow = narrow_scores, .pack_rows = pack_rows,
        .pack_across = pack_across, .multiply = multiply,
    };

    dlm_amx_configure();
    run(&engine, call, item, dtype);
    _tile_release();
}

#define KERNEL(name, fn, dtype)                                                                    \
    void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item)                             \
    {                                                                                              \
        run_item(fn, call, item, dtype);                                                           \
    }

KERNEL(attention_f32_amx, forward, DLM_DTYPE_F32)
KERNEL(attention_bf16_amx, forward, DLM_DTYPE_BF16)
KERNEL(attention_dq_f32_amx, backward_queries, DLM_DTYPE_F32)
KERNEL(attention_dq_bf16_amx, backward_queries, DLM_DTYPE_BF16)
KERNEL(attention_dkv_f32_amx, backward_keys, DLM_DTYPE_F32)
KERNEL(attention_dkv_bf16_amx, backward_keys, DLM_DTYPE_BF16)
